//! From the graph to the plan: heads.

use std::sync::Arc;

use super::super::PlanError;
use super::super::recipes::HeadRecipe;
use super::super::step::{Extract, HeadItem, StepId, Train, Work};
use super::features::Wanted;
use super::{Lowering, split_names};
use crate::graph::HeadNode;
use crate::store::Fingerprint;

impl Lowering<'_> {
    /// The heads, in the order of the experiment.
    pub(super) fn heads(&mut self, features: &[Wanted]) -> Result<Vec<HeadItem>, PlanError> {
        let mut steps = Vec::with_capacity(self.experiment.heads.len());
        for node in &self.experiment.heads {
            steps.push(self.head(node, features)?);
        }
        Ok(steps)
    }

    fn head(&mut self, node: &HeadNode, features: &[Wanted]) -> Result<HeadItem, PlanError> {
        let extract = Arc::clone(&features[node.features].extract);
        let facts = &extract.images.facts;
        for split in [&node.training.train_split, &node.training.test_split] {
            if !facts.splits.iter().any(|count| count.split == *split) {
                return Err(PlanError::NoSplit {
                    head: node.name.clone(),
                    split: split.clone(),
                    dataset: extract.images.name.clone(),
                    known: split_names(facts),
                });
            }
        }
        let wanted = || {
            let indices = std::iter::once(&node.features).chain(&node.more_views);
            indices.map(|&index| &features[index])
        };
        let reads: Vec<Fingerprint> = wanted().map(|one| one.extract.fingerprint).collect();
        let recipe = HeadRecipe {
            head: &node.head.identity(),
            training: &node.training,
            seed: node.seed,
            classes: facts.classes.len(),
            features: reads.iter().map(ToString::to_string).collect(),
        }
        .recipe()?;
        let label = format!(
            "{}[{} {}]",
            node.name,
            extract.node.label(self.experiment),
            node.distinction()
        );
        let artifact = self.known.artifact(label, recipe);
        // A head that trains its network reads no features, but the same network.
        let (inputs, reads) = match node.training.fine_tune {
            Some(_) => (trained(&extract), Vec::new()),
            None => (wanted().filter_map(|one| one.step).collect(), reads),
        };
        let forwards = forwards(&extract, node);
        let train = Arc::new(Train {
            node: node.clone(),
            features: extract,
            reads,
            forwards,
        });
        let step = self.step(artifact, inputs, || Work::Train(Arc::clone(&train)))?;
        Ok(HeadItem { step, train })
    }
}

/// The training that a network's weights come from.
fn trained(extract: &Extract) -> Vec<StepId> {
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
