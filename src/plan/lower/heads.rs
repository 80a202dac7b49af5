//! From the graph to the plan: heads.

use std::sync::Arc;

use super::super::PlanError;
use super::super::recipes::HeadRecipe;
use super::super::step::{Extract, HeadItem, StepId, Train, Work};
use super::features::{Role, Wanted};
use super::{Lowering, split_names};
use crate::graph::HeadNode;
use crate::store::Fingerprint;

impl Lowering<'_> {
    /// The heads, in the order of the experiment.
    pub(super) fn heads(&mut self) -> Result<Vec<HeadItem>, PlanError> {
        let mut steps = Vec::with_capacity(self.experiment.heads.len());
        for node in &self.experiment.heads {
            steps.push(self.head(node)?);
        }
        Ok(steps)
    }

    fn head(&mut self, node: &HeadNode) -> Result<HeadItem, PlanError> {
        let training = &node.training;
        let extraction = &self.experiment.extractions[node.features];
        let images = Arc::clone(&self.datasets[extraction.dataset]);
        for split in [&training.train_split, &training.test_split] {
            if !images.facts.splits.iter().any(|count| count.split == *split) {
                return Err(PlanError::NoSplit {
                    head: node.name.clone(),
                    split: split.clone(),
                    dataset: images.name.clone(),
                    known: split_names(&images.facts),
                });
            }
        }
        // A head that trains its network reads no features, but the same network.
        let is_kept = training.fine_tune.is_none();
        let train = Role::Trained(&training.train_split);
        let trained = self.features(node.features, train, is_kept)?;
        let test = Role::Tested(&training.test_split);
        let tested = self.features(node.features, test, is_kept)?;
        let held_out = if training.holdout > 0.0 {
            let held_out = Role::Tested(&training.train_split);
            self.features(node.features, held_out, is_kept)?
        } else {
            trained.clone()
        };
        let mut views = vec![trained.clone()];
        for &index in &node.more_views {
            views.push(self.features(index, train, is_kept)?);
        }
        let reads: Vec<Fingerprint> = views.iter().map(|one| one.extract.fingerprint).collect();
        let where_other = |one: &Wanted| {
            let fingerprint = one.extract.fingerprint;
            (fingerprint != trained.extract.fingerprint).then(|| fingerprint.to_string())
        };
        let recipe = HeadRecipe {
            head: &node.head.identity(),
            training,
            seed: node.seed,
            classes: images.facts.classes.len(),
            features: reads.iter().map(ToString::to_string).collect(),
            test_features: where_other(&tested),
            held_out_features: where_other(&held_out),
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
            let mut inputs: Vec<StepId> = Vec::new();
            for step in views
                .iter()
                .chain([&tested, &held_out])
                .filter_map(|one| one.step)
            {
                if !inputs.contains(&step) {
                    inputs.push(step);
                }
            }
            (inputs, reads)
        } else {
            (trained_by(&tested.extract), Vec::new())
        };
        let forwards = forwards(&tested.extract, node);
        let train = Arc::new(Train {
            node: node.clone(),
            features: tested.extract,
            trained: trained.extract,
            held_out: held_out.extract,
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
