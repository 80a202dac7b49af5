//! The plan as `repro plan --json` prints it.

use serde::Serialize;

use super::Totals;
use crate::plan::job::{Cost, JobKind, Pass};
use crate::plan::{Absent, Forecast, Plan, Step, StepState, Work};
use crate::text::plural;

/// The plan as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct PlanRecord {
    /// Whether nothing has to be done.
    pub done: bool,
    /// The inputs that are not on disk, and what they are taken to be; where any is not remembered, the plan is an estimate.
    pub estimated: Vec<Absent>,
    /// Images through a network, over all passes.
    pub forward_images: u64,
    /// The same if every extraction ran alone.
    pub forward_images_unfused: u64,
    /// Images through a network while heads are trained.
    pub training_images: u64,
    /// Multiply-adds of the passes.
    pub multiply_adds: u64,
    /// Images through a network while samples are made, over all steps.
    pub sampling_images: u64,
    /// Multiply-adds of the samples.
    pub sampling_multiply_adds: u128,
    /// Seconds that the samples are expected to take; `None` where there are none, or nothing comparable was measured here.
    pub expected_sampling_seconds: Option<f64>,
    /// Seconds that the passes are expected to take; `None` where there are none, or nothing comparable was measured here.
    pub expected_seconds: Option<f64>,
    /// Seconds that the heads of kinds that were measured here are expected to take; `None` where there are none.
    pub expected_head_seconds: Option<f64>,
    /// Bytes of features that will be written.
    pub feature_bytes: u64,
    /// Scans of features in which heads train.
    pub scans: usize,
    /// One for each forward pass over a dataset.
    pub passes: Vec<PassRecord>,
    /// What runs, a job behind those that it needs; each can be run by `repro job`.
    pub jobs: Vec<JobRecord>,
    /// Every artifact and whether it is there.
    pub artifacts: Vec<ArtifactRecord>,
}

/// One pass.
#[derive(Debug, Serialize)]
pub struct PassRecord {
    /// The job's name.
    pub job: String,
    /// The model's name.
    pub model: String,
    /// The dataset's name.
    pub dataset: String,
    /// Noise step; `None` where the model has no noise.
    pub timestep: Option<u32>,
    /// The view's name, such as `center` or `flip`.
    pub view: &'static str,
    /// What the network computes in.
    pub precision: &'static str,
    /// Which random draw; `None` where nothing is drawn.
    pub draw: Option<u32>,
    /// Seed of the draws; `None` where nothing is drawn.
    pub noise_seed: Option<u64>,
    /// Deepest block.
    pub deepest_block: Option<u32>,
    /// Number of taps.
    pub taps: usize,
    /// Images that will run.
    pub images: usize,
    /// Shards that are committed already.
    pub committed_shards: usize,
    /// Shards in all.
    pub shards: usize,
}

/// One job.
#[derive(Debug, Serialize)]
pub struct JobRecord {
    /// As `repro job` takes it, such as `pass-1a2b3c4d5e6f`.
    pub name: String,
    /// What kind of work it is.
    pub kind: JobKind,
    /// Fingerprints of what it makes.
    pub artifacts: Vec<String>,
    /// Names of the jobs that have to be done before.
    pub needs: Vec<String>,
    /// How many shards it can be cut into; `None` for a job that cannot be cut.
    pub shards: Option<usize>,
    /// Of what is still missing.
    pub cost: Cost,
}

/// One artifact.
#[derive(Debug, Serialize)]
pub struct ArtifactRecord {
    /// What kind.
    pub kind: &'static str,
    /// What the experiment calls it.
    pub label: String,
    /// Its full name in the store, 64 hexadecimal digits.
    pub fingerprint: String,
    /// `cached`, `remote`, `partial` or `missing`.
    pub state: &'static str,
    /// Why it has to be made, in words; `None` where it is cached or in a remote.
    pub why: Option<String>,
}

