//! The transformer in a block of Stable Diffusion's U-Net: pixels attend to each other, then to the condition.
//!
//! # Reference
//! CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/attention.py (`SpatialTransformer`,
//! `BasicTransformerBlock`, `GEGLU`).
//!
//! # Deviations
//! In 16 bits linear layers and attention are in 16 bits, normalizations and the sums around them in f32; the reference leaves that to
//! PyTorch's autocast, whose sums are in 16 bits.

use tch::{Kind, Tensor};

use super::layout::FEED_FORWARD;
use crate::models::checkpoint::weights::WeightMap;
use crate::models::nn::attention::{Attention, Sizes};
use crate::models::nn::layers::{Convolution, GroupNorm, MemoryFormat, sum};
use crate::models::nn::transformer::{LayerNorm, Projection};

/// Of the normalization of feature maps; the residual blocks' is 1e-5.
const MAP_EPSILON: f64 = 1e-6;
/// Of the normalizations of tokens.
const TOKEN_EPSILON: f64 = 1e-5;
/// Groups of the normalization of feature maps.
const GROUPS: u32 = 32;

/// A transformer of one block over all positions of a feature map, added to it.
#[derive(Debug)]
pub struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Convolution,
    norm1: LayerNorm,
    /// Of pixels to pixels.
    attn1: Attention,
    norm2: LayerNorm,
    /// Of pixels to the tokens of the condition.
    attn2: Attention,
    norm3: LayerNorm,
    /// `ff.net.0.proj`; its outputs are values and, behind them, their gates.
    gated: Projection,
    /// `ff.net.2`.
    second: Projection,
    proj_out: Convolution,
    layout: MemoryFormat,
}

impl SpatialTransformer {
    /// Takes the parameters below `path`.
    ///
    /// - `channels`: of the feature map, a multiple of 32 that `heads` divides
    /// - `context`: numbers of a token of the condition
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        channels: u32,
        heads: u32,
        context: u32,
    ) -> Self {
        let block = format!("{path}.transformer_blocks.0");
        let attention = |weights: &mut WeightMap, name: &str, context: u32| {
            let sizes = Sizes {
                width: channels,
                context,
                heads,
            };
            Attention::cross(weights, &format!("{block}.{name}"), sizes)
        };
        let norm = |weights: &mut WeightMap, name: &str| {
            LayerNorm::new(weights, &format!("{block}.{name}"), channels, TOKEN_EPSILON)
        };
        let hidden = FEED_FORWARD * channels;
        Self {
            norm: GroupNorm::new(
                weights,
                &format!("{path}.norm"),
                channels,
                GROUPS,
                MAP_EPSILON,
            ),
            proj_in: Convolution::new(weights, &format!("{path}.proj_in"), channels, channels, 1),
            norm1: norm(weights, "norm1"),
            attn1: attention(weights, "attn1", channels),
            norm2: norm(weights, "norm2"),
            attn2: attention(weights, "attn2", context),
            norm3: norm(weights, "norm3"),
            gated: Projection::new(
                weights,
                &format!("{block}.ff.net.0.proj"),
                channels,
                2 * hidden,
            ),
            second: Projection::new(weights, &format!("{block}.ff.net.2"), hidden, channels),
            proj_out: Convolution::new(weights, &format!("{path}.proj_out"), channels, channels, 1),
            layout: weights.layout(),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    /// - `context`: `[N or 1, L, D]`, f32, the condition
    /// - returns: `[N, C, H, W]`
    pub fn forward(&self, x: &Tensor, context: &Tensor) -> Tensor {
        let map = self.proj_in.forward(&self.norm.forward(x));
        // [N, C, H, W] to [N, H · W, C].
        let tokens = map.flatten(2, 3).transpose(1, 2).to_kind(Kind::Float);
        let normal = self.norm1.forward(&tokens);
        let tokens = tokens + self.attn1.forward(&normal, &normal);
        let tokens = &tokens + self.attn2.forward(&self.norm2.forward(&tokens), context);
        let tokens = &tokens + self.feed_forward(&self.norm3.forward(&tokens));
        let map = tokens.transpose(1, 2).reshape(x.size()).to_kind(x.kind());
        sum(self.proj_out.forward(&self.layout.of(&map)), x)
    }

    /// # Shapes
    /// - `x`: `[N, L, C]`
    /// - returns: the same, in the precision of the network
    fn feed_forward(&self, x: &Tensor) -> Tensor {
        let both = self.gated.forward(x);
        let half = both.size().last().map_or(0, |&width| width / 2);
        let (values, gates) = (both.narrow(-1, 0, half), both.narrow(-1, half, half));
        self.second.forward(&(values * gates.gelu("none")))
    }
}
