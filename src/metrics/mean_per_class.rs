//! `mean-per-class`: the mean over classes of the share of each class's samples that are right.
//!
//! What a rare class gets wrong weighs as much here as what a frequent one does, so that a head which neglects rare classes is
//! seen. Where every class has as many test samples it is top-1. It is a kind of its own and no key of `accuracy`, since results
//! go by the name of their value: a file then says that it wants this value as it says it of any other metric, and adding
//! it leaves the tables of `accuracy` as they are.
//!
//! A class without any test sample has no share. It is left out of the mean, rather than counted as 0 or 1.
//!
//! # Reference
//! "Mean per class" accuracy, the metric of the fine-grained datasets (FGVC-Aircraft, Oxford Flowers-102) in Kornblith et al., Do
//! Better ImageNet Models Transfer Better? (arXiv 1805.08974).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Better, Counted, Metric, MetricError, MetricInput, MetricKind, Output, Prediction, Predictions,
    Reads, Score,
};
use crate::spec::{Kind, KindDoc};
use crate::statistics::bootstrap::{Share, interval_of_mean_share};

/// `kind = "mean-per-class"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "mean-per-class",
        summary: "The mean over classes of the share of each class's samples that are right, called `mean_per_class`; classes without a sample in the split are left out.",
        keys: &[],
        shared: Reads::Predictions.keys(),
    },
    |_| Some(Arc::new(MeanPerClass)),
);

/// The name of its value.
const NAME: &str = "mean_per_class";

/// The metric, if that is the name of its output.
pub(super) fn with_output(name: &str) -> Option<Arc<dyn Metric>> {
    (name == NAME).then(|| Arc::new(MeanPerClass) as Arc<dyn Metric>)
}

#[derive(Debug)]
struct MeanPerClass;

impl Metric for MeanPerClass {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output {
            name: NAME.to_owned(),
            unit: "fraction",
            better: Better::Higher,
            axes: &[],
        }]
    }

    /// `correct` and `count` are over all classes together: their ratio is top-1, not the value.
    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let classes = shares(predictions);
        let sum: f64 = classes.values().map(|share| share.value()).sum();
        let interval = interval_of_mean_share(&classes);
        let score = |output| Score {
            output,
            // Without any class this is 0 / 0, which is NaN.
            value: sum / classes.len() as f64,
            interval: Some(interval),
            counted: Some(Counted {
                correct: classes.values().map(|share| share.correct).sum(),
                scored: classes.values().map(|share| share.count).sum(),
            }),
            axes: BTreeMap::new(),
        };
        Ok(vec![self.outputs().into_iter().map(score).collect()])
    }

    /// n / (C n_c) for a right row of a class of n_c, of n rows and C classes, else 0: frequent classes weigh less a row.
    fn per_sample(&self, predictions: &Predictions, output: &str) -> Option<Vec<f64>> {
        if output != NAME {
            return None;
        }
        let classes = shares(predictions);
        let rows = predictions.rows.len() as f64;
        let score = |row: &Prediction| {
            let of_class = classes.get(&row.label)?.count as f64;
            let weight = rows / (classes.len() as f64 * of_class);
            Some(if row.rank == 0 { weight } else { 0.0 })
        };
        predictions.rows.iter().map(score).collect()
    }
}

