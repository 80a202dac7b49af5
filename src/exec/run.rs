//! Walking the plan: passes, then heads, then metrics, then the report.
//!
//! A node that fails does not stop the nodes that do not need it. What was committed stays committed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::event::{Emit, Event};
use super::heads::Fate;
use super::{NodeError, StopSignal, attempt, heads, metric, pass, pretrain, samples};
use crate::collect::report;
use crate::graph::Experiment;
use crate::inputs::Inputs;
use crate::machine::memory::KeptMaps;
use crate::models::Precision;
use crate::models::extractor::Network;
use crate::plan::{Plan, PlannedArtifact};
use crate::store::{
    ArtifactWriter, Begin, Fingerprint, Made, Patience, Store, StoreError, Waiting,
};

/// What a run works with.
pub struct Run<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its opened inputs.
    pub inputs: &'a Inputs,
    /// The store.
    pub store: &'a Store,
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// Where tensors live.
    pub device: crate::machine::device::Device,
    /// Takes events.
    pub emit: Emit<'a>,
    /// Bytes that the training of heads may take.
    pub memory: u64,
    /// Seconds between the checkpoints of heads, at the end of an epoch.
    pub checkpoint_seconds: f64,
    /// Says whether the user asked to stop.
    pub stop: &'a StopSignal,
    /// The time now, as RFC 3339 in UTC.
    pub clock: fn() -> String,
    /// Versions of what takes part, such as libtorch.
    pub versions: BTreeMap<String, String>,
    /// The command that makes the report again.
    pub command: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Everything was there already, the report included.
    pub nothing_to_do: bool,
    /// The user stopped it.
    pub stopped: bool,
    /// Damaged artifacts were moved aside: planning and running once more makes them again.
    pub again: bool,
    /// Labels of the nodes that failed.
    pub failed: Vec<String>,
}

impl Run<'_> {
    /// While another process makes an artifact that is needed: says so once, and waits until the user wants to stop.
    pub(super) fn wait(&self, waiting: &Waiting<'_>) -> Patience {
        if waiting.waited.is_zero() {
            (self.emit)(Event::Waiting {
                label: waiting.label.to_owned(),
                holder: waiting.holder.to_owned(),
            });
        }
        if self.stop.is_given() {
            Patience::GiveUp
        } else {
            Patience::Wait
        }
    }

    /// The right to make an artifact; nothing where another process has made it meanwhile.
    pub(super) fn begin(
        &self,
        artifact: &PlannedArtifact,
    ) -> Result<Option<Box<ArtifactWriter>>, StoreError> {
        let mut wait = |waiting: &Waiting<'_>| self.wait(waiting);
        let (recipe, label) = (&artifact.recipe, &artifact.label);
        match self.store.begin(recipe, label, &mut wait)? {
            Begin::Writer(writer) => Ok(Some(writer)),
            Begin::AlreadyThere(_) => Ok(None),
        }
    }

    /// The circumstances of an artifact that is finished now.
    pub(super) fn made(&self, wall_seconds: f64) -> Made {
        Made {
            at: (self.clock)(),
            wall_seconds,
            device: crate::machine::device::name(self.device),
            versions: self.versions.clone(),
            notes: BTreeMap::new(),
        }
    }
}

