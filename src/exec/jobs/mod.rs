//! What a job does, one file or folder a kind of work.

mod claimed;
mod evaluate;
mod heads;
pub(super) mod pass;
mod pretrain;
mod sample;
mod transfer;

use std::ops::Range;

use super::context::{Run, StepResult};
use super::event::{Event, Working};
use super::weights::loadable;
use super::{NodeError, attempt};
use crate::machine::memory::RetainFreedMemory;
use crate::models::Precision;
use crate::models::extractor::Network;
use crate::plan::{Job, JobKind, ModelUse, Pass, Sample, StepId, Work};

pub(super) use heads::{bytes_at_hand, is_scan, is_small};

/// What a worker keeps from one job to the next: its network, and the memory of that network's activations.
pub(super) struct Lane {
    loaded: Option<Loaded>,
    /// A classifier that leads what `loaded` samples.
    leading: Option<Loaded>,
}

/// A network in memory.
struct Loaded {
    /// The name of its model, the identity of its weights, and its precision.
    key: (String, String, Precision),
    network: Box<dyn Network>,
    _kept: RetainFreedMemory,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            loaded: None,
            leading: None,
        }
    }

    /// Lets go of the network: nothing that needs it is ready.
    pub(super) fn idle(&mut self) {
        self.loaded = None;
        self.leading = None;
    }

    /// The network of a model; the last one stays loaded until another is asked for.
    fn network(
        &mut self,
        run: &Run<'_>,
        model: &ModelUse,
        precision: Precision,
    ) -> Result<&dyn Network, NodeError> {
        self.leading = None;
        in_memory(&mut self.loaded, run, model, precision)
    }

    /// The networks that samples are made with: the one that they are taken from, and the classifier that leads it, in f32.
    fn networks(
        &mut self,
        run: &Run<'_>,
        work: &Sample,
    ) -> Result<(&dyn Network, Option<&dyn Network>), NodeError> {
        let Some(classifier) = &work.classifier else {
            return Ok((self.network(run, &work.model, work.node.precision)?, None));
        };
        let leading = in_memory(&mut self.leading, run, classifier, Precision::F32)?;
        let network = in_memory(&mut self.loaded, run, &work.model, work.node.precision)?;
        Ok((network, Some(leading)))
    }
}

/// The network of a model, in a place where the last one stays until another is asked for.
fn in_memory<'l>(
    place: &'l mut Option<Loaded>,
    run: &Run<'_>,
    model: &ModelUse,
    precision: Precision,
) -> Result<&'l dyn Network, NodeError> {
    let key = (model.name.clone(), model.weights.clone(), precision);
    if place.as_ref().is_some_and(|loaded| loaded.key != key) {
        // First, so that there is room for the other.
        *place = None;
    }
    if place.is_none() {
        let network = loadable(run, model)?;
        let network = network.load(run.base, run.device, precision)?;
        *place = Some(Loaded {
            key,
            network,
            _kept: RetainFreedMemory::begin(),
        });
    }
    match place {
        Some(loaded) => Ok(&*loaded.network),
        None => Err(NodeError::bug("a network was loaded and is gone")),
    }
}

/// Computes some rows of cached features again and compares them; `rows` says which of a pass, by its number of images.
///
/// # Errors
/// Images, networks and features that cannot be read.
pub(super) fn audit(
    run: &Run<'_>,
    pass: &Pass,
    rows: &[usize],
    lane: &mut Lane,
) -> Result<Vec<pass::audit::Audited>, NodeError> {
    attempt(|| {
        let network = lane.network(run, &pass.model, pass.key.precision)?;
        pass::audit::audit_pass(run, pass, rows, network)
    })
}

