//! The shape of a ResNet of bottleneck blocks, and what follows from it without running anything.
//!
//! # Reference
//! pytorch/vision v0.26.0: torchvision/models/resnet.py (`ResNet`, `Bottleneck`); He et al. 2015 (arXiv 1512.03385), table 1.

use serde::{Deserialize, Serialize};

use super::layouts::FILE_NAMES;
use crate::models::checkpoint::file_names::{BATCH_COUNT, FileNames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::parameter_count;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// A block's output has so many times the channels that it computes with inside.
const EXPANSION: u32 = 4;

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the square input in pixels.
    pub image_size: u32,
    /// Blocks in each of `layer1` to `layer4`. ResNet-50: 3, 4, 6, 3.
    pub layers: [u32; 4],
    /// Channels after the first convolution, and inside the blocks of `layer1`; each further layer has twice as many. ResNet-50:
    /// 64.
    pub base_width: u32,
    /// Classes of the linear layer at the end; absent for a network that was published without one.
    #[serde(default)]
    pub classes: Option<u32>,
}

/// One bottleneck block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// Its name in the checkpoint, e.g. `layer3.5`.
    pub path: String,
    /// Channels that enter.
    pub inputs: u32,
    /// Channels of its 3×3 convolution.
    pub width: u32,
    /// Channels that leave.
    pub outputs: u32,
    /// Of its 3×3 convolution, and of the projection beside it.
    pub stride: u32,
    /// Whether a projection stands beside it, as in the first block of each layer.
    pub has_projection: bool,
}

impl Config {
    /// All bottleneck blocks in the order of the forward pass.
    pub fn bottlenecks(&self) -> Vec<Bottleneck> {
        let mut blocks = Vec::new();
        let mut inputs = self.base_width;
        let mut width = self.base_width;
        for (layer, &count) in (1..).zip(&self.layers) {
            let outputs = width * EXPANSION;
            for place in 0..count {
                let is_first = place == 0;
                blocks.push(Bottleneck {
                    path: format!("layer{layer}.{place}"),
                    inputs,
                    width,
                    outputs,
                    stride: if is_first && layer > 1 { 2 } else { 1 },
                    has_projection: is_first,
                });
                inputs = outputs;
            }
            width *= 2;
        }
        blocks
    }

    /// Width of the pooled feature.
    pub fn feature_width(&self) -> u32 {
        self.bottlenecks().last().map_or(0, |block| block.outputs)
    }

