//! Doing it: jobs on workers.
//!
//! Start with `schedule`: it hands the jobs of a plan to workers. `context` is what a job works with, `jobs` has one file or folder for
//! each kind of work, `scoring` and `choosing` turn predictions and features into results. Everything that happens is reported
//! as an [`event::Event`]; nothing here prints.

#[cfg(feature = "torch")]
pub mod audit;
#[cfg(feature = "torch")]
pub(crate) mod batches;
pub(crate) mod choosing;
#[cfg(feature = "torch")]
pub mod context;
pub mod event;
pub(crate) mod feature_source;
#[cfg(feature = "torch")]
mod jobs;
#[cfg(feature = "torch")]
mod latents;
pub(crate) mod logits;
#[cfg(feature = "torch")]
mod prepare;
#[cfg(feature = "torch")]
pub mod schedule;
pub(crate) mod scoring;
pub(crate) mod skipped;
#[cfg(feature = "torch")]
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::bug::Bug;
#[cfg(feature = "torch")]
use crate::contained::contained;
use crate::datasets::DatasetError;
use crate::message::{Hint, Message};
use crate::remote::RemoteError;
use crate::store::StoreError;

/// The split that the store shows for an image that did not decode and was left out. Its feature is not a number, so that no use
/// of it can pass unnoticed.
pub const SKIPPED: &str = "skipped";

/// Returns whether work is to end early: because the user asked for it, or because nothing more can be kept.
#[derive(Debug, Default)]
pub struct StopSignal {
    wanted: AtomicBool,
    halted: AtomicBool,
}

impl StopSignal {
    /// A signal that nobody has given yet.
    pub const fn new() -> Self {
        Self {
            wanted: AtomicBool::new(false),
            halted: AtomicBool::new(false),
        }
    }

    /// Gives the signal for the user.
    pub fn give(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Gives the signal for another reason: the disk is full, so that nothing more can be kept, or something failed and nothing is to
    /// follow.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    /// Lets work begin again that was ended for another reason than the user's wish.
    pub fn resume(&self) {
        self.halted.store(false, Ordering::Relaxed);
    }

    /// Whether it was given, by the user or for want of room.
    pub fn is_given(&self) -> bool {
        self.is_wanted() || self.halted.load(Ordering::Relaxed)
    }

    /// Whether the user gave it.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

/// Turns a panic into a failure. libtorch panics where an operation fails; the forward pass of a network stays readable that way.
///
/// # Errors
/// As the work, or [`NodeError::Panicked`] with the panic's message, which is then printed nowhere else.
#[cfg(feature = "torch")]
pub(crate) fn attempt<T>(work: impl FnOnce() -> Result<T, NodeError>) -> Result<T, NodeError> {
    contained(work).unwrap_or_else(|panic| Err(NodeError::Panicked(panic)))
}

/// Seconds that each stage of a pass worked. The stages overlap, so they do not add up to the wall time.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy)]
struct StageSeconds {
    prepare: f64,
    forward: f64,
    write: f64,
}

/// Why a node of the plan failed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data is not what it should be.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights do not fit the network, or cannot be read.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Weights(#[from] crate::models::checkpoint::weights::WeightError),
    /// The network was asked for what it does not have.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Forward(#[from] crate::models::extractor::ForwardError),
    /// Training failed.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Train(#[from] crate::trainer::TrainError),
    /// The training of a network failed.
    #[cfg(feature = "torch")]
    #[error(transparent)]
    Pretrain(#[from] crate::trainer::pretraining::PretrainError<DatasetError>),
    /// The report could not be rendered.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A table could not be built or read.
    #[error("a table could not be built: {0}")]
    Table(#[from] arrow::error::ArrowError),
    /// What a node needs was not made.
    #[error("requires {needed}, which {reason}")]
    Upstream {
        /// The label of what is needed.
        needed: String,
        /// Why it is missing, as the end of a sentence after "which".
        reason: String,
    },
    /// Values that cannot be kept or used.
    #[error("{}", .0.text)]
    Values(Message),
    /// A file of the user's folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Output {
        /// The file or folder that could not be written.
        path: std::path::PathBuf,
        /// What the operating system reported.
        source: std::io::Error,
    },
    /// Somebody else's file has the name of one that is to be written.
    #[error("{}", .0.text)]
    Taken(Message),
    /// Something that a remote has could not be brought.
    #[error(transparent)]
    Remote(Box<RemoteError>),
    /// The program contradicts itself.
    #[error(transparent)]
    Bug(#[from] Bug),
    /// Ended early because the user asked for it; not a failure.
    #[error("stopped")]
    Stopped,
    /// Something panicked: libtorch on an error of its own, or a bug.
    #[error("internal error: {0} (libtorch, or a bug in repro)")]
    Panicked(String),
}

impl Hint for NodeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Dataset(error) => error.hint(),
            #[cfg(feature = "torch")]
            Self::Weights(error) => error.hint(),
            #[cfg(feature = "torch")]
            Self::Train(error) => error.hint(),
            #[cfg(feature = "torch")]
            Self::Pretrain(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Remote(error) => error.hint(),
            Self::Values(message) | Self::Taken(message) => message.hint.clone(),
            #[cfg(feature = "torch")]
            Self::Forward(_) => None,
            Self::Store(_)
            | Self::Table(_)
            | Self::Upstream { .. }
            | Self::Output { .. }
            | Self::Bug(_)
            | Self::Stopped
            | Self::Panicked(_) => None,
        }
    }
}

impl NodeError {
    /// Whether the disk of the cache has no room.
    #[cfg(feature = "torch")]
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::DiskFull { .. })
                | Self::Train(crate::trainer::TrainError::DiskFull(_))
        )
    }

    /// That the program contradicts itself; `what` in a few words.
    #[track_caller]
    pub(crate) fn bug(what: &str) -> Self {
        Self::Bug(Bug::new(what))
    }
}

impl From<RemoteError> for NodeError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Stopped => Self::Stopped,
            // A cache that is full or cannot be written to is no matter of the remote.
            RemoteError::Store(error @ StoreError::DiskFull { .. }) => Self::Store(error),
            error => Self::Remote(Box::new(error)),
        }
    }
}

impl From<crate::metrics::MetricError> for NodeError {
    fn from(error: crate::metrics::MetricError) -> Self {
        use crate::metrics::MetricError;
        match error {
            MetricError::Stopped => Self::Stopped,
            MetricError::Bug => Self::bug("a metric was given what it does not read"),
            MetricError::Input(what) => Self::Values(what.into()),
        }
    }
}
