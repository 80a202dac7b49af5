//! The layers that a guided-diffusion U-Net is laid out with: their parameters and their cost.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py; names as in its state dict.

use super::config::Config;

/// A layer of a block, with channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The first layer of all, a 3×3 convolution.
    Convolution { inputs: u32, outputs: u32 },
    /// A residual block, which may change the resolution.
    Residual {
        inputs: u32,
        outputs: u32,
        resample: Resample,
    },
    /// Self-attention over all positions.
    Attention { channels: u32, heads: u32 },
    /// Halves the side, by a strided convolution or by averaging.
    Downsample { channels: u32, convolution: bool },
    /// Doubles the side by repeating pixels, with or without a convolution after it.
    Upsample { channels: u32, convolution: bool },
}

/// What a residual block does to the side of the feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The side stays as it is.
    Keep,
    /// The side is halved by averaging.
    Down,
    /// The side is doubled by repeating pixels.
    Up,
}

impl Layer {
    /// Channels that leave the layer.
    pub fn outputs(self) -> u32 {
        match self {
            Self::Convolution { outputs, .. } | Self::Residual { outputs, .. } => outputs,
            Self::Attention { channels, .. }
            | Self::Downsample { channels, .. }
            | Self::Upsample { channels, .. } => channels,
        }
    }

    /// Lists the layer's parameters below `path`.
    pub fn list_parameters(self, path: &str, config: &Config, list: &mut Parameters) {
        match self {
            Self::Convolution { inputs, outputs } => {
                list.weight_and_bias(path, &[outputs, inputs, 3, 3]);
            }
            Self::Residual {
                inputs, outputs, ..
            } => {
                let embedding = config.time_embed_channels();
                let modulation = modulation_channels(outputs, config);
                list.weight_and_bias(&format!("{path}.in_layers.0"), &[inputs]);
                list.weight_and_bias(&format!("{path}.in_layers.2"), &[outputs, inputs, 3, 3]);
                list.weight_and_bias(&format!("{path}.emb_layers.1"), &[modulation, embedding]);
                list.weight_and_bias(&format!("{path}.out_layers.0"), &[outputs]);
                list.weight_and_bias(&format!("{path}.out_layers.3"), &[outputs, outputs, 3, 3]);
                if inputs != outputs {
                    list.weight_and_bias(
                        &format!("{path}.skip_connection"),
                        &[outputs, inputs, 1, 1],
                    );
                }
            }
            Self::Attention { channels, .. } => {
                list.weight_and_bias(&format!("{path}.norm"), &[channels]);
                list.weight_and_bias(&format!("{path}.qkv"), &[3 * channels, channels, 1]);
                list.weight_and_bias(&format!("{path}.proj_out"), &[channels, channels, 1]);
            }
            Self::Downsample {
                channels,
                convolution: true,
            } => {
                list.weight_and_bias(&format!("{path}.op"), &[channels, channels, 3, 3]);
            }
            Self::Upsample {
                channels,
                convolution: true,
            } => {
                list.weight_and_bias(&format!("{path}.conv"), &[channels, channels, 3, 3]);
            }
            Self::Downsample {
                convolution: false, ..
            }
            | Self::Upsample {
                convolution: false, ..
            } => {}
        }
    }

    /// The shape `[C, H, W]` after the layer, and the layer's multiply-adds, for the shape before it.
    pub fn apply(self, [_, height, width]: [u32; 3], config: &Config) -> ([u32; 3], u64) {
        let (height, width) = match self {
            Self::Residual {
                resample: Resample::Down,
                ..
            }
            | Self::Downsample { .. } => (height / 2, width / 2),
            Self::Residual {
                resample: Resample::Up,
                ..
            }
            | Self::Upsample { .. } => (height * 2, width * 2),
            _ => (height, width),
        };
        // Every convolution here runs at the resolution that the layer puts out.
        let pixels = u64::from(height) * u64::from(width);
        let convolution = |inputs: u32, outputs: u32, area: u64| {
            pixels * area * u64::from(inputs) * u64::from(outputs)
        };
        let (channels, cost) = match self {
            Self::Convolution { inputs, outputs } => (outputs, convolution(inputs, outputs, 9)),
            Self::Residual {
                inputs, outputs, ..
            } => {
                let modulation = u64::from(modulation_channels(outputs, config));
                let skip = if inputs == outputs {
                    0
                } else {
                    convolution(inputs, outputs, 1)
                };
                let embedding = u64::from(config.time_embed_channels()) * modulation;
                (
                    outputs,
                    convolution(inputs, outputs, 9)
                        + embedding
                        + convolution(outputs, outputs, 9)
                        + skip,
                )
            }
            Self::Attention { channels, .. } => {
                let products = 2 * pixels * pixels * u64::from(channels);
                (channels, convolution(channels, 4 * channels, 1) + products)
            }
            Self::Downsample {
                channels,
                convolution: learned,
            }
            | Self::Upsample {
                channels,
                convolution: learned,
            } => (
                channels,
                if learned {
                    convolution(channels, channels, 9)
                } else {
                    0
                },
            ),
        };
        ([channels, height, width], cost)
    }
}

/// Numbers that the timestep embedding is projected to in a residual block of `outputs` channels.
pub fn modulation_channels(outputs: u32, config: &Config) -> u32 {
    if config.use_scale_shift_norm {
        2 * outputs
    } else {
        outputs
    }
}

/// A growing list of parameter names and shapes.
#[derive(Default)]
pub struct Parameters(pub Vec<(String, Vec<usize>)>);

impl Parameters {
    /// Appends `{path}.weight`.
    pub fn weight(&mut self, path: &str, shape: &[u32]) {
        // A u32 fits into a usize on every platform that libtorch runs on.
        self.0.push((
            format!("{path}.weight"),
            shape.iter().map(|&size| size as usize).collect(),
        ));
    }

    /// Appends `{path}.weight` and its bias, whose length is the weight's first axis.
    pub fn weight_and_bias(&mut self, path: &str, shape: &[u32]) {
        self.weight(path, shape);
        let length = shape.iter().take(1).map(|&size| size as usize).collect();
        self.0.push((format!("{path}.bias"), length));
    }
}
