//! `mlp`: linear layers with a ReLU behind each but the last.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Tables 7 to 9 (MLP-4k-2k and the like): one or two hidden layers on the pooled, flattened features.
//! soumik-kanad/diffssl@cc2ac30:ssl_diff/head.py, `Head` with several layers (`fcs.0`, `fcs.1`, …): a ReLU behind every hidden
//! layer, none behind the pool.
//!
//! # Shapes
//! `[N, D]` to `[N, H₀]`, `[N, H₁]` … `[N, K]`, with D = C × S × S.
//!
//! # Deviations
//! The tables write 2k for the width of a hidden layer, which is 2048 or 2000. Here it is 2048; see docs/concepts/heads.md.
//! Initial weights: see [`Initializer::Uniform`](super::Initializer::Uniform).
//!
//! # Parity
//! `tests/suite/golden_heads.rs`.

use std::sync::Arc;

#[cfg(feature = "torch")]
use super::Mode;
use super::parameters::layer;
#[cfg(feature = "torch")]
use super::stacked::{linear_each, linear_shared};
use super::{FeatureShape, Head, HeadKind, ParameterForm};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, List};
use crate::trainer;
use crate::trainer::config::STANDARDIZE;

const HIDDEN: Key<List<Count>> = Key::list("hidden", Count::within(1..=1_000_000))
    .default(&[2048])
    .doc("Widths of the hidden layers, the first one first.");

/// `kind = "mlp"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "mlp",
        summary: "Linear layers on the flattened features, with a ReLU behind each hidden one.",
        keys: &[&HIDDEN, &STANDARDIZE],
        shared: trainer::config::KEYS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    let hidden = fields.get(&HIDDEN)?;
    if hidden.is_empty() {
        let hint = "give at least one width; a head without hidden layers is of kind `linear`";
        fields.invalid(
            HIDDEN.name,
            "sweep::empty",
            format!("`hidden` of {} has no width", fields.context()),
            Some(hint.to_owned()),
        );
        return None;
    }
    Some(Arc::new(Mlp {
        hidden,
        standardize: fields.get(&STANDARDIZE)?,
    }))
}

#[derive(Debug)]
struct Mlp {
    /// Widths of the hidden layers; at least one.
    hidden: Vec<u32>,
    standardize: bool,
}

impl Head for Mlp {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": KIND.doc.name,
            "hidden": self.hidden,
            "standardize": self.standardize,
        })
    }

    fn standardizes(&self) -> bool {
        self.standardize
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let hidden = self.hidden.iter().map(|&width| width as usize);
        let inputs = std::iter::once(shape.values()).chain(hidden.clone());
        let outputs = hidden.chain(std::iter::once(classes));
        let layers = inputs.zip(outputs).enumerate();
        layers
            .flat_map(|(index, (inputs, outputs))| {
                layer(KIND.doc.name, &format!("fcs.{index}"), &[outputs, inputs])
            })
            .collect()
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[tch::Tensor], features: &tch::Tensor, _: Mode) -> tch::Tensor {
        let (first, later) = parameters.split_at(2);
        // [N, M, H₀] to [M, N, H₀]: from here on each head has inputs of its own.
        let mut hidden = linear_shared(&features.flatten(1, -1), &first[0], &first[1])
            .transpose(0, 1)
            .relu();
        for (index, layer) in later.chunks_exact(2).enumerate() {
            hidden = linear_each(&hidden, &layer[0], &layer[1]);
            if index + 1 < self.hidden.len() {
                hidden = hidden.relu();
            }
        }
        hidden.transpose(0, 1)
    }
}
