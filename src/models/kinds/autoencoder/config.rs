//! The shape of an autoencoder, and what follows from it without running anything.
//!
//! # Reference
//! diffusers 0.42.1: src/diffusers/models/autoencoders/autoencoder_kl.py, vae.py; CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229:
//! ldm/modules/diffusionmodules/model.py (`Encoder`, `Decoder`); Rombach et al. 2022 (arXiv 2112.10752).

use serde::{Deserialize, Serialize};

use super::layouts::{FILE_NAMES, PROBE};
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::parameter_count;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// Channels of an image.
pub const IMAGE_CHANNELS: u32 = 3;
/// Pixels of an image for each place of a latent, along each side: three levels halve it.
pub const PIXELS_PER_PLACE: u32 = 8;

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of each level; all but the last halve the side.
    pub block_out_channels: Vec<u32>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub layers_per_block: u32,
    /// Channels of a latent.
    pub latent_channels: u32,
    /// What the mean of a latent's distribution is multiplied by.
    pub scaling_factor: f64,
}

/// One residual block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
    /// Its name in the checkpoint.
    pub path: String,
    /// Channels that enter.
    pub inputs: u32,
    /// Channels that leave.
    pub outputs: u32,
}

/// One step of the encoder or the decoder between its first and its last convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A residual block.
    Residual(Residual),
    /// Attention over all places, of this many channels.
    Attention(String, u32),
    /// A convolution of this many channels that halves the side.
    Downsample(String, u32),
    /// A convolution of this many channels behind each place being doubled.
    Upsample(String, u32),
}

impl Layer {
    /// Its name in the checkpoint.
    pub fn path(&self) -> &str {
        match self {
            Self::Residual(Residual { path, .. })
            | Self::Attention(path, _)
            | Self::Downsample(path, _)
            | Self::Upsample(path, _) => path,
        }
    }

    /// Channels and side behind it, and its multiply-adds, for a feature map of this side.
    fn behind(&self, side: u32) -> (u32, u32, u64) {
        match self {
            Self::Residual(block) => {
                let Residual {
                    inputs, outputs, ..
                } = *block;
                let shortcut = if inputs == outputs {
                    0
                } else {
                    convolution(inputs, outputs, 1, side)
                };
                let cost = convolution(inputs, outputs, 3, side)
                    + convolution(outputs, outputs, 3, side)
                    + shortcut;
                (outputs, side, cost)
            }
            Self::Attention(_, channels) => {
                let places = u64::from(side) * u64::from(side);
                let products = 2 * places * places * u64::from(*channels);
                let layers = 4 * convolution(*channels, *channels, 1, side);
                (*channels, side, layers + products)
            }
            Self::Downsample(_, channels) => {
                let side = side / 2;
                (*channels, side, convolution(*channels, *channels, 3, side))
            }
            Self::Upsample(_, channels) => {
                let side = side * 2;
                (*channels, side, convolution(*channels, *channels, 3, side))
            }
        }
    }

    /// Name and shape of each of its tensors.
    fn state_dict(&self, push: &mut dyn FnMut(String, &[u32])) {
        let mut layer = |name: &str, shape: &[u32]| {
            let path = self.path();
            push(format!("{path}.{name}.weight"), shape);
            push(format!("{path}.{name}.bias"), &shape[..1]);
        };
        match self {
            Self::Residual(block) => {
                let Residual {
                    inputs, outputs, ..
                } = *block;
                layer("norm1", &[inputs]);
                layer("conv1", &[outputs, inputs, 3, 3]);
                layer("norm2", &[outputs]);
                layer("conv2", &[outputs, outputs, 3, 3]);
                if inputs != outputs {
                    layer("conv_shortcut", &[outputs, inputs, 1, 1]);
                }
            }
            Self::Attention(_, channels) => {
                layer("group_norm", &[*channels]);
                for name in ["to_q", "to_k", "to_v", "to_out.0"] {
                    layer(name, &[*channels, *channels]);
                }
            }
            Self::Downsample(_, channels) | Self::Upsample(_, channels) => {
                layer("conv", &[*channels, *channels, 3, 3]);
            }
        }
    }
}

/// Multiply-adds of a convolution.
fn convolution(inputs: u32, outputs: u32, kernel: u32, side: u32) -> u64 {
    let sizes = [inputs, outputs, kernel, kernel, side, side];
    sizes.into_iter().map(u64::from).product()
}

