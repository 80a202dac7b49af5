//! The plan of a U-Net: which layers stand in which block, derived once from the configuration.
//!
//! Names of parameters, shapes of taps, costs and the network itself are all read off this plan, so they cannot
//! disagree.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py (`UNetModel.__init__`).

use super::config::Config;
use super::layer::{Layer, Parameters, Resample};
use crate::models::TapShape;
use crate::models::block::{BlockIndex, BlockInfo};

/// A whole U-Net, or its encoder.
#[derive(Clone, Debug)]
pub struct UNetLayout {
    config: Config,
    /// All blocks in the order of the forward pass: encoder, middle, and decoder where there is one.
    pub blocks: Vec<BlockLayout>,
    /// Channels that the last block gives to the final `out` layers.
    pub final_channels: u32,
}

/// One block, which is one `TimestepEmbedSequential` upstream.
#[derive(Clone, Debug)]
pub struct BlockLayout {
    /// The block's name in the checkpoint, e.g. `output_blocks.5`.
    pub path: String,
    /// Where in the U-Net the block stands.
    pub part: Part,
    /// The block's layers; layer `i` is named `{path}.{i}` in the checkpoint.
    pub layers: Vec<Layer>,
    /// Side of the square feature map that enters the block, in pixels.
    pub side: u32,
}

impl BlockLayout {
    /// Channels that leave the block.
    pub fn outputs(&self) -> u32 {
        self.layers.last().map_or(0, |layer| layer.outputs())
    }
}

/// The three parts of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Blocks whose outputs are kept for the decoder.
    Encoder,
    /// The one block between encoder and decoder, at the lowest resolution.
    Middle,
    /// Blocks that receive the last block's output and one kept output, concatenated in this order.
    Decoder,
}

impl UNetLayout {
    /// Lays out the network without its decoder: the blocks up to the middle one. Meaningful if `config.validate()` found nothing.
    pub fn encoder(config: &Config) -> Self {
        let levels = config.level_channels();
        let first = levels.first().copied().unwrap_or(0);
        let mut side = config.image_size;
        let mut channels = first;
        let mut blocks = vec![BlockLayout {
            path: "input_blocks.0".into(),
            part: Part::Encoder,
            layers: vec![Layer::Convolution {
                inputs: config.in_channels,
                outputs: first,
            }],
            side,
        }];

        for (level, &outputs) in levels.iter().enumerate() {
            for _ in 0..config.num_res_blocks {
                let mut layers = vec![Layer::Residual {
                    inputs: channels,
                    outputs,
                    resample: Resample::Keep,
                }];
                if config.attention_resolutions.contains(&side) {
                    layers.push(attention(config, outputs));
                }
                channels = outputs;
                push(&mut blocks, Part::Encoder, layers, side);
            }
            if level + 1 < levels.len() {
                let down = if config.resblock_updown {
                    Layer::Residual {
                        inputs: channels,
                        outputs: channels,
                        resample: Resample::Down,
                    }
                } else {
                    Layer::Downsample {
                        channels,
                        convolution: config.conv_resample,
                    }
                };
                push(&mut blocks, Part::Encoder, vec![down], side);
                side /= 2;
            }
        }

        let residual = Layer::Residual {
            inputs: channels,
            outputs: channels,
            resample: Resample::Keep,
        };
        push(
            &mut blocks,
            Part::Middle,
            vec![residual, attention(config, channels), residual],
            side,
        );
        Self {
            config: config.clone(),
            blocks,
            final_channels: channels,
        }
    }

    /// Lays out the network. Meaningful if `config.validate()` found nothing.
    pub fn new(config: &Config) -> Self {
        let levels = config.level_channels();
        let Self {
            mut blocks,
            final_channels: mut channels,
            ..
        } = Self::encoder(config);
        let mut side = blocks.last().map_or(0, |middle| middle.side);
        let kept = blocks.iter().filter(|block| block.part == Part::Encoder);
        let mut skips: Vec<u32> = kept.map(BlockLayout::outputs).collect();

        for (level, &outputs) in levels.iter().enumerate().rev() {
            for i in 0..=config.num_res_blocks {
                let inputs = channels + skips.pop().unwrap_or(0);
                let mut layers = vec![Layer::Residual {
                    inputs,
                    outputs,
                    resample: Resample::Keep,
                }];
                channels = outputs;
                if config.attention_resolutions.contains(&side) {
                    layers.push(attention(config, channels));
                }
                let entering = side;
                if level > 0 && i == config.num_res_blocks {
                    layers.push(if config.resblock_updown {
                        Layer::Residual {
                            inputs: channels,
                            outputs: channels,
                            resample: Resample::Up,
                        }
                    } else {
                        Layer::Upsample {
                            channels,
                            convolution: config.conv_resample,
                        }
                    });
                    side *= 2;
                }
                push(&mut blocks, Part::Decoder, layers, entering);
            }
        }
        Self {
            config: config.clone(),
            blocks,
            final_channels: channels,
        }
    }

    /// Side of the square feature map that the last block gives, in pixels; it never changes the resolution.
    pub fn final_side(&self) -> u32 {
        self.blocks.last().map_or(0, |block| block.side)
    }

