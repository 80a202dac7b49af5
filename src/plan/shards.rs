//! How images are cut into shards, the unit of committing and resuming.

use std::ops::Range;

use super::step::{PlannedArtifact, StepState};

/// Multiply-adds of a shard of samples.
const MOST_WORK: u128 = 1 << 55;
/// Images of a shard of samples, however long they take: one at a time leaves a GPU idle.
const FEWEST_SAMPLES: usize = 8;

/// The shards of a pass, or of samples.
///
/// The cut depends on the number of rows, the model's input side, and for samples the work of an image alone, so that every run, fused
/// or not, cuts alike. A shard has about 2^24 pixels: 1,024 images at 32 to 128 pixels, 256 images at 256 pixels. One of samples has no
/// more than about 2^55 multiply-adds, which take a GPU minutes: 128 images of a network of 10^12 in 250 steps.
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

    /// The shards of `rows` images that are made out of noise by so many multiply-adds each.
    pub fn of_samples(rows: usize, side: u32, multiply_adds: u128) -> Self {
        let by_pixels = Self::new(rows, side);
        let by_work = MOST_WORK / multiply_adds.max(1);
        let by_work = usize::try_from(by_work).unwrap_or(usize::MAX);
        Self {
            rows_per_shard: by_pixels.rows_per_shard.min(by_work.max(FEWEST_SAMPLES)),
            ..by_pixels
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
                    StepState::Cached | StepState::Remote { .. } => false,
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
    fn shards_of_samples_are_short_where_an_image_takes_long() {
        let rows = |side, multiply_adds| Shards::of_samples(50_000, side, multiply_adds).rows_of(0);
        assert_eq!(rows(32, 1_000).len(), 1024);
        assert_eq!(rows(256, 50 * 1_100_000_000_000).len(), 256);
        assert_eq!(rows(256, 250 * 1_100_000_000_000).len(), 131);
        assert_eq!(rows(512, u128::MAX).len(), 8);
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