/// Carries out a plan.
pub fn run(run: &Run<'_>, plan: &Plan) -> Summary {
    let started = Instant::now();
    let mut outcome = Outcome::default();
    (run.emit)(Event::RunStarted {
        experiment: run.experiment.name.clone(),
        device: crate::machine::device::name(run.device),
        passes: plan.passes.len(),
        images: plan.passes.iter().map(|pass| pass.images as u64).sum(),
        heads: plan
            .heads
            .iter()
            .filter(|step| !step.artifact.state.is_cached())
            .count(),
    });
    run_pretrains(run, plan, &mut outcome);
    run_samples(run, plan, &mut outcome);
    run_passes(run, plan, &mut outcome);
    run_heads(run, plan, &mut outcome);
    run_metrics(run, plan, &mut outcome);
    let mut report_changed = false;
    if !outcome.stopped
        && !outcome.set_aside
        && outcome.failed.is_empty()
        && run.experiment.report.is_some()
    {
        match attempt(|| {
            report::write(
                run.experiment,
                run.inputs,
                plan,
                run.store,
                run.base,
                &run.command,
            )
        }) {
            Ok(written) => {
                report_changed = written.changed;
                if written.changed {
                    (run.emit)(Event::ReportWritten {
                        path: written.path,
                        files: written.files,
                    });
                }
            }
            Err(error) => outcome.fail(run, "report", None, &error),
        }
    }
    let unmade = outcome.unmade.len();
    let again = outcome.set_aside && !outcome.stopped;
    let summary = Summary {
        nothing_to_do: plan.is_done()
            && !report_changed
            && outcome.failed.is_empty()
            && !outcome.set_aside,
        stopped: outcome.stopped,
        again,
        failed: outcome.failed.into_values().collect(),
    };
    (run.emit)(Event::RunFinished {
        nothing_to_do: summary.nothing_to_do,
        stopped: summary.stopped,
        again,
        failed: summary.failed.len(),
        unmade,
        seconds: started.elapsed().as_secs_f64(),
    });
    summary
}

/// What has failed so far.
#[derive(Default)]
struct Outcome {
    stopped: bool,
    /// A damaged artifact was moved aside and has to be made again.
    set_aside: bool,
    /// By order of failing.
    failed: BTreeMap<usize, String>,
    /// Artifacts that were not made, and which node's failure is to blame.
    unmade: BTreeMap<Fingerprint, String>,
}

impl Outcome {
    fn fail(
        &mut self,
        run: &Run<'_>,
        label: &str,
        artifact: Option<&PlannedArtifact>,
        error: &NodeError,
    ) {
        if matches!(
            error,
            NodeError::Stopped | NodeError::Train(crate::trainer::TrainError::Stopped)
        ) || run.stop.is_given()
        {
            self.stopped = true;
            return;
        }
        if let NodeError::Store(StoreError::Corrupt { artifact, .. }) = error
            && let Ok(Some(aside)) = run.store.quarantine(artifact)
        {
            // Not a failure: what was damaged is out of the way, and a second look at the plan makes it again.
            (run.emit)(Event::SetAside {
                what: format!("{} {}", aside.from.display(), aside.reason),
            });
            self.set_aside = true;
            return;
        }
        self.failed.insert(self.failed.len(), label.to_owned());
        (run.emit)(Event::NodeFailed {
            label: label.to_owned(),
            fingerprint: artifact.map_or_else(String::new, |artifact| artifact.fingerprint.short()),
            error: error.to_string(),
        });
    }
}

fn run_pretrains(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    for step in &plan.pretrains {
        let artifact = &step.artifact;
        if artifact.state.is_cached() {
            continue;
        }
        if outcome.stopped || run.stop.is_given() {
            outcome.stopped = true;
            return;
        }
        if let Err(error) = attempt(|| pretrain::run_pretrain(run, step)) {
            let label = &artifact.label;
            outcome.unmade.insert(artifact.fingerprint, label.clone());
            outcome.fail(run, label, Some(artifact), &error);
        }
    }
}

fn run_samples(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    for step in &plan.samples {
        let artifact = &step.artifact;
        if artifact.state.is_cached() {
            continue;
        }
        if outcome.stopped || run.stop.is_given() {
            outcome.stopped = true;
            return;
        }
        let model = run.experiment.samples[step.samples].model;
        if let Some(culprit) = untrained(run, plan, outcome, model) {
            outcome.unmade.insert(artifact.fingerprint, culprit);
        } else if let Err(error) = attempt(|| samples::run_samples(run, plan, step)) {
            outcome
                .unmade
                .insert(artifact.fingerprint, artifact.label.clone());
            outcome.fail(run, &artifact.label, Some(artifact), &error);
        }
    }
}

/// Which failure is to blame if the weights of a model were not made.
fn untrained(run: &Run<'_>, plan: &Plan, outcome: &Outcome, model: usize) -> Option<String> {
    let training = run.experiment.models[model].pretrain?;
    let fingerprint = plan.pretrains.get(training)?.artifact.fingerprint;
    outcome.unmade.get(&fingerprint).cloned()
}

