//! Configuration of a U-Net encoder, and what follows from it without running anything.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py (`EncoderUNetModel.__init__`) and
//! guided_diffusion/script_util.py (`create_classifier`).
//!
//! # Deviations
//! Those of the U-Net's configuration ([`unet::Config`]).

use serde::{Deserialize, Serialize};

use super::super::guided_diffusion::config as unet;
use super::super::guided_diffusion::layout::{BlockLayout, UNetLayout};
use crate::models::declared::parameter_count;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// Width of the hidden layer of both `spatial` heads, as upstream has it.
const HIDDEN: u32 = 2048;

/// What is made of the feature maps: upstream's `pool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The mean over all positions of the normalized last feature map, then a 1×1 convolution.
    Adaptive,
    /// Attention of the mean token to all positions of the normalized last feature map, then a linear layer. All published classifiers
    /// have it.
    Attention,
    /// The spatial means of all blocks, then two linear layers with a ReLU between them.
    Spatial,
    /// The same with a group normalization and SiLU between them.
    SpatialV2,
}

impl Pool {
    /// Every head by its word.
    pub const CHOICES: &[(&'static str, Self)] = &[
        ("adaptive", Self::Adaptive),
        ("attention", Self::Attention),
        ("spatial", Self::Spatial),
        ("spatial_v2", Self::SpatialV2),
    ];

    /// Whether the head reads the means of all blocks, instead of the last feature map.
    pub fn reads_all_blocks(self) -> bool {
        matches!(self, Self::Spatial | Self::SpatialV2)
    }

    /// The module that gives the pooled feature, and the last layer, by their names upstream.
    fn paths(self) -> (&'static str, &'static str) {
        match self {
            Self::Attention => ("out.2.attention", "out.2.c_proj"),
            Self::Spatial => ("out.1", "out.2"),
            Self::Adaptive | Self::SpatialV2 => ("out.2", "out.3"),
        }
    }
}

/// The shape of an encoder, field for field as the arguments upstream, in the order in which fingerprints serialize it. What a field means
/// stands at the field of the same name of [`unet::Config`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are upstream's arguments, one for one"
)]
pub struct Config {
    /// Side of the square input in pixels.
    pub image_size: u32,
    /// 3 for RGB.
    pub in_channels: u32,
    /// Published: 128.
    pub model_channels: u32,
    /// Classes that are predicted. Published: 1000.
    pub out_channels: u32,
    /// Published: 2, and 4 for images of 64 pixels.
    pub num_res_blocks: u32,
    /// One multiplier for each level, outermost first.
    pub channel_mult: Vec<f64>,
    /// Sides in pixels. Published: 32, 16, 8.
    pub attention_resolutions: Vec<u32>,
    /// Used only where `num_head_channels` is absent.
    pub num_heads: u32,
    /// Published: 64. The head `attention` needs it.
    #[serde(default)]
    pub num_head_channels: Option<u32>,
    /// Published: true.
    pub resblock_updown: bool,
    /// Published: true.
    pub use_scale_shift_norm: bool,
    /// Published: false. The head `attention` has the new order whatever this says.
    pub use_new_attention_order: bool,
    /// Without meaning if `resblock_updown`.
    pub conv_resample: bool,
    /// What is made of the feature maps. Published: attention.
    pub pool: Pool,
}

impl Config {
    /// The U-Net whose first half this is; its decoder is never built.
    pub fn unet(&self) -> unet::Config {
        unet::Config {
            image_size: self.image_size,
            in_channels: self.in_channels,
            model_channels: self.model_channels,
            num_res_blocks: self.num_res_blocks,
            channel_mult: self.channel_mult.clone(),
            attention_resolutions: self.attention_resolutions.clone(),
            num_heads: self.num_heads,
            num_head_channels: self.num_head_channels,
            resblock_updown: self.resblock_updown,
            use_scale_shift_norm: self.use_scale_shift_norm,
            learn_sigma: false,
            num_classes: None,
            use_new_attention_order: self.use_new_attention_order,
            conv_resample: self.conv_resample,
        }
    }

    /// Everything that keeps this configuration from being a network, as [`unet::Config::validate`] has it.
    pub fn validate(&self) -> Vec<String> {
        let mut misfits = self.unet().validate();
        if self.pool == Pool::Attention && self.num_head_channels.is_none() {
            misfits.push(
                "pool \"attention\" takes the width of its heads from num_head_channels; set it"
                    .to_owned(),
            );
        }
        misfits
    }

