//! The four heads of a U-Net encoder: from feature maps to one vector, and from that to logits. All compute in f32.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py (`AttentionPool2d`, `QKVAttention`, and `out`
//! of `EncoderUNetModel`).
//!
//! # Deviations
//! Equal but for rounding:
//! - The attention pool computes the one query that is read, and projects its output alone; upstream computes all and drops the others.
//! - Attention is computed by libtorch's fused kernel, as in the blocks.

use tch::{Kind, Tensor};

use super::super::guided_diffusion::config::GROUPS;
use super::super::guided_diffusion::layout::UNetLayout;
use super::super::guided_diffusion::parts::EPSILON;
use super::config::{Config, POSITIONS, Pool};
use crate::models::checkpoint::weights::WeightMap;
use crate::models::nn::layers::{Convolution, GroupNorm, Linear, silu};

/// A head with its weights.
#[derive(Debug)]
pub enum Head {
    /// The mean of the last feature map.
    Adaptive {
        /// `out.0`.
        norm: GroupNorm,
        /// `out.3`.
        last: Convolution,
    },
    /// Attention of the mean token.
    Attention {
        /// `out.0`.
        norm: GroupNorm,
        /// `out.2` without its last layer.
        pool: AttentionPool,
        /// `out.2.c_proj`.
        last: Linear,
    },
    /// A hidden layer on the means of all blocks.
    Means {
        /// `out.0`.
        hidden: Linear,
        /// `out.1`, with SiLU after it; absent where the hidden layer ends in a ReLU.
        norm: Option<GroupNorm>,
        /// `out.2`, or `out.3` behind a normalization.
        last: Linear,
    },
}

impl Head {
    /// Takes the parameters below `out`.
    pub fn new(weights: &mut WeightMap, config: &Config) -> Self {
        let layout = UNetLayout::encoder(&config.unet());
        let (channels, classes) = (layout.final_channels, config.out_channels);
        let width = config.feature_width();
        let norm = |weights: &mut WeightMap, path: &str, channels: u32| {
            GroupNorm::new(weights, path, channels, GROUPS, EPSILON)
        };
        let hidden =
            |weights: &mut WeightMap| Linear::new(weights, "out.0", config.means_width(), width);
        match config.pool {
            Pool::Adaptive => Self::Adaptive {
                norm: norm(weights, "out.0", channels),
                last: Convolution::new(weights, "out.3", channels, classes, 1),
            },
            Pool::Attention => Self::Attention {
                norm: norm(weights, "out.0", channels),
                pool: AttentionPool::new(weights, config, &layout),
                last: Linear::from_convolution(weights, "out.2.c_proj", channels, classes),
            },
            Pool::Spatial => Self::Means {
                hidden: hidden(weights),
                norm: None,
                last: Linear::new(weights, "out.2", width, classes),
            },
            Pool::SpatialV2 => Self::Means {
                hidden: hidden(weights),
                norm: Some(norm(weights, "out.1", width)),
                last: Linear::new(weights, "out.3", width, classes),
            },
        }
    }

    /// What the last layer reads.
    ///
    /// # Shapes
    /// - `input`: the last feature map, `[N, C, H, W]`, or for a head on the means of all blocks these, `[N, F]`; f32
    /// - returns: `[N, D]`, f32
    pub fn pooled(&self, input: &Tensor) -> Tensor {
        match self {
            Self::Adaptive { norm, .. } => silu(norm.forward(input))
                .adaptive_avg_pool2d([1, 1])
                .flatten(1, 3),
            Self::Attention { norm, pool, .. } => pool.forward(&silu(norm.forward(input))),
            Self::Means { hidden, norm, .. } => {
                let hidden = hidden.forward(input);
                match norm {
                    Some(norm) => silu(norm.forward(&hidden)),
                    None => hidden.relu(),
                }
            }
        }
    }

    /// The last layer.
    ///
    /// # Shapes
    /// - `pooled`: `[N, D]`, f32
    /// - returns: `[N, K]`, f32
    pub fn logits(&self, pooled: &Tensor) -> Tensor {
        match self {
            Self::Adaptive { last, .. } => last
                .forward(&pooled.unsqueeze(-1).unsqueeze(-1))
                .flatten(1, 3),
            Self::Attention { last, .. } | Self::Means { last, .. } => last.forward(pooled),
        }
    }
}

/// Attention of one token, the mean of all positions, to itself and to every position.
#[derive(Debug)]
pub struct AttentionPool {
    /// `[C, 1 + H · W]`, the mean token first.
    positional_embedding: Tensor,
    /// Stored as a one-dimensional 1×1 convolution. Its channels are ordered (q k v, head, channel), unlike those of the blocks.
    qkv_proj: Linear,
    heads: i64,
}

impl AttentionPool {
    fn new(weights: &mut WeightMap, config: &Config, layout: &UNetLayout) -> Self {
        let channels = layout.final_channels;
        let side = layout.final_side() as usize;
        Self {
            positional_embedding: weights.take(POSITIONS, &[channels as usize, side * side + 1]),
            qkv_proj: Linear::from_convolution(weights, "out.2.qkv_proj", channels, 3 * channels),
            heads: i64::from(config.unet().heads(channels)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`, f32
    /// - returns: `[N, C]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let positions = x.flatten(2, 3);
        let mean = positions.mean_dim([2_i64].as_slice(), true, Kind::Float);
        // [N, C, L] with L = 1 + H · W.
        let tokens = Tensor::cat(&[mean, positions], 2) + self.positional_embedding.unsqueeze(0);
        let qkv = self.qkv_proj.forward(&tokens.transpose(1, 2));
        // [3, N, heads, L, head channels].
        let qkv = qkv
            .unflatten(2, [3, self.heads, -1])
            .permute([2, 0, 3, 1, 4]);
        let query = qkv.select(0, 0).narrow(2, 0, 1);
        let (keys, values) = (qkv.select(0, 1), qkv.select(0, 2));
        let (no_mask, dropout, causal, scale, grouped) = (None::<&Tensor>, 0.0, false, None, false);
        let mixed = Tensor::scaled_dot_product_attention(
            &query, &keys, &values, no_mask, dropout, causal, scale, grouped,
        );
        mixed.flatten(1, 3)
    }
}
