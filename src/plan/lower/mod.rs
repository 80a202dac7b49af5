//! From the graph to the plan before any rule: every wanted artifact is a step, and every step a job of its own.

mod choices;
mod datasets;
mod features;
mod heads;
mod latents;
mod metrics;
mod networks;

pub(super) use networks::work_of_step;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::job::Job;
use super::known::Known;
use super::step::{
    ByFingerprint, DatasetUse, ModelUse, PlannedArtifact, Shown, Step, StepId, Work,
};
use super::{DatasetFacts, Facts, Plan, PlanError};
use crate::graph::Experiment;
use crate::store::Listing;
use features::Wanted;

/// The plan under construction.
struct Lowering<'a> {
    experiment: &'a Experiment,
    known: Known<'a>,
    datasets: Vec<Arc<DatasetUse>>,
    models: Vec<Arc<ModelUse>>,
    facts: &'a Facts,
    /// The form of each model, as recipes have it.
    identities: Vec<Value>,
    steps: Vec<Step>,
    jobs: Vec<Job>,
    by_fingerprint: ByFingerprint,
    /// Features by extraction and by what is shown of it.
    features: BTreeMap<(usize, Shown), Wanted>,
}

pub(super) fn lower(
    experiment: &Experiment,
    facts: &Facts,
    listing: &Listing,
) -> Result<Plan, PlanError> {
    let identities = experiment.models.iter().map(|node| node.model.identity());
    let mut lowering = Lowering {
        experiment,
        known: Known::new(listing),
        datasets: Vec::new(),
        models: Vec::new(),
        facts,
        identities: identities.collect(),
        steps: Vec::new(),
        jobs: Vec::new(),
        by_fingerprint: BTreeMap::new(),
        features: BTreeMap::new(),
    };
    lowering.opened(facts)?;
    let trainings = lowering.pretrains()?;
    lowering.models(facts, &trainings)?;
    let samples = lowering.samples()?;
    lowering.generated(&samples)?;
    lowering.extractions()?;
    let heads = lowering.heads()?;
    lowering.metrics(&heads)?;
    Ok(Plan {
        name: experiment.name.clone(),
        steps: lowering.steps,
        jobs: lowering.jobs,
        datasets: lowering.datasets,
        models: lowering.models,
        features: lowering
            .features
            .into_values()
            .map(|wanted| wanted.extract)
            .collect(),
        report: experiment
            .report
            .as_ref()
            .map(|report| report.output.clone()),
    })
}

impl Lowering<'_> {
    /// The step that leaves an artifact; a new one, with a job of its own, where there is none yet.
    fn step(
        &mut self,
        artifact: PlannedArtifact,
        inputs: Vec<StepId>,
        work: impl FnOnce() -> Work,
    ) -> Result<StepId, PlanError> {
        if let Some(&known) = self.by_fingerprint.get(&artifact.fingerprint) {
            return Ok(known);
        }
        let id = StepId(self.steps.len());
        self.by_fingerprint.insert(artifact.fingerprint, id);
        let step = Step {
            inputs,
            artifact,
            work: work(),
        };
        self.jobs.push(Job::of(id, &step)?);
        self.steps.push(step);
        Ok(id)
    }
}

/// The splits of a dataset, for messages.
fn split_names(dataset: &DatasetFacts) -> String {
    let names: Vec<String> = dataset
        .splits
        .iter()
        .map(|count| format!("`{}`", count.split))
        .collect();
    names.join(", ")
}
