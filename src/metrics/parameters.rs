//! `parameters`: how many parameters a network or a head has, in millions.
//!
//! Of a model the parameters of its network count, without statistics such as those of batch normalization; of a head those numbers that
//! training changes or a fit finds. Nothing is run for it.
//!
//! # Deviations
//! The paper counts its heads of ImageNet-50 with the 1000 classes of ImageNet (Tables 7 to 9); here a head has the classes of its dataset
//! unless `classes` says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Better, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Kind, KindDoc};

/// `kind = "parameters"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "parameters",
        summary: "How many parameters networks and heads have, called `parameters`, in millions.",
        keys: &[],
        shared: Reads::Networks.keys(),
    },
    |_| Some(Arc::new(Parameters)),
);

/// The unit of the values.
const MILLION: f64 = 1e6;

#[derive(Debug)]
struct Parameters;

fn output() -> Output {
    Output {
        name: KIND.doc.name.to_owned(),
        unit: "million",
        better: Better::Neither,
        axes: &[],
    }
}

impl Metric for Parameters {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::Networks
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        vec![output()]
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Network { parameters } = input else {
            return Err(MetricError::Bug);
        };
        Ok(vec![vec![Score {
            output: output(),
            value: parameters as f64 / MILLION,
            interval: None,
            counted: None,
            axes: BTreeMap::new(),
        }]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_in_millions_and_nothing_else_is_counted() {
        let input = MetricInput::Network {
            parameters: 552_814_086,
        };
        let scores = Parameters.evaluate(input).unwrap();
        let [scores] = scores.as_slice() else {
            panic!("one network is one item");
        };
        assert_eq!(scores.len(), 1);
        assert!((scores[0].value - 552.814_086).abs() < 1e-12);
        assert_eq!(
            Parameters.evaluate(MetricInput::Pairs {
                sets: &[],
                pairs: &[],
                keep_going: &|| true,
            }),
            Err(MetricError::Bug)
        );
    }
}
