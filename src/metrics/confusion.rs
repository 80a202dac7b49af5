//! `confusion`: how many samples of each class were predicted to be of each class.
//!
//! One count for each pair of a true and a predicted class that occurs, told apart by the axes `class` and `predicted`; a pair that is not there
//! has none. The counts of a class add up to its samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Better, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Kind, KindDoc};

/// `kind = "confusion"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "confusion",
        summary: "How many samples of each class were predicted to be of each class, called `confusion`: one value for each pair of values of the axes `class` and `predicted` that occurs.",
        keys: &[],
        shared: Reads::Predictions.keys(),
    },
    |_| Some(Arc::new(Confusion)),
);

#[derive(Debug)]
struct Confusion;

impl Metric for Confusion {
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
        let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for row in &predictions.rows {
            *counts.entry((row.label, row.predicted)).or_default() += 1;
        }
        let scores = counts.into_iter().map(|((class, predicted), count)| Score {
            output: output(),
            value: count as f64,
            interval: None,
            counted: None,
            axes: BTreeMap::from([
                ("class".to_owned(), class.into()),
                ("predicted".to_owned(), predicted.into()),
            ]),
        });
        Ok(vec![scores.collect()])
    }
}

fn output() -> Output {
    Output {
        name: "confusion".to_owned(),
        unit: "images",
        better: Better::Neither,
        axes: &["class", "predicted"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Prediction, Predictions};

    #[test]
    fn pairs_that_occur_are_counted() {
        let row = |(label, predicted): (u32, u32)| Prediction {
            id: String::new(),
            label,
            predicted,
            rank: u32::from(label != predicted),
        };
        let rows = [(0, 0), (0, 2), (0, 2), (2, 2)];
        let predictions = Predictions::new(rows.into_iter().map(row).collect());
        let scores = Confusion
            .evaluate(MetricInput::Predictions(&predictions))
            .unwrap();
        let found: Vec<_> = scores[0]
            .iter()
            .map(|score| {
                let axes = ["class", "predicted"].map(|axis| score.axes[axis].to_string());
                (axes.join(" "), score.value.to_string())
            })
            .collect();
        let expected = [("0 0", "1"), ("0 2", "2"), ("2 2", "1")];
        assert_eq!(
            found,
            expected.map(|(axes, count)| (axes.to_owned(), count.to_owned()))
        );
    }
}
