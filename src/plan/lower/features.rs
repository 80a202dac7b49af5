//! From the graph to the plan: the features of each extraction.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::PlanError;
use super::super::recipes::{FeaturesRecipe, PassRecipe};
use super::super::step::{DatasetUse, Extract, ModelUse, Shown, StepId, Work};
use super::Lowering;
use crate::bug::Bug;
use crate::graph::{Experiment, ExtractionNode, Randomness};
use crate::imaging::Normalization;
use crate::models::{ClassCondition, find_block};

/// The features of one extraction, as somebody reads them.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What decides the features.
    pub(super) extract: Arc<Extract>,
    /// The step that keeps them; `None` where nobody reads them from the store.
    pub(super) step: Option<StepId>,
    /// The step that keeps the latents that they are computed from; `None` where they are computed from images.
    pub(super) latents: Option<StepId>,
}

/// What the images of an extraction are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role<'a> {
    /// To train on those of a split.
    Trained(&'a str),
    /// To predict or compare those of a split, or to hold some of them out of training.
    Tested(&'a str),
    /// To predict those of a split from so many draws of the noise behind the extraction's own.
    Redrawn(&'a str, u32),
}

impl Lowering<'_> {
    /// The features of the extractions that show every image in one way, and of those that nobody reads, in the order of the
    /// experiment. What the others show depends on who reads it ([`Lowering::features`]).
    pub(super) fn extractions(&mut self) -> Result<(), PlanError> {
        let (tuned, cached) = readers(self.experiment);
        for (index, node) in self.experiment.extractions.iter().enumerate() {
            let is_read = tuned.contains(&index) || cached.contains(&index);
            if node.preprocess == node.test_preprocess || !is_read {
                let is_kept = cached.contains(&index) || !is_read;
                self.shown(index, all(node), is_kept)?;
            }
        }
        Ok(())
    }

    /// The features of an extraction in a role. `is_kept` says whether they are read from the store.
    pub(super) fn features(
        &mut self,
        index: usize,
        role: Role<'_>,
        is_kept: bool,
    ) -> Result<Wanted, PlanError> {
        let node = &self.experiment.extractions[index];
        let shown = match role {
            Role::Redrawn(split, behind) => Shown {
                split: Some(split.to_owned()),
                preprocess: node.test_preprocess.clone(),
                random: node.random.map(|random| Randomness {
                    draw: random.draw.saturating_add(behind),
                    ..random
                }),
            },
            _ if node.preprocess == node.test_preprocess => all(node),
            Role::Trained(split) => Shown {
                split: Some(split.to_owned()),
                ..all(node)
            },
            Role::Tested(split) => Shown {
                split: Some(split.to_owned()),
                preprocess: node.test_preprocess.clone(),
                // What is left to draw is the noise.
                random: node.random.filter(|_| node.timestep.is_some()),
            },
        };
        self.shown(index, shown, is_kept)
    }

    /// The features of some images of an extraction; lowered once.
    fn shown(&mut self, index: usize, shown: Shown, is_kept: bool) -> Result<Wanted, PlanError> {
        let key = (index, shown);
        match self.features.get(&key) {
            Some(known) if known.step.is_some() || !is_kept => return Ok(known.clone()),
            _ => {}
        }
        let node = self.experiment.extractions[index].clone();
        let wanted = self.extraction(&node, key.1.clone(), is_kept)?;
        self.features.insert(key, wanted.clone());
        Ok(wanted)
    }

    /// The features of a node, be it of the experiment or one that others read.
    pub(super) fn extraction(
        &mut self,
        node: &ExtractionNode,
        shown: Shown,
        is_kept: bool,
    ) -> Result<Wanted, PlanError> {
        let latents = self.latents(node, &shown)?;
        let (latents, latents_step) = match latents {
            Some(wanted) => (Some(wanted.extract), wanted.step),
            None => (None, None),
        };
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
        check_labels(node, &model, &images)?;
        let pass = PassRecipe {
            dataset: &images.facts.digest,
            model: &self.identities[node.model],
            weights: &model.weights,
            split: shown.split.as_deref(),
            preprocess: latents.is_none().then_some(&shown.preprocess),
            latents: latents
                .as_ref()
                .map(|latents| latents.fingerprint.to_string()),
            normalization: match latents {
                Some(_) => Normalization::default(),
                None => node.normalization,
            },
            view: node.view,
            timestep: node.timestep,
            class: node.class,
            draw: shown.random.map(|random| random.draw),
            noise_seed: shown.random.map(|random| random.seed),
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
        let label = match shown.random {
            random if random == node.random => node.label(self.experiment),
            random => ExtractionNode {
                random,
                ..node.clone()
            }
            .label(self.experiment),
        };
        let label = match &shown.split {
            Some(split) if shown.preprocess == node.test_preprocess => {
                format!("{label} of {split}, shown for testing")
            }
            Some(split) => format!("{label} of {split}, shown for training"),
            None => label,
        };
        let artifact = self.known.artifact(label, recipe);
        let extract = Arc::new(Extract {
            node: node.clone(),
            shown,
            tap: block.shape,
            shape,
            multiply_adds: block.multiply_adds,
            pass: name,
            fingerprint: artifact.fingerprint,
            images,
            model,
            latents,
        });
        let step = if is_kept {
            let made = extract.model.trained.iter().chain(&extract.images.made);
            let inputs = made.map(|(id, _)| *id).chain(latents_step).collect();
            let work = || Work::Extract(Arc::clone(&extract));
            Some(self.step(artifact, inputs, work)?)
        } else {
            None
        };
        Ok(Wanted {
            extract,
            step,
            latents: latents_step,
        })
    }
}

/// Whether the network has a class for every label of the dataset, where it is given labels.
fn check_labels(
    node: &ExtractionNode,
    model: &ModelUse,
    images: &DatasetUse,
) -> Result<(), PlanError> {
    let Some(ClassCondition::Label) = node.class else {
        return Ok(());
    };
    let known = model.model.classes().map_or(0, |classes| classes.count);
    let labels = images.facts.classes.len();
    if labels == 0 || labels as u64 > u64::from(known) {
        return Err(PlanError::Labels {
            extraction: node.name.clone(),
            dataset: images.name.clone(),
            labels,
            model: model.name.clone(),
            classes: known,
        });
    }
    Ok(())
}

/// All images of an extraction, as they are trained on.
fn all(node: &ExtractionNode) -> Shown {
    Shown {
        split: None,
        preprocess: node.preprocess.clone(),
        random: node.random,
    }
}

/// The extractions that are read by heads that train the network, whose features change with every step, so that nobody keeps them; and
/// those that are read from the store.
fn readers(experiment: &Experiment) -> (BTreeSet<usize>, BTreeSet<usize>) {
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
    (tuned, cached)
}
