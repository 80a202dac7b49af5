//! How the rows of a dataset are cut into shards, the unit of committing and resuming.

use std::ops::Range;

/// The shards of an extraction.
///
/// The cut depends on the number of rows and the model's input side alone, so that every run, fused or not, cuts alike. A shard
/// has about 2^24 pixels: 1,024 images at 32 to 128 pixels, 256 images at 256 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    rows: usize,
    rows_per_shard: usize,
}

impl Shards {
    /// The shards of `rows` images for a model that reads squares of `side` pixels.
    pub fn new(rows: usize, side: u32) -> Self {
        let side = (side as usize).max(1);
        Self {
            rows,
            rows_per_shard: ((1 << 24) / (side * side)).clamp(64, 1024),
        }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.rows.div_ceil(self.rows_per_shard)
    }

    /// The rows of one shard.
    pub fn rows_of(self, shard: usize) -> Range<usize> {
        let start = (shard * self.rows_per_shard).min(self.rows);
        start..(start + self.rows_per_shard).min(self.rows)
    }

    /// The number of rows of every shard, in order.
    pub fn lengths(self) -> Vec<u64> {
        (0..self.count())
            .map(|shard| self.rows_of(shard).len() as u64)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_every_row_once() {
        for (rows, side) in [
            (0, 32),
            (1, 32),
            (1024, 32),
            (3000, 32),
            (2889, 256),
            (70_000, 512),
        ] {
            let shards = Shards::new(rows, side);
            let covered: Vec<usize> = (0..shards.count())
                .flat_map(|shard| shards.rows_of(shard))
                .collect();
            assert!(covered.into_iter().eq(0..rows));
            assert_eq!(shards.lengths().iter().sum::<u64>(), rows as u64);
        }
        assert_eq!(Shards::new(10_000, 256).rows_of(0).len(), 256);
        assert_eq!(Shards::new(10_000, 32).rows_of(0).len(), 1024);
    }
}
