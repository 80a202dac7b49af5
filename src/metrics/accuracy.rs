//! `accuracy`: the share of samples whose label is among the k highest logits.
//!
//! # Reference
//! Top-1 and top-5 as the paper's tables print them. Ties between logits are broken by the lower class number, so that a head
//! that gives every class the same logit scores by chance and not by luck (see [`super::rank_of_label`]). The interval is the
//! bootstrap's with infinitely many resamples (see `bootstrap.rs`).

use std::sync::Arc;

use super::bootstrap::Share;
use super::{Better, Counted, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, List};

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
        });
        outputs.collect()
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let count = predictions.rows.len() as u64;
        let scored = self.top.iter().zip(self.outputs()).map(|(&k, output)| {
            let correct = predictions.rows.iter().filter(|row| row.rank < k).count() as u64;
            let share = Share { correct, count };
            let interval = share.interval();
            Score {
                output,
                value: share.value(),
                interval: Some([interval.low, interval.high]),
                counted: Some(Counted {
                    correct,
                    scored: count,
                }),
            }
        });
        Ok(vec![scored.collect()])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Prediction, rank_of_label};
    use super::*;
    use crate::metrics::Predictions;

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
        let predictions = Predictions {
            rows: rows.collect(),
        };
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
        // Of 16 resamples of 2 of 4, 1 has none right (above 2.5 %), and 15 have at most 3 (below 97.5 %). Of 256 of 3 of 4, 1 has none,
        // 13 at most 1, 175 at most 3. Where all are right, all resamples are.
        let intervals: Vec<_> = scores
            .iter()
            .map(|score| [score.interval.unwrap()[0], score.interval.unwrap()[1]])
            .collect();
        assert_eq!(intervals, [[0.0, 1.0], [0.25, 1.0], [1.0, 1.0]]);
    }
}
