//! The guided-diffusion U-Net (ADM) with one forward pass and named taps.
//!
//! Its parts (residual blocks, attention, embedding of the timestep) stand in `parts.rs`.
//!
//! # Reference
//! Dhariwal and Nichol 2021 (arXiv 2105.05233), section 3; openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:
//! guided_diffusion/unet.py (`UNetModel.forward`, `TimestepEmbedSequential`).
//!
//! # Shapes
//! In `[N, C, H, W]`, out `[N, C or 2C, H, W]`; a tap gives the output of one block, `[N, C, H, W]`, before the decoder
//! concatenates the encoder's feature map to it.
//!
//! # Deviations
//! - In 16 bits the very first convolution already gets a rounded image, as upstream, and `out` runs in f32, as upstream;
//!   bf16 is ours, see `precision.rs`.
//! - Some steps are rounded differently; see `parts.rs`.
//!
//! # Parity
//! `tests/suite/golden_guided_diffusion.rs`, on the CPU: in f32 full feature maps 1e-4 and pooled ones 5e-5; in f16, pooled to
//! 2 × 2 within 1e-2 and `out` within 2e-2 of upstream's own f16; in bf16 the same within 4e-2 and 8e-2 of f32.

use tch::{Kind, Tensor};

use super::block::{Block, map_layout};
use super::config::Config;
use super::layout::{Part, UNetLayout};
use super::parts::NormConvolution;
pub use super::parts::TimeEmbedding;
use crate::models::block::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{MemoryFormat, silu};
use crate::models::nn::precision::Precision;
use crate::numbers::to_u32;

/// A feature map with another behind it, channel-wise, where there is another.
fn joined(h: Tensor, skip: Option<Tensor>) -> Tensor {
    match skip {
        Some(skip) => Tensor::cat(&[h, skip], 1),
        None => h,
    }
}

/// The whole U-Net.
#[derive(Debug)]
pub struct Network {
    /// The embedding of the timestep.
    pub time_embed: TimeEmbedding,
    /// One row for every class of a class-conditional network, `[K, 4 · model_channels]`.
    label_emb: Option<Tensor>,
    /// `input_blocks`, `middle_block` and `output_blocks` in the order of the forward pass.
    blocks: Vec<Block>,
    /// How many of `blocks` are `input_blocks`; one less than the position of `middle_block`, counted from 1.
    input_blocks: usize,
    out: NormConvolution,
    /// What the blocks compute in.
    precision: Precision,
    /// The memory format of its feature maps.
    layout: MemoryFormat,
}

