//! How images are cut into shards, the unit of committing and resuming.

use std::ops::Range;

use super::step::{PlannedArtifact, StepState};

/// The shards of a pass, or of samples.
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

    /// How many rows all shards have together.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// How many shards there are; 0 without rows.
    pub fn count(self) -> usize {
        self.rows.div_ceil(self.rows_per_shard)
    }

    /// The rows of one shard, from 0; empty beyond the last shard.
    pub fn rows_of(self, shard: usize) -> Range<usize> {
        let start = (shard * self.rows_per_shard).min(self.rows);
        start..(start + self.rows_per_shard).min(self.rows)
    }

    /// The shards that at least one of some artifacts still lacks.
    pub fn lacking<'a>(
        self,
        artifacts: impl IntoIterator<Item = &'a PlannedArtifact>,
    ) -> Vec<usize> {
        let mut lacking = vec![false; self.count()];
        for artifact in artifacts {
            for (shard, lacks) in lacking.iter_mut().enumerate() {
                *lacks |= match &artifact.state {
                    StepState::Cached => false,
                    StepState::Partial { parts } => {
                        !u32::try_from(shard).is_ok_and(|shard| parts.contains(&shard))
                    }
                    StepState::Missing { .. } => true,
                };
            }
        }
        let lacking = lacking.into_iter().enumerate();
        lacking
            .filter_map(|(shard, lacks)| lacks.then_some(shard))
            .collect()
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
    use crate::store::{ArtifactKind, Fingerprint, Recipe};

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

    #[test]
    fn a_shard_is_lacking_where_one_artifact_lacks_it() {
        let artifact = |state| PlannedArtifact {
            label: String::new(),
            fingerprint: Fingerprint::of(b""),
            recipe: Recipe::new(ArtifactKind::Samples, 1, &()).unwrap(),
            state,
        };
        let partial = |parts: &[u32]| {
            let parts = parts.iter().copied().collect();
            artifact(StepState::Partial { parts })
        };
        let shards = Shards::new(3000, 32);
        let (first, second) = (partial(&[0, 1]), partial(&[1, 2]));
        assert_eq!(shards.lacking([&first]), [2]);
        assert_eq!(shards.lacking([&first, &second]), [0, 2]);
        assert!(shards.lacking([&artifact(StepState::Cached)]).is_empty());
        let why = "never made".to_owned();
        let missing = artifact(StepState::Missing { why });
        assert_eq!(shards.lacking([&first, &missing]), [0, 1, 2]);
    }
}
