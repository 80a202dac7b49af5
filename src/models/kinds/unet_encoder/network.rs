//! A U-Net encoder with one forward pass and named taps.
//!
//! # Reference
//! Dhariwal and Nichol 2021 (arXiv 2105.05233), section 4; openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:
//! guided_diffusion/unet.py (`EncoderUNetModel.forward`).
//!
//! # Shapes
//! In `[N, C, H, W]`; a block gives `[N, C, H, W]`, the pooled feature is `[N, D]`, the logits `[N, K]`.
//!
//! # Deviations
//! Those of the U-Net's blocks (`guided_diffusion/parts.rs`). In 16 bits the heads run in f32, as upstream.
//!
//! # Parity
//! `tests/suite/golden_unet_encoder.rs`, on the CPU, f32: full feature maps 1e-4, pooled ones 5e-5, logits 2e-5.

use tch::{Kind, Tensor};

use super::super::guided_diffusion::block::{Block, map_layout};
use super::super::guided_diffusion::layout::UNetLayout;
use super::super::guided_diffusion::parts::TimeEmbedding;
use super::config::Config;
use super::head::Head;
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{MemoryFormat, silu};
use crate::models::nn::precision::Precision;
use crate::numbers::to_u32;

/// A network with its weights, in the precision that it computes in.
#[derive(Debug)]
pub struct Network {
    time_embed: TimeEmbedding,
    /// `input_blocks` and `middle_block`.
    blocks: Vec<Block>,
    head: Head,
    /// Whether the head reads the means of all blocks.
    reads_means: bool,
    /// What the blocks compute in.
    precision: Precision,
    layout: MemoryFormat,
}

impl Network {
    /// Builds the network and takes all its parameters. It computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every parameter that is missing, unused or of another shape. A configuration in which [`Config::validate`] finds misfits
    /// gives a network that fails when it runs.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        let unet = config.unet();
        let layout = UNetLayout::encoder(&unet);
        weights.lay_out(map_layout(&unet, weights));
        let time_embed = TimeEmbedding::new(weights, &unet);
        let blocks = layout
            .blocks
            .iter()
            .map(|block| Block::new(weights, &block.path, &unet, &block.layers))
            .collect();
        let precision = weights.precision();
        weights.convolve_in(Precision::F32);
        let head = Head::new(weights, config);
        weights.convolve_in(precision);
        weights.finish()?;
        Ok(Self {
            time_embed,
            blocks,
            head,
            reads_means: config.pool.reads_all_blocks(),
            precision,
            layout: weights.layout(),
        })
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the logits if it runs that
    /// far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x_t`: `[N, in_channels, H, W]`, f32, the noisy image
    /// - `timesteps`: `[N]`, or `[1]` if all are the same; i64 or f32
    /// - `visit` gets what [`Config::blocks`] says, feature maps in the network's precision, and must not change it in place
    /// - returns: `[N, K]`, f32
    ///
    /// # Errors
    /// A tap names no block.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn forward_taps(
        &self,
        x_t: &Tensor,
        timesteps: &Tensor,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let middle = to_u32(self.blocks.len());
        let (pooled_index, last) = (BlockIndex(middle + 1), BlockIndex(middle + 2));
        if let Some(&tap) = taps.iter().find(|&&tap| tap < BlockIndex(1) || tap > last) {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        let deepest = match until {
            Until::DeepestTap => taps.iter().max().copied(),
            Until::Output => Some(last),
        };
        let Some(deepest) = deepest else {
            return Ok(None);
        };
        let mut visit = |tap: BlockIndex, output: &Tensor| {
            if taps.contains(&tap) {
                visit(tap, output);
            }
        };
        // Every residual block begins with the same SiLU of the same embedding.
        let silu_emb = silu(self.time_embed.forward(timesteps));
        let mut h = self.layout.of(&x_t.to_kind(self.precision.kind()));
        let mut means = Vec::new();
        for (number, block) in (1..).zip(&self.blocks) {
            if BlockIndex(number) > deepest {
                return Ok(None);
            }
            h = block.forward(h, &silu_emb);
            visit(BlockIndex(number), &h);
            if self.reads_means && deepest >= pooled_index {
                means.push(h.mean_dim([2_i64, 3].as_slice(), false, Kind::Float));
            }
        }
        if deepest < pooled_index {
            return Ok(None);
        }
        let input = if self.reads_means {
            Tensor::cat(&means, 1)
        } else {
            h.to_kind(Kind::Float)
        };
        let pooled = self.head.pooled(&input);
        visit(pooled_index, &pooled);
        if deepest < last {
            return Ok(None);
        }
        let logits = self.head.logits(&pooled);
        visit(last, &logits);
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(logits),
        })
    }
}
