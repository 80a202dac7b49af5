//! Heads: what is trained on cached features. One file a kind.
//!
//! A kind says how many parameters it has and how its forward goes; how it is trained (optimiser, schedule, epochs) belongs to
//! `trainer/` and is the same for all. Adding a kind is one new file and two lines below.

mod linear;

use std::fmt::Debug;
use std::sync::Arc;

use crate::spec::{Fields, KindDoc};

/// Every head kind.
pub const ALL: &[&dyn HeadKind] = &[&linear::KIND];

/// A kind of head.
pub trait HeadKind: Sync {
    /// What it says of itself, besides the keys of training.
    fn doc(&self) -> &'static KindDoc;

    /// Reads a node's table; mistakes are recorded in the reader.
    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Head>>;
}

/// A named parameter before training: its name, shape and row-major values.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The name in the stored weights.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// A head as declared.
pub trait Head: Send + Sync + Debug {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// All that decides its form, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// Its parameters before training, for features of `width` values and `classes` classes.
    fn initial(&self, width: usize, classes: usize, seed: u64) -> Vec<Parameter>;

    /// Logits.
    ///
    /// # Shapes
    /// - `parameters`: as [`Head::initial`] listed them
    /// - `features`: `[N, D]`, f32
    /// - returns: `[N, K]`, f32
    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[tch::Tensor], features: &tch::Tensor) -> tch::Tensor;
}
