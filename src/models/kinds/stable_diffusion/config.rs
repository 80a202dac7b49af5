//! The shape of Stable Diffusion's U-Net, and what follows from it without running anything.
//!
//! # Reference
//! Rombach et al. 2022 (arXiv 2112.10752); CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229:
//! configs/stable-diffusion/v1-inference.yaml, ldm/modules/diffusionmodules/openaimodel.py (`UNetModel`).
//!
//! # Deviations
//! Only the versions 1 are read: version 2 has linear layers around its transformers, and another text encoder.

use serde::{Deserialize, Serialize};

use super::layout;
use super::text::TextConfig;
use crate::models::BlockInfo;
use crate::models::declared::parameter_count;
use crate::models::kinds::guided_diffusion::config as guided;

/// Pixels of an image on a side that one value of its latents stands for.
pub const PIXELS_PER_LATENT: u32 = 8;

/// The shape of a network, field for field as the reference names them, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the square latents; an image has eight times as many pixels. A multiple of the halvings of the levels. The published
    /// network: 64.
    pub image_size: u32,
    /// Channels of the latents, 4.
    pub in_channels: u32,
    /// Width that `channel_mult` multiplies. The published network: 320.
    pub model_channels: u32,
    /// Residual blocks in each level of the encoder; the decoder has one more. The published network: 2.
    pub num_res_blocks: u32,
    /// Width of each level as a multiple of `model_channels`. The published network: 1, 2, 4, 4.
    pub channel_mult: Vec<u32>,
    /// The factors, powers of two by which the sides of levels are smaller than that of the first, whose blocks end in a transformer; the middle
    /// block always has one. The published network: 4, 2, 1.
    pub attention_resolutions: Vec<u32>,
    /// Heads of attention. The published network: 8.
    pub num_heads: u32,
    /// Numbers of a token of the condition. The published network: 768.
    pub context_dim: u32,
    /// The text encoder that makes the condition, whose width is `context_dim`.
    pub text: TextConfig,
}

impl Config {
    /// The same network with residual blocks alone, as guided-diffusion has them.
    pub(super) fn unet(&self) -> guided::Config {
        let sides = self.attention_resolutions.iter();
        guided::Config {
            image_size: self.image_size,
            in_channels: self.in_channels,
            model_channels: self.model_channels,
            num_res_blocks: self.num_res_blocks,
            channel_mult: self
                .channel_mult
                .iter()
                .map(|&one| f64::from(one))
                .collect(),
            attention_resolutions: sides
                .filter_map(|factor| self.image_size.checked_div(*factor))
                .collect(),
            num_heads: self.num_heads,
            num_head_channels: None,
            resblock_updown: false,
            use_scale_shift_norm: false,
            learn_sigma: false,
            num_classes: None,
            use_new_attention_order: false,
            conv_resample: true,
        }
    }

    /// Every block in the order of the forward pass.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        layout::block_infos(self)
    }

    /// Multiply-adds of the whole network, the output's convolution included.
    pub fn multiply_adds(&self) -> u64 {
        let side = u64::from(self.image_size);
        let output = u64::from(self.model_channels) * u64::from(self.in_channels);
        let blocks = self.blocks();
        let blocks = blocks.last().map_or(0, |block| block.multiply_adds);
        blocks + side * side * 9 * output
    }

    /// Name and shape of every parameter of the U-Net, in the order of the reference's state dict.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        layout::state_dict(self)
    }

    /// How many parameters the U-Net has.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }
}