impl Config {
    /// Channels of the first level.
    pub fn first_channels(&self) -> u32 {
        self.block_out_channels.first().copied().unwrap_or(1)
    }

    /// Channels of the last level.
    pub fn last_channels(&self) -> u32 {
        self.block_out_channels.last().copied().unwrap_or(1)
    }

    /// Two residual blocks with attention between them.
    fn middle(&self, part: &str) -> [Layer; 3] {
        let channels = self.last_channels();
        let residual = |place: u32| {
            Layer::Residual(Residual {
                path: format!("{part}.mid_block.resnets.{place}"),
                inputs: channels,
                outputs: channels,
            })
        };
        let attention = format!("{part}.mid_block.attentions.0");
        [
            residual(0),
            Layer::Attention(attention, channels),
            residual(1),
        ]
    }

    /// The encoder between its first and its last convolution, in order.
    pub fn encoder(&self) -> Vec<Layer> {
        let mut inputs = self.first_channels();
        let last = self.block_out_channels.len().saturating_sub(1);
        let mut layers = Vec::new();
        for (level, &outputs) in self.block_out_channels.iter().enumerate() {
            for place in 0..self.layers_per_block {
                layers.push(Layer::Residual(Residual {
                    path: format!("encoder.down_blocks.{level}.resnets.{place}"),
                    inputs,
                    outputs,
                }));
                inputs = outputs;
            }
            if level < last {
                let path = format!("encoder.down_blocks.{level}.downsamplers.0");
                layers.push(Layer::Downsample(path, outputs));
            }
        }
        layers.extend(self.middle("encoder"));
        layers
    }

    /// The decoder between its first and its last convolution, in order.
    pub fn decoder(&self) -> Vec<Layer> {
        let mut layers = self.middle("decoder").to_vec();
        let mut inputs = self.last_channels();
        let last = self.block_out_channels.len().saturating_sub(1);
        for (level, &outputs) in self.block_out_channels.iter().rev().enumerate() {
            for place in 0..=self.layers_per_block {
                layers.push(Layer::Residual(Residual {
                    path: format!("decoder.up_blocks.{level}.resnets.{place}"),
                    inputs,
                    outputs,
                }));
                inputs = outputs;
            }
            if level < last {
                let path = format!("decoder.up_blocks.{level}.upsamplers.0");
                layers.push(Layer::Upsample(path, outputs));
            }
        }
        layers
    }

    /// Side of the latent of an image.
    pub fn latent_side(&self, size: u32) -> u32 {
        size / PIXELS_PER_PLACE
    }

    /// Every tap for images of a size: the first convolution, each layer of the encoder, its last convolution, the mean and the logarithm
    /// of the variance of the latent's distribution, and the latent.
    pub fn blocks(&self, size: u32) -> Vec<BlockInfo> {
        let mut side = size;
        let mut cost = convolution(IMAGE_CHANNELS, self.first_channels(), 3, side);
        let mut taps = vec![(
            "encoder.conv_in".to_owned(),
            TapShape::map(self.first_channels(), side, side),
            cost,
        )];
        for layer in self.encoder() {
            let (channels, after, added) = layer.behind(side);
            side = after;
            cost += added;
            let shape = TapShape::map(channels, side, side);
            taps.push((layer.path().to_owned(), shape, cost));
        }
        let moments = 2 * self.latent_channels;
        cost += convolution(self.last_channels(), moments, 3, side);
        let shape = TapShape::map(moments, side, side);
        taps.push(("encoder.conv_out".to_owned(), shape, cost));
        cost += convolution(moments, moments, 1, side);
        taps.push(("quant_conv".to_owned(), shape, cost));
        let latent = TapShape::map(self.latent_channels, side, side);
        taps.push(("latent".to_owned(), latent, cost));
        (1..)
            .zip(taps)
            .map(|(number, (path, shape, multiply_adds))| BlockInfo {
                index: BlockIndex(number),
                path,
                shape,
                multiply_adds,
            })
            .collect()
    }