impl PlanRecord {
    /// The record of a plan; `absent` are the inputs that are not on disk, and `expected` is how long it all takes.
    pub fn new(plan: &Plan, absent: &[Absent], expected: &Forecast) -> Self {
        let passes = plan.passes();
        let totals = Totals::of(&passes);
        let trained = plan.steps.iter().filter(|step| step.is_missing());
        let trained = trained.filter_map(|step| match &step.work {
            Work::Train(train) => Some(train.forwards),
            Work::Refit(refit) => Some(refit.most_forwards()),
            _ => None,
        });
        let sampling = || {
            let missing = plan.steps.iter().filter(|step| step.is_missing());
            missing.filter_map(|step| match &step.work {
                Work::Sample(work) => Some((work, &step.artifact)),
                _ => None,
            })
        };
        Self {
            done: plan.is_done(),
            estimated: absent.to_vec(),
            forward_images: totals.cost.images,
            forward_images_unfused: totals.unfused,
            training_images: trained.sum(),
            multiply_adds: totals.cost.multiply_adds,
            sampling_images: sampling()
                .map(|(work, artifact)| work.cost(artifact).images)
                .sum(),
            sampling_multiply_adds: sampling()
                .map(|(work, artifact)| work.all_multiply_adds(artifact))
                .sum(),
            expected_sampling_seconds: expected.samples.as_ref().map(|one| one.seconds),
            expected_seconds: expected.passes.as_ref().map(|passes| passes.seconds),
            expected_head_seconds: expected.heads.as_ref().map(|heads| heads.seconds),
            feature_bytes: totals.cost.bytes + Totals::of(&plan.imports()).cost.bytes,
            scans: plan
                .jobs
                .iter()
                .filter(|job| job.kind == JobKind::Heads)
                .count(),
            passes: passes.iter().map(pass_record).collect(),
            jobs: plan
                .jobs
                .iter()
                .map(|job| JobRecord {
                    name: job.name.clone(),
                    kind: job.kind,
                    artifacts: job
                        .steps
                        .iter()
                        .map(|&id| plan.step(id).artifact.fingerprint.to_string())
                        .collect(),
                    needs: job
                        .needs
                        .iter()
                        .map(|&needed| plan.jobs[needed].name.clone())
                        .collect(),
                    shards: job.shards,
                    cost: job.cost,
                })
                .collect(),
            artifacts: plan.steps.iter().map(artifact_record).collect(),
        }
    }
}

/// The word for whether a step's artifact is there.
pub(super) fn state(step: &Step) -> &'static str {
    match step.artifact.state {
        StepState::Cached => "cached",
        StepState::Remote { .. } => "remote",
        StepState::Partial { .. } => "partial",
        StepState::Missing { .. } => "missing",
    }
}

/// Why a step's artifact has to be made; `None` where it is there.
pub(super) fn why(step: &Step) -> Option<String> {
    match &step.artifact.state {
        StepState::Cached | StepState::Remote { .. } => None,
        StepState::Partial { parts } => Some(format!("{} committed", plural(parts.len(), "part"))),
        StepState::Missing { why } => Some(why.clone()),
    }
}

fn artifact_record(step: &Step) -> ArtifactRecord {
    ArtifactRecord {
        kind: step.work.kind(),
        label: step.artifact.label.clone(),
        fingerprint: step.artifact.fingerprint.to_string(),
        state: state(step),
        why: why(step),
    }
}

fn pass_record(pass: &Pass) -> PassRecord {
    let missing = pass.missing_shards().len();
    PassRecord {
        job: pass.name.clone(),
        model: pass.model.name.clone(),
        dataset: pass.dataset.name.clone(),
        timestep: pass.key.timestep,
        view: pass.key.view.name(),
        precision: pass.key.precision.name(),
        draw: pass.key.shown.random.map(|random| random.draw),
        noise_seed: pass.key.shown.random.map(|random| random.seed),
        deepest_block: pass.deepest().map(|block| block.0),
        taps: pass.taps.len(),
        images: pass.missing_images(),
        committed_shards: pass.shards.count() - missing,
        shards: pass.shards.count(),
    }
}
