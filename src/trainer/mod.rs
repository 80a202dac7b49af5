//! Training: heads on cached features, heads with the network below them, and what the training of any network needs.
//!
//! [`config`] is what a user declares (pure), `optimizer` the update rules on tensors of our own, `gradients` keeps steps
//! short, `average` follows the parameters, [`heads`] is the loop for heads, [`fine_tuning`] the one for a head and its network, [`pretraining`] the one
//! for diffusion networks.

#[cfg(feature = "torch")]
mod average;
pub mod config;
#[cfg(feature = "torch")]
pub mod fine_tuning;
#[cfg(feature = "torch")]
mod gradients;
#[cfg(feature = "torch")]
pub mod heads;
#[cfg(feature = "torch")]
mod optimizer;
pub mod pretraining;
#[cfg(feature = "torch")]
mod rates;

#[cfg(feature = "torch")]
pub use average::Average;
pub use config::{
    Decay, FineTuning, Optimizer, Schedule, TestAverage, Training, UpdateRule, Views,
};
#[cfg(feature = "torch")]
pub use gradients::{clip_gradients, gradient_norm};
#[cfg(feature = "torch")]
pub use heads::TrainError;
#[cfg(feature = "torch")]
pub use optimizer::OptimizerState;
#[cfg(feature = "torch")]
pub use rates::{Rate, Rates};
