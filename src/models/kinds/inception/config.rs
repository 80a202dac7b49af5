//! The shape of an Inception-v3, and what follows from it without running anything: taps, names and costs, read off the list of its
//! [stages](super::stages).
//!
//! # Reference
//! pytorch/vision v0.26.0: torchvision/models/inception.py.

use serde::{Deserialize, Serialize};

use super::stages::{Layer, Pool, Stage, halved, width};
use crate::models::checkpoint::file_names::{BATCH_COUNT, FileNames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// Side of the images in pixels, which every published use has.
pub const SIDE: u32 = 299;

/// Channels of the map that sFID reads: the first of the first branch of `Mixed_6d`.
pub const SPATIAL: u32 = 7;

/// The block whose map sFID reads.
pub const SPATIAL_BLOCK: &str = "Mixed_6d";

/// How files name its tensors: torchvision's files have the network that it was trained with beside it.
pub const FILE_NAMES: &[FileNames] = &[FileNames {
    others: &["AuxLogits."],
    ..FileNames::PLAIN
}];

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every number of channels is divided by; 1 for the published network. 16 divides all of them.
    pub channel_divisor: u32,
    /// Outputs of the linear layer; the published network for FID has 1008.
    pub classes: u32,
}

impl Config {
    /// Width of the pooled feature; 2,048 of the published network.
    pub fn feature_width(&self) -> u32 {
        2048 / self.channel_divisor.max(1)
    }

    /// Every layer, in the order of the state dict.
    fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for stage in self.stages() {
            match stage {
                Stage::Layer(layer) => layers.push(layer),
                Stage::Pool(_) => {}
                Stage::Mixed(_, branches) => {
                    let branches = branches.into_iter();
                    layers
                        .extend(branches.flat_map(|branch| [branch.layers, branch.ends].concat()));
                }
            }
        }
        layers
    }

    /// Every tap: the stages, the part of a map that sFID reads, the pooled feature, and the logits.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let mut taps: Vec<(String, TapShape, u64)> = Vec::new();
        let (mut side, mut channels, mut cost) = (SIDE, 3, 0);
        for stage in self.stages() {
            let path = match stage {
                Stage::Layer(layer) => {
                    (side, cost) = (layer.side(side), cost + layer.multiply_adds(side));
                    channels = layer.outputs;
                    layer.path
                }
                Stage::Pool(path) => {
                    side = halved(side);
                    path.to_owned()
                }
                Stage::Mixed(path, branches) => {
                    let mut after = side;
                    for branch in &branches {
                        let mut inner = side;
                        if branch.pool == Some(Pool::LargestHalved) {
                            inner = halved(side);
                        }
                        for layer in &branch.layers {
                            cost += layer.multiply_adds(inner);
                            inner = layer.side(inner);
                        }
                        cost += branch
                            .ends
                            .iter()
                            .map(|end| end.multiply_adds(inner))
                            .sum::<u64>();
                        after = inner;
                    }
                    channels = width(&branches, channels);
                    side = after;
                    path
                }
            };
            let is_spatial = path == SPATIAL_BLOCK;
            taps.push((path, TapShape::map(channels, side, side), cost));
            if is_spatial {
                let shape = TapShape::map(SPATIAL, side, side);
                taps.push(("spatial".to_owned(), shape, cost));
            }
        }
        let width = self.feature_width();
        taps.push(("pool3".to_owned(), TapShape::Vector { width }, cost));
        cost += u64::from(width) * u64::from(self.classes);
        let logits = TapShape::Vector {
            width: self.classes,
        };
        taps.push(("logits".to_owned(), logits, cost));
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

    /// Name and shape of every tensor that the network needs, parameters and running statistics, in the order of torchvision's
    /// state dict, whose counts of batches are left out.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[u32]| {
            // A u32 fits into a usize on every platform that libtorch runs on.
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        };
        for layer in self.layers() {
            let (path, [height, width]) = (&layer.path, layer.kernel);
            let shape = [layer.outputs, layer.inputs, height, width];
            push(format!("{path}.conv.weight"), &shape);
            for part in ["weight", "bias", "running_mean", "running_var"] {
                push(format!("{path}.bn.{part}"), &[layer.outputs]);
            }
        }
        push(
            "fc.weight".to_owned(),
            &[self.classes, self.feature_width()],
        );
        push("fc.bias".to_owned(), &[self.classes]);
        list
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

    const PUBLISHED: Config = Config {
        channel_divisor: 1,
        classes: 1008,
    };

    #[test]
    fn taps_are_those_of_the_published_network() {
        let blocks = PUBLISHED.blocks();
        assert_eq!(blocks.len(), 21);
        for (number, path, shape) in [
            (1, "Conv2d_1a_3x3", TapShape::map(32, 149, 149)),
            (4, "maxpool1", TapShape::map(64, 73, 73)),
            (7, "maxpool2", TapShape::map(192, 35, 35)),
            (10, "Mixed_5d", TapShape::map(288, 35, 35)),
            (14, "Mixed_6d", TapShape::map(768, 17, 17)),
            (15, "spatial", TapShape::map(7, 17, 17)),
            (16, "Mixed_6e", TapShape::map(768, 17, 17)),
            (17, "Mixed_7a", TapShape::map(1280, 8, 8)),
            (19, "Mixed_7c", TapShape::map(2048, 8, 8)),
            (20, "pool3", TapShape::Vector { width: 2048 }),
            (21, "logits", TapShape::Vector { width: 1008 }),
        ] {
            let block = &blocks[number as usize - 1];
            assert_eq!(block.index, BlockIndex(number));
            assert_eq!((block.path.as_str(), block.shape), (path, shape));
        }
        // torchvision states 5.713 billion for 1,000 classes.
        let cost = blocks[20].multiply_adds - 8 * 2048;
        assert_eq!(cost / 1_000_000, 5713);
    }

    #[test]
    fn a_narrow_network_has_the_same_form() {
        let narrow = Config {
            channel_divisor: 16,
            ..PUBLISHED
        };
        let (all, narrow) = (PUBLISHED.blocks(), narrow.blocks());
        for (one, other) in all.iter().zip(&narrow) {
            assert_eq!(one.path, other.path);
        }
        assert_eq!(narrow[18].shape, TapShape::map(128, 8, 8));
        assert_eq!(narrow[13].shape, TapShape::map(48, 17, 17));
    }
}
