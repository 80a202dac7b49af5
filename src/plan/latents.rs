//! What reads images for a model, and which features are latents that models read.

use super::step::{Extract, ModelUse};
use crate::feature_type::FeatureType;
use crate::models::Reduce;

impl ModelUse {
    /// What reads images for it: itself, or the autoencoder whose latents it reads.
    pub fn reader(&self) -> &Self {
        self.autoencoder.as_deref().unwrap_or(self)
    }

    /// Side in pixels of the images that it sees, by way of latents or not.
    pub fn side(&self) -> u32 {
        self.reader().model.input().side
    }
}

impl Extract {
    /// Whether these are latents as models read them.
    pub fn is_latents(&self) -> bool {
        let autoencoding = self.model.model.autoencoding();
        autoencoding.is_some_and(|one| one.latent_block() == self.node.block)
            && self.node.reduce == Reduce::Whole
            && self.node.storage == FeatureType::F32
    }
}
