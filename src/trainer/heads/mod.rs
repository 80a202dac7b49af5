//! The training loop for heads: cross entropy on one split, predictions on another.
//!
//! All heads that read the same features train in one pass over the data. Those of one form, seed and schedule are a *stack*
//! and take every step together; learning rates and weight decays may differ within it.
//!
//! Start with [`rows`], where samples come from; `order` is in which order an epoch sees them and how it is cut into batches,
//! `held` where they are in memory, `standard` what standardizes them, `mean` what averages draws of them, `stack` heads
//! that step together, `scan` the loop over epochs, `epoch` that over windows and batches, `scoring` what is not learned from, `whole` what
//! is fitted to all samples, `checkpoint` what a
//! scan resumes from, `rounds` how many heads train at once.
//!
//! # Deviations
//! No sample is dropped, in training or in testing (soumik-kanad/diffssl drops the last batch of both). `order` says how an
//! epoch is cut.

pub(super) mod checkpoint;
mod epoch;
mod held;
mod held_out;
mod mean;
pub(super) mod order;
mod rounds;
pub mod rows;
pub(super) mod scan;
pub(super) mod scoring;
pub(super) mod stack;
pub(super) mod standard;
#[cfg(test)]
mod tests;
mod whole;

use std::io;
use std::path::Path;

use tch::Device;

use super::Training;
use crate::bug::Bug;
use crate::checked_file::CheckedFile;
use crate::heads::{FeatureShape, FitTrace, Head};
use crate::message::{Hint, Message};
use crate::metrics::{HeldOutLogits, Predictions};

pub use mean::MeanRows;
pub use order::hold_out;
pub use rounds::{is_small, train};
pub use rows::{Rows, RowsInMemory, Samples};

/// One head to train.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The kind of head and its own keys.
    pub head: &'a dyn Head,
    /// Optimizer, schedule, epochs and what is held back for validation.
    pub training: &'a Training,
    /// Seed of its initial weights and of the order of samples.
    pub seed: u64,
    /// What it is called in checkpoints: its fingerprint.
    pub name: &'a str,
}

/// What all heads of a scan read.
pub struct Data<'a> {
    /// The samples to train on; the validation split is taken from them.
    pub train: &'a dyn Rows,
    /// The same samples in the same order as they are shown where they are held out, if that differs from how they are trained on.
    pub judged: Option<&'a dyn Rows>,
    /// The samples to predict when training is done.
    pub test: &'a dyn Rows,
    /// The shape of one feature; the same in `train` and `test`.
    pub shape: FeatureShape,
    /// Classes of the dataset.
    pub classes: usize,
    /// Where to compute.
    pub device: Device,
}

impl Data<'_> {
    /// The training samples as they are shown where they are held out.
    fn judged(&self) -> &dyn Rows {
        self.judged.unwrap_or(self.train)
    }
}

/// What a training may take, and the callbacks that it calls.
pub struct Limits<'a> {
    /// Bytes of the host's memory that features, weights and all that belongs to them may take.
    pub memory: u64,
    /// Bytes that the device has free, where it has memory of its own.
    pub device_memory: Option<u64>,
    /// Whether to continue; asked between steps.
    pub keep_going: &'a (dyn Fn() -> bool + Sync),
    /// Called after each epoch with the number of epochs that are done.
    pub epoch_done: &'a (dyn Fn(u32) + Sync),
    /// Seconds between checkpoints, at the end of an epoch.
    pub checkpoint_seconds: f64,
}

/// Writes a file to a path.
pub type WriteTo<'w> = &'w mut dyn FnMut(&Path) -> io::Result<()>;

/// Where checkpoints are kept.
pub trait CheckpointStore {
    /// The newest whole one of at most so many epochs: its number of epochs and its file, whose bytes were checked.
    ///
    /// # Errors
    /// Why none could be read, as a sentence.
    fn newest(&self, at_most: u32) -> Result<Option<(u32, CheckedFile)>, String>;

    /// Keeps one: `write` writes its file to a path.
    ///
    /// # Errors
    /// [`TrainError::DiskFull`], or [`TrainError::Checkpoint`] with why it could not be kept.
    fn write(&self, epochs: u32, write: WriteTo<'_>) -> Result<(), TrainError>;
}

/// One epoch's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// The learning rate in force at its end.
    pub learning_rate: f64,
    /// Mean cross entropy over what is trained on, in nats, each sample under the weights of its own step.
    pub train_loss: f64,
    /// The share of training samples that were right, each under the weights of its own step.
    pub train_top1: f64,
    /// Mean cross entropy over the validation split, after the epoch.
    pub holdout_loss: Option<f64>,
    /// The share of the validation split that was right, after the epoch.
    pub holdout_top1: Option<f64>,
}

/// What training a head leaves.
#[derive(Debug)]
pub struct Outcome {
    /// One row for each epoch; none for a head that is fitted to all samples.
    pub epochs: Vec<Epoch>,
    /// The epoch, from 1, whose weights these are: the last one, or with `patience` the best one.
    pub epoch: u32,
    /// How a head that is fitted to all samples got there.
    pub trace: Option<FitTrace>,
    /// Loss and share of right answers by which a head that is fitted to all samples may be chosen: on the validation split, or
    /// those of the leave-one-out predictions.
    pub held_out: Option<(f64, f64)>,
    /// Predictions for every sample of the test split.
    pub predictions: Predictions,
    /// Logits of every sample of the test split, row-major `[T, K]`, where they are asked for.
    pub logits: Option<Vec<f32>>,
    /// The validation split with its logits, where logits are asked for and there is one.
    pub held_out_logits: Option<HeldOutLogits>,
    /// The trained parameters as a safetensors file.
    pub weights: Vec<u8>,
}

/// Why a head could not be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss became NaN or infinite.
    #[error(
        "the loss became NaN or infinite in epoch {epoch}, at a learning rate of {learning_rate}"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The learning rate in force.
        learning_rate: f64,
    },
    /// A fit to all samples met NaN or infinite values.
    #[error("the fit met values that are NaN or infinite")]
    NotFinite,
    /// A split without samples.
    #[error("split `{0}` has no samples")]
    Empty(String),
    /// The memory that was declared does not hold what is needed at least.
    #[error("training needs at least {needed} of memory, but `--memory` allows {allowed}")]
    Memory {
        /// Bytes with their unit, as text.
        needed: String,
        /// Bytes with their unit, as text.
        allowed: String,
    },
    /// Features or images that training needs are not available.
    #[error("{}", .0.text)]
    Features(Message),
    /// A checkpoint could not be kept or read.
    #[error("a checkpoint could not be kept or read: {0}")]
    Checkpoint(String),
    /// The disk has no room for a checkpoint, and so for nothing that training leaves.
    #[error("{0}")]
    DiskFull(String),
    /// Ended early because the user asked for it; not a failure.
    #[error("stopped")]
    Stopped,
    /// The program contradicts itself.
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl Hint for TrainError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Diverged { .. } => {
                "lower the learning rate; in a grid that is judged on a validation split (`holdout`), a head that diverges is not a failure"
            }
            Self::NotFinite => {
                "features in `f16` overflow beyond 65,504: store them as `f32`, or look at what the network gives"
            }
            Self::Empty(_) => "`train` and `test` of the head name the splits",
            Self::Memory { .. } => "raise `repro run --memory`",
            Self::Features(message) => return message.hint.clone(),
            Self::Checkpoint(_) | Self::DiskFull(_) | Self::Stopped | Self::Bug(_) => return None,
        };
        Some(hint.to_owned())
    }
}
