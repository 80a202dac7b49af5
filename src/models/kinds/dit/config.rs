//! The shape of a diffusion transformer, and what follows from it without running anything.
//!
//! # Reference
//! facebookresearch/DiT@ed81ce2229091fd4ecc9a223645f95cf379d582b: models.py (`DiT`), train.py; Peebles and Xie 2022 (arXiv 2212.09748).

use serde::{Deserialize, Serialize};

use crate::models::checkpoint::file_names::{FileNames, Renames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::parameter_count;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// Length of the sines and cosines of a timestep.
pub const FREQUENCIES: u32 = 256;
/// The positions of the tokens: in published files, and computed where weights are random.
pub const POSITIONS: &str = "pos_embed";
/// Width of the layers behind attention, as a multiple of a token's.
const MLP_RATIO: u32 = 4;

/// The published files, and the checkpoints of `train.py`, of which the averaged weights are taken.
pub const FILE_NAMES: &[FileNames] = &[
    FileNames::PLAIN,
    FileNames {
        prefix: "ema.",
        others: &[],
        chunk: None,
        renames: Renames::NONE,
    },
];

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of a latent.
    pub input_size: u32,
    /// Channels of a latent.
    pub in_channels: u32,
    /// Side of the square of a latent that becomes a token.
    pub patch_size: u32,
    /// D, the numbers of a token.
    pub hidden_size: u32,
    /// Blocks.
    pub depth: u32,
    /// Attention heads of a block.
    pub num_heads: u32,
    /// Classes; the number behind the last stands for none.
    pub num_classes: u32,
}

impl Config {
    /// Side of the grid of tokens.
    pub fn grid(&self) -> u32 {
        self.input_size.checked_div(self.patch_size).unwrap_or(0)
    }

    /// L, the tokens of a latent.
    pub fn tokens(&self) -> u32 {
        self.grid() * self.grid()
    }

    /// Channels of what it predicts: the noise, and the variance of a step back.
    pub fn out_channels(&self) -> u32 {
        2 * self.in_channels
    }

    /// Width of the layers behind attention.
    pub fn hidden(&self) -> u32 {
        MLP_RATIO * self.hidden_size
    }

    /// The class that stands for none.
    pub fn null_class(&self) -> u32 {
        self.num_classes
    }

    /// Every tap: the embedded latent, which is block 0, and the tokens behind each block.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let product =
            |sizes: &[u32]| -> u64 { sizes.iter().map(|&size| u64::from(size)).product() };
        let (tokens, width) = (self.tokens(), self.hidden_size);
        let shape = TapShape::Tokens {
            count: tokens,
            width,
            class_token: false,
            registers: 0,
        };
        let patch = product(&[self.in_channels, self.patch_size, self.patch_size]);
        // The embeddings of the patches and of the timestep.
        let mut cost = product(&[tokens, width]) * patch
            + product(&[FREQUENCIES, width])
            + product(&[width, width]);
        let mut taps = vec![("x_embedder".to_owned(), cost)];
        // Projections, perceptron and products of attention for each token, and one modulation.
        let block = (4 + 2 * u64::from(MLP_RATIO)) * product(&[tokens, width, width])
            + 2 * product(&[tokens, tokens, width])
            + 6 * product(&[width, width]);
        for place in 0..self.depth {
            cost += block;
            taps.push((format!("blocks.{place}"), cost));
        }
        (0..)
            .zip(taps)
            .map(|(number, (path, multiply_adds))| BlockInfo {
                index: BlockIndex(number),
                path,
                shape,
                multiply_adds,
            })
            .collect()
    }

    /// Multiply-adds of the whole forward pass for one latent.
    pub fn multiply_adds(&self) -> u64 {
        let width = u64::from(self.hidden_size);
        let patch = u64::from(self.out_channels() * self.patch_size * self.patch_size);
        let last = u64::from(self.tokens()) * width * patch + 2 * width * width;
        let blocks = self.blocks();
        blocks.last().map_or(0, |block| block.multiply_adds) + last
    }

    /// Name and shape of every tensor.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.hidden_size;
        let patch = self.patch_size;
        let mut list: Vec<(String, Vec<usize>)> = Vec::new();
        // A u32 fits into a usize on every platform that libtorch runs on.
        let mut push = |name: String, shape: &[u32]| {
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        };
        push(POSITIONS.to_owned(), &[1, self.tokens(), width]);
        let mut layer = |path: &str, shape: &[u32]| {
            push(format!("{path}.weight"), shape);
            push(format!("{path}.bias"), &shape[..1]);
        };
        layer("x_embedder.proj", &[width, self.in_channels, patch, patch]);
        layer("t_embedder.mlp.0", &[width, FREQUENCIES]);
        layer("t_embedder.mlp.2", &[width, width]);
        for place in 0..self.depth {
            let path = format!("blocks.{place}");
            layer(&format!("{path}.attn.qkv"), &[3 * width, width]);
            layer(&format!("{path}.attn.proj"), &[width, width]);
            layer(&format!("{path}.mlp.fc1"), &[self.hidden(), width]);
            layer(&format!("{path}.mlp.fc2"), &[width, self.hidden()]);
            layer(&format!("{path}.adaLN_modulation.1"), &[6 * width, width]);
        }
        let outputs = patch * patch * self.out_channels();
        layer("final_layer.linear", &[outputs, width]);
        layer("final_layer.adaLN_modulation.1", &[2 * width, width]);
        push(
            "y_embedder.embedding_table.weight".to_owned(),
            &[self.num_classes + 1, width],
        );
        list
    }

    /// How many parameters there are, the positions included.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }

    /// Whether a file holds the tensors of this network, with positions or without, beside what a training keeps. Without positions nothing
    /// says of which size latents are.
    pub fn fits(&self, tensors: &StoredTensors) -> bool {
        let mut needed = self.state_dict();
        // They are computed where a file has none.
        let has_positions = tensors.names().any(|name| name.ends_with(POSITIONS));
        needed.retain(|(name, _)| has_positions || name != POSITIONS);
        FileNames::fit(tensors, FILE_NAMES, &needed, |_| false)
    }

    /// The positions of the tokens, `[1, L, D]` row-major: MAE's sines and cosines, without its class token.
    pub fn positions(&self) -> Vec<f32> {
        let with_class =
            crate::models::kinds::vit::positions::sincos_mae(self.grid(), self.hidden_size);
        with_class
            .into_iter()
            .skip(self.hidden_size as usize)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::kinds::dit::presets;

    #[test]
    fn the_published_networks_have_their_numbers_of_parameters() {
        for (name, parameters, tensors) in [
            ("dit-xl2-256", 675_129_632, 292),
            ("dit-xl2-512", 676_014_368, 292),
            ("dit-tiny", 335_648, 52),
        ] {
            let config = presets::find(name).unwrap().network;
            assert_eq!(config.parameter_count(), parameters, "{name}");
            assert_eq!(config.state_dict().len(), tensors, "{name}");
        }
    }

    #[test]
    fn taps_are_the_embedding_and_the_blocks() {
        let config = presets::find("dit-xl2-256").unwrap().network;
        let blocks = config.blocks();
        assert_eq!(blocks.len(), 29);
        assert!(blocks.is_sorted_by_key(|block| block.multiply_adds));
        let last = blocks.last().unwrap();
        assert_eq!(
            (last.index, last.path.as_str()),
            (BlockIndex(28), "blocks.27")
        );
        // 118.6 G multiply-adds, as its authors state (119 Gflops).
        let all = config.multiply_adds();
        assert!((118_000_000_000..119_000_000_000).contains(&all), "{all}");
    }
}
