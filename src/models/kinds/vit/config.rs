//! The shape of a vision transformer, and what follows from it without running anything.
//!
//! # Reference
//! huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py (`VisionTransformer`);
//! facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0: dinov2/models/vision_transformer.py (`DinoVisionTransformer`);
//! Dosovitskiy et al. 2020 (arXiv 2010.11929), table 1.

use serde::{Deserialize, Serialize};

use crate::models::checkpoint::file_names::{FileNames, Renames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::parameter_count;
use crate::models::{BlockIndex, BlockInfo, TapShape};

/// What pre-training has beside the network: heads for its own task, a token for what is hidden, and a decoder.
const OTHERS: &[&str] = &[
    "mask_token",
    "decoder_",
    "head.0.",
    "head.1.",
    "head.3.",
    "head.4.",
    "head.6.",
    "head.7.",
];

/// How many blocks make a chunk in checkpoints of DINOv2's trainings, whose configurations have four chunks: of networks with 12, 24 and 40
/// blocks, and of those with fewer than eight.
const CHUNKS: [u32; 4] = [3, 6, 10, 1];

const fn names(prefix: &'static str, chunk: Option<u32>) -> FileNames {
    FileNames {
        prefix,
        others: OTHERS,
        chunk,
        renames: Renames::NONE,
    }
}

/// How the files of timm, MAE (`model.`), MoCo v3, DINO and DINOv2 name the tensors. Of a teacher and its student the teacher is read, and of
/// MoCo v3's two encoders the one that is trained; `prefix` of a model names another.
pub const FILE_NAMES: &[FileNames] = &[
    names("", None),
    names("model.", None),
    names("state_dict.module.base_encoder.", None),
    names("teacher.backbone.", None),
    names("teacher.module.backbone.", None),
    names("teacher.backbone.", Some(CHUNKS[0])),
    names("teacher.backbone.", Some(CHUNKS[1])),
    names("teacher.backbone.", Some(CHUNKS[2])),
    names("teacher.backbone.", Some(CHUNKS[3])),
    names("module.", None),
    names("backbone.", None),
];

/// The form of the layers between attention and the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedForward {
    /// Two layers with GELU between them, four times as wide as the tokens.
    Mlp,
    /// `SwiGLU`, with two thirds of that width.
    SwiGlu,
}

/// Which normalization ends the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalNorm {
    /// `norm`, of all tokens.
    Norm,
    /// `fc_norm`, of the mean of the patch tokens, which were not normalized before: MAE's global pooling.
    FcNorm,
}

/// How positions are resized where an input has another size than the positions were made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionResize {
    /// Bicubic to the new size (MAE).
    Bicubic,
    /// Bicubic with antialiasing (timm, and DINOv2 with registers).
    BicubicAntialias,
    /// Bicubic by a factor that is 0.1 patches too large (DINO, and DINOv2 without registers).
    BicubicOffset,
}

/// What positions are where weights are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// Random as all other parameters: they are learned.
    Learned,
    /// Sines and cosines as MAE computes them, columns before rows.
    SincosMae,
    /// Sines and cosines as MoCo v3 computes them, rows before columns.
    SincosMoco,
}

/// The shape of a network, in the order in which fingerprints serialize it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Side of the square input in pixels, a multiple of `patch_size`.
    pub image_size: u32,
    /// Side of the images that the stored positions are for, a multiple of `patch_size`.
    pub position_size: u32,
    /// Side of the square that becomes a token, in pixels.
    pub patch_size: u32,
    /// Numbers of a token. ViT-B: 768.
    pub embed_dim: u32,
    /// Blocks. ViT-B: 12.
    pub depth: u32,
    /// Heads of attention, which divide `embed_dim`. ViT-B: 12.
    pub num_heads: u32,
    /// The form of the feed-forward layers.
    #[serde(default = "mlp")]
    pub ffn: FeedForward,
    /// Whether what a block adds is scaled by a learned factor for each channel.
    #[serde(default)]
    pub layer_scale: bool,
    /// Tokens that stand for no place of the image, behind the class token.
    #[serde(default)]
    pub registers: u32,
    /// Which normalization ends the network.
    #[serde(default = "norm")]
    pub final_norm: FinalNorm,
    /// How positions are resized.
    pub position_resize: PositionResize,
    /// What positions are where weights are random.
    #[serde(default = "learned")]
    pub positions: Positions,
    /// Classes of the linear layer at the end; absent for a network that was published without one.
    #[serde(default)]
    pub classes: Option<u32>,
}