    /// The parameters of the timestep's embedding and of the blocks, in the order of upstream's state dict.
    pub fn parameters(&self) -> Parameters {
        let config = &self.config;
        let (width, embedding) = (config.model_channels, config.time_embed_channels());
        let mut list = Parameters::default();
        list.weight_and_bias("time_embed.0", &[embedding, width]);
        list.weight_and_bias("time_embed.2", &[embedding, embedding]);
        if let Some(classes) = config.num_classes {
            list.weight("label_emb", &[classes, embedding]);
        }
        for block in &self.blocks {
            for (i, layer) in block.layers.iter().enumerate() {
                layer.list_parameters(&format!("{}.{i}", block.path), config, &mut list);
            }
        }
        list
    }

    /// Name and shape of every parameter of a whole U-Net, in the order of upstream's state dict.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let config = &self.config;
        let mut list = self.parameters();
        list.weight_and_bias("out.0", &[self.final_channels]);
        list.weight_and_bias("out.2", &[config.out_channels(), self.final_channels, 3, 3]);
        list.0
    }

    /// Multiply-adds of a whole U-Net, the output's convolution included.
    pub fn multiply_adds(&self) -> u64 {
        let config = &self.config;
        let side = u64::from(config.image_size);
        let channels = u64::from(self.final_channels) * u64::from(config.out_channels());
        let blocks = self.block_infos();
        let blocks = blocks.last().map_or(0, |block| block.multiply_adds);
        blocks.saturating_add(side * side * 9 * channels)
    }

    /// Shape and cost of every block.
    pub fn block_infos(&self) -> Vec<BlockInfo> {
        let config = &self.config;
        let (width, embedding) = (
            u64::from(config.model_channels),
            u64::from(config.time_embed_channels()),
        );
        let mut multiply_adds = width * embedding + embedding * embedding;
        (1..)
            .zip(&self.blocks)
            .map(|(number, block)| {
                let mut shape = [0, block.side, block.side];
                for layer in &block.layers {
                    let (after, cost) = layer.apply(shape, config);
                    shape = after;
                    multiply_adds = multiply_adds.saturating_add(cost);
                }
                BlockInfo {
                    index: BlockIndex(number),
                    path: block.path.clone(),
                    shape: TapShape::map(shape[0], shape[1], shape[2]),
                    multiply_adds,
                }
            })
            .collect()
    }
}

/// Self-attention of so many channels.
fn attention(config: &Config, channels: u32) -> Layer {
    Layer::Attention {
        channels,
        heads: config.heads(channels),
    }
}

/// Appends a block, named by its part and by how many blocks of that part there are already.
fn push(blocks: &mut Vec<BlockLayout>, part: Part, layers: Vec<Layer>, side: u32) {
    let number = blocks.iter().filter(|block| block.part == part).count();
    let path = match part {
        Part::Encoder => format!("input_blocks.{number}"),
        Part::Middle => "middle_block".into(),
        Part::Decoder => format!("output_blocks.{number}"),
    };
    blocks.push(BlockLayout {
        path,
        part,
        layers,
        side,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Config {
        crate::models::kinds::guided_diffusion::presets::find("adm-tiny")
            .unwrap()
            .network
            .clone()
    }

    #[test]
    fn plain_resampling_layers_have_the_reference_names() {
        let config = Config {
            resblock_updown: false,
            ..tiny()
        };
        let names: Vec<String> = config
            .state_dict()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert!(names.contains(&"input_blocks.2.0.op.weight".into()));
        // Attention stands between the residual block and the upsampling layer.
        assert!(names.contains(&"output_blocks.1.2.conv.weight".into()));
        let averaged = Config {
            conv_resample: false,
            ..config
        };
        assert!(
            averaged
                .state_dict()
                .iter()
                .all(|(name, _)| !name.contains(".op.") && !name.contains(".conv."))
        );
    }

    /// Worked by hand for the smallest case: one level, one residual block, no scale and shift.
    #[test]
    fn multiply_adds_count_convolutions_linear_layers_and_attention_products() {
        let config = Config {
            image_size: 8,
            num_res_blocks: 1,
            channel_mult: vec![1.0],
            attention_resolutions: vec![8],
            use_scale_shift_norm: false,
            ..tiny()
        };
        let time = 32 * 128 + 128 * 128;
        let first = 64 * 9 * 3 * 32;
        let residual = 2 * 64 * 9 * 32 * 32 + 128 * 32;
        let attention = 64 * 32 * 96 + 64 * 32 * 32 + 2 * 64 * 64 * 32;
        let widening = 64 * 9 * 64 * 32 + 64 * 9 * 32 * 32 + 128 * 32 + 64 * 64 * 32;
        let expected = [
            time + first,
            residual + attention,
            2 * residual + attention,
            widening + attention,
            widening + attention,
        ];
        let mut total = 0;
        for (info, cost) in config.blocks().iter().zip(expected) {
            total += cost;
            assert_eq!(info.multiply_adds, total, "{}", info.path);
        }
        let output = 64 * 9 * 32 * u64::from(config.out_channels());
        assert_eq!(UNetLayout::new(&config).multiply_adds(), total + output);
    }
}
