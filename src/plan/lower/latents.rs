//! From the graph to the plan: the latents that models read in place of images.
//!
//! They are features like any other: those of an autoencoder at its last block, whole. What reads them differs in timestep, draw of the
//! noise, block and network; they do not, so that one artifact serves all of it.

use super::super::PlanError;
use super::super::step::Shown;
use super::Lowering;
use super::features::Wanted;
use crate::bug::Bug;
use crate::feature_type::FeatureType;
use crate::graph::{ExtractionNode, Swept};
use crate::models::Reduce;

impl Lowering<'_> {
    /// The latents that an extraction reads of what it shows; `None` where its model reads images.
    pub(super) fn latents(
        &mut self,
        node: &ExtractionNode,
        shown: &Shown,
    ) -> Result<Option<Wanted>, PlanError> {
        let Some(autoencoder) = self.experiment.models[node.model].autoencoder else {
            return Ok(None);
        };
        let model = &self.experiment.models[autoencoder];
        let autoencoding = model.model.autoencoding().ok_or_else(|| {
            let what = format!("model `{}` makes no latents that are read", model.name);
            PlanError::from(Bug::new(what))
        })?;
        // Where every image is shown in one way, all of them have latents, whichever of them somebody reads.
        let is_of_all = node.preprocess == node.test_preprocess;
        // Noise is added to latents, so what is left to draw is what `preprocess` draws.
        let random = shown.random.filter(|_| shown.preprocess.is_random());
        let shown = Shown {
            split: shown.split.clone().filter(|_| !is_of_all),
            preprocess: shown.preprocess.clone(),
            random,
        };
        let latents = ExtractionNode {
            name: "latents".to_owned(),
            model: autoencoder,
            timestep: None,
            class: None,
            block: autoencoding.latent_block(),
            reduce: Reduce::Whole,
            random,
            precision: autoencoding.latent_precision(),
            storage: FeatureType::F32,
            batch_size: None,
            swept: Swept::default(),
            ..node.clone()
        };
        self.extraction(&latents, shown, true).map(Some)
    }
}
