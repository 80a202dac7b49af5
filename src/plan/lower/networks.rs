//! From the graph to the plan: the trainings of networks, what weights a model has by them, and samples.

use std::sync::Arc;

use super::super::recipes::{PretrainRecipe, SamplesRecipe};
use super::super::step::{ModelUse, Pretrain, Sample, StepId, Work};
use super::super::{Facts, PlanError, Shards};
use super::{Lowering, split_names};
use crate::bug::Bug;
use crate::graph::{SampleMethod, SamplesNode};

impl Lowering<'_> {
    /// The trainings, in the order of the experiment.
    pub(super) fn pretrains(&mut self) -> Result<Vec<StepId>, PlanError> {
        let mut steps = Vec::new();
        for node in &self.experiment.pretrains {
            let images = Arc::clone(&self.datasets[node.dataset]);
            if images.samples_of(&node.split) == 0 {
                return Err(PlanError::NoTrainingSplit {
                    pretrain: node.name.clone(),
                    split: node.split.clone(),
                    dataset: images.name.clone(),
                    known: split_names(&images.facts),
                });
            }
            let recipe = PretrainRecipe {
                model: &self.identities[node.model],
                dataset: &images.facts.digest,
                split: &node.split,
                preprocess: &node.preprocess,
                training: node.training.clone(),
                noise_version: crate::diffusion::noise::VERSION,
            };
            let (checkpoints, recipe) = (recipe.checkpoint_recipe()?, recipe.recipe()?);
            let model = &self.experiment.models[node.model];
            let label = format!(
                "{}[{} {} steps={} seed={}]",
                node.name, images.name, model.name, node.training.steps, node.training.seed
            );
            let artifact = self.known.artifact(label, recipe);
            let work = || {
                Work::Pretrain(Box::new(Pretrain {
                    node: node.clone(),
                    images,
                    model: Arc::clone(&model.model),
                    model_name: model.name.clone(),
                    checkpoints,
                }))
            };
            steps.push(self.step(artifact, Vec::new(), work)?);
        }
        Ok(steps)
    }

    /// The models, with what is known of their weights.
    pub(super) fn models(&mut self, facts: &Facts, trainings: &[StepId]) -> Result<(), PlanError> {
        let models = self.experiment.models.iter().zip(&facts.weights);
        for (index, (node, known)) in models.enumerate() {
            let trained = node
                .pretrain
                .and_then(|index| trainings.get(index).copied());
            let trained = trained.map(|id| (id, self.steps[id.0].artifact.fingerprint));
            let weights = match (known, trained) {
                (Some(known), _) => known.clone(),
                (None, Some((_, fingerprint))) => format!("pretraining:{fingerprint}"),
                (None, None) => {
                    let what = format!("the weights of model `{}` have no identity", node.name);
                    return Err(Bug::new(what).into());
                }
            };
            let others = self.experiment.models.iter();
            self.models.push(Arc::new(ModelUse {
                name: node.name.clone(),
                model: Arc::clone(&node.model),
                weights,
                trained,
                is_one_of_several: others.filter(|other| other.name == node.name).count() > 1,
                axes: self.experiment.model_axes(index),
            }));
        }
        Ok(())
    }

    /// The samples, in the order of the experiment.
    pub(super) fn samples(&mut self) -> Result<Vec<StepId>, PlanError> {
        let mut made = Vec::new();
        for node in &self.experiment.samples {
            let model = Arc::clone(&self.models[node.model]);
            let eta = match node.method {
                SampleMethod::Ancestral => None,
                SampleMethod::Ddim { eta } => Some(eta),
            };
            let recipe = SamplesRecipe {
                model: &self.identities[node.model],
                weights: &model.weights,
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
                model.name,
                node.method.name(),
                node.respacing,
                node.seed
            );
            let artifact = self.known.artifact(label, recipe.recipe()?);
            let inputs = model.trained.iter().map(|(id, _)| *id).collect();
            let (steps, multiply_adds) = chain(node, &model)?;
            let work = || {
                Work::Sample(Box::new(Sample {
                    node: node.clone(),
                    shards: Shards::new(node.count as usize, model.model.input().side),
                    model,
                    steps,
                    multiply_adds,
                }))
            };
            made.push(self.step(artifact, inputs, work)?);
        }
        Ok(made)
    }
}

/// The steps from noise to an image, and the multiply-adds of one of them.
fn chain(node: &SamplesNode, model: &ModelUse) -> Result<(u32, u64), PlanError> {
    let denoising = model.model.denoising();
    let process = denoising.and_then(|denoising| {
        let process = denoising.process(&node.respacing).ok()?;
        Some((process.steps(), denoising.multiply_adds()))
    });
    process.ok_or_else(|| {
        let what = format!("samples `{}` of a model that gives none", node.name);
        Bug::new(what).into()
    })
}
