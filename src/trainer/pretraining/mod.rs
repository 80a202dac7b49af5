//! Training a diffusion network itself, so that there is one to probe without a download.
//!
//! [`config`] is what a user declares (pure), `order` says which images a step sees, `state` is all that changes from step to step
//! and can be kept, `run` makes the steps.

pub mod config;
#[cfg(feature = "torch")]
mod order;
#[cfg(feature = "torch")]
mod run;
#[cfg(feature = "torch")]
mod state;
#[cfg(test)]
mod tests;

pub use config::{Loss, OPTIMIZER_DOC, Pretraining, Timesteps};
#[cfg(feature = "torch")]
pub use run::{Images, PretrainError, Trainer};
#[cfg(feature = "torch")]
pub use state::{CurvePoint, TrainerState};