fn run_passes(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    let mut loaded: Option<((usize, Precision), Box<dyn Network>)> = None;
    let mut kept_maps: Option<KeptMaps> = None;
    for (index, pass) in plan.passes.iter().enumerate() {
        if outcome.stopped || run.stop.is_given() {
            outcome.stopped = true;
            return;
        }
        if let Some(culprit) = untrained(run, plan, outcome, pass.key.model) {
            for tap in &pass.taps {
                let fingerprint = tap.artifact.fingerprint;
                outcome.unmade.insert(fingerprint, culprit.clone());
            }
            continue;
        }
        let result = attempt(|| {
            let wanted = (pass.key.model, pass.key.precision);
            if loaded.as_ref().is_none_or(|(key, _)| *key != wanted) {
                // First, so that two networks are never in memory.
                loaded = None;
                kept_maps = None;
                let model = pretrain::with_weights(run, plan, pass.key.model);
                let network = model.load(run.base, run.device, pass.key.precision)?;
                loaded = Some((wanted, network));
                kept_maps = Some(KeptMaps::keep());
            }
            match &loaded {
                Some((_, network)) => pass::run_pass(run, index + 1, pass, &**network),
                None => Ok(()),
            }
        });
        if let Err(error) = result {
            let first = pass.taps.first().map(|tap| &tap.artifact);
            let label = first.map_or_else(
                || format!("pass {}", index + 1),
                |artifact| artifact.label.clone(),
            );
            for tap in &pass.taps {
                outcome
                    .unmade
                    .insert(tap.artifact.fingerprint, label.clone());
            }
            outcome.fail(run, &label, first, &error);
        }
    }
    drop(kept_maps);
}

fn run_heads(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    let steps: Vec<_> = plan
        .heads
        .iter()
        .filter(|step| !step.artifact.state.is_cached())
        .collect();
    if outcome.stopped || steps.is_empty() {
        return;
    }
    let started = Instant::now();
    (run.emit)(Event::HeadsStarted { heads: steps.len() });
    // What needs something that was not made is not begun; it was told already, where it happened.
    let mut possible = Vec::new();
    for step in steps {
        let mut needed = step.features.iter();
        let node = &run.experiment.heads[step.head];
        let model = run.experiment.extractions[node.features].model;
        let culprit = needed
            .find_map(|features| outcome.unmade.get(features).cloned())
            .or_else(|| untrained(run, plan, outcome, model));
        match culprit {
            Some(culprit) => {
                outcome.unmade.insert(step.artifact.fingerprint, culprit);
            }
            None => possible.push(step),
        }
    }
    let mut trained = 0;
    for (position, fate) in heads::train_all(run, plan, &possible) {
        let artifact = &possible[position].artifact;
        let culprit = match &fate {
            Fate::Made => {
                trained += 1;
                continue;
            }
            Fate::Failed(_) => position,
            Fate::Unmade { culprit } => *culprit,
        };
        let label = possible[culprit].artifact.label.clone();
        outcome.unmade.insert(artifact.fingerprint, label);
        if let Fate::Failed(error) = &fate {
            outcome.fail(run, &artifact.label, Some(artifact), error);
        }
    }
    outcome.stopped |= run.stop.is_given();
    (run.emit)(Event::HeadsFinished {
        heads: trained,
        seconds: started.elapsed().as_secs_f64(),
    });
}

fn run_metrics(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    for step in plan
        .metrics
        .iter()
        .filter(|step| !step.artifact.state.is_cached())
    {
        if outcome.stopped {
            return;
        }
        let needed = step.heads.iter().map(|(_, fingerprint)| fingerprint);
        let culprit = needed
            .into_iter()
            .find_map(|fingerprint| outcome.unmade.get(fingerprint));
        if let Some(culprit) = culprit.cloned() {
            // Told already, where it happened.
            outcome.unmade.insert(step.artifact.fingerprint, culprit);
        } else if let Err(error) = attempt(|| metric::run_metric(run, plan, step)) {
            outcome.fail(run, &step.artifact.label, Some(&step.artifact), &error);
        }
    }
}
