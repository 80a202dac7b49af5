//! From the graph to the plan: heads.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::PlanError;
use super::super::recipes::{HeadRecipe, JoinedFeatures};
use super::super::step::{Extract, HeadItem, Joined, StepId, Train, Work};
use super::features::{Role, Wanted};
use super::{Lowering, split_names};
use crate::bug::Bug;
use crate::graph::HeadNode;
use crate::store::Fingerprint;

/// What a head reads of one extraction.
struct Source {
    trained: Wanted,
    tested: Wanted,
    held_out: Wanted,
}

impl Source {
    /// The steps that keep the latents that go through the network while the head is trained, but those that are `known`.
    fn latents(&self, known: &[StepId]) -> BTreeSet<StepId> {
        let all = [&self.trained, &self.tested, &self.held_out].into_iter();
        all.filter_map(|one| one.latents)
            .filter(|step| !known.contains(step))
            .collect()
    }

    fn joined(self) -> Joined {
        Joined {
            features: self.tested.extract,
            trained: self.trained.extract,
            held_out: self.held_out.extract,
        }
    }
}

impl Lowering<'_> {
    /// The heads, in the order of the experiment.
    pub(super) fn heads(&mut self) -> Result<Vec<HeadItem>, PlanError> {
        let mut steps = Vec::with_capacity(self.experiment.heads.len());
        for node in &self.experiment.heads {
            steps.push(self.head(node)?);
        }
        Ok(steps)
    }

    /// What a head reads of an extraction.
    fn source(
        &mut self,
        node: &HeadNode,
        index: usize,
        is_kept: bool,
    ) -> Result<Source, PlanError> {
        let training = &node.training;
        let train = Role::Trained(&training.train_split);
        let trained = self.features(index, train, is_kept)?;
        let test = Role::Tested(&training.test_split);
        let tested = self.features(index, test, is_kept)?;
        let held_out = if training.holdout > 0.0 {
            let held_out = Role::Tested(&training.train_split);
            self.features(index, held_out, is_kept)?
        } else {
            trained.clone()
        };
        Ok(Source {
            trained,
            tested,
            held_out,
        })
    }

    fn head(&mut self, node: &HeadNode) -> Result<HeadItem, PlanError> {
        let training = &node.training;
        let extraction = &self.experiment.extractions[node.features];
        let images = Arc::clone(&self.datasets[extraction.dataset]);
        for split in [&training.train_split, &training.test_split] {
            if !images
                .facts
                .splits
                .iter()
                .any(|count| count.split == *split)
            {
                return Err(PlanError::NoSplit {
                    head: node.name.clone(),
                    split: split.clone(),
                    dataset: images.name.clone(),
                    known: split_names(&images.facts),
                });
            }
        }
        if images.facts.classes.is_empty() {
            return Err(PlanError::NoClasses {
                head: node.name.clone(),
                dataset: images.name.clone(),
            });
        }
        // A head that trains its network reads no features, but the same network.
        let is_kept = training.fine_tune.is_none();
        let own = self.source(node, node.features, is_kept)?;
        let mut views = vec![own.trained.clone()];
        for &index in &node.more_views {
            let train = Role::Trained(&training.train_split);
            views.push(self.features(index, train, is_kept)?);
        }
        let behind = 1..training.test_draws;
        let more_draws = behind.map(|behind| {
            let role = Role::Redrawn(&training.test_split, behind);
            self.features(node.features, role, is_kept)
        });
        let more_draws: Vec<Wanted> = more_draws.collect::<Result<_, PlanError>>()?;
        let joined = node.joined.iter();
        let joined = joined.map(|&index| self.source(node, index, is_kept));
        let joined: Vec<Source> = joined.collect::<Result<_, PlanError>>()?;
        let reads: Vec<Fingerprint> = views.iter().map(|one| one.extract.fingerprint).collect();
        let text = |one: &Wanted| one.extract.fingerprint.to_string();
        let trained = text(&own.trained);
        let where_other = |one: &Wanted| Some(text(one)).filter(|other| *other != trained);
        let recipe = HeadRecipe {
            head: &node.head.identity(),
            training,
            seed: node.seed,
            classes: images.facts.classes.len(),
            features: reads.iter().map(ToString::to_string).collect(),
            test_features: where_other(&own.tested),
            more_test_features: more_draws.iter().map(text).collect(),
            held_out_features: where_other(&own.held_out),
            joined: joined
                .iter()
                .map(|source| JoinedFeatures {
                    features: text(&source.trained),
                    test_features: text(&source.tested),
                    held_out_features: text(&source.held_out),
                })
                .collect(),
        }
        .recipe()?;
        let label = format!(
            "{}[{} {}]",
            node.name,
            extraction.label(self.experiment),
            node.distinction()
        );
        let artifact = self.known.artifact(label, recipe);
        let (inputs, reads) = if is_kept {
            let sources = std::iter::once(&own).chain(&joined);
            let of_sources =
                sources.flat_map(|source| [&source.trained, &source.tested, &source.held_out]);
            let mut inputs: Vec<StepId> = Vec::new();
            let read = views.iter().chain(&more_draws).chain(of_sources);
            for step in read.filter_map(|one| one.step) {
                if !inputs.contains(&step) {
                    inputs.push(step);
                }
            }
            if training.online {
                inputs.extend(own.latents(&inputs));
            }
            (inputs, reads)
        } else {
            let mut inputs = trained_by(&own.tested.extract);
            inputs.extend(own.latents(&inputs));
            (inputs, Vec::new())
        };
        let forwards = forwards(&own.tested.extract, node);
        let shape = self.experiment.joined_shape(node.features, &node.joined);
        let shape = shape.ok_or_else(|| {
            let what = format!(
                "head `{}` reads a tap that its model does not have",
                node.name
            );
            PlanError::from(Bug::new(what))
        })?;
        let train = Arc::new(Train {
            node: node.clone(),
            features: own.tested.extract,
            more_draws: more_draws.into_iter().map(|one| one.extract).collect(),
            trained: own.trained.extract,
            held_out: own.held_out.extract,
            joined: joined.into_iter().map(Source::joined).collect(),
            shape,
            reads,
            forwards,
        });
        let step = self.step(artifact, inputs, || Work::Train(Arc::clone(&train)))?;
        Ok(HeadItem { step, train })
    }
}

/// The training that a network's weights come from.
fn trained_by(extract: &Extract) -> Vec<StepId> {
    let trained = extract.model.trained.iter();
    trained.map(|(id, _)| *id).collect()
}

/// How many images go through the network while a head is trained.
fn forwards(extract: &Extract, node: &HeadNode) -> u64 {
    let training = &node.training;
    let samples = |split: &str| extract.images.samples_of(split);
    let (train, epochs) = (samples(&training.train_split), u64::from(training.epochs));
    match (&training.fine_tune, training.online) {
        (Some(_), _) => epochs * train + samples(&training.test_split),
        // The first epoch sees the features that predictions are made from.
        (None, true) => (epochs - 1) * train,
        (None, false) => 0,
    }
}
