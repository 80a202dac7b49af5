//! The encoder and the decoder of an autoencoder.
//!
//! # Reference
//! diffusers 0.42.1: src/diffusers/models/autoencoders/vae.py (`Encoder`, `Decoder`), models/resnet.py, models/attention_processor.py;
//! CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/diffusionmodules/model.py.
//!
//! # Shapes
//! Images `[N, 3, H, W]`, between -1 and 1; latents `[N, C, H / 8, W / 8]`, scaled.
//!
//! # Deviations
//! - The latent is the mean of the distribution that the encoder gives and not a sample of it, so that it is a function of the image.
//! - Attention is libtorch's fused kernel, which rounds otherwise in the last digits.
//!
//! # Parity
//! `tests/suite/golden_autoencoder.rs`, on the CPU, f32: 3e-5 for feature maps and decoded images, 1.5e-5 for moments, 3e-6 for latents.

use tch::{Kind, Tensor};

use super::config::{Config, IMAGE_CHANNELS, Layer, Residual};
use crate::models::BlockIndex;
use crate::models::autoencoding::Decode;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{Convolution, GroupNorm, silu, sum};
use crate::models::nn::transformer::Projection;
use crate::numbers::to_u32;

/// Of all normalizations.
const EPSILON: f64 = 1e-6;
/// Groups of all normalizations.
const GROUPS: u32 = 32;

fn norm(weights: &mut WeightMap, path: &str, channels: u32) -> GroupNorm {
    GroupNorm::new(weights, path, channels, GROUPS, EPSILON)
}

/// A residual block.
#[derive(Debug)]
struct ResidualBlock {
    norms: [GroupNorm; 2],
    convolutions: [Convolution; 2],
    /// Where the channels change.
    shortcut: Option<Convolution>,
}

impl ResidualBlock {
    fn new(weights: &mut WeightMap, block: &Residual) -> Self {
        let &Residual {
            ref path,
            inputs,
            outputs,
        } = block;
        let mut convolution = |name: &str, inputs: u32, kernel: u32| {
            Convolution::new(weights, &format!("{path}.{name}"), inputs, outputs, kernel)
        };
        let convolutions = [
            convolution("conv1", inputs, 3),
            convolution("conv2", outputs, 3),
        ];
        let shortcut = (inputs != outputs).then(|| convolution("conv_shortcut", inputs, 1));
        let norms = [("norm1", inputs), ("norm2", outputs)]
            .map(|(name, channels)| norm(weights, &format!("{path}.{name}"), channels));
        Self {
            norms,
            convolutions,
            shortcut,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.shallow_clone();
        for (norm, convolution) in self.norms.iter().zip(&self.convolutions) {
            h = convolution.forward(&silu(norm.forward(&h)));
        }
        match &self.shortcut {
            Some(shortcut) => sum(h, &shortcut.forward(x)),
            None => sum(h, x),
        }
    }
}

/// Attention of one head over all places.
#[derive(Debug)]
struct Attention {
    norm: GroupNorm,
    /// Queries, keys and values.
    projections: [Projection; 3],
    output: Projection,
}

impl Attention {
    fn new(weights: &mut WeightMap, path: &str, channels: u32) -> Self {
        let norm = norm(weights, &format!("{path}.group_norm"), channels);
        let mut projection =
            |name: &str| Projection::new(weights, &format!("{path}.{name}"), channels, channels);
        Self {
            norm,
            projections: ["to_q", "to_k", "to_v"].map(&mut projection),
            output: projection("to_out.0"),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let (height, width) = (x.size()[2], x.size()[3]);
        // [N, 1, H · W, C]
        let places = self.norm.forward(x).flatten(2, 3).transpose(1, 2);
        let [q, k, v] = &self.projections;
        let [q, k, v] = [q, k, v].map(|layer| layer.forward(&places).unsqueeze(1));
        let (mask, dropout, causal, grouped) = (None::<&Tensor>, 0.0, false, false);
        let read =
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, dropout, causal, None, grouped);
        let read = self.output.forward(&read.squeeze_dim(1)).transpose(1, 2);
        sum(read.unflatten(2, [height, width]).contiguous(), x)
    }
}

/// A layer with its weights.
#[derive(Debug)]
enum Built {
    Residual(Box<ResidualBlock>),
    Attention(Box<Attention>),
    Downsample(Convolution),
    Upsample(Convolution),
}

impl Built {
    fn new(weights: &mut WeightMap, layer: &Layer) -> Self {
        let path = format!("{}.conv", layer.path());
        match layer {
            Layer::Residual(block) => Self::Residual(Box::new(ResidualBlock::new(weights, block))),
            Layer::Attention(path, channels) => {
                Self::Attention(Box::new(Attention::new(weights, path, *channels)))
            }
            Layer::Downsample(_, channels) => {
                let convolution = Convolution::new(weights, &path, *channels, *channels, 3);
                Self::Downsample(convolution.with_stride(2).with_padding([0, 0]))
            }
            Layer::Upsample(_, channels) => {
                Self::Upsample(Convolution::new(weights, &path, *channels, *channels, 3))
            }
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Residual(block) => block.forward(x),
            Self::Attention(attention) => attention.forward(x),
            // A row below and a column to the right, of zeros.
            Self::Downsample(convolution) => convolution.forward(&x.constant_pad_nd([0, 1, 0, 1])),
            Self::Upsample(convolution) => {
                let (height, width) = (x.size()[2], x.size()[3]);
                convolution.forward(&x.upsample_nearest2d([2 * height, 2 * width], None, None))
            }
        }
    }
}

/// The convolutions at both ends of a part, and its layers.
#[derive(Debug)]
struct Part {
    conv_in: Convolution,
    layers: Vec<Built>,
    norm_out: GroupNorm,
    conv_out: Convolution,
}

impl Part {
    fn new(
        weights: &mut WeightMap,
        name: &str,
        (from, first): (u32, u32),
        layers: &[Layer],
        (last, to): (u32, u32),
    ) -> Self {
        Self {
            conv_in: Convolution::new(weights, &format!("{name}.conv_in"), from, first, 3),
            layers: layers
                .iter()
                .map(|layer| Built::new(weights, layer))
                .collect(),
            norm_out: norm(weights, &format!("{name}.conv_norm_out"), last),
            conv_out: Convolution::new(weights, &format!("{name}.conv_out"), last, to, 3),
        }
    }

