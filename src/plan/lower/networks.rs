//! From the graph to the plan: the trainings of networks, what weights a model has by them, and samples.

use serde_json::Value;

use super::lower::{Known, split_names};
use super::physical::{PretrainStep, SamplesStep};
use super::recipes::{PretrainRecipe, SamplesRecipe};
use super::{Facts, PlanError};
use crate::datasets::SplitCount;
use crate::graph::{Experiment, SampleMethod};

/// The trainings, in the order of the experiment.
pub(super) fn lower_pretrains(
    experiment: &Experiment,
    facts: &Facts,
    known: &Known<'_>,
    identities: &[Value],
) -> Result<Vec<PretrainStep>, PlanError> {
    let mut steps = Vec::new();
    for (index, node) in experiment.pretrains.iter().enumerate() {
        let dataset = &facts.datasets[node.dataset];
        let has_images = |count: &&SplitCount| count.split == node.split && count.samples > 0;
        if !dataset.splits.iter().any(|count| has_images(&count)) {
            return Err(PlanError::NoTrainingSplit {
                pretrain: node.name.clone(),
                split: node.split.clone(),
                dataset: experiment.datasets[node.dataset].name.clone(),
                known: split_names(dataset),
            });
        }
        let recipe = PretrainRecipe {
            model: &identities[node.model],
            dataset: &dataset.digest,
            split: &node.split,
            preprocess: &node.preprocess,
            training: node.training.clone(),
            noise_version: crate::diffusion::noise::VERSION,
        };
        let label = format!(
            "{}[{} {} steps={} seed={}]",
            node.name,
            experiment.datasets[node.dataset].name,
            experiment.models[node.model].name,
            node.training.steps,
            node.training.seed
        );
        steps.push(PretrainStep {
            pretrain: index,
            trunk: recipe.trunk()?,
            artifact: known.artifact(label, recipe.recipe()?),
        });
    }
    Ok(steps)
}

/// The identity of each model's weights.
pub(super) fn weights(
    experiment: &Experiment,
    facts: &Facts,
    pretrains: &[PretrainStep],
) -> Vec<String> {
    let models = experiment.models.iter().zip(&facts.weights);
    let identity = |(node, known): (&crate::graph::ModelNode, &Option<String>)| {
        let trained = node.pretrain.and_then(|index| pretrains.get(index));
        match (known, trained) {
            (Some(known), _) => known.clone(),
            (None, Some(step)) => format!("pretraining:{}", step.artifact.fingerprint),
            (None, None) => "unknown".to_owned(),
        }
    };
    models.map(identity).collect()
}

/// The sheets of samples, in the order of the experiment.
pub(super) fn lower_samples(
    experiment: &Experiment,
    known: &Known<'_>,
    identities: &[Value],
    weights: &[String],
) -> Result<Vec<SamplesStep>, PlanError> {
    let mut steps = Vec::new();
    for (index, node) in experiment.samples.iter().enumerate() {
        let eta = match node.method {
            SampleMethod::Ancestral => None,
            SampleMethod::Ddim { eta } => Some(eta),
        };
        let recipe = SamplesRecipe {
            model: &identities[node.model],
            weights: &weights[node.model],
            count: node.count,
            method: node.method.name(),
            eta,
            timesteps: node.respacing.to_string(),
            seed: node.seed,
            noise_version: crate::diffusion::noise::VERSION,
        };
        let label = format!(
            "{}[{} {} steps={} seed={}]",
            node.name,
            experiment.models[node.model].name,
            node.method.name(),
            node.respacing,
            node.seed
        );
        steps.push(SamplesStep {
            samples: index,
            artifact: known.artifact(label, recipe.recipe()?),
        });
    }
    Ok(steps)
}