    /// Multiply-adds of the decoder for an image of a size.
    pub fn decoder_multiply_adds(&self, size: u32) -> u64 {
        let mut side = self.latent_side(size);
        let mut cost = convolution(self.latent_channels, self.latent_channels, 1, side)
            + convolution(self.latent_channels, self.last_channels(), 3, side);
        for layer in self.decoder() {
            let (_, after, added) = layer.behind(side);
            side = after;
            cost += added;
        }
        cost + convolution(self.first_channels(), IMAGE_CHANNELS, 3, side)
    }

    /// Name and shape of every tensor, [`PROBE`] first: those of the encoder with `quant_conv`, then those of the decoder.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = self.encoder_state_dict();
        list.extend(self.decoder_state_dict());
        list
    }

    /// Name and shape of every tensor that latents are computed from.
    pub fn encoder_state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let moments = 2 * self.latent_channels;
        let mut list = part(
            "encoder",
            (IMAGE_CHANNELS, self.first_channels()),
            &self.encoder(),
            (self.last_channels(), moments),
        );
        push_layer(&mut list, "quant_conv", &[moments, moments, 1, 1]);
        // Whose names a file has is asked of the first.
        if let Some(place) = list.iter().position(|(name, _)| name == PROBE) {
            list.swap(0, place);
        }
        list
    }

    /// Name and shape of every tensor that images are decoded with.
    pub fn decoder_state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let latent = self.latent_channels;
        let mut list = part(
            "decoder",
            (latent, self.last_channels()),
            &self.decoder(),
            (self.first_channels(), IMAGE_CHANNELS),
        );
        push_layer(&mut list, "post_quant_conv", &[latent, latent, 1, 1]);
        list
    }

    /// How many parameters there are, those of the decoder included.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }

    /// Whether a file holds the tensors of this network, beside others that are known.
    pub fn fits(&self, tensors: &StoredTensors) -> bool {
        FileNames::fit(tensors, FILE_NAMES, &self.state_dict(), |_| false)
    }
}

/// Adds the weight and the bias of a layer.
fn push_layer(list: &mut Vec<(String, Vec<usize>)>, path: &str, shape: &[u32]) {
    // A u32 fits into a usize on every platform that libtorch runs on.
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    let bias = shape.iter().copied().take(1).collect();
    list.push((format!("{path}.weight"), shape));
    list.push((format!("{path}.bias"), bias));
}

/// The tensors of the encoder or the decoder: its first convolution, its layers, a normalization and its last convolution.
fn part(
    name: &str,
    (from, first): (u32, u32),
    layers: &[Layer],
    (last, to): (u32, u32),
) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    push_layer(&mut list, &format!("{name}.conv_in"), &[first, from, 3, 3]);
    for layer in layers {
        layer.state_dict(&mut |name, shape| {
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        });
    }
    push_layer(&mut list, &format!("{name}.conv_norm_out"), &[last]);
    push_layer(&mut list, &format!("{name}.conv_out"), &[to, last, 3, 3]);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::kinds::autoencoder::presets;

    #[test]
    fn the_last_tap_is_the_latent_of_an_eighth_of_the_side() {
        let config = presets::find("sd-vae").unwrap().network;
        for size in [256, 512] {
            let blocks = config.blocks(size);
            // One convolution, 4 × 2 residual blocks, 3 steps down, the middle, the last convolution, the moments, the latent.
            assert_eq!(blocks.len(), 1 + 8 + 3 + 3 + 3);
            assert!(blocks.is_sorted_by_key(|block| block.multiply_adds));
            let shape = TapShape::map(4, size / 8, size / 8);
            assert_eq!(blocks.last().unwrap().shape, shape);
        }
    }

    #[test]
    fn the_published_network_has_its_number_of_parameters() {
        // Of diffusers' AutoencoderKL in this shape.
        let config = presets::find("sd-vae").unwrap().network;
        assert_eq!(config.parameter_count(), 83_653_863);
        let tiny = presets::find("vae-tiny").unwrap().network;
        assert_eq!(tiny.parameter_count(), 3_212_071);
    }

    #[test]
    fn every_name_has_one_in_each_layout_and_back() {
        let config = presets::find("vae-tiny").unwrap().network;
        for names in FILE_NAMES {
            for (name, _) in config.state_dict() {
                let stored = names.stored(&name);
                assert_eq!(names.of_network(&stored).as_deref(), Some(name.as_str()));
            }
        }
    }
}
