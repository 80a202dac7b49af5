//! `linear`: one linear layer, the paper's default head.
//!
//! # Reference
//! arXiv 2307.08702 §4: a single linear layer on the pooled, flattened features; no batch norm.
//! soumik-kanad/diffssl@cc2ac30:ssl_diff/head.py, `Head` with one layer (`fcs.0`).
//!
//! # Shapes
//! `[N, D]` to `[N, K]`: `logits = features · weightᵀ + bias`, with D = C × S × S.
//!
//! # Deviations
//! Initial weights: see [`Initializer::Uniform`](super::Initializer::Uniform).

use std::sync::Arc;

use super::{FeatureShape, Head, HeadKind, ParameterForm};
#[cfg(feature = "torch")]
use super::{Mode, stacked::linear_shared};
use crate::spec::{Kind, KindDoc};
use crate::trainer;
use crate::trainer::config::STANDARDIZE;

/// `kind = "linear"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "linear",
        summary: "One linear layer on the flattened features: the paper's linear probe.",
        keys: &[&STANDARDIZE],
        shared: trainer::config::KEYS,
    },
    |fields| {
        Some(Arc::new(Linear {
            standardize: fields.get(&STANDARDIZE)?,
        }))
    },
);

#[derive(Debug)]
struct Linear {
    standardize: bool,
}

impl Head for Linear {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name, "standardize": self.standardize })
    }

    fn standardizes(&self) -> bool {
        self.standardize
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let width = shape.values();
        vec![
            ParameterForm::uniform("fcs.0.weight", &[classes, width], width, "linear/weight"),
            ParameterForm::uniform("fcs.0.bias", &[classes], width, "linear/bias"),
        ]
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[tch::Tensor], features: &tch::Tensor, _: Mode) -> tch::Tensor {
        linear_shared(&features.flatten(1, -1), &parameters[0], &parameters[1])
    }
}
