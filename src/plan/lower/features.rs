//! From the graph to the plan: the features of each extraction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::PlanError;
use super::super::recipes::{FeaturesRecipe, PassRecipe};
use super::super::step::{Extract, StepId, Work};
use super::Lowering;
use crate::bug::Bug;
use crate::graph::{Experiment, ExtractionNode};
use crate::models::find_block;

/// The features of one extraction.
pub(super) struct Wanted {
    /// What decides the features.
    pub(super) extract: Arc<Extract>,
    /// The step that keeps them; `None` where nobody reads them from the store.
    pub(super) step: Option<StepId>,
}

impl Lowering<'_> {
    /// The features, in the order of the experiment's extractions.
    pub(super) fn extractions(&mut self) -> Result<Vec<Wanted>, PlanError> {
        let unwanted = read_by_tuning_alone(self.experiment);
        let mut features = Vec::with_capacity(self.experiment.extractions.len());
        for (index, node) in self.experiment.extractions.iter().enumerate() {
            features.push(self.extraction(node, !unwanted.contains(&index))?);
        }
        Ok(features)
    }

    fn extraction(&mut self, node: &ExtractionNode, is_kept: bool) -> Result<Wanted, PlanError> {
        let model = Arc::clone(&self.models[node.model]);
        let images = Arc::clone(&self.datasets[node.dataset]);
        let no_tap = || {
            let what = format!(
                "extraction `{}` reads a tap that its model does not have",
                node.name
            );
            PlanError::from(Bug::new(what))
        };
        let block = find_block(&*model.model, node.block).ok_or_else(no_tap)?;
        let shape = block.shape.reduced(node.reduce).ok_or_else(no_tap)?;
        let pass = PassRecipe {
            dataset: &images.facts.digest,
            model: &self.identities[node.model],
            weights: &model.weights,
            preprocess: &node.preprocess,
            normalization: node.normalization,
            view: node.view,
            timestep: node.timestep,
            draw: node.random.map(|random| random.draw),
            noise_seed: node.random.map(|random| random.seed),
            noise_version: node.timestep.map(|_| crate::diffusion::noise::VERSION),
            precision: node.precision,
        };
        let name = pass.recipe()?.fingerprint();
        let recipe = FeaturesRecipe {
            pass,
            block: node.block.0,
            pool: node.reduce.pool(),
            token: node.reduce.token(block.shape),
            storage: node.storage,
        }
        .recipe()?;
        let label = node.label(self.experiment);
        let artifact = self.known.artifact(label, recipe);
        let extract = Arc::new(Extract {
            node: node.clone(),
            tap: block.shape,
            shape,
            multiply_adds: block.multiply_adds,
            pass: name,
            fingerprint: artifact.fingerprint,
            images,
            model,
        });
        let step = if is_kept {
            let made = extract.model.trained.iter().chain(&extract.images.made);
            let inputs = made.map(|(id, _)| *id).collect();
            let work = || Work::Extract(Arc::clone(&extract));
            Some(self.step(artifact, inputs, work)?)
        } else {
            None
        };
        Ok(Wanted { extract, step })
    }
}

/// The extractions that heads read, and only heads that train the network: their features change with every step, so that nobody
/// keeps them. What a metric reads is kept all the same.
fn read_by_tuning_alone(experiment: &Experiment) -> BTreeSet<usize> {
    let (mut tuned, mut cached) = (BTreeSet::new(), BTreeSet::new());
    for head in &experiment.heads {
        let reads = std::iter::once(head.features).chain(head.more_views.iter().copied());
        match head.training.fine_tune {
            Some(_) => tuned.extend(reads),
            None => cached.extend(reads),
        }
    }
    for metric in &experiment.metrics {
        cached.extend(metric.inputs.features());
    }
    tuned.difference(&cached).copied().collect()
}
