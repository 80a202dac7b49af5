//! The shape of a MAGE encoder with its tokenizer, and what follows from it without running anything.
//!
//! # Reference
//! LTH14/mage@1becb14475354fc40df35ba7c7c7bf418a137cd3: models_vit_mage.py, config/vqgan.yaml,
//! taming/modules/diffusionmodules/model.py (`Encoder`); Li et al. 2022 (arXiv 2211.09117).

use serde::{Deserialize, Serialize};

use crate::models::checkpoint::file_names::{FileNames, Renames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// Side of the input in pixels: the tokenizer was made for no other.
pub const IMAGE_SIZE: u32 = 256;
/// The id that stands for the class token is so far behind the codebook.
const CLASS_TOKEN: u32 = 76;
/// Words of the vocabulary behind the codebook: 1,000 classes and the mask.
const MORE_WORDS: u32 = 1001;

/// What a checkpoint holds that features are not computed from: what a plain ViT has in the place of tokens, the classifier, the decoders of
/// the training and of the tokenizer, and the token embedding's list of positions.
const OTHERS: &[&str] = &[
    "cls_token",
    "pos_embed",
    "patch_embed.",
    "head.",
    "mask_token",
    "pad_with_cls_token",
    "decoder",
    "mlm_layer.",
    "token_emb.position_ids",
    "vqgan.decoder.",
    "vqgan.loss.",
];

/// How a state dict and a checkpoint of the training name the tensors.
pub const FILE_NAMES: &[FileNames] = &[
    FileNames {
        prefix: "",
        others: OTHERS,
        chunk: None,
        renames: Renames::NONE,
    },
    FileNames {
        prefix: "model.",
        others: OTHERS,
        chunk: None,
        renames: Renames::NONE,
    },
];

/// The tensor that shows whose names a file has; the first of [`Config::state_dict`].
pub const PROBE: &str = "token_emb.word_embeddings.weight";

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of the tokenizer's first convolution.
    pub channels: u32,
    /// What they are multiplied by at each level; all but the last halve the side.
    pub channel_mult: Vec<u32>,
    /// Residual blocks of a level.
    pub res_blocks: u32,
    /// Channels of what is compared with the codebook.
    pub latent: u32,
    /// Entries of the codebook.
    pub codebook: u32,
    /// D, the width of a token in the transformer.
    pub width: u32,
    /// Blocks of the transformer.
    pub depth: u32,
    /// Attention heads of a block.
    pub heads: u32,
}

/// One residual block of the tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
    /// Its name in the checkpoint.
    pub path: String,
    /// Channels that enter.
    pub inputs: u32,
    /// Channels that leave.
    pub outputs: u32,
}

impl Config {
    /// Side of the grid of tokens.
    pub fn grid(&self) -> u32 {
        self.channel_mult
            .iter()
            .skip(1)
            .fold(IMAGE_SIZE, |side, _| side / 2)
    }

    /// L, the tokens of an image with the class token.
    pub fn tokens(&self) -> u32 {
        self.grid() * self.grid() + 1
    }

    /// The word of the class token.
    pub fn class_word(&self) -> u32 {
        self.codebook + CLASS_TOKEN
    }

    /// Words of the vocabulary.
    pub fn words(&self) -> u32 {
        self.codebook + MORE_WORDS
    }

    /// The residual blocks of each level, in order.
    pub fn levels(&self) -> Vec<Vec<Residual>> {
        let mut inputs = self.channels;
        let mut levels = Vec::new();
        for (level, &mult) in self.channel_mult.iter().enumerate() {
            let outputs = self.channels * mult;
            let mut blocks = Vec::new();
            for place in 0..self.res_blocks {
                blocks.push(Residual {
                    path: format!("vqgan.encoder.down.{level}.block.{place}"),
                    inputs,
                    outputs,
                });
                inputs = outputs;
            }
            levels.push(blocks);
        }
        levels
    }

