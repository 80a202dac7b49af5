//! Training heads on cached features.
//!
//! [`config`] is what a user declares (pure), `optimiser` the update rules on tensors of our own, [`train`] the loop.

pub mod config;
#[cfg(feature = "torch")]
mod optimiser;
#[cfg(feature = "torch")]
mod train;

pub use config::{Optimiser, Schedule, Training};
#[cfg(feature = "torch")]
pub use train::{Epoch, Outcome, Samples, TrainError, train};
