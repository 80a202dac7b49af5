//! Training: heads on cached features, and what the training of any network needs.
//!
//! [`config`] is what a user declares (pure), `optimiser` the update rules on tensors of our own, `gradients` keeps steps
//! short, `average` follows the parameters, [`heads`] is the loop for heads, [`pretraining`] the one for diffusion networks.

#[cfg(feature = "torch")]
mod average;
pub mod config;
#[cfg(feature = "torch")]
mod gradients;
#[cfg(feature = "torch")]
pub mod heads;
#[cfg(feature = "torch")]
mod optimiser;
pub mod pretraining;
#[cfg(feature = "torch")]
mod rates;

#[cfg(feature = "torch")]
pub use average::Average;
pub use config::{Course, Optimiser, Schedule, Training, UpdateRule, Views};
#[cfg(feature = "torch")]
pub use gradients::{clip_gradients, gradient_norm};
#[cfg(feature = "torch")]
pub use heads::TrainError;
#[cfg(feature = "torch")]
pub use optimiser::Moments;
#[cfg(feature = "torch")]
pub use rates::{Rate, Rates};
