//! How long the samples of a plan take, by what earlier samples and passes took that the store still has.
//!
//! What is measured is seconds for a multiply-add: a network runs at about the same rate in every step. Samples of the same network in
//! the same precision say most; then a pass of it; then what other networks took.

use std::sync::Arc;

use serde_json::Value;

use super::{Measured, median};
use crate::models::Model;
use crate::plan::lower::work_of_step;
use crate::plan::{Plan, PlannedArtifact, Sample, Work};
use crate::store::{ArtifactKind, Entry, Listing};
use crate::text::{duration, plural, rate};

/// Samples and passes that were measured.
#[derive(Debug, Default)]
pub(super) struct SampleRates {
    device: String,
    measured: Vec<Rate>,
}

/// What one multiply-add took.
#[derive(Debug)]
struct Rate {
    /// The network's form.
    model: Value,
    /// What it computed in.
    precision: String,
    /// Whether it made samples then.
    is_of_samples: bool,
    seconds: f64,
}

/// How long the samples of a plan are expected to take.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSamples {
    /// Wall time of all samples, on one device.
    pub seconds: f64,
    /// The device that was measured.
    pub device: String,
    /// How many sets of samples and how many passes were measured.
    pub measured: usize,
    /// Whether all of the networks were measured themselves, and not only others.
    pub same_networks: bool,
    /// Multiply-adds of all samples.
    pub multiply_adds: u128,
}

impl SampleRates {
    /// What a store's samples tell, and the `passes` that were measured on `device`. `forms` are the networks whose costs are known.
    /// Where the samples were made on another device than the newest of them, or by other `instructions`, they say nothing.
    pub(super) fn of(
        listing: &Listing,
        forms: &[(Value, &Arc<dyn Model>)],
        (passes, device): (&[Measured], &str),
        instructions: &str,
    ) -> Self {
        let samples = listing.artifacts.values().filter(|entry| {
            let other = entry.instructions.as_deref();
            let is_here = entry.device != "cpu" || other.is_none_or(|other| other == instructions);
            entry.kind == ArtifactKind::Samples && is_here
        });
        let samples: Vec<&Entry> = samples.collect();
        let newest = samples.iter().max_by_key(|entry| entry.made_at.as_str());
        let newest = newest.map_or(device, |entry| entry.device.as_str());
        let of_samples = samples.iter().filter(|entry| entry.device == newest);
        let of_samples = of_samples.filter_map(|entry| measured(entry, forms));
        let of_passes = passes.iter().filter(|_| device == newest);
        let of_passes = of_passes.filter(|pass| pass.multiply_adds > 0);
        let of_passes = of_passes.map(|pass| Rate {
            model: pass.model.clone(),
            precision: pass.precision.clone(),
            is_of_samples: false,
            seconds: pass.seconds_per_image / pass.multiply_adds as f64,
        });
        Self {
            measured: of_samples.chain(of_passes).collect(),
            device: newest.to_owned(),
        }
    }

    /// How long the samples of a plan take that are missing; `None` where there are none, or nothing comparable was measured.
    pub(super) fn expect(&self, plan: &Plan) -> Option<ExpectedSamples> {
        let mut expected = ExpectedSamples {
            seconds: 0.0,
            device: self.device.clone(),
            measured: self.measured.len(),
            same_networks: true,
            multiply_adds: 0,
        };
        for (work, multiply_adds) in missing(plan) {
            let (seconds, is_same) = self.seconds(work)?;
            expected.seconds += seconds * multiply_adds as f64;
            expected.same_networks &= is_same;
            expected.multiply_adds += multiply_adds;
        }
        (expected.multiply_adds > 0).then_some(expected)
    }

    /// Seconds that one set of samples takes; `None` where nothing comparable was measured.
    pub(super) fn expect_of(&self, work: &Sample, artifact: &PlannedArtifact) -> Option<f64> {
        let (seconds, _) = self.seconds(work)?;
        Some(seconds * work.all_multiply_adds(artifact) as f64)
    }

    /// The time for a multiply-add, and whether the network itself was measured.
    fn seconds(&self, work: &Sample) -> Option<(f64, bool)> {
        let form = work.model.model.identity();
        let precision = work.node.precision.name();
        let alike = || {
            self.measured
                .iter()
                .filter(|one| one.precision == precision)
        };
        let of = |is_of_samples: bool, is_same: bool| {
            let these = alike().filter(move |one| one.is_of_samples == is_of_samples);
            let these = these.filter(|one| !is_same || one.model == form);
            median(these.map(|one| one.seconds).collect())
        };
        let same = of(true, true).or_else(|| of(false, true));
        let other = || of(true, false).or_else(|| of(false, false));
        same.map(|seconds| (seconds, true))
            .or_else(|| Some((other()?, false)))
    }
}

/// What a set of samples took; `None` where its network is not known.
fn measured(entry: &Entry, forms: &[(Value, &Arc<dyn Model>)]) -> Option<Rate> {
    let recipe: Value = serde_json::from_str(entry.recipe.json()).ok()?;
    let fields = recipe.get("fields")?;
    let known = |form: &Value| forms.iter().find(|(known, _)| known == form);
    let (form, model) = known(fields.get("model")?)?;
    let classifier = match fields.get("classifier") {
        Some(classifier) => Some(&**known(classifier.get("model")?)?.1),
        None => None,
    };
    let respacing = fields.get("timesteps")?.as_str()?.parse().ok()?;
    let steps = model.denoising()?.process(&respacing).ok()?.steps();
    let of_step = work_of_step(&***model, fields.get("guidance").is_some(), classifier);
    let all = of_step as f64 * f64::from(steps) * entry.rows as f64;
    (all > 0.0 && entry.wall_seconds > 0.0).then(|| Rate {
        model: form.clone(),
        precision: fields["precision"].as_str().unwrap_or("f32").to_owned(),
        is_of_samples: true,
        seconds: entry.wall_seconds / all,
    })
}

/// The samples that have yet to be made, with their multiply-adds.
fn missing(plan: &Plan) -> impl Iterator<Item = (&Sample, u128)> {
    let steps = plan.steps.iter().filter(|step| step.is_missing());
    steps.filter_map(|step| match &step.work {
        Work::Sample(work) => Some((&**work, work.all_multiply_adds(&step.artifact))),
        _ => None,
    })
}

/// The line of a plan about the time of its samples; nothing where there are none.
pub(super) fn render(plan: &Plan, expected: Option<&ExpectedSamples>) -> String {
    if missing(plan).next().is_none() {
        return String::new();
    }
    let Some(expected) = expected else {
        return "time: no samples were made on this machine yet: `repro bench sampling` measures\n"
            .to_owned();
    };
    let of = if expected.same_networks {
        "of these networks"
    } else {
        "of other networks"
    };
    let speed = expected.multiply_adds as f64 / 1e9 / expected.seconds.max(1e-9);
    format!(
        "time: about {} for the samples on {}, by {} {of} here ({} G multiply-adds a second)\n",
        duration(expected.seconds),
        expected.device,
        plural(expected.measured, "measurement"),
        rate(speed),
    )
}
