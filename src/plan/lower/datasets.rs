//! From the graph to the plan: datasets, those that were opened and those whose images a run makes.

use std::sync::Arc;

use super::super::step::{DatasetUse, StepId};
use super::super::{DatasetFacts, Facts, PlanError};
use super::Lowering;
use crate::bug::Bug;
use crate::datasets::SplitCount;
use crate::store::Fingerprint;

impl Lowering<'_> {
    /// The datasets that come from files. They are the first of the experiment.
    pub(super) fn opened(&mut self, facts: &Facts) -> Result<(), PlanError> {
        let nodes = self.experiment.datasets.iter().zip(&facts.datasets);
        for (node, facts) in nodes.filter(|(node, _)| node.samples.is_none()) {
            let Some(facts) = facts else {
                let what = format!("nothing is known of dataset `{}`", node.name);
                return Err(Bug::new(what).into());
            };
            self.dataset(facts.clone(), None);
        }
        Ok(())
    }

    /// The datasets whose images are samples, behind the others; `steps` are those of the samples.
    pub(super) fn generated(&mut self, steps: &[StepId]) -> Result<(), PlanError> {
        for node in self.experiment.datasets.iter().skip(self.datasets.len()) {
            let samples = node.samples.zip(node.dataset.generated());
            let Some((index, generated)) = samples else {
                let what = format!("dataset `{}` stands behind samples", node.name);
                return Err(Bug::new(what).into());
            };
            let step = steps[index];
            let fingerprint = self.steps[step.0].artifact.fingerprint;
            let count = self.experiment.samples[index].count as usize;
            let facts = DatasetFacts {
                digest: format!("samples:{fingerprint}"),
                samples: count,
                splits: vec![SplitCount {
                    split: generated.split.to_owned(),
                    samples: count,
                }],
                classes: Vec::new(),
            };
            self.dataset(facts, Some((step, fingerprint)));
        }
        Ok(())
    }

    fn dataset(&mut self, facts: DatasetFacts, made: Option<(StepId, Fingerprint)>) {
        let index = self.datasets.len();
        self.datasets.push(Arc::new(DatasetUse {
            index,
            name: self.experiment.datasets[index].name.clone(),
            facts,
            made,
            axes: self.experiment.dataset_axes(index),
        }));
    }
}