impl Network {
    /// Builds the network and takes all its parameters. It computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every parameter that is missing, unused or of another shape. A configuration in which
    /// [`Config::validate`] finds misfits gives a network that fails when it runs.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        let layout = UNetLayout::new(config);
        weights.lay_out(map_layout(config, weights));
        let time_embed = TimeEmbedding::new(weights, config);
        let label_emb = config.num_classes.map(|classes| {
            let shape = [classes as usize, config.time_embed_channels() as usize];
            weights.take("label_emb.weight", &shape)
        });
        let blocks = layout
            .blocks
            .iter()
            .map(|block| Block::new(weights, &block.path, config, &block.layers))
            .collect();
        let precision = weights.precision();
        weights.convolve_in(Precision::F32);
        let out = NormConvolution::new(
            weights,
            "out",
            2,
            layout.final_channels,
            config.out_channels(),
        );
        let input_blocks = layout
            .blocks
            .iter()
            .filter(|block| block.part == Part::Encoder)
            .count();
        weights.convolve_in(precision);
        weights.finish()?;
        Ok(Self {
            time_embed,
            label_emb,
            blocks,
            input_blocks,
            out,
            precision,
            layout: weights.layout(),
        })
    }

    /// The one forward pass. It calls `visit` with the output of every tapped block, in the order of the blocks and
    /// once each, and returns the network's output if it runs that far.
    ///
    /// The caller holds [`tch::no_grad`], unless the network is trained: then the output has gradients for what was taken from
    /// a [trainable](WeightMap::trainable) map.
    ///
    /// # Shapes
    /// - `x_t`: `[N, in_channels, H, W]`, f32, the noisy image; `H` and `W` divisible by 2 to the number of halvings
    /// - `timesteps`: `[N]`, or `[1]` if all are the same; i64 or f32
    /// - `class_labels`: `[N]`, i64, if and only if the network is class-conditional
    /// - `visit` gets `[N, C, H, W]` as [`Config::blocks`] says, in the network's precision, and must not change it in place
    /// - returns: `[N, out_channels, H, W]`, f32
    ///
    /// # Errors
    /// A tap names no block, or class labels are missing or unexpected.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn forward_taps(
        &self,
        x_t: &Tensor,
        timesteps: &Tensor,
        class_labels: Option<&Tensor>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let last = BlockIndex(to_u32(self.blocks.len()));
        if let Some(&tap) = taps.iter().find(|&&tap| tap < BlockIndex(1) || tap > last) {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        // Every residual block begins with the same SiLU of the same embedding.
        let silu_emb = self.silu_emb(timesteps, class_labels)?;
        let deepest = match until {
            Until::DeepestTap => taps.iter().max().map_or(0, |tap| tap.0 as usize),
            Until::Output => self.blocks.len(),
        };
        // Decoder blocks take the encoder's feature maps in reverse order, so only the last so many are ever needed.
        let skips_needed = deepest.saturating_sub(self.input_blocks + 1);
        let mut skips = Vec::new();
        let mut h = self.first_input(x_t);
        for (number, block) in (1..=deepest).zip(&self.blocks) {
            let skip = self.skip_of(number).and_then(|_| skips.pop());
            h = block.forward(joined(h, skip), &silu_emb);
            if number <= self.input_blocks && number + skips_needed > self.input_blocks {
                skips.push(h.shallow_clone());
            }
            let index = BlockIndex(to_u32(number));
            if taps.contains(&index) {
                visit(index, &h);
            }
        }
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(self.out.forward(&h.to_kind(Kind::Float))),
        })
    }

    /// What the first block reads: the images in the network's precision and layout.
    pub(super) fn first_input(&self, x_t: &Tensor) -> Tensor {
        self.layout.of(&x_t.to_kind(self.precision.kind()))
    }

    /// The block whose output block `number` concatenates to its input, both counted from 1; decoder blocks take those of the
    /// encoder in reverse order.
    pub(super) fn skip_of(&self, number: usize) -> Option<usize> {
        let first_decoder = self.input_blocks + 2;
        (number >= first_decoder)
            .then(|| (self.input_blocks + first_decoder).saturating_sub(number))
            .filter(|&source| source > 0)
    }

    /// The output of one block, counted from 1, by itself; `None` where there is no such block.
    ///
    /// # Shapes
    /// - `h`: `[N, C, H, W]`, the output of the block before
    /// - `skip`: `[N, C, H, W]`, the output of [`Network::skip_of`], where there is one
    /// - `silu_emb`: as [`Network::silu_emb`] gives it
    pub(super) fn run_block(
        &self,
        number: usize,
        h: Tensor,
        skip: Option<Tensor>,
        silu_emb: &Tensor,
    ) -> Option<Tensor> {
        let block = self.blocks.get(number.checked_sub(1)?)?;
        Some(block.forward(joined(h, skip), silu_emb))
    }

    /// What every residual block begins with: the SiLU of the embedded timestep and class.
    ///
    /// # Shapes
    /// - returns: `[N or 1, 4 · model_channels]`, f32
    pub(super) fn silu_emb(
        &self,
        timesteps: &Tensor,
        class_labels: Option<&Tensor>,
    ) -> Result<Tensor, ForwardError> {
        Ok(silu(self.embed(timesteps, class_labels)?))
    }

    /// What every residual block receives: the embedded timestep, plus the embedded class.
    ///
    /// # Shapes
    /// - returns: `[N or 1, 4 · model_channels]`
    fn embed(
        &self,
        timesteps: &Tensor,
        class_labels: Option<&Tensor>,
    ) -> Result<Tensor, ForwardError> {
        let emb = self.time_embed.forward(timesteps);
        match (&self.label_emb, class_labels) {
            (None, None) => Ok(emb),
            (Some(table), Some(labels)) => Ok(emb + table.index_select(0, labels)),
            (Some(_), None) => Err(ForwardError::ClassLabelsMissing),
            (None, Some(_)) => Err(ForwardError::ClassLabelsUnexpected),
        }
    }
}