    /// The two residual blocks behind the levels.
    pub fn middle(&self) -> [Residual; 2] {
        let channels = self.last_channels();
        ["block_1", "block_2"].map(|name| Residual {
            path: format!("vqgan.encoder.mid.{name}"),
            inputs: channels,
            outputs: channels,
        })
    }

    /// Channels behind the last level.
    pub fn last_channels(&self) -> u32 {
        let last = self.channel_mult.last().copied();
        self.channels * last.unwrap_or(1)
    }

    /// Every tap: the tokenizer's first convolution, its levels, what is compared with the codebook, the embedded tokens, the blocks of the
    /// transformer, their normalized tokens, and the normalized mean of the image's tokens.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let product =
            |sizes: &[u32]| -> u64 { sizes.iter().map(|&size| u64::from(size)).product() };
        let convolution =
            |inputs, outputs, kernel, side| product(&[inputs, outputs, kernel, kernel, side, side]);
        let residual = |block: &Residual, side: u32| {
            let shortcut = if block.inputs == block.outputs {
                0
            } else {
                convolution(block.outputs, block.outputs, 1, side)
            };
            convolution(block.inputs, block.outputs, 3, side)
                + convolution(block.outputs, block.outputs, 3, side)
                + shortcut
        };
        let mut taps: Vec<(String, TapShape, u64)> = Vec::new();
        let mut side = IMAGE_SIZE;
        let mut cost = convolution(3, self.channels, 3, side);
        let shape = TapShape::map(self.channels, side, side);
        taps.push(("vqgan.encoder.conv_in".to_owned(), shape, cost));
        let levels = self.levels();
        let last = levels.len().saturating_sub(1);
        for (level, blocks) in levels.iter().enumerate() {
            cost += blocks
                .iter()
                .map(|block| residual(block, side))
                .sum::<u64>();
            if level < last {
                side /= 2;
            }
            let channels = blocks.last().map_or(self.channels, |block| block.outputs);
            let shape = TapShape::map(channels, side, side);
            taps.push((format!("vqgan.encoder.down.{level}"), shape, cost));
        }
        cost += self
            .middle()
            .iter()
            .map(|block| residual(block, side))
            .sum::<u64>();
        cost += convolution(self.last_channels(), self.latent, 1, side);
        let shape = TapShape::map(self.latent, side, side);
        taps.push(("vqgan.encoder.conv_out".to_owned(), shape, cost));
        cost += product(&[side, side, self.codebook, self.latent]);
        let tokens = TapShape::Tokens {
            count: self.tokens(),
            width: self.width,
            class_token: true,
            registers: 0,
        };
        taps.push(("token_emb".to_owned(), tokens, cost));
        // The three projections, their output, the two layers of the perceptron; the two products of attention.
        let block = 12 * product(&[self.tokens(), self.width, self.width])
            + 2 * product(&[self.tokens(), self.tokens(), self.width]);
        for place in 0..self.depth {
            cost += block;
            taps.push((format!("blocks.{place}"), tokens, cost));
        }
        taps.push(("norm".to_owned(), tokens, cost));
        let mean = TapShape::Vector { width: self.width };
        taps.push(("fc_norm".to_owned(), mean, cost));
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

