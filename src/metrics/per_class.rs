//! `per-class`: of each class, the share of its samples that are right.
//!
//! One value for each class that has a sample in the split, told apart by the axis `class`, with Wilson's interval and the class's counts. Their
//! mean is the value of `mean-per-class`. With few samples a class the intervals are wide, and the worst of many classes looks worse
//! than it is: it was picked for that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mean_per_class::shares;
use super::{Better, Counted, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Kind, KindDoc};
use crate::statistics::CONFIDENCE;
use crate::statistics::proportion::wilson;

/// `kind = "per-class"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "per-class",
        summary: "Of each class, the share of its samples that are right, called `class_accuracy`: one value for each value of the axis `class`.",
        keys: &[],
        shared: Reads::Predictions.keys(),
    },
    |_| Some(Arc::new(PerClass)),
);

#[derive(Debug)]
struct PerClass;

impl Metric for PerClass {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        vec![output()]
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let scores = shares(predictions).into_iter().map(|(class, share)| Score {
            output: output(),
            value: share.value(),
            interval: Some(wilson(share.correct, share.count, CONFIDENCE)),
            counted: Some(Counted {
                correct: share.correct,
                scored: share.count,
            }),
            axes: BTreeMap::from([("class".to_owned(), class.into())]),
        });
        Ok(vec![scores.collect()])
    }
}

fn output() -> Output {
    Output {
        name: "class_accuracy".to_owned(),
        unit: "fraction",
        better: Better::Higher,
        axes: &["class"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Prediction, Predictions};

    #[test]
    fn every_class_with_a_sample_has_a_value() {
        let row = |(label, rank): (u32, u32)| Prediction {
            id: String::new(),
            label,
            predicted: 0,
            rank,
        };
        let rows = [(0, 0), (2, 1), (0, 3), (2, 0), (2, 0)];
        let predictions = Predictions::new(rows.into_iter().map(row).collect());
        let scores = PerClass
            .evaluate(MetricInput::Predictions(&predictions))
            .unwrap();
        let found: Vec<_> = scores[0]
            .iter()
            .map(|score| {
                let counted = score.counted.unwrap();
                (
                    score.axes["class"].to_string(),
                    counted.correct,
                    counted.scored,
                )
            })
            .collect();
        assert_eq!(found, [("0".to_owned(), 1, 2), ("2".to_owned(), 2, 3)]);
        let bounds = scores[0][1].interval.unwrap();
        assert!(bounds[0] < 2.0 / 3.0 && bounds[1] > 2.0 / 3.0 && bounds[1] < 1.0);
    }
}
