//! `calibration`: how far a head's confidences are from its accuracy, before and after a temperature.
//!
//! The temperature is the one that minimizes the negative log-likelihood of the samples that `holdout` keeps out of training. It is judged on the
//! predicted split, which it has not seen. `statistics/calibration.rs` has definitions and sources.
//!
//! No value has an interval: resamples of the same samples have a larger calibration error than new samples would, since bins of few samples are
//! further from their mean, so that a bootstrap would lie above the value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nll::labeled;
use super::{Better, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Kind, KindDoc};

/// `kind = "calibration"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "calibration",
        summary: "The expected calibration error with 15 bins (`ece`), the `temperature` that fits the samples of `holdout` best, and with it the error and the negative log-likelihood (`ece_scaled`, `nll_scaled`); its heads have `logits = true` and `holdout`.",
        keys: &[],
        shared: Reads::HeldOutLogits.keys(),
    },
    |_| Some(Arc::new(Calibration)),
);

#[derive(Debug)]
struct Calibration;

impl Metric for Calibration {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::HeldOutLogits
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |(name, unit, better): (&str, &'static str, Better)| Output {
            name: name.to_owned(),
            unit,
            better,
            axes: &[],
        };
        let outputs = [
            ("ece", "fraction", Better::Lower),
            ("temperature", "", Better::Neither),
            ("ece_scaled", "fraction", Better::Lower),
            ("nll_scaled", "nats", Better::Lower),
        ];
        outputs.map(output).into()
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Predictions(predictions) = input else {
            return Err(MetricError::Bug);
        };
        let logits = predictions.logits.as_ref().ok_or(MetricError::Bug)?;
        let held_out = predictions.held_out.as_ref().ok_or(MetricError::Bug)?;
        let labels = predictions.labels();
        let predicted = labeled(logits, &labels, "predicted")?;
        let temperature = labeled(&held_out.logits, &held_out.labels, "validation")?.temperature();
        let values = [
            predicted.ece(1.0),
            temperature,
            predicted.ece(temperature),
            predicted.nll(temperature),
        ];
        let score = |(output, value)| Score {
            output,
            value,
            interval: None,
            counted: None,
            axes: BTreeMap::new(),
        };
        Ok(vec![
            self.outputs().into_iter().zip(values).map(score).collect(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{HeldOutLogits, Logits, Prediction, Predictions};

    #[test]
    fn the_temperature_comes_from_held_out_samples_alone() {
        // Confidence 3/4 throughout. Of the held-out samples 2 of 3 are right, so T makes it 2/3; of the predicted ones all.
        let ln_3 = 3.0_f32.ln();
        let pair = |count: usize| Logits {
            classes: 2,
            values: [0.0, ln_3].repeat(count),
        };
        let row = Prediction {
            id: "test/0".to_owned(),
            label: 1,
            predicted: 1,
            rank: 0,
        };
        let mut predictions = Predictions::new(vec![row]);
        predictions.logits = Some(pair(1));
        predictions.held_out = Some(HeldOutLogits {
            labels: vec![1, 0, 1],
            logits: pair(3),
        });
        let scores = Calibration
            .evaluate(MetricInput::Predictions(&predictions))
            .unwrap();
        let ratio = 3.0_f64.ln() / 2.0_f64.ln();
        let expected = [0.25, ratio, 1.0 / 3.0, 1.5_f64.ln()];
        for (score, expected) in scores[0].iter().zip(expected) {
            assert!((score.value - expected).abs() < 1e-6, "{score:?}");
        }
        predictions.held_out = None;
        let error = Calibration.evaluate(MetricInput::Predictions(&predictions));
        assert_eq!(error, Err(MetricError::Bug));
    }
}