fn mlp() -> FeedForward {
    FeedForward::Mlp
}

fn norm() -> FinalNorm {
    FinalNorm::Norm
}

fn learned() -> Positions {
    Positions::Learned
}

/// A place of the network that can be tapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// What enters the first block: `[L, D]`.
    Embedding,
    /// The output of a block, counted from 1: `[L, D]`.
    Block(u32),
    /// All tokens of the last block, normalized: `[L, D]`.
    Norm,
    /// The normalized class tokens of the last blocks, one after the other, and behind them the mean of the last block's normalized patch
    /// tokens: `[blocks · D]` or `[(blocks + 1) · D]`.
    Class {
        /// How many blocks, 1 or 4.
        blocks: u32,
        /// Whether the mean follows.
        mean: bool,
    },
    /// The mean of the last block's patch tokens, then normalized: `[D]`.
    PooledNorm,
    /// `[K]`.
    Logits,
}

/// So many blocks' class tokens are concatenated in the linear evaluations of DINO and DINOv2.
const LAST_BLOCKS: u32 = 4;

impl Config {
    /// Patches of a row of the input.
    pub fn grid(&self) -> u32 {
        self.image_size / self.patch_size
    }

    /// Patches of a row of the images that the stored positions are for.
    pub fn position_grid(&self) -> u32 {
        self.position_size / self.patch_size
    }

    /// Tokens: the class token, registers, patches.
    pub fn tokens(&self) -> u32 {
        1 + self.registers + self.grid() * self.grid()
    }

    /// Numbers between the feed-forward layers.
    pub fn hidden(&self) -> u32 {
        let hidden = 4 * self.embed_dim;
        match self.ffn {
            FeedForward::Mlp => hidden,
            // Two thirds, rounded up to a multiple of 8.
            FeedForward::SwiGlu => (hidden * 2 / 3).div_ceil(8) * 8,
        }
    }

    /// Every place that can be tapped, in the order of the forward pass; the first has number 0, and block N number N.
    pub fn taps(&self) -> Vec<Tap> {
        let mut taps = vec![Tap::Embedding];
        taps.extend((1..=self.depth).map(Tap::Block));
        match self.final_norm {
            FinalNorm::Norm => {
                taps.push(Tap::Norm);
                for blocks in [1, LAST_BLOCKS] {
                    if blocks <= self.depth {
                        taps.extend([false, true].map(|mean| Tap::Class { blocks, mean }));
                    }
                }
            }
            FinalNorm::FcNorm => taps.push(Tap::PooledNorm),
        }
        taps.extend(self.classes.map(|_| Tap::Logits));
        taps
    }

    fn path(tap: Tap) -> String {
        match tap {
            Tap::Embedding => "embedding".to_owned(),
            Tap::Block(number) => format!("blocks.{}", number - 1),
            Tap::Norm => "norm".to_owned(),
            Tap::Class { blocks, mean } => {
                let last = if blocks == 1 {
                    "class".to_owned()
                } else {
                    format!("class-last{blocks}")
                };
                format!("{last}{}", if mean { "-mean" } else { "" })
            }
            Tap::PooledNorm => "fc_norm".to_owned(),
            Tap::Logits => "head".to_owned(),
        }
    }

    fn shape(&self, tap: Tap) -> TapShape {
        let width = self.embed_dim;
        match tap {
            Tap::Embedding | Tap::Block(_) | Tap::Norm => TapShape::Tokens {
                count: self.tokens(),
                width,
                class_token: true,
                registers: self.registers,
            },
            Tap::Class { blocks, mean } => TapShape::Vector {
                width: (blocks + u32::from(mean)) * width,
            },
            Tap::PooledNorm => TapShape::Vector { width },
            Tap::Logits => TapShape::Vector {
                width: self.classes.unwrap_or(0),
            },
        }
    }

