//! `linear`: one linear layer, the paper's default head.
//!
//! # Reference
//! arXiv 2307.08702 §4: a single linear layer on the pooled, flattened features; no batch norm.
//! soumik-kanad/diffssl@cc2ac30:ssl_diff/head.py, `Head` with one layer (`fcs.0`).
//!
//! # Shapes
//! `[N, D]` to `[N, K]`: `logits = features · weightᵀ + bias`.
//!
//! # Deviations
//! Initial weights follow the same distribution as PyTorch's `Linear` (uniform in ±1/√D), but are drawn by our own counter-based
//! generator, so that a seed gives the same weights on every machine and version.

use std::sync::Arc;

use super::{Head, HeadKind, Parameter};
use crate::random::Stream;
use crate::spec::{Fields, KindDoc};

/// The kind.
pub const KIND: Kind = Kind;

/// See the module.
#[derive(Debug)]
pub struct Kind;

const DOC: KindDoc = KindDoc {
    name: "linear",
    summary: "One linear layer on the flattened features: the paper's linear probe.",
    keys: &[],
};

impl HeadKind for Kind {
    fn doc(&self) -> &'static KindDoc {
        &DOC
    }

    fn parse(&self, _fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
        Some(Arc::new(Linear))
    }
}

#[derive(Debug)]
struct Linear;

impl Head for Linear {
    fn kind(&self) -> &'static str {
        DOC.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": DOC.name })
    }

    fn initial(&self, width: usize, classes: usize, seed: u64) -> Vec<Parameter> {
        let bound = 1.0 / (width as f64).sqrt();
        let draw = |purpose: &str, count: usize| {
            let mut stream = Stream::new(seed, purpose);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to f32 is what is wanted"
            )]
            let values = (0..count)
                .map(|_| ((f64::from(stream.next_unit()) * 2.0 - 1.0) * bound) as f32)
                .collect();
            values
        };
        let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        vec![
            Parameter {
                name: "fcs.0.weight",
                shape: vec![length(classes), length(width)],
                values: draw("linear/weight", classes * width),
            },
            Parameter {
                name: "fcs.0.bias",
                shape: vec![length(classes)],
                values: draw("linear/bias", classes),
            },
        ]
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[tch::Tensor], features: &tch::Tensor) -> tch::Tensor {
        features.linear(&parameters[0], Some(&parameters[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_are_bounded_and_follow_the_seed() {
        let first = Linear.initial(16, 3, 0);
        assert_eq!(first[0].shape, [3, 16]);
        assert!(
            first
                .iter()
                .flat_map(|parameter| &parameter.values)
                .all(|value| value.abs() <= 0.25)
        );
        assert_eq!(first[0].values, Linear.initial(16, 3, 0)[0].values);
        assert_ne!(first[0].values, Linear.initial(16, 3, 1)[0].values);
    }
}
