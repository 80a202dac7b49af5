//! What making samples means, and what it costs.

use std::sync::Arc;

use super::{ModelUse, PlannedArtifact};
use crate::graph::SamplesNode;
use crate::plan::Shards;
use crate::plan::job::Cost;

/// Samples: images that a network makes.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The node of the experiment.
    pub node: SamplesNode,
    /// The network that is sampled from, with the identity of its weights.
    pub model: Arc<ModelUse>,
    /// The classifier that leads the samples, with the identity of its weights.
    pub classifier: Option<Arc<ModelUse>>,
    /// How the images are cut.
    pub shards: Shards,
    /// Multiply-adds that decode one image out of its latent; 0 where images are sampled.
    pub decoder: u64,
    /// Steps from noise to an image.
    pub steps: u32,
    /// Multiply-adds of one step of one image, with those of what leads it.
    pub multiply_adds: u64,
}

impl Sample {
    /// Images of the shards that are not committed yet.
    pub fn missing_images(&self, artifact: &PlannedArtifact) -> usize {
        let missing = self.shards.lacking([artifact]).into_iter();
        missing.map(|shard| self.shards.rows_of(shard).len()).sum()
    }

    /// What it costs to make what is missing, with multiply-adds up to the largest that there is room for. Bytes are those of the
    /// pixels, which PNG makes fewer.
    pub fn cost(&self, artifact: &PlannedArtifact) -> Cost {
        let made = self.missing_images(artifact) as u64;
        let input = self.model.reader().model.input();
        let pixels = u64::from(input.channels) * u64::from(input.side) * u64::from(input.side);
        // With guidance without a classifier an image goes through the network twice.
        let passes = if self.node.guidance.is_some() { 2 } else { 1 };
        Cost {
            images: made * u64::from(self.steps) * passes,
            multiply_adds: u64::try_from(self.all_multiply_adds(artifact)).unwrap_or(u64::MAX),
            bytes: made * pixels,
        }
    }

    /// Multiply-adds of what is missing, which may be more than a [`Cost`] can hold.
    pub fn all_multiply_adds(&self, artifact: &PlannedArtifact) -> u128 {
        let made = self.missing_images(artifact) as u128;
        made * (u128::from(self.steps) * u128::from(self.multiply_adds) + u128::from(self.decoder))
    }
}
