//! Stable Diffusion's U-Net with one forward pass and named taps.
//!
//! # Reference
//! Rombach et al. 2022 (arXiv 2112.10752), section 3.3; CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229:
//! ldm/modules/diffusionmodules/openaimodel.py (`UNetModel.forward`).
//!
//! # Shapes
//! In `[N, 4, H, W]`, out the same; a tap gives the output of one block, `[N, C, H, W]`, before the decoder concatenates the encoder's feature
//! map to it. The condition is `[N or 1, L, D]`.
//!
//! # Deviations
//! - Those of guided-diffusion's blocks (`guided_diffusion/parts.rs`) and of `transformer.rs`.
//! - In 16 bits the layers of the output run in f32.
//!
//! # Parity
//! `tests/suite/golden_stable_diffusion.rs`, on the CPU, f32: full feature maps and the output 1e-4, pooled ones 5e-5.

use tch::{Kind, Tensor};

use super::super::guided_diffusion::block::map_layout;
use super::super::guided_diffusion::config as guided;
use super::super::guided_diffusion::layer::Layer;
use super::super::guided_diffusion::layout::{Part, UNetLayout};
use super::super::guided_diffusion::parts::{
    Downsample, NormConvolution, ResBlock, TimeEmbedding, Upsample,
};
use super::config::Config;
use super::transformer::SpatialTransformer;
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{Convolution, MemoryFormat, silu};
use crate::models::nn::precision::Precision;
use crate::numbers::to_u32;

/// A layer of a block.
#[derive(Debug)]
enum BlockLayer {
    Convolution(Convolution),
    Residual(Box<ResBlock>),
    Transformer(Box<SpatialTransformer>),
    Downsample(Downsample),
    Upsample(Upsample),
}

impl BlockLayer {
    fn new(
        weights: &mut WeightMap,
        path: &str,
        config: &Config,
        unet: &guided::Config,
        layer: Layer,
    ) -> Self {
        match layer {
            Layer::Convolution { inputs, outputs } => {
                Self::Convolution(Convolution::new(weights, path, inputs, outputs, 3))
            }
            Layer::Residual {
                inputs,
                outputs,
                resample,
            } => {
                let block = ResBlock::new(weights, path, unet, (inputs, outputs), resample);
                Self::Residual(Box::new(block))
            }
            Layer::Attention { channels, heads } => {
                let context = config.context_dim;
                let transformer = SpatialTransformer::new(weights, path, channels, heads, context);
                Self::Transformer(Box::new(transformer))
            }
            Layer::Downsample {
                channels,
                convolution,
            } => Self::Downsample(Downsample::new(weights, path, channels, convolution)),
            Layer::Upsample {
                channels,
                convolution,
            } => Self::Upsample(Upsample::new(weights, path, channels, convolution)),
        }
    }
}

/// The whole U-Net.
#[derive(Debug)]
pub struct Network {
    time_embed: TimeEmbedding,
    /// `input_blocks`, `middle_block` and `output_blocks` in the order of the forward pass, each as its layers in a row.
    blocks: Vec<Vec<BlockLayer>>,
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
    /// Lists every parameter that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        let unet = config.unet();
        let layout = UNetLayout::new(&unet);
        weights.lay_out(map_layout(&unet, weights));
        let time_embed = TimeEmbedding::new(weights, &unet);
        let mut blocks = Vec::new();
        for block in &layout.blocks {
            let layers = block.layers.iter().enumerate();
            let layers = layers.map(|(place, layer)| {
                let path = format!("{}.{place}", block.path);
                BlockLayer::new(weights, &path, config, &unet, *layer)
            });
            blocks.push(layers.collect());
        }
        let precision = weights.precision();
        weights.convolve_in(Precision::F32);
        let (inputs, outputs) = (layout.final_channels, unet.out_channels());
        let out = NormConvolution::new(weights, "out", 2, inputs, outputs);
        weights.convolve_in(precision);
        weights.finish()?;
        let encoder = layout
            .blocks
            .iter()
            .filter(|block| block.part == Part::Encoder);
        Ok(Self {
            time_embed,
            blocks,
            input_blocks: encoder.count(),
            out,
            precision,
            layout: weights.layout(),
        })
    }

    /// The one forward pass. It calls `visit` with the output of every tapped block, in the order of the blocks and once each, and returns
    /// the network's output if it runs that far. The caller holds [`tch::no_grad`], unless gradients by the condition are wanted.
    ///
    /// # Shapes
    /// - `x_t`: `[N, in_channels, H, W]`, f32, the noisy latents
    /// - `timesteps`: `[N]`, or `[1]` if all are the same; i64 or f32
    /// - `context`: `[N, L, D]`, or `[1, L, D]` if all have the same condition; f32
    /// - `visit` gets `[N, C, H, W]` in the network's precision, and must not change it in place
    /// - returns: `[N, in_channels, H, W]`, f32
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
        context: &Tensor,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let last = BlockIndex(to_u32(self.blocks.len()));
        if let Some(&tap) = taps.iter().find(|&&tap| tap < BlockIndex(1) || tap > last) {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        let silu_emb = self.silu_emb(timesteps);
        let deepest = match until {
            Until::DeepestTap => taps.iter().max().map_or(0, |tap| tap.0 as usize),
            Until::Output => self.blocks.len(),
        };
        // Decoder blocks take the encoder's feature maps in reverse order, so only the last so many are ever needed.
        let skips_needed = deepest.saturating_sub(self.input_blocks + 1);
        let mut skips = Vec::new();
        let mut h = self.first_input(x_t);
        for number in 1..=deepest {
            let skip = self.skip_of(number).and_then(|_| skips.pop());
            let Some(output) = self.run_block(number, h, skip, &silu_emb, context) else {
                return Err(ForwardError::NoOutput);
            };
            h = output;
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

    /// What the first block reads: the latents in the network's precision and layout.
    pub(super) fn first_input(&self, x_t: &Tensor) -> Tensor {
        self.layout.of(&x_t.to_kind(self.precision.kind()))
    }

    /// What every residual block begins with: the SiLU of the embedded timestep, `[N or 1, 4 · model_channels]`, f32.
    pub(super) fn silu_emb(&self, timesteps: &Tensor) -> Tensor {
        silu(self.time_embed.forward(timesteps))
    }

    /// The block whose output block `number` concatenates to its input, both counted from 1; decoder blocks take those of the encoder in
    /// reverse order.
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
    /// - `context`: `[N or 1, L, D]`, f32
    pub(super) fn run_block(
        &self,
        number: usize,
        h: Tensor,
        skip: Option<Tensor>,
        silu_emb: &Tensor,
        context: &Tensor,
    ) -> Option<Tensor> {
        let layers = self.blocks.get(number.checked_sub(1)?)?;
        let h = match skip {
            Some(skip) => Tensor::cat(&[h, skip], 1),
            None => h,
        };
        Some(layers.iter().fold(h, |h, layer| match layer {
            BlockLayer::Convolution(convolution) => convolution.forward(&h),
            BlockLayer::Residual(residual) => residual.forward(&h, silu_emb),
            BlockLayer::Transformer(transformer) => transformer.forward(&h, context),
            BlockLayer::Downsample(downsample) => downsample.forward(&h),
            BlockLayer::Upsample(upsample) => upsample.forward(&h),
        }))
    }
}
