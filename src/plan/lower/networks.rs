//! From the graph to the plan: the trainings of networks, what weights a model has by them, and samples.

use std::sync::Arc;

use super::super::recipes::{ClassifierRecipe, DecoderRecipe, PretrainRecipe, SamplesRecipe};
use super::super::step::{ModelUse, Pretrain, Sample, StepId, Work};
use super::super::{Facts, PlanError, Shards};
use super::{Lowering, split_names};
use crate::bug::Bug;
use crate::graph::{ImageFormat, SampleMethod, SamplesNode};
use crate::models::autoencoding::AutoencodingModel;
use crate::models::denoising::DenoisingModel;
use crate::models::{Model, Precision};
use crate::text::shortened;

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
                autoencoder: node
                    .autoencoder
                    .and_then(|index| self.models.get(index).cloned()),
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
            let decoder = model.autoencoder.clone();
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
                classes: node.classes.as_ref().map(ToString::to_string),
                guidance: node.guidance,
                classifier: node.classifier.map(|one| ClassifierRecipe {
                    model: &self.identities[one.model],
                    weights: &self.models[one.model].weights,
                    scale: one.scale,
                }),
                decoder: decoder.as_ref().map(|decoder| DecoderRecipe {
                    model: decoder.model.identity(),
                    weights: &decoder.weights,
                    precision: decoder
                        .model
                        .autoencoding()
                        .map(AutoencodingModel::latent_precision),
                }),
                precision: node.precision,
                format: node.format.name(),
                seed: node.seed,
                noise_version: crate::diffusion::noise::VERSION,
            };
            let classifier = node.classifier;
            let classifier = classifier.map(|one| Arc::clone(&self.models[one.model]));
            let label = label(node, &model, classifier.as_deref());
            let artifact = self.known.artifact(label, recipe.recipe()?);
            let networks = std::iter::once(&model).chain(&classifier);
            let inputs = networks.filter_map(|one| Some(one.trained.as_ref()?.0));
            let inputs = inputs.collect();
            let steps = steps(node, &model)?;
            let multiply_adds = work_of_step(
                &*model.model,
                node.guidance.is_some(),
                classifier.as_ref().map(|one| &*one.model),
            );
            let side = model.side();
            let autoencoding = decoder.as_ref().and_then(|one| one.model.autoencoding());
            let decoder = autoencoding.map_or(0, AutoencodingModel::decoder_multiply_adds);
            let of_image = u128::from(multiply_adds) * u128::from(steps) + u128::from(decoder);
            let work = || {
                Work::Sample(Box::new(Sample {
                    node: node.clone(),
                    shards: Shards::of_samples(node.count as usize, side, of_image),
                    model,
                    classifier,
                    decoder,
                    steps,
                    multiply_adds,
                }))
            };
            made.push(self.step(artifact, inputs, work)?);
        }
        Ok(made)
    }
}

/// What samples are called: what hardly any has is only said where it is.
fn label(node: &SamplesNode, model: &ModelUse, classifier: Option<&ModelUse>) -> String {
    let mut text = format!(
        "{}[{} {} steps={}",
        node.name,
        model.name,
        node.method.name(),
        node.respacing
    );
    if let Some(classes) = &node.classes {
        let classes = classes.to_string();
        text.extend([" classes=", &*shortened(&classes, 24)]);
    }
    if let Some(guidance) = node.guidance {
        text.extend([" guidance=".to_owned(), guidance.to_string()]);
    }
    if let (Some(classifier), Some(used)) = (classifier, node.classifier) {
        let scale = used.scale.to_string();
        text.extend([" classifier=", &classifier.name, " scale=", &scale]);
    }
    if node.precision != Precision::F32 {
        text.extend([" ", node.precision.name()]);
    }
    if node.format != ImageFormat::Png {
        text.extend([" ", node.format.name()]);
    }
    text + &format!(" seed={}]", node.seed)
}

/// The steps from noise to an image.
fn steps(node: &SamplesNode, model: &ModelUse) -> Result<u32, PlanError> {
    let process = model.model.denoising().and_then(|denoising| {
        let process = denoising.process(&node.respacing).ok()?;
        Some(process.steps())
    });
    process.ok_or_else(|| {
        let what = format!("samples `{}` of a model that gives none", node.name);
        Bug::new(what).into()
    })
}

/// Multiply-adds of one step of one image: of the network, twice with guidance without a classifier, and of a classifier there and
/// back, where the way back to the images costs as much as the way there.
pub(in crate::plan) fn work_of_step(
    model: &dyn Model,
    is_guided: bool,
    classifier: Option<&dyn Model>,
) -> u64 {
    let network = model.denoising().map_or(0, DenoisingModel::multiply_adds);
    let network = if is_guided { 2 * network } else { network };
    let classifier = classifier.and_then(|one| one.blocks().last());
    network + 2 * classifier.map_or(0, |last| last.multiply_adds)
}
