//! `nll`: the mean negative logarithm of the probability that a head gives the label.
//!
//! The probability is the softmax of the logits. Unlike accuracy it counts how sure a head was, so that a head can be right more often and have
//! the worse value. It is a proper score: no other probabilities than the true ones have a lower expectation. `statistics/calibration.rs` has
//! the arithmetic.
//!
//! The interval is Student's for a mean over samples, which says where the value would be on other samples of the kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Better, Logits, Metric, MetricError, MetricInput, MetricKind, Output, Predictions, Reads, Score,
};
use crate::spec::{Kind, KindDoc};
use crate::statistics::calibration::Labeled;
use crate::statistics::mean::{interval_of_mean, mean};

/// `kind = "nll"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "nll",
        summary: "The mean of −ln of the probability of the label, called `nll`, in nats; its heads have `logits = true`.",
        keys: &[],
        shared: Reads::Logits.keys(),
    },
    |_| Some(Arc::new(Nll)),
);

/// The name of its value.
const NAME: &str = "nll";

/// The metric, if that is the name of its output.
pub(super) fn with_output(name: &str) -> Option<Arc<dyn Metric>> {
    (name == NAME).then(|| Arc::new(Nll) as Arc<dyn Metric>)
}

#[derive(Debug)]
struct Nll;

impl Metric for Nll {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::Logits
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output {
            name: NAME.to_owned(),
            unit: "nats",
            better: Better::Lower,
            axes: &[],
        }]
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let logits = predictions.logits.as_ref().ok_or(MetricError::Bug)?;
        let labels = predictions.labels();
        let losses = labeled(logits, &labels, "predicted")?.losses(1.0);
        let value = mean(&losses).ok_or(MetricError::Bug)?;
        let score = |output| Score {
            output,
            value,
            interval: interval_of_mean(&losses),
            counted: None,
            axes: BTreeMap::new(),
        };
        Ok(vec![self.outputs().into_iter().map(score).collect()])
    }

    /// The loss of each sample.
    fn per_sample(&self, predictions: &Predictions, output: &str) -> Option<Vec<f64>> {
        let logits = predictions.logits.as_ref().filter(|_| output == NAME)?;
        let labels = predictions.labels();
        Some(Labeled::new(&logits.values, &labels, logits.classes)?.losses(1.0))
    }
}

/// Logits with their labels. Refuses those that have no likelihood.
pub(super) fn labeled<'a>(
    logits: &'a Logits,
    labels: &'a [u32],
    which: &str,
) -> Result<Labeled<'a>, MetricError> {
    Labeled::new(&logits.values, labels, logits.classes).ok_or_else(|| {
        MetricError::Input(format!(
            "the {which} samples have no likelihood: there are none, a logit is NaN or infinite, or a label is not one of {} classes",
            logits.classes
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Prediction;

    fn predictions(logits: Vec<f32>) -> Predictions {
        let row = |label: u32| Prediction {
            id: format!("test/{label}"),
            label,
            predicted: 0,
            rank: 0,
        };
        let mut predictions = Predictions::new((0..2).map(row).collect());
        predictions.logits = Some(Logits {
            classes: 2,
            values: logits,
        });
        predictions
    }

    #[test]
    fn two_samples_by_hand() {
        // Softmax 3/4, 1/4 in both rows; labels 0 and 1.
        let ln_3 = 3.0_f32.ln();
        let predictions = predictions(vec![ln_3, 0.0, ln_3, 0.0]);
        let scores = Nll
            .evaluate(MetricInput::Predictions(&predictions))
            .unwrap();
        let losses = [(4.0_f64 / 3.0).ln(), 4.0_f64.ln()];
        assert!((scores[0][0].value - f64::midpoint(losses[0], losses[1])).abs() < 1e-7);
        let of_samples = Nll.per_sample(&predictions, "nll").unwrap();
        for (loss, expected) in of_samples.iter().zip(losses) {
            assert!((loss - expected).abs() < 1e-7);
        }
        assert_eq!(Nll.per_sample(&predictions, "top1"), None);
    }

    #[test]
    fn infinite_logits_are_refused() {
        let predictions = predictions(vec![0.0, f32::INFINITY, 0.0, 0.0]);
        let error = Nll
            .evaluate(MetricInput::Predictions(&predictions))
            .unwrap_err();
        assert!(error.to_string().contains("NaN or infinite"), "{error}");
        let without = Predictions::default();
        let error = Nll
            .evaluate(MetricInput::Predictions(&without))
            .unwrap_err();
        assert_eq!(error, MetricError::Bug);
    }
}
