//! Names and sizes of the places where a backbone can be tapped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::heads::FeatureShape;

/// The number of a block of a backbone, counted from 1 along the forward pass, as the paper counts its `b`.
///
/// For a U-Net the encoder's blocks come first, then the middle block, then the decoder's blocks. The type exists
/// because public code counts the same blocks from 0, from 1 and from either end; here the paper's count is the only
/// one. Whether a block of that number exists is for the backbone to say: its list of [`BlockInfo`] is the authority.
/// A layer that can be tapped and stands before what is usually called the first block is block 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockIndex(pub u32);

impl fmt::Display for BlockIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b{}", self.0)
    }
}

/// The shape of what a block gives for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapShape {
    /// A feature map, `[C, H, W]`.
    Map {
        /// C.
        channels: u32,
        /// H.
        height: u32,
        /// W.
        width: u32,
    },
    /// Tokens, `[L, D]`; the class token, where there is one, is the first, and registers follow it.
    Tokens {
        /// L, the class token and registers included.
        count: u32,
        /// D, the values of one token.
        width: u32,
        /// Whether the first token is a class token.
        class_token: bool,
        /// Register tokens, which stand for no place of the image.
        registers: u32,
    },
    /// One vector, `[D]`.
    Vector {
        /// D, the values of the vector.
        width: u32,
    },
}

/// How a block's output becomes a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reduce {
    /// A feature map, by adaptive average pooling to this side: `[C, p, p]`.
    Pool(u32),
    /// Of tokens the class token: `[D]`.
    ClassToken,
    /// The mean of the tokens, the class token and registers left out: `[D]`.
    MeanToken,
    /// The patch tokens as a feature map, row after row: `[D, H, W]`, H and W the patches of a square image.
    PatchMap,
    /// All of it: `[C, H, W]` of a feature map, `[D, L]` of tokens, `[D]` of a vector.
    Whole,
}

impl Reduce {
    /// The pool's side; `None` where nothing is pooled.
    pub fn pool(self) -> Option<u32> {
        match self {
            Self::Pool(side) => Some(side),
            _ => None,
        }
    }

    /// The word for which tokens are taken, as users type it; `None` for a feature map that is pooled, and for a vector.
    pub fn token(self, shape: TapShape) -> Option<&'static str> {
        match (self, shape) {
            (Self::ClassToken, _) => Some("class"),
            (Self::MeanToken, _) => Some("mean"),
            (Self::PatchMap, _) => Some("patches"),
            (Self::Whole, TapShape::Tokens { .. }) => Some("all"),
            _ => None,
        }
    }
}

impl TapShape {
    /// A feature map, `[channels, height, width]`.
    pub const fn map(channels: u32, height: u32, width: u32) -> Self {
        Self::Map {
            channels,
            height,
            width,
        }
    }

    /// Tokens before those of the image: the class token and registers; 0 where the output is not tokens.
    pub fn tokens_before(self) -> u32 {
        match self {
            Self::Tokens {
                class_token,
                registers,
                ..
            } => u32::from(class_token) + registers,
            Self::Map { .. } | Self::Vector { .. } => 0,
        }
    }

    /// The shape without the batch axis, as a network gives it.
    pub fn sizes(self) -> Vec<u32> {
        match self {
            Self::Map {
                channels,
                height,
                width,
            } => vec![channels, height, width],
            Self::Tokens { count, width, .. } => vec![count, width],
            Self::Vector { width } => vec![width],
        }
    }

    /// The shape of the feature that is left of it, channels first; `None` where it cannot be reduced so.
    pub fn reduced(self, reduce: Reduce) -> Option<FeatureShape> {
        let vector = |width: u32| FeatureShape::of(width, 1, 1);
        match (self, reduce) {
            (
                Self::Map {
                    channels,
                    height,
                    width,
                },
                Reduce::Pool(side),
            ) if side <= height.min(width) => Some(FeatureShape::of(channels, side, side)),
            (
                Self::Map {
                    channels,
                    height,
                    width,
                },
                Reduce::Whole,
            ) => Some(FeatureShape::of(channels, height, width)),
            (
                Self::Tokens {
                    width,
                    class_token: true,
                    ..
                },
                Reduce::ClassToken,
            )
            | (Self::Tokens { width, .. }, Reduce::MeanToken)
            | (Self::Vector { width }, Reduce::Whole) => Some(vector(width)),
            (Self::Tokens { count, width, .. }, Reduce::PatchMap) => {
                let patches = count.saturating_sub(self.tokens_before());
                let side = patches.isqrt();
                (side > 0 && side * side == patches).then(|| FeatureShape::of(width, side, side))
            }
            (Self::Tokens { count, width, .. }, Reduce::Whole) => {
                Some(FeatureShape::of(width, count, 1))
            }
            _ => None,
        }
    }

    /// Numbers of one image.
    pub fn values(self) -> u64 {
        self.sizes().into_iter().map(u64::from).product()
    }
}

impl fmt::Display for TapShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map {
                channels,
                height,
                width,
            } => write!(formatter, "{channels} × {height} × {width}"),
            Self::Tokens { count, width, .. } => write!(formatter, "{count} tokens × {width}"),
            Self::Vector { width } => write!(formatter, "{width} values"),
        }
    }
}

/// What is known about a block before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockInfo {
    /// The block's number.
    pub index: BlockIndex,
    /// The block's name in the checkpoint, without a final dot, e.g. `output_blocks.5`.
    pub path: String,
    /// Shape of the block's output for one image of the size that the backbone was made for.
    pub shape: TapShape,
    /// Multiplications paired with an addition that one image costs from the input up to and including this block:
    /// convolutions, linear layers and the two matrix products of attention. It grows with the index, so the entry of
    /// the deepest tap is the cost of a pass.
    pub multiply_adds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_reads_as_in_the_paper_and_is_stored_as_a_number() {
        assert_eq!(BlockIndex(19).to_string(), "b19");
        assert_eq!(serde_json::to_string(&BlockIndex(19)).unwrap(), "19");
        assert_eq!(
            serde_json::from_str::<BlockIndex>("24").unwrap(),
            BlockIndex(24)
        );
        assert!(BlockIndex(9) < BlockIndex(10));
    }
}
