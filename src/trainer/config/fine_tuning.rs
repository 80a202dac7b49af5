//! Training the network along with the head.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Table 2: the backbone is trained below a batch norm and a linear layer. The paper prints neither learning rate
//! nor number of epochs for it; the values are declared and listed as departures.

use serde::Serialize;

use super::optimiser::{KEYS as OPTIMISER_KEYS, Optimiser};
use crate::models::tuning::MapRetention;
use crate::spec::{Fields, Key};

/// The learning rate of a network where none is given: small beside a head's, since the network knows something already.
const LEARNING_RATE: f64 = 1e-5;

const RECOMPUTE: Key = Key::optional(
    "recompute",
    "a boolean",
    "true",
    "Keep one map a block and compute its insides again on the way back: less memory for one more forward, and the same bits.",
);

/// How the network below a head is trained. Its learning rate follows the head's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FineTuning {
    /// How its gradients make a step.
    pub optimiser: Optimiser,
    /// What is kept between the way there and back; decides no bit.
    #[serde(skip)]
    pub retention: MapRetention,
}

impl FineTuning {
    /// Reads the key `fine_tune`.
    pub(super) fn parse(fields: &Fields<'_>) -> Option<Self> {
        let table = fields.table("fine_tune")?;
        let keys: Vec<Key> = OPTIMISER_KEYS.iter().copied().chain([RECOMPUTE]).collect();
        table.check_keys(&keys, &[]);
        let default = Optimiser {
            lr: LEARNING_RATE,
            ..Optimiser::default()
        };
        Some(Self {
            optimiser: Optimiser::read(&table, default),
            retention: match table.boolean("recompute") {
                Some(false) => MapRetention::Kept,
                _ => MapRetention::Recomputed,
            },
        })
    }
}