/// How many samples of each class are right, of how many.
pub(super) fn shares(predictions: &Predictions) -> BTreeMap<u32, Share> {
    let mut classes: BTreeMap<u32, Share> = BTreeMap::new();
    for row in &predictions.rows {
        let share = classes.entry(row.label).or_default();
        share.count += 1;
        share.correct += u64::from(row.rank == 0);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predictions with so many right and so many wrong ones of each class.
    fn predictions(classes: &[(u32, u32, u32)]) -> Predictions {
        let rows = classes.iter().flat_map(|&(label, right, wrong)| {
            (0..right + wrong).map(move |number| Prediction {
                id: format!("test/{label}/{number}"),
                label,
                predicted: if number < right { label } else { label + 1 },
                rank: u32::from(number >= right),
            })
        });
        Predictions::new(rows.collect())
    }

    fn score(metric: &dyn Metric, predictions: &Predictions) -> Vec<Score> {
        let scores = metric.evaluate(MetricInput::Predictions(predictions));
        scores.unwrap().remove(0)
    }

    #[test]
    fn classes_weigh_the_same_by_hand() {
        // 3 of 4, 0 of 1 and 1 of 2; classes 2 and 3 have no sample. (0.75 + 0 + 0.5) / 3, where top-1 is 4 of 7.
        let scores = score(
            &MeanPerClass,
            &predictions(&[(0, 3, 1), (1, 0, 1), (4, 1, 1)]),
        );
        let [score] = scores.as_slice() else {
            panic!("{scores:?}")
        };
        assert!((score.value - 1.25 / 3.0).abs() < 1e-15);
        assert_eq!(
            (
                score.counted.unwrap().correct,
                score.counted.unwrap().scored
            ),
            (4, 7)
        );
        assert_eq!(score.output.name, "mean_per_class");
        // Deviations of class 0 from 3/4 are scaled by √(4/3), those of class 4 from 1/2 by √2. Of 1,024 resamples, of which j of 4 and l of 2
        // are right, the least are (0, 0) in 1, (1, 0) in 12 and (2, 0) in 54; 2.5 % are 25.6, so the quantile is that of (2, 0). At the other
        // end are 81 of (4, 2).
        let mean = |j: f64, l: f64| {
            let first = 0.75 + (j / 4.0 - 0.75) * (4.0_f64 / 3.0).sqrt();
            (first + 0.5 + (l / 2.0 - 0.5) * 2.0_f64.sqrt()) / 3.0
        };
        let [low, high] = score.interval.unwrap();
        assert!((low - mean(2.0, 0.0)).abs() < 1e-12, "{score:?}");
        assert!((high - mean(4.0, 2.0)).abs() < 1e-12, "{score:?}");
    }

    #[test]
    fn scores_of_rows_have_the_value_as_their_mean() {
        let rows = predictions(&[(0, 3, 1), (1, 0, 1), (4, 1, 1)]);
        let scores = MeanPerClass.per_sample(&rows, NAME).unwrap();
        assert!((scores.iter().sum::<f64>() / 7.0 - 1.25 / 3.0).abs() < 1e-15);
        // 7 / (3 · 4) for a right row of class 0.
        assert!((scores[0] - 7.0 / 12.0).abs() < 1e-15);
        assert_eq!(MeanPerClass.per_sample(&rows, "top1"), None);
    }

    #[test]
    fn rare_classes_widen_the_interval_and_equal_ones_give_top_1() {
        let width = |score: &Score| {
            let [low, high] = score.interval.unwrap();
            high - low
        };
        let equal = &score(&MeanPerClass, &predictions(&[(0, 80, 20), (1, 80, 20)]))[0];
        let uneven = &score(&MeanPerClass, &predictions(&[(0, 152, 38), (1, 8, 2)]))[0];
        assert!((equal.value - 0.8).abs() < 1e-12 && (uneven.value - 0.8).abs() < 1e-12);
        assert_eq!(
            (
                equal.counted.unwrap().correct,
                equal.counted.unwrap().scored
            ),
            (160, 200)
        );
        // Standard errors by hand: sqrt(0.16 / 100 / 2) = 0.0283, and sqrt(0.16 / 190 + 0.16 / 10) / 2 = 0.0649.
        assert!(
            (width(equal) - 2.0 * 1.96 * 0.0283).abs() < 0.015,
            "{equal:?}"
        );
        assert!(
            (width(uneven) - 2.0 * 1.96 * 0.0649).abs() < 0.04,
            "{uneven:?}"
        );
    }

    #[test]
    fn without_samples_there_is_no_number() {
        let score = &score(&MeanPerClass, &Predictions::default())[0];
        assert!(
            score.value.is_nan()
                && score.interval.unwrap()[0].is_nan()
                && score.interval.unwrap()[1].is_nan()
        );
        assert_eq!(
            (
                score.counted.unwrap().correct,
                score.counted.unwrap().scored
            ),
            (0, 0)
        );
    }
}