    fn last(&self, h: &Tensor) -> Tensor {
        self.conv_out.forward(&silu(self.norm_out.forward(h)))
    }
}

/// The encoder with its weights.
#[derive(Debug)]
pub struct Encoder {
    part: Part,
    quant_conv: Convolution,
    latent_channels: i64,
    scaling_factor: f64,
    kind: Kind,
}

impl Encoder {
    /// Builds the encoder and takes all its parameters; a file may hold the decoder's.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        for (name, _) in config.decoder_state_dict() {
            weights.skip(&name);
        }
        let moments = 2 * config.latent_channels;
        let part = Part::new(
            weights,
            "encoder",
            (IMAGE_CHANNELS, config.first_channels()),
            &config.encoder(),
            (config.last_channels(), moments),
        );
        let quant_conv = Convolution::new(weights, "quant_conv", moments, moments, 1);
        weights.finish()?;
        Ok(Self {
            part,
            quant_conv,
            latent_channels: i64::from(config.latent_channels),
            scaling_factor: config.scaling_factor,
            kind: weights.precision().kind(),
        })
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the latents, if it runs that
    /// far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`, f32, H and W multiples of 8
    /// - returns: `[N, C, H / 8, W / 8]`, f32
    ///
    /// # Errors
    /// A tap names no block.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn forward_taps(
        &self,
        x: &Tensor,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        // Both convolutions, the layers between them, the moments and the latent.
        let last = BlockIndex(to_u32(self.part.layers.len() + 4));
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
        let mut number = 0;
        // Whether there is more to compute behind this output.
        let mut reach = |output: &Tensor| {
            number += 1;
            if taps.contains(&BlockIndex(number)) {
                visit(BlockIndex(number), output);
            }
            BlockIndex(number) < deepest
        };
        let mut h = self.part.conv_in.forward(&x.to_kind(self.kind));
        if !reach(&h) {
            return Ok(None);
        }
        for layer in &self.part.layers {
            h = layer.forward(&h);
            if !reach(&h) {
                return Ok(None);
            }
        }
        let h = self.part.last(&h);
        if !reach(&h) {
            return Ok(None);
        }
        let moments = self.quant_conv.forward(&h);
        if !reach(&moments) {
            return Ok(None);
        }
        let mean = moments.narrow(1, 0, self.latent_channels);
        let latent = mean.to_kind(Kind::Float) * self.scaling_factor;
        reach(&latent);
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(latent),
        })
    }
}

/// The decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    post_quant_conv: Convolution,
    part: Part,
    scaling_factor: f64,
    kind: Kind,
}

impl Decoder {
    /// Builds the decoder and takes all its parameters; a file may hold the encoder's.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        for (name, _) in config.encoder_state_dict() {
            weights.skip(&name);
        }
        let latent = config.latent_channels;
        let part = Part::new(
            weights,
            "decoder",
            (latent, config.last_channels()),
            &config.decoder(),
            (config.first_channels(), IMAGE_CHANNELS),
        );
        let post_quant_conv = Convolution::new(weights, "post_quant_conv", latent, latent, 1);
        weights.finish()?;
        Ok(Self {
            post_quant_conv,
            part,
            scaling_factor: config.scaling_factor,
            kind: weights.precision().kind(),
        })
    }
}

impl Decode for Decoder {
    fn decode(&self, latents: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let unscaled: Tensor = latents / self.scaling_factor;
        let mut h = self.post_quant_conv.forward(&unscaled.to_kind(self.kind));
        h = self.part.conv_in.forward(&h);
        for layer in &self.part.layers {
            h = layer.forward(&h);
        }
        self.part.last(&h).to_kind(Kind::Float)
    }
}
