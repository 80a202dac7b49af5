//! Heads: what is trained on cached features. One file a kind.
//!
//! A kind says which parameters it has and how its forward pass works; how it is trained (optimizer, schedule, epochs) belongs to
//! `trainer/` and is the same for all, but for the kinds that are fitted full-batch (`fitting.rs`). Adding a kind is
//! one new file and two lines below.
//!
//! A forward is always that of a *stack*: `M` heads of one form, each with parameters of its own, on the same batch. Their
//! parameters are behind one another, so that what they share becomes one matrix product. A head that is trained alone is a
//! stack of one; there is no second way.

mod attention;
mod batchnorm_linear;
mod cnn;
#[cfg(feature = "torch")]
mod fitting;
#[cfg(feature = "torch")]
#[cfg(test)]
pub(crate) mod golden;
mod knn;
#[cfg(feature = "torch")]
mod lbfgs;
mod linear;
mod logistic;
mod mlp;
mod parameters;
mod ridge;
#[cfg(feature = "torch")]
mod stacked;

use std::fmt::Debug;
use std::sync::Arc;

use crate::datasets::OpenQuestion;
use crate::message::Message;
use crate::spec::{Kind, Parse};
#[cfg(feature = "torch")]
#[cfg(test)]
pub(crate) use fitting::InMemory;
#[cfg(feature = "torch")]
pub use fitting::{
    Blocks, Candidate, FitBlocks, FitError, FitTrace, Fitted, Fitting, FullBatch, FullBatchFit,
    Iteration, Judge,
};
pub use parameters::{Initializer, Parameter, ParameterForm, Role};

/// Every head kind.
pub const ALL: &[&HeadKind] = &[
    &attention::KIND,
    &batchnorm_linear::KIND,
    &cnn::KIND,
    &knn::KIND,
    &linear::KIND,
    &logistic::KIND,
    &mlp::KIND,
    &ridge::KIND,
];

/// A kind of head. What it shares with others is how it is trained: [`KEYS`](crate::trainer::config::KEYS), or
/// [`KEYS_WITHOUT_STEPS`](crate::trainer::config::KEYS_WITHOUT_STEPS) if it is fitted in closed form or full-batch.
pub type HeadKind = Kind<Parse<Arc<dyn Head>>>;

/// The shape of one feature: `[C, H, W]`, channel-major. An extraction with `pool = p` leaves `[C, p, p]`, tokens are `[D, L, 1]` and
/// a vector is `[D, 1, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureShape {
    /// Channels C.
    pub channels: usize,
    /// Height H, in positions.
    pub height: usize,
    /// Width W, in positions.
    pub width: usize,
}

impl FeatureShape {
    /// `[channels, height, width]`.
    pub const fn of(channels: u32, height: u32, width: u32) -> Self {
        Self {
            channels: channels as usize,
            height: height as usize,
            width: width as usize,
        }
    }

    /// `[channels, side, side]`.
    pub const fn square(channels: usize, side: usize) -> Self {
        Self {
            channels,
            height: side,
            width: side,
        }
    }

    /// The shape of features that stand behind one another: maps of one size are joined by channels, others become a vector. `None`
    /// without any.
    pub fn joined(shapes: &[Self]) -> Option<Self> {
        let first = shapes.first()?;
        let fits = |shape: &Self| (shape.height, shape.width) == (first.height, first.width);
        if shapes.iter().all(fits) {
            return Some(Self {
                channels: shapes.iter().map(|shape| shape.channels).sum(),
                ..*first
            });
        }
        Some(Self {
            channels: shapes.iter().map(|shape| shape.values()).sum(),
            height: 1,
            width: 1,
        })
    }

    /// Values in one feature: C × H × W.
    pub const fn values(self) -> usize {
        self.channels * self.height * self.width
    }

    /// The shorter of height and width.
    pub fn shorter(self) -> usize {
        self.height.min(self.width)
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
    /// The name of its kind, as it is typed.
    fn kind(&self) -> &'static str;

    /// All that decides its form, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// What the paper leaves open about this head.
    fn open_questions(&self) -> Vec<OpenQuestion> {
        Vec::new()
    }

    /// Whether it can read features of this shape.
    ///
    /// # Errors
    /// Why not, as a fragment about the features, with what to do as its hint.
    fn check(&self, _shape: FeatureShape) -> Result<(), Message> {
        Ok(())
    }

    /// Its parameters without their values, for features of a shape that passes [`Head::check`].
    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm>;

    /// Its parameters before training, in the order of [`Head::parameters`].
    fn initial(&self, shape: FeatureShape, classes: usize, seed: u64) -> Vec<Parameter> {
        let forms = self.parameters(shape, classes);
        forms.iter().map(|form| form.begin(seed)).collect()
    }

    /// How many numbers the optimizer trains, or a fit finds.
    fn parameter_count(&self, shape: FeatureShape, classes: usize) -> usize {
        let forms = self.parameters(shape, classes).into_iter();
        forms
            .filter(|form| form.role == Role::Trained)
            .map(|form| form.count())
            .sum()
    }

    /// Whether it scores itself on training samples that it was not fitted to, without `holdout`: by leave-one-out predictions.
    fn judges_itself(&self) -> bool {
        false
    }

    /// Whether it reads standardized features: each value less its mean over the training samples, divided by its standard
    /// deviation there. The first two parameters of such a head are the weight `[…, D]` and the bias of the layer that reads them,
    /// so that the stored head takes features as they are.
    fn standardizes(&self) -> bool {
        false
    }

    /// Whether it is trained in steps, so that the keys of training say something of it.
    fn trains_in_steps(&self) -> bool {
        true
    }

    /// How its parameters are found.
    #[cfg(feature = "torch")]
    fn fitting(&self) -> Fitting<'_> {
        Fitting::Steps
    }

    /// The logits of a stack of M heads of this form.
    ///
    /// # Shapes
    /// - `parameters`: those of [`Head::parameters`] in their order, each with a leading dimension of M
    /// - `features`: `[N, C, H, W]`, f32, the same for all heads
    /// - returns: `[N, M, K]`, f32
    #[cfg(feature = "torch")]
    fn forward(
        &self,
        parameters: &[tch::Tensor],
        features: &tch::Tensor,
        mode: Mode,
    ) -> tch::Tensor;
}
