//! One block of a guided-diffusion U-Net: its layers in a row.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py (`TimestepEmbedSequential`).

use tch::{Device, Tensor};

use super::config::Config;
use super::layer::Layer;
use super::parts::{AttentionBlock, Downsample, ResBlock, Upsample};
use crate::models::checkpoint::weights::WeightMap;
use crate::models::nn::layers::{Convolution, MemoryFormat};

/// A layer of a block.
#[derive(Debug)]
enum BlockLayer {
    Convolution(Convolution),
    Residual(Box<ResBlock>),
    Attention(AttentionBlock),
    Downsample(Downsample),
    Upsample(Upsample),
}

/// One `TimestepEmbedSequential`: the unit that the paper numbers and that a tap names.
#[derive(Debug)]
pub struct Block {
    layers: Vec<BlockLayer>,
}

impl Block {
    /// Takes the parameters of the layers, which are below `{path}.0`, `{path}.1` and so on.
    pub fn new(weights: &mut WeightMap, path: &str, config: &Config, layers: &[Layer]) -> Self {
        let build = |(place, layer): (usize, &Layer)| {
            let path = format!("{path}.{place}");
            match *layer {
                Layer::Convolution { inputs, outputs } => {
                    BlockLayer::Convolution(Convolution::new(weights, &path, inputs, outputs, 3))
                }
                Layer::Residual {
                    inputs,
                    outputs,
                    resample,
                } => BlockLayer::Residual(
                    ResBlock::new(weights, &path, config, (inputs, outputs), resample).into(),
                ),
                Layer::Attention { channels, heads } => BlockLayer::Attention(AttentionBlock::new(
                    weights, &path, config, channels, heads,
                )),
                Layer::Downsample {
                    channels,
                    convolution,
                } => BlockLayer::Downsample(Downsample::new(weights, &path, channels, convolution)),
                Layer::Upsample {
                    channels,
                    convolution,
                } => BlockLayer::Upsample(Upsample::new(weights, &path, channels, convolution)),
            }
        };
        Self {
            layers: layers.iter().enumerate().map(build).collect(),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    /// - `silu_emb`: `[N or 1, 4 · model_channels]`, f32, what the timestep is embedded as, after SiLU
    /// - returns: `[N, C, H, W]` with the block's own channels and sides
    pub fn forward(&self, x: Tensor, silu_emb: &Tensor) -> Tensor {
        self.layers.iter().fold(x, |x, layer| match layer {
            BlockLayer::Convolution(convolution) => convolution.forward(&x),
            BlockLayer::Residual(residual) => residual.forward(&x, silu_emb),
            BlockLayer::Attention(attention) => attention.forward(&x),
            BlockLayer::Downsample(downsample) => downsample.forward(&x),
            BlockLayer::Upsample(upsample) => upsample.forward(&x),
        })
    }
}

/// From this `model_channels` on, feature maps are channels-last. Measured at 32, where it takes three times as long,
/// and at 256; see docs/reference/performance.md.
const WIDE: u32 = 128;

/// The memory format of the feature maps of a network with these weights.
pub fn map_layout(config: &Config, weights: &WeightMap) -> MemoryFormat {
    let wide = config.model_channels >= WIDE;
    if weights.is_trainable() || weights.device() == Device::Cpu && !wide {
        MemoryFormat::Contiguous
    } else {
        MemoryFormat::ChannelsLast
    }
}
