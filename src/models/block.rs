//! Names and sizes of the places where a backbone can be tapped.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a block of a backbone, counted from 1 along the forward pass, as the paper counts its `b`.
///
/// For a U-Net the encoder's blocks come first, then the middle block, then the decoder's blocks. The type exists
/// because public code counts the same blocks from 0, from 1 and from either end; here the paper's count is the only
/// one. Whether a block of that number exists is for the backbone to say: its list of [`BlockInfo`] is the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockIndex(pub u32);

impl fmt::Display for BlockIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b{}", self.0)
    }
}

/// What is known about a block before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockInfo {
    /// The block's number.
    pub index: BlockIndex,
    /// The block's name in the checkpoint, without a final dot, e.g. `output_blocks.5`.
    pub path: String,
    /// Shape `[C, H, W]` of the block's output for one image of the size that the backbone was made for.
    pub shape: [u32; 3],
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
