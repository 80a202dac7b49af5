//! What a model has to offer to be sampled from, and to be trained by this program.

use crate::diffusion::respacing::Respacing;
use crate::diffusion::{Diffusion, DiffusionError};

/// A model that predicts the noise in an image.
pub trait DenoisingModel {
    /// Its diffusion, with the timesteps that `respacing` keeps.
    ///
    /// # Errors
    /// Timesteps that cannot be chosen so.
    fn process(&self, respacing: &Respacing) -> Result<Diffusion, DiffusionError>;

    /// Whether it predicts the variance of a step back besides the noise.
    fn learns_variance(&self) -> bool;

    /// Multiply-adds of its forward pass for one image.
    fn multiply_adds(&self) -> u64;

    /// Whether the image that it sees in the noise is kept in `[-1, 1]`, as that of a network of pixels is.
    fn clips(&self) -> bool {
        true
    }

    /// What it offers to be trained, where it can be.
    fn trainable(&self) -> Option<&dyn TrainableModel> {
        None
    }
}

/// A model that this program can train from its beginning.
pub trait TrainableModel {
    /// A network to be trained, with initial parameters.
    ///
    /// - `seed`: of the parameters
    /// - `precision`: what its convolutions compute in; parameters are f32
    ///
    /// # Errors
    /// Only if the network and its own list of parameters disagree.
    #[cfg(feature = "torch")]
    fn begin_training(
        &self,
        seed: u64,
        device: tch::Device,
        precision: super::Precision,
    ) -> Result<Trainable, crate::models::checkpoint::weights::WeightError>;
}

/// A network that is trained.
#[cfg(feature = "torch")]
pub struct Trainable {
    /// The forward pass, which gradients flow through.
    pub network: Box<dyn Denoise>,
    /// What is trained; the network computes with this very memory.
    pub parameters: crate::models::checkpoint::parameters::Parameters,
}

/// A forward pass that gradients flow through.
#[cfg(feature = "torch")]
pub trait Denoise {
    /// What the network predicts of noisy images.
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, f32
    /// - `timesteps`: `[N]`, i64
    /// - returns: `[N, C, H, W]`, or `[N, 2C, H, W]` where it predicts a variance; f32
    ///
    /// # Errors
    /// The network needs more than images.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    fn denoise(
        &self,
        x_t: &tch::Tensor,
        timesteps: &tch::Tensor,
    ) -> Result<tch::Tensor, super::extractor::ForwardError>;
}