/// Does a job, or some shards of it; reports what became of each step that was wanted. One that is not named was not reached
/// before the user asked to stop.
///
/// - `steps`: those of the job that can be made
/// - `shards`: those that are asked for, of a job that can be cut; all where there is none
/// - `joins`: whether another worker has begun it
pub(super) fn run(
    run: &Run<'_>,
    job: usize,
    steps: &[StepId],
    shards: Option<Range<usize>>,
    joins: bool,
    lane: &mut Lane,
) -> Vec<(StepId, StepResult)> {
    let planned = &run.plan.jobs[job];
    if planned.shards.is_none() {
        // What follows may need the memory.
        lane.idle();
    }
    match planned.kind {
        JobKind::Transfer => transfer::run_transfer(run, &planned.name, steps),
        JobKind::Pass => {
            let number = pass_number(run, job);
            let wanted = Job {
                steps: steps.to_vec(),
                ..planned.clone()
            };
            let outcome = attempt(|| {
                let pass = Pass::of(run.plan, &wanted)
                    .ok_or_else(|| NodeError::bug("a pass without taps"))?;
                let network = lane.network(run, &pass.model, pass.key.precision)?;
                pass::run_pass(run, number, &pass, shards, joins, network)
            });
            if outcome.is_err() && !joins {
                let work = Working::Pass(number);
                (run.emit)(Event::Abandoned { work });
            }
            together(steps, outcome)
        }
        JobKind::Import => {
            let wanted = Job {
                steps: steps.to_vec(),
                ..planned.clone()
            };
            let outcome = attempt(|| {
                let pass = Pass::of(run.plan, &wanted)
                    .ok_or_else(|| NodeError::bug("an import without features"))?;
                pass::run_import(run, &pass, shards, joins)
            });
            together(steps, outcome)
        }
        JobKind::Heads => heads::run_scan(run, steps),
        JobKind::Refit => heads::run_refits(run, steps),
        JobKind::Sample => {
            let label = steps.first().map(|&id| &run.plan.step(id).artifact.label);
            let outcome = attempt(|| {
                let [id] = planned.steps.as_slice() else {
                    return Err(NodeError::bug("a job makes several sets of samples"));
                };
                let step = run.plan.step(*id);
                let Work::Sample(work) = &step.work else {
                    return Err(NodeError::bug("a job of samples makes something else"));
                };
                let networks = lane.networks(run, work)?;
                let what = (&step.artifact, &**work);
                sample::run_samples(run, &planned.name, what, shards, joins, networks)
            });
            if let (true, false, Some(label)) = (outcome.is_err(), joins, label) {
                let work = Working::Samples(label.clone());
                (run.emit)(Event::Abandoned { work });
            }
            together(steps, outcome)
        }
        JobKind::Pretrain | JobKind::Tuning | JobKind::Metric => {
            let one = |&id: &StepId| (id, StepResult::from(single(run, id)));
            steps.iter().map(one).collect()
        }
    }
}

/// A step that is a job of its own.
fn single(run: &Run<'_>, id: StepId) -> Result<(), NodeError> {
    let step = run.plan.step(id);
    let label = || step.artifact.label.clone();
    match &step.work {
        Work::Pretrain(work) => told(run, Working::Pretrain(label()), || {
            pretrain::run_pretrain(run, &step.artifact, work)
        }),
        Work::Train(work) => attempt(|| {
            let head = heads::OneHead::of(id, &step.artifact, work);
            heads::run_tuned(run, head)
        }),
        Work::Evaluate(work) => attempt(|| evaluate::run_metric(run, &step.artifact, work)),
        Work::Sample(_) | Work::Extract(_) | Work::Refit(_) => Err(NodeError::bug(
            "a job was begun as one of a single step, which it is not",
        )),
    }
}

/// Attempts some work, and reports where it ends without being done.
fn told(
    run: &Run<'_>,
    work: Working,
    carry_out: impl FnOnce() -> Result<(), NodeError>,
) -> Result<(), NodeError> {
    let outcome = attempt(carry_out);
    if outcome.is_err() {
        (run.emit)(Event::Abandoned { work });
    }
    outcome
}

/// The number of a pass among the passes of the plan, from 1.
fn pass_number(run: &Run<'_>, job: usize) -> usize {
    let before = run.plan.jobs[..job].iter();
    before.filter(|job| job.kind == JobKind::Pass).count() + 1
}

/// The fates of steps that are made together: what fails the job fails the first of them, and leaves the others unmade.
fn together(steps: &[StepId], outcome: Result<(), NodeError>) -> Vec<(StepId, StepResult)> {
    let Some((&first, others)) = steps.split_first() else {
        return Vec::new();
    };
    match outcome {
        Ok(()) => steps.iter().map(|&id| (id, StepResult::Made)).collect(),
        Err(error) => std::iter::once((first, StepResult::Failed(error)))
            .chain(
                others
                    .iter()
                    .map(|&id| (id, StepResult::Unmade { culprit: first })),
            )
            .collect(),
    }
}
