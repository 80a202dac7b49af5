//! `accuracy`: the share of samples whose label is among the k highest logits.
//!
//! # Reference
//! Top-1 and top-5 as the paper's tables print them. Ties between logits are broken by the lower class number, so that a head
//! that gives every class the same logit scores by chance and not by luck (see [`super::rank_of_label`]). The interval is Wilson's
//! (see `statistics/proportion.rs`), which has a width where every sample is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Better, Counted, Metric, MetricError, MetricInput, MetricKind, Output, Predictions, Reads,
    Score,
};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, List};
use crate::statistics::CONFIDENCE;
use crate::statistics::bootstrap::Share;
use crate::statistics::proportion::wilson;

const TOP: Key<List<Count>> = Key::list("top", Count::within(1..=1_000_000))
    .items(1..=usize::MAX)
    .default(&[1, 5])
    .doc("Each k gives a value called `topK`.");

/// `kind = "accuracy"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "accuracy",
        summary: "The share of samples whose label is among the k highest logits.",
        keys: &[&TOP],
        shared: Reads::Predictions.keys(),
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Metric>> {
    let mut top = fields.get(&TOP)?;
    top.sort_unstable();
    top.dedup();
    Some(Arc::new(Accuracy { top }))
}

/// The metric with the one output of this name.
pub(super) fn with_output(name: &str) -> Option<Arc<dyn Metric>> {
    let k: u32 = name.strip_prefix("top")?.parse().ok()?;
    let metric = Accuracy { top: vec![k] };
    // Only as outputs are spelled, and not with zeros or a sign before the digits.
    let is_it = k > 0 && metric.outputs().first()?.name == name;
    is_it.then(|| Arc::new(metric) as Arc<dyn Metric>)
}

#[derive(Debug)]
struct Accuracy {
    top: Vec<u32>,
}

impl Metric for Accuracy {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name, "top": self.top })
    }

    fn outputs(&self) -> Vec<Output> {
        let outputs = self.top.iter().map(|k| Output {
            name: format!("top{k}"),
            unit: "fraction",
            better: Better::Higher,
            axes: &[],
        });
        outputs.collect()
    }

    fn most_classes(&self) -> Option<u32> {
        self.top.last().copied()
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let count = predictions.rows.len() as u64;
        let scored = self.top.iter().zip(self.outputs()).map(|(&k, output)| {
            let correct = predictions.rows.iter().filter(|row| row.rank < k).count() as u64;
            Score {
                output,
                value: Share { correct, count }.value(),
                interval: Some(wilson(correct, count, CONFIDENCE)),
                counted: Some(Counted {
                    correct,
                    scored: count,
                }),
                axes: BTreeMap::new(),
            }
        });
        Ok(vec![scored.collect()])
    }

    /// 1 where the label is among the k highest logits, else 0.
    fn per_sample(&self, predictions: &Predictions, output: &str) -> Option<Vec<f64>> {
        let k = self.top.iter().find(|k| format!("top{k}") == output)?;
        let score = |rank: u32| if rank < *k { 1.0 } else { 0.0 };
        Some(predictions.rows.iter().map(|row| score(row.rank)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Prediction, rank_of_label};
    use super::*;

    fn score(metric: &dyn Metric, predictions: &Predictions) -> Vec<Score> {
        let scores = metric.evaluate(MetricInput::Predictions(predictions));
        scores.unwrap().remove(0)
    }

    #[test]
    fn counts_by_hand() {
        let logits = [
            [0.1, 0.9, 0.0],
            [0.5, 0.5, 0.5],
            [0.0, 0.1, 0.2],
            [0.3, 0.2, 0.1],
        ];
        let labels = [1, 1, 0, 0];
        let rows = logits
            .iter()
            .zip(labels)
            .enumerate()
            .map(|(row, (logits, label))| Prediction {
                id: format!("test/{row}"),
                label,
                predicted: 0,
                rank: rank_of_label(logits, label),
            });
        let predictions = Predictions::new(rows.collect());
        let scores = score(&Accuracy { top: vec![1, 2, 3] }, &predictions);
        // Ranks by hand: 0; 1 (a tie, class 0 comes first); 2; 0.
        let counts: Vec<_> = scores
            .iter()
            .map(|score| {
                (
                    score.counted.unwrap().correct,
                    score.counted.unwrap().scored,
                )
            })
            .collect();
        assert_eq!(counts, [(2, 4), (3, 4), (4, 4)]);
        assert!((scores[1].value - 0.75).abs() < 1e-15);
        // With z² = 3.84146: (s + z²/8 ± z √(s (1 − s) / 4 + z²/64)) / (1 + z²/4).
        let expected = [
            [0.150_039, 0.849_961],
            [0.300_642, 0.954_413],
            [0.510_109, 1.0],
        ];
        for (score, expected) in scores.iter().zip(expected) {
            for (bound, expected) in score.interval.unwrap().iter().zip(expected) {
                assert!((bound - expected).abs() < 1e-6, "{score:?}");
            }
        }
        let metric = Accuracy { top: vec![1, 2] };
        let of_samples = metric.per_sample(&predictions, "top2").unwrap();
        assert_eq!(of_samples, [1.0, 1.0, 0.0, 1.0]);
        assert_eq!(metric.per_sample(&predictions, "top3"), None);
    }
}