    /// Name and shape of every tensor that features are computed from.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[u32]| {
            // A u32 fits into a usize on every platform that libtorch runs on.
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        };
        push(PROBE.to_owned(), &[self.words(), self.width]);
        push(
            "token_emb.position_embeddings.weight".to_owned(),
            &[self.tokens(), self.width],
        );
        let norms = (0..self.depth)
            .flat_map(|place| ["norm1", "norm2"].map(|norm| format!("blocks.{place}.{norm}")));
        let norms = ["token_emb.LayerNorm".to_owned(), "norm".to_owned()]
            .into_iter()
            .chain(norms);
        for norm in norms {
            push(format!("{norm}.weight"), &[self.width]);
            push(format!("{norm}.bias"), &[self.width]);
        }
        for place in 0..self.depth {
            for (name, outputs, inputs) in [
                ("attn.qkv", 3 * self.width, self.width),
                ("attn.proj", self.width, self.width),
                ("mlp.fc1", 4 * self.width, self.width),
                ("mlp.fc2", self.width, 4 * self.width),
            ] {
                push(format!("blocks.{place}.{name}.weight"), &[outputs, inputs]);
                push(format!("blocks.{place}.{name}.bias"), &[outputs]);
            }
        }
        push(
            "vqgan.encoder.conv_in.weight".to_owned(),
            &[self.channels, 3, 3, 3],
        );
        let residuals = self.levels().into_iter().flatten().chain(self.middle());
        for block in residuals {
            let Residual {
                path,
                inputs,
                outputs,
            } = block;
            for (norm, channels) in [("norm1", inputs), ("norm2", outputs)] {
                push(format!("{path}.{norm}.weight"), &[channels]);
                push(format!("{path}.{norm}.bias"), &[channels]);
            }
            push(format!("{path}.conv1.weight"), &[outputs, inputs, 3, 3]);
            push(format!("{path}.conv2.weight"), &[outputs, outputs, 3, 3]);
            if inputs != outputs {
                push(
                    format!("{path}.nin_shortcut.weight"),
                    &[outputs, outputs, 1, 1],
                );
            }
        }
        let last = self.last_channels();
        for part in ["weight", "bias"] {
            push(format!("vqgan.encoder.norm_out.{part}"), &[last]);
        }
        push(
            "vqgan.encoder.conv_out.weight".to_owned(),
            &[self.latent, last, 1, 1],
        );
        push("vqgan.encoder.conv_out.bias".to_owned(), &[self.latent]);
        push(
            "vqgan.quantize.embedding.weight".to_owned(),
            &[self.codebook, self.latent],
        );
        list
    }

    /// Whether a file holds the tensors of this network, beside others that are known.
    pub fn fits(&self, tensors: &StoredTensors) -> bool {
        FileNames::fit(tensors, FILE_NAMES, &self.state_dict(), |_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::kinds::mage::presets;

    #[test]
    fn taps_are_those_of_the_tokenizer_and_of_the_transformer() {
        let config = presets::find("mage-base").unwrap().network;
        let blocks = config.blocks();
        // One convolution, five levels, the latent, the embedding, twelve blocks, and two normalizations.
        assert_eq!(blocks.len(), 1 + 5 + 1 + 1 + 12 + 2);
        let tap = |place: usize| (blocks[place].path.as_str(), blocks[place].shape);
        assert_eq!(
            tap(1),
            ("vqgan.encoder.down.0", TapShape::map(128, 128, 128))
        );
        assert_eq!(tap(5), ("vqgan.encoder.down.4", TapShape::map(512, 16, 16)));
        assert_eq!(
            tap(6),
            ("vqgan.encoder.conv_out", TapShape::map(256, 16, 16))
        );
        assert_eq!(tap(21), ("fc_norm", TapShape::Vector { width: 768 }));
        assert!(blocks.is_sorted_by_key(|block| block.multiply_adds));
        let of_block = blocks[9].multiply_adds - blocks[8].multiply_adds;
        assert_eq!(of_block, 12 * 257 * 768 * 768 + 2 * 257 * 257 * 768);
    }

    #[test]
    fn words_and_tokens_are_those_of_the_reference() {
        let config = presets::find("mage-tiny").unwrap().network;
        assert_eq!((config.words(), config.class_word()), (2025, 1100));
        assert_eq!((config.grid(), config.tokens()), (16, 257));
        assert_eq!(config.state_dict()[0].0, PROBE);
        // The blocks of the transformer of ViT-B, without its own patches and classes: 12 × 7,087,872.
        let base = presets::find("mage-base").unwrap().network;
        let blocks = base.state_dict().into_iter();
        let blocks = blocks.filter(|(name, _)| name.starts_with("blocks."));
        let count: usize = blocks
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, 12 * 7_087_872);
    }
}
