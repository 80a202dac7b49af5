//! Training the network along with the head.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Table 2: the backbone is trained with batch norm and a linear layer on top. The paper prints neither
//! learning rate nor number of epochs for it; the values are declared and listed as deviations.

use serde::Serialize;

use super::optimizer::{self, OTHER_KEYS, Optimizer};
use crate::models::tuning::ActivationCheckpointing;
use crate::spec::{Boolean, Fields, Key, KindDoc, Number};

/// The default is small beside a head's, since the network knows something already.
const LR: Key<Number> = optimizer::LR.default(1e-5);
const RECOMPUTE: Key<Boolean> = Key::boolean("recompute").default(true).doc(
    "Keep one feature map per block and compute the rest again in the backward pass: less memory for one more forward pass, and the same bits.",
);

/// The table `fine_tune` of a head.
pub const DOC: KindDoc = KindDoc {
    name: "fine_tune",
    summary: "How the backbone of a head is trained. Its learning rate follows the head's schedule.",
    keys: &[&optimizer::KIND, &LR, &RECOMPUTE],
    shared: OTHER_KEYS,
};

/// How the backbone of a head is trained. Its learning rate follows the head's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FineTuning {
    /// How its gradients make a step.
    pub optimizer: Optimizer,
    /// Which feature maps are kept between the forward and the backward pass; decides no bit.
    #[serde(skip)]
    pub checkpointing: ActivationCheckpointing,
}

impl FineTuning {
    /// Reads the table `fine_tune`.
    pub(super) fn parse(table: &Fields<'_>) -> Option<Self> {
        Some(Self {
            optimizer: Optimizer::parse(table, &optimizer::KIND, &LR)?,
            checkpointing: if table.get(&RECOMPUTE)? {
                ActivationCheckpointing::On
            } else {
                ActivationCheckpointing::Off
            },
        })
    }
}