    /// Every tap with its shape and its cost.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let width = u64::from(self.embed_dim);
        let (tokens, patches) = (u64::from(self.tokens()), u64::from(self.grid()).pow(2));
        let embedding = patches * width * 3 * u64::from(self.patch_size).pow(2);
        let layers = match self.ffn {
            FeedForward::Mlp => 2,
            FeedForward::SwiGlu => 3,
        };
        // Queries, keys, values and the output; two products of matrices; the feed-forward layers.
        let block = tokens
            * (4 * width * width + 2 * tokens * width + layers * width * u64::from(self.hidden()));
        let taps = self.taps().into_iter();
        (0..)
            .zip(taps)
            .map(|(number, tap)| BlockInfo {
                index: BlockIndex(number),
                path: Self::path(tap),
                shape: self.shape(tap),
                multiply_adds: match tap {
                    Tap::Embedding => embedding,
                    Tap::Block(count) => embedding + u64::from(count) * block,
                    Tap::Norm | Tap::Class { .. } | Tap::PooledNorm => {
                        embedding + u64::from(self.depth) * block
                    }
                    Tap::Logits => {
                        let classes = u64::from(self.classes.unwrap_or(0));
                        embedding + u64::from(self.depth) * block + width * classes
                    }
                },
            })
            .collect()
    }

    /// Name and shape of every parameter, in the order of the references' state dicts, but that the last block's comes first which tells how a
    /// file names blocks.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.embed_dim;
        let mut list = Vec::new();
        let mut push = |name: String, shape: &[u32]| {
            // A u32 fits into a usize on every platform that libtorch runs on.
            list.push((name, shape.iter().map(|&size| size as usize).collect()));
        };
        let positions = 1 + self.position_grid() * self.position_grid();
        push(self.probe(), &[width]);
        push("cls_token".to_owned(), &[1, 1, width]);
        push("pos_embed".to_owned(), &[1, positions, width]);
        if self.registers > 0 {
            push("register_tokens".to_owned(), &[1, self.registers, width]);
        }
        let mut layer = |path: String, shape: &[u32]| {
            push(format!("{path}.weight"), shape);
            push(format!("{path}.bias"), &shape[..1]);
        };
        let side = self.patch_size;
        layer("patch_embed.proj".to_owned(), &[width, 3, side, side]);
        let hidden = self.hidden();
        let (first, second) = match self.ffn {
            FeedForward::Mlp => (("fc1", hidden), "fc2"),
            FeedForward::SwiGlu => (("w12", 2 * hidden), "w3"),
        };
        for number in 0..self.depth {
            let path = format!("blocks.{number}");
            layer(format!("{path}.norm1"), &[width]);
            layer(format!("{path}.attn.qkv"), &[3 * width, width]);
            layer(format!("{path}.attn.proj"), &[width, width]);
            layer(format!("{path}.norm2"), &[width]);
            layer(format!("{path}.mlp.{}", first.0), &[first.1, width]);
            layer(format!("{path}.mlp.{second}"), &[width, hidden]);
        }
        layer(self.final_norm_path().to_owned(), &[width]);
        if let Some(classes) = self.classes {
            layer("head".to_owned(), &[classes, width]);
        }
        for name in self.scales() {
            list.push((name, vec![width as usize]));
        }
        let probe = self.probe();
        let mut is_first = true;
        list.retain(|(name, _)| *name != probe || std::mem::take(&mut is_first));
        list
    }

    /// The names of the learned factors of what blocks add; none without them.
    pub fn scales(&self) -> Vec<String> {
        let depth = if self.layer_scale { self.depth } else { 0 };
        let blocks = 0..depth;
        blocks
            .flat_map(|number| [1, 2].map(|layer| format!("blocks.{number}.ls{layer}.gamma")))
            .collect()
    }

    /// The name of the last normalization.
    pub fn final_norm_path(&self) -> &'static str {
        match self.final_norm {
            FinalNorm::Norm => "norm",
            FinalNorm::FcNorm => "fc_norm",
        }
    }

    /// The tensor that shows whose names a file has: one of the last block, which differ in all ways.
    pub fn probe(&self) -> String {
        format!("blocks.{}.norm1.weight", self.depth.saturating_sub(1))
    }

    /// How many parameters there are.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }

    /// Whether a file holds just the tensors of this network.
    pub fn fits(&self, tensors: &StoredTensors) -> bool {
        FileNames::fit(tensors, FILE_NAMES, &self.state_dict(), |_| false)
    }
}

#[cfg(test)]
mod tests;
