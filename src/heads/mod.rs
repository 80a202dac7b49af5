//! Heads: what is trained on cached features. One file a kind.
//!
//! A kind says which parameters it has and how its forward goes; how it is trained (optimiser, schedule, epochs) belongs to
//! `trainer/` and is the same for all. Adding a kind is one new file and two lines below.
//!
//! A forward is always that of a *stack*: `M` heads of one form, each with parameters of its own, on the same batch. Their
//! parameters lie behind one another, so that what they share becomes one matrix product. A head that is trained alone is a
//! stack of one; there is no second way.

mod linear;
#[cfg(feature = "torch")]
mod stacked;

use std::fmt::Debug;
use std::sync::Arc;

use crate::random::Stream;
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

/// The shape of one feature: `[C, S, S]`, channel-major, as an extraction with `pool = S` leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureShape {
    /// Channels C.
    pub channels: usize,
    /// Side S, in positions.
    pub side: usize,
}

impl FeatureShape {
    /// Values in one feature: C × S × S.
    pub const fn width(self) -> usize {
        self.channels * self.side * self.side
    }
}

/// What becomes of a parameter during training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The optimiser changes it.
    Trained,
    /// The forward changes it, in training; such as the running mean of a batch norm.
    Statistic,
}

/// A named parameter before training: its name, shape and row-major values.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The name in the stored weights, as the reference code has it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its values, row-major.
    pub values: Vec<f32>,
    /// What changes it.
    pub role: Role,
}

impl Parameter {
    /// A trained parameter whose values are uniform in ±`bound`, drawn from the stream of (`seed`, `purpose`).
    ///
    /// PyTorch draws the initial weights and biases of its `Linear` and `Conv2d` from this distribution, with a bound of
    /// one over the root of the number of inputs. Ours come from a counter-based generator, so that a seed gives the same
    /// weights on every machine and version.
    pub fn uniform(name: &str, shape: &[usize], bound: f64, seed: u64, purpose: &str) -> Self {
        let mut stream = Stream::new(seed, purpose);
        let count: usize = shape.iter().product();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to f32 is what is wanted"
        )]
        let values = (0..count)
            .map(|_| ((f64::from(stream.next_unit()) * 2.0 - 1.0) * bound) as f32)
            .collect();
        Self::new(name, shape, values, Role::Trained)
    }

    /// A parameter whose values are all the same.
    pub fn constant(name: &str, shape: &[usize], value: f32, role: Role) -> Self {
        Self::new(name, shape, vec![value; shape.iter().product()], role)
    }

    fn new(name: &str, shape: &[usize], values: Vec<f32>, role: Role) -> Self {
        let length = |&count: &usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            name: name.to_owned(),
            shape: shape.iter().map(length).collect(),
            values,
            role,
        }
    }
}

/// What a forward is for.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Gradients will be asked for; statistics are those of the batch, and are remembered.
    Train,
    /// Statistics are those that were remembered.
    Predict,
}

/// A head as declared.
pub trait Head: Send + Sync + Debug {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// All that decides its form, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// Whether it can read features of this shape.
    ///
    /// # Errors
    /// Why not, as a sentence about the features that ends with what to do.
    fn check(&self, _shape: FeatureShape) -> Result<(), String> {
        Ok(())
    }

    /// Its parameters before training, for features of a shape that passes [`Head::check`].
    fn initial(&self, shape: FeatureShape, classes: usize, seed: u64) -> Vec<Parameter>;

    /// The logits of a stack of M heads of this form.
    ///
    /// # Shapes
    /// - `parameters`: those of [`Head::initial`] in its order, each with a leading dimension of M
    /// - `features`: `[N, C, S, S]`, f32, the same for all heads
    /// - returns: `[N, M, K]`, f32
    #[cfg(feature = "torch")]
    fn forward(
        &self,
        parameters: &[tch::Tensor],
        features: &tch::Tensor,
        mode: Mode,
    ) -> tch::Tensor;
}
