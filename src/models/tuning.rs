//! What a model has to offer to be trained further, through the features of one of its blocks.

#[cfg(feature = "torch")]
use super::BlockIndex;

/// A model whose weights can be trained further.
pub trait TunableModel {
    /// The network with its weights as they are, ready to be trained.
    ///
    /// - `base`: the folder that relative paths of weights start from
    /// - `precision`: what its convolutions compute in; parameters are f32
    /// - `tap`: the block whose feature map is learned through; what comes after it is left as it is
    /// - `checkpointing`: what is done with the activations of the blocks before it
    ///
    /// # Errors
    /// Weights that are missing, damaged, or do not fit, all of them listed.
    #[cfg(feature = "torch")]
    fn begin_tuning(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: super::Precision,
        tap: BlockIndex,
        checkpointing: ActivationCheckpointing,
    ) -> Result<Tuned, crate::models::checkpoint::weights::WeightError>;
}

/// Whether the feature maps within a block are recomputed in the backward pass. Gradients have the same bits either way, in every
/// precision and on every processor, because both ways do the same operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationCheckpointing {
    /// All that is computed within a block is kept.
    Off,
    /// Only the block's output is kept; the backward pass computes the block once more (Chen et al. 2016, arXiv 1604.06174).
    On,
}

/// A network that is trained further.
#[cfg(feature = "torch")]
pub struct Tuned {
    /// The network, with forward and backward pass through the tapped block.
    pub network: Box<dyn Tune>,
    /// What is trained; the network computes with this very memory.
    pub trained: crate::models::checkpoint::parameters::Parameters,
    /// What the tapped block does not depend on.
    pub untouched: crate::models::checkpoint::parameters::Parameters,
}

/// A network that learns through the feature map of one block.
#[cfg(feature = "torch")]
pub trait Tune {
    /// The feature map of the block, without gradients.
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, f32, on the device; all at the same `timestep`
    /// - returns: `[N, C, H, W]` of the block, in the precision of the network
    ///
    /// # Errors
    /// The network needs more than images, or has no such block.
    ///
    /// # Panics
    /// libtorch panics where memory is exhausted.
    fn activations(
        &self,
        x_t: &tch::Tensor,
        timestep: u32,
    ) -> Result<tch::Tensor, super::extractor::ForwardError>;

    /// Forward and backward pass: `gradient` is shown the map, equal to that of [`Tune::activations`] but for rounding, and gives the gradient
    /// of the loss by it in the same shape and kind. The gradient by every parameter is added to what the parameter has.
    ///
    /// # Errors
    /// As [`Tune::activations`].
    ///
    /// # Panics
    /// libtorch panics where memory is exhausted.
    fn forward_backward(
        &self,
        x_t: &tch::Tensor,
        timestep: u32,
        gradient: &mut dyn FnMut(&tch::Tensor) -> tch::Tensor,
    ) -> Result<(), super::extractor::ForwardError>;
}