    /// Every tap: what the first max pool reads, as block 0, the bottleneck blocks, the pooled feature, and the logits where there are
    /// classes.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let convolution = |inputs: u32, outputs: u32, kernel: u32, side: u32| {
            [inputs, outputs, kernel, kernel, side, side]
                .into_iter()
                .map(u64::from)
                .product::<u64>()
        };
        // Every layer that halves the side pads so that it rounds up: the first convolution, the max pool after it, and
        // strides of 2.
        let stem = self.image_size.div_ceil(2);
        let mut side = stem.div_ceil(2);
        let mut multiply_adds = convolution(3, self.base_width, 7, stem);
        let first = TapShape::map(self.base_width, stem, stem);
        let mut taps: Vec<(String, TapShape, u64)> =
            vec![("conv1".to_owned(), first, multiply_adds)];
        for block in self.bottlenecks() {
            let before = side;
            side = side.div_ceil(block.stride);
            multiply_adds += convolution(block.inputs, block.width, 1, before)
                + convolution(block.width, block.width, 3, side)
                + convolution(block.width, block.outputs, 1, side);
            if block.has_projection {
                multiply_adds += convolution(block.inputs, block.outputs, 1, side);
            }
            let shape = TapShape::map(block.outputs, side, side);
            taps.push((block.path, shape, multiply_adds));
        }
        let width = self.feature_width();
        let pooled = TapShape::Vector { width };
        taps.push(("avgpool".to_owned(), pooled, multiply_adds));
        if let Some(classes) = self.classes {
            multiply_adds += u64::from(width) * u64::from(classes);
            let logits = TapShape::Vector { width: classes };
            taps.push(("fc".to_owned(), logits, multiply_adds));
        }
        (0..)
            .zip(taps)
            .map(|(number, (path, shape, multiply_adds))| BlockInfo {
                index: BlockIndex(number),
                path,
                shape,
                multiply_adds,
            })
            .collect()
    }

    /// Name and shape of every tensor that the network needs, parameters and running statistics, in the order of torchvision's
    /// state dict, whose counts of batches are left out.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[u32]| {
            // A u32 fits into a usize on every platform that libtorch runs on.
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        };
        let mut layer = |(convolution, norm): (&str, &str), [outputs, inputs, kernel]: [u32; 3]| {
            push(
                format!("{convolution}.weight"),
                &[outputs, inputs, kernel, kernel],
            );
            for part in ["weight", "bias", "running_mean", "running_var"] {
                push(format!("{norm}.{part}"), &[outputs]);
            }
        };
        layer(("conv1", "bn1"), [self.base_width, 3, 7]);
        for block in self.bottlenecks() {
            let Bottleneck {
                path,
                inputs,
                width,
                outputs,
                ..
            } = block;
            for (number, sizes) in [
                (1, [width, inputs, 1]),
                (2, [width, width, 3]),
                (3, [outputs, width, 1]),
            ] {
                let names = (format!("{path}.conv{number}"), format!("{path}.bn{number}"));
                layer((&names.0, &names.1), sizes);
            }
            if block.has_projection {
                let names = (
                    format!("{path}.downsample.0"),
                    format!("{path}.downsample.1"),
                );
                layer((&names.0, &names.1), [outputs, inputs, 1]);
            }
        }
        if let Some(classes) = self.classes {
            push("fc.weight".to_owned(), &[classes, self.feature_width()]);
            push("fc.bias".to_owned(), &[classes]);
        }
        list
    }

    /// How many parameters there are; running statistics are none.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }

    /// Whether a file holds just the tensors of this network.
    pub fn fits(&self, tensors: &StoredTensors) -> bool {
        FileNames::fit(tensors, FILE_NAMES, &self.state_dict(), |name| {
            name.ends_with(BATCH_COUNT)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resnet_50() -> Config {
        Config {
            image_size: 224,
            layers: [3, 4, 6, 3],
            base_width: 64,
            classes: Some(1000),
        }
    }

    #[test]
    fn multiply_adds_are_those_of_convolutions_and_the_linear_layer() {
        let blocks = resnet_50().blocks();
        let cost = |number: usize| blocks[number].multiply_adds;
        let stem = 112 * 112 * 64 * 3 * 49;
        let first = 56 * 56 * (64 * 64 + 9 * 64 * 64 + 64 * 256 + 64 * 256);
        let second = 56 * 56 * (256 * 64 + 9 * 64 * 64 + 64 * 256);
        assert_eq!(cost(0), stem);
        assert_eq!(cost(1), stem + first);
        assert_eq!(cost(2), stem + first + second);
        // Block 4 reduces before its stride, and projects with it.
        let strided = 56 * 56 * 256 * 128 + 28 * 28 * (9 * 128 * 128 + 128 * 512 + 256 * 512);
        assert_eq!(cost(4), stem + first + 2 * second + strided);
        assert_eq!(cost(17), cost(16));
        assert_eq!(cost(18) - cost(17), 2048 * 1000);
        // As torchvision counts them: 4.089 billion.
        assert_eq!(cost(18), 4_089_184_256);
    }

    #[test]
    fn taps_are_the_first_convolution_the_blocks_the_pooled_feature_and_the_logits() {
        let config = resnet_50();
        let blocks = config.blocks();
        assert_eq!((blocks.len(), config.parameter_count()), (19, 25_557_032));
        for (number, path, shape) in [
            (0, "conv1", TapShape::map(64, 112, 112)),
            (1, "layer1.0", TapShape::map(256, 56, 56)),
            (16, "layer4.2", TapShape::map(2048, 7, 7)),
            (17, "avgpool", TapShape::Vector { width: 2048 }),
            (18, "fc", TapShape::Vector { width: 1000 }),
        ] {
            let block = &blocks[number as usize];
            assert_eq!(block.index, BlockIndex(number));
            assert_eq!((block.path.as_str(), block.shape), (path, shape));
        }
        let headless = Config {
            classes: None,
            ..config
        };
        assert_eq!(headless.blocks(), blocks[..18]);
        assert_eq!(headless.parameter_count(), 25_557_032 - 2_049_000);
    }

    #[test]
    fn odd_sides_are_rounded_up() {
        let config = Config {
            image_size: 97,
            ..resnet_50()
        };
        let sides: Vec<u32> = config
            .blocks()
            .iter()
            .filter_map(|block| match block.shape {
                TapShape::Map { height, .. } => Some(height),
                _ => None,
            })
            .collect();
        let of = [0, 1, 4, 8, 14].map(|number: usize| sides[number]);
        assert_eq!(of, [49, 25, 13, 7, 4]);
    }
}