    /// Every tap: the blocks, the pooled feature before the last layer, and the logits. Meaningful once [`Config::validate`] found nothing.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let layout = UNetLayout::encoder(&self.unet());
        let mut blocks = layout.block_infos();
        let mut multiply_adds = blocks.last().map_or(0, |block| block.multiply_adds);
        let (pooled, logits) = self.pool.paths();
        let width = self.feature_width();
        let channels = u64::from(layout.final_channels);
        multiply_adds += match self.pool {
            Pool::Adaptive => 0,
            Pool::Attention => {
                // Queries, keys and values of every token, and the two products of the one query that is read.
                let tokens = self.tokens();
                tokens * channels * 3 * channels + 2 * tokens * channels
            }
            Pool::Spatial | Pool::SpatialV2 => u64::from(self.means_width()) * u64::from(HIDDEN),
        };
        let mut push = |path: &str, width: u32, multiply_adds: u64| {
            let number = blocks.last().map_or(0, |block| block.index.0) + 1;
            blocks.push(BlockInfo {
                index: BlockIndex(number),
                path: path.to_owned(),
                shape: TapShape::Vector { width },
                multiply_adds,
            });
        };
        push(pooled, width, multiply_adds);
        multiply_adds += u64::from(width) * u64::from(self.out_channels);
        push(logits, self.out_channels, multiply_adds);
        blocks
    }

    /// Width of the pooled feature.
    pub fn feature_width(&self) -> u32 {
        if self.pool.reads_all_blocks() {
            HIDDEN
        } else {
            UNetLayout::encoder(&self.unet()).final_channels
        }
    }

    /// Width of the spatial means of all blocks, one after another: upstream's `_feature_size`.
    pub fn means_width(&self) -> u32 {
        let layout = UNetLayout::encoder(&self.unet());
        layout.blocks.iter().map(BlockLayout::outputs).sum()
    }

    /// Positions of the last feature map, and the mean token before them.
    fn tokens(&self) -> u64 {
        let side = u64::from(UNetLayout::encoder(&self.unet()).final_side());
        side * side + 1
    }

    /// Name and shape of every parameter, in the order of upstream's state dict. Meaningful once [`Config::validate`] found nothing.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let layout = UNetLayout::encoder(&self.unet());
        let channels = layout.final_channels;
        let classes = self.out_channels;
        let mut list = layout.parameters();
        match self.pool {
            Pool::Adaptive => {
                list.weight_and_bias("out.0", &[channels]);
                list.weight_and_bias("out.3", &[classes, channels, 1, 1]);
            }
            Pool::Attention => {
                list.weight_and_bias("out.0", &[channels]);
                let positions = vec![
                    channels as usize,
                    usize::try_from(self.tokens()).unwrap_or(usize::MAX),
                ];
                list.0.push((POSITIONS.to_owned(), positions));
                list.weight_and_bias("out.2.qkv_proj", &[3 * channels, channels, 1]);
                list.weight_and_bias("out.2.c_proj", &[classes, channels, 1]);
            }
            Pool::Spatial => {
                list.weight_and_bias("out.0", &[HIDDEN, self.means_width()]);
                list.weight_and_bias("out.2", &[classes, HIDDEN]);
            }
            Pool::SpatialV2 => {
                list.weight_and_bias("out.0", &[HIDDEN, self.means_width()]);
                list.weight_and_bias("out.1", &[HIDDEN]);
                list.weight_and_bias("out.3", &[classes, HIDDEN]);
            }
        }
        list.0
    }

    /// Number of parameters. Meaningful once [`Config::validate`] found nothing.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }
}

/// The embedding of the positions of the head `attention`, `[C, 1 + H · W]`.
pub const POSITIONS: &str = "out.2.positional_embedding";

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(pool: Pool) -> Config {
        let preset = super::super::presets::find("unet-encoder-tiny").unwrap();
        Config {
            pool,
            ..preset.network
        }
    }

    #[test]
    fn multiply_adds_of_the_heads_are_worked_out_by_hand() {
        for (_, pool) in Pool::CHOICES {
            let config = tiny(*pool);
            let blocks = config.blocks();
            assert_eq!(blocks.len(), 9);
            let steps = [7, 8].map(|at| blocks[at].multiply_adds - blocks[at - 1].multiply_adds);
            // The last feature map is [64, 8, 8]; the blocks have 32 + 32 + 32 + 64 + 64 + 64 + 64 channels.
            let expected = match pool {
                Pool::Adaptive => [0, 64 * 10],
                Pool::Attention => [65 * 64 * 192 + 2 * 65 * 64, 64 * 10],
                Pool::Spatial | Pool::SpatialV2 => [352 * 2048, 2048 * 10],
            };
            assert_eq!(steps, expected, "{pool:?}");
        }
    }

    #[test]
    fn the_blocks_are_those_of_the_unet_up_to_its_middle() {
        let config = tiny(Pool::Adaptive);
        let unet = config.unet().blocks();
        assert_eq!(config.blocks()[..7], unet[..7]);
        assert_eq!(unet[6].path, "middle_block");
    }

    #[test]
    fn attention_needs_the_width_of_its_heads() {
        let without = |pool| Config {
            num_head_channels: None,
            ..tiny(pool)
        };
        assert_eq!(without(Pool::Adaptive).validate(), Vec::<String>::new());
        let misfits = without(Pool::Attention).validate().join("\n");
        assert!(misfits.contains("num_head_channels"), "{misfits}");
    }
}
