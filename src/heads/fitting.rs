//! Heads that are not trained in steps: what they read, and what they leave.

use tch::{Device, Tensor};

/// How the parameters of a head are found.
pub enum Fitting<'a> {
    /// By steps of an optimizer on batches.
    Steps,
    /// From all samples at once, which have to be in memory.
    FullBatch(&'a dyn FullBatchFit),
    /// From as many scans of all samples as it takes, block by block.
    Blocks(&'a dyn FitBlocks),
}

/// All samples of a split.
#[derive(Debug, Clone, Copy)]
pub struct FullBatch<'a> {
    /// `[N, D]`, f32.
    pub features: &'a Tensor,
    /// `[N]`, i64, each below `classes`; on the device of the features.
    pub labels: &'a Tensor,
    /// How many classes there are: K.
    pub classes: usize,
}

/// A head whose training split itself is what predicts.
pub trait FullBatchFit {
    /// The logits `[T, K]` of features `[T, D]`, both f32, on one device with the training split. Both splits have samples.
    ///
    /// The result depends on nothing but these arguments. Memory beyond them is bounded, whatever N and T are, but for the
    /// logits.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    fn predict(&self, train: FullBatch<'_>, test: &Tensor) -> Tensor;
}

/// Why a fit has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitError {
    /// Reading ended early; whoever reads knows why.
    Unread,
    /// NaN or infinite values, in the features or in what was made of them.
    NotFinite,
}

/// Some samples, as a fit reads them: block by block, in the same blocks and the same order each time.
pub trait Blocks {
    /// How many samples there are: N.
    fn samples(&self) -> i64;

    /// Values of a feature: D.
    fn width(&self) -> i64;

    /// How many classes there are: K.
    fn classes(&self) -> i64;

    /// Where the blocks are.
    fn device(&self) -> Device;

    /// Calls `visit` with each block: features `[B, D]`, f64, and labels `[B]`, i64.
    ///
    /// # Errors
    /// Samples could not be read, or the user asked to stop.
    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError>;
}

/// A head with one linear layer that is fitted to all samples.
pub trait FitBlocks {
    /// Bytes that a fit to N features of D values in K classes takes beside a block.
    fn bytes(&self, samples: u64, width: u64, classes: u64) -> u64;

    /// Fits to the training split, which has samples. `held_out` has some to choose by, where they are kept for that.
    ///
    /// The result depends on nothing but these arguments.
    ///
    /// # Errors
    /// See [`FitError`].
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    fn fit(&self, train: &dyn Blocks, held_out: Option<&dyn Blocks>) -> Result<Fitted, FitError>;
}

/// What a fit leaves.
#[derive(Debug)]
pub struct Fitted {
    /// `[K, D]`, f64.
    pub weight: Tensor,
    /// `[K]`, f64.
    pub bias: Tensor,
    /// How it got there.
    pub trace: FitTrace,
}

/// How a fit found its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum FitTrace {
    /// Step by step, until the gradient was short enough or the iterations were over.
    Iterated {
        /// Before the first iteration and after each one.
        iterations: Vec<Iteration>,
        /// What ends the fit.
        tolerance: f64,
    },
    /// In closed form for each of several penalties, of which one was chosen.
    Path {
        /// In rising order of the penalty.
        candidates: Vec<Candidate>,
        /// The one that was chosen.
        chosen: usize,
        /// The predictions whose error decided.
        judge: Judge,
    },
}

/// The objective and its gradient after an iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// Mean loss over the samples plus the penalty.
    pub objective: f64,
    /// The largest absolute value in its gradient.
    pub gradient: f64,
}

/// A penalty, and how well it does on samples that it was not fitted to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The penalty.
    pub penalty: f64,
    /// Mean squared error over samples and classes.
    pub loss: f64,
    /// The share of samples that were right.
    pub top1: f64,
}

/// Which samples a penalty is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// Each sample of the training split, by a fit to the others.
    LeaveOneOut,
    /// The validation split.
    Holdout,
}

impl Judge {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeaveOneOut => "leave-one-out",
            Self::Holdout => "holdout",
        }
    }
}

/// Consecutive ranges of `rows` rows, `(start, count)`, each of at most `most` elements if a row has `width`.
pub(super) fn blocks(rows: i64, width: i64, most: i64) -> impl Iterator<Item = (i64, i64)> {
    let count = (most / width.max(1)).clamp(1, rows.max(1));
    let starts = (0..rows).step_by(usize::try_from(count).unwrap_or(1));
    starts.map(move |start| (start, count.min(rows - start)))
}

/// Samples in memory, in blocks of a few.
#[cfg(test)]
pub(crate) struct InMemory {
    /// `[N, D]`, f64.
    pub(crate) features: Tensor,
    /// `[N]`, i64.
    pub(crate) labels: Tensor,
    pub(crate) classes: i64,
    /// Samples of a block.
    pub(crate) block: i64,
}

#[cfg(test)]
impl Blocks for InMemory {
    fn samples(&self) -> i64 {
        self.features.size()[0]
    }

    fn width(&self) -> i64 {
        self.features.size()[1]
    }

    fn classes(&self) -> i64 {
        self.classes
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError> {
        for (start, count) in blocks(self.samples(), 1, self.block) {
            visit(
                &self.features.narrow(0, start, count),
                &self.labels.narrow(0, start, count),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once() {
        let all: Vec<_> = blocks(10, 5, 20).collect();
        assert_eq!(all, [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(blocks(3, 100, 20).count(), 3);
        assert_eq!(blocks(3, 1, 20).collect::<Vec<_>>(), [(0, 3)]);
        assert_eq!(blocks(0, 1, 20).count(), 0);
    }
}
