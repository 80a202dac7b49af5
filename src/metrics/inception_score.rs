//! `inception-score`: how sure a classifier is of single generated images, and how different they are in all.
//!
//! The images are cut into parts in their order. With p(k | x) the softmax of the logits of image x, and p(k) its mean over a part, the score of the part is
//! exp of the mean over x of KL(p(k | x) ‖ p(k)); the value is the mean over parts. Images stand in the order of a hash of their ids,
//! so parts are random ones. No reference images are read.
//!
//! # Interval
//! Student's, of the mean over parts. Parts of fewer images give lower scores, so values compare for equal `splits` and as many images only.
//!
//! # Reference
//! Salimans et al. 2016 (arXiv 1606.03498), section 4; torch-fidelity 0.4.0, `metric_isc`.
//!
//! # Deviations
//! - A probability of exactly 0 counts as 0 · ln 0 = 0; torch-fidelity returns NaN.
//! - guided-diffusion's evaluator cuts parts of 5,000 images, the last one smaller. For 50,000 images both give ten equal parts.
//!
//! # Parity
//! `tests/golden/generative`: 1e-9.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fid::at_least;
use super::tiles::Wide;
use super::{Better, FeatureSource, Metric, MetricError, MetricInput, MetricKind};
use super::{Output, Reads, Score};
use crate::numbers::to_usize;
use crate::spec::{Count, Key, Kind, KindDoc};
use crate::statistics::mean::{interval_of_mean, mean};

const SPLITS: Key<Count> = Key::count("splits", 1..=10_000)
    .default(10)
    .doc("Parts of equal size up to one image, whose scores are averaged.");

/// `kind = "inception-score"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "inception-score",
        summary: "How sure a classifier is of single images and how different they are, called `inception_score`, with the standard deviation over parts, `inception_score_deviation`; of the block `logits` of `inception`.",
        keys: &[&SPLITS],
        shared: Reads::Features.keys(),
    },
    |fields| {
        let splits = fields.get(&SPLITS)?;
        Some(Arc::new(InceptionScore { splits }))
    },
);

#[derive(Debug)]
struct InceptionScore {
    splits: u32,
}

impl Metric for InceptionScore {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::Features
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name, "splits": self.splits })
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |name: &str, better| Output {
            name: name.to_owned(),
            unit: "",
            better,
            axes: &[],
        };
        vec![
            output("inception_score", Better::Higher),
            output("inception_score_deviation", Better::Neither),
        ]
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Features(set) = input else {
            return Err(MetricError::Bug);
        };
        let scores = of_parts(set, to_usize(u64::from(self.splits)))?;
        let mean = mean(&scores).ok_or(MetricError::Bug)?;
        let squares = scores.iter().map(|score| (score - mean).powi(2));
        // The divisor is the number of parts, as in what is published.
        let deviation = (squares.sum::<f64>() / scores.len() as f64).sqrt();
        let values = [(mean, interval_of_mean(&scores)), (deviation, None)];
        let scores = self.outputs().into_iter().zip(values);
        let scores = scores.map(|(output, (value, interval))| Score {
            output,
            value,
            interval,
            counted: None,
            axes: BTreeMap::new(),
        });
        Ok(vec![scores.collect()])
    }
}

/// The score of each part.
fn of_parts(set: &dyn FeatureSource, parts: usize) -> Result<Vec<f64>, MetricError> {
    at_least(set, parts)?;
    let (rows, classes) = (set.rows(), set.width());
    let set = Wide::new(set)?;
    let mut scores = Vec::new();
    for part in 0..parts {
        let range = rows * part / parts..rows * (part + 1) / parts;
        let images = range.len() as f64;
        let mut sums = vec![0.0; classes];
        // The sum of Σ p ln p over images.
        let mut own = 0.0;
        for row in set.rows(&range)?.chunks_exact(classes) {
            for (sum, probability) in sums.iter_mut().zip(softmax(row)) {
                *sum += probability;
                own += times_logarithm(probability);
            }
        }
        let all: f64 = sums.iter().map(|sum| times_logarithm(sum / images)).sum();
        scores.push((own / images - all).exp());
    }
    Ok(scores)
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// p ln p, which is 0 at 0.
fn times_logarithm(probability: f64) -> f64 {
    if probability > 0.0 {
        probability * probability.ln()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing::Golden;

    #[test]
    fn golden_scores() {
        let golden = Golden::open();
        let logits = golden.rows("isc.logits");
        let compare = |found: &[f64], expected: &str| {
            let expected = golden.numbers(&format!("/inception_score{expected}"));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        };
        compare(&of_parts(&logits, 10).unwrap(), "/per_split");
        let shuffled = logits.chosen(&golden.indices("isc.permutation"));
        let path = "/shuffled_by_stored_permutation/per_split";
        compare(&of_parts(&shuffled, 10).unwrap(), path);
        let one = of_parts(&logits, 1).unwrap();
        assert!((one[0] - golden.number("/inception_score/one_split")).abs() < 1e-9);
        let saturated = logits.times(1000.0);
        let path = "/saturated_logits_times_1000_zero_log_zero_is_zero/per_split";
        compare(&of_parts(&saturated, 10).unwrap(), path);
    }

    #[test]
    fn parts_of_a_number_that_ten_does_not_divide() {
        let golden = Golden::open();
        let rows: Vec<usize> = (0..487).collect();
        let logits = golden.rows("isc.logits").chosen(&rows);
        let input = MetricInput::Features(&logits);
        let found = InceptionScore { splits: 10 }.evaluate(input).unwrap();
        let path = "/inception_score/first_487_rows";
        let names = ["mean", "std_divisor_splits"];
        for (score, name) in found[0].iter().zip(names) {
            let expected = golden.number(&format!("{path}/{name}"));
            assert!((score.value - expected).abs() < 1e-9);
        }
    }
}
