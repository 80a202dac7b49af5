//! How long the passes and the heads of a plan take, by what earlier ones took that the store still has.
//!
//! [`heads`] has the heads, [`samples`] the samples.
//!
//! A pass is measured by its multiply-adds a second: a network runs at about the same rate to whatever depth, on whatever images. Where
//! the network was never run here, the rate is that of others; where nothing was, there is none.

mod heads;
mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Job, Pass, Plan, Work};
use crate::models::Model;
use crate::store::{ArtifactKind, Entry, Listing};
use crate::text::{duration, plural, rate};
use heads::HeadRates;
use samples::SampleRates;

pub use heads::ExpectedHeads;
pub use samples::ExpectedSamples;

/// What features of one pass differ in.
const OF_TAPS: [&str; 4] = ["block", "pool", "token", "storage"];

/// Passes that were measured.
#[derive(Debug, Default)]
pub struct Rates {
    /// The device of the newest of them, and theirs.
    device: String,
    measured: Vec<Measured>,
    heads: HeadRates,
    samples: SampleRates,
}

/// One pass that was measured.
#[derive(Debug)]
struct Measured {
    /// The network's form.
    model: Value,
    /// What it computed in.
    precision: String,
    seconds_per_image: f64,
    /// Multiply-adds of an image.
    multiply_adds: u64,
}

/// How long a plan is expected to take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// Its passes.
    pub passes: Option<ExpectedTime>,
    /// Its heads.
    pub heads: Option<ExpectedHeads>,
    /// Its samples.
    pub samples: Option<ExpectedSamples>,
}

/// How long the passes of a plan are expected to take.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedTime {
    /// Wall time of all passes, on one device.
    pub seconds: f64,
    /// The device that was measured.
    pub device: String,
    /// How many passes were measured.
    pub passes: usize,
    /// Whether all of the networks were measured themselves, and not only others.
    pub same_networks: bool,
}

/// The features of one pass, as they were made together.
#[derive(Default)]
struct Group {
    seconds: f64,
    images: u64,
    deepest: u64,
}

impl Rates {
    /// What a store's features tell of the time that they took. `models` are the networks whose costs are known. Of passes on a processor
    /// only those count that used `instructions`, where the store knows: others were made on another machine.
    pub fn of(listing: &Listing, models: &[Arc<dyn Model>], instructions: &str) -> Self {
        let features = listing.artifacts.values();
        let features = features.filter(|entry| {
            let other = entry.instructions.as_deref();
            let is_here = entry.device != "cpu" || other.is_none_or(|other| other == instructions);
            entry.kind == ArtifactKind::Features && is_here
        });
        let features: Vec<&Entry> = features.collect();
        let newest = features.iter().max_by_key(|entry| entry.made_at.as_str());
        let device = newest.map_or_else(String::new, |entry| entry.device.clone());
        // What is the same in the features of one pass that were made together.
        let mut groups: BTreeMap<(String, &str), Group> = BTreeMap::new();
        for entry in features.iter().filter(|entry| entry.device == device) {
            let Some((fields, block)) = pass_of(entry) else {
                continue;
            };
            let group = groups.entry((fields, entry.made_at.as_str())).or_default();
            // Each has its share of what the pass took.
            group.seconds += entry.wall_seconds;
            group.images = entry.rows;
            group.deepest = group.deepest.max(block);
        }
        let forms: Vec<(Value, &Arc<dyn Model>)> = models
            .iter()
            .map(|model| (model.identity(), model))
            .collect();
        let measured = groups.into_iter().filter_map(|((fields, _), group)| {
            let fields: Value = serde_json::from_str(&fields).ok()?;
            let (form, model) = forms
                .iter()
                .find(|(form, _)| Some(form) == fields.get("model"))?;
            let blocks = model.blocks();
            let block = blocks
                .iter()
                .find(|block| u64::from(block.index.0) == group.deepest)?;
            (group.images > 0 && group.seconds > 0.0).then(|| Measured {
                model: form.clone(),
                precision: fields["precision"].as_str().unwrap_or_default().to_owned(),
                seconds_per_image: group.seconds / group.images as f64,
                multiply_adds: block.multiply_adds,
            })
        });
        let measured: Vec<Measured> = measured.collect();
        let samples = SampleRates::of(listing, &forms, (&measured, &device), instructions);
        Self {
            measured,
            device,
            heads: HeadRates::of(listing, instructions),
            samples,
        }
    }

    /// How long what a plan has to do takes, where anything comparable was measured.
    pub fn expect(&self, plan: &Plan) -> Forecast {
        Forecast {
            passes: self.expect_passes(plan),
            heads: self.heads.expect(plan),
            samples: self.samples.expect(plan),
        }
    }

    /// Seconds that what is left of one job takes on one device; `None` where nothing comparable was measured.
    pub fn seconds_of(&self, plan: &Plan, job: &Job) -> Option<f64> {
        if let Some(pass) = Pass::of(plan, job) {
            let (seconds_per_image, _) = self.seconds_per_image(&pass)?;
            return Some(seconds_per_image * pass.missing_images() as f64);
        }
        let steps = job.steps.iter().map(|&id| plan.step(id));
        let seconds = steps.map(|step| match &step.work {
            Work::Sample(work) => self.samples.expect_of(work, &step.artifact),
            _ => self.heads.expect_of(step),
        });
        seconds.sum()
    }

    /// How long the passes of a plan take that it has to run; `None` where there are none, or nothing comparable was measured.
    fn expect_passes(&self, plan: &Plan) -> Option<ExpectedTime> {
        let passes = plan.passes();
        let mut expected = ExpectedTime {
            seconds: 0.0,
            device: self.device.clone(),
            passes: self.measured.len(),
            same_networks: true,
        };
        for pass in &passes {
            let (seconds_per_image, is_same) = self.seconds_per_image(pass)?;
            expected.seconds += seconds_per_image * pass.missing_images() as f64;
            expected.same_networks &= is_same;
        }
        (!passes.is_empty()).then_some(expected)
    }

    /// The time for an image of a pass, and whether its own network was measured.
    fn seconds_per_image(&self, pass: &Pass) -> Option<(f64, bool)> {
        let form = pass.model.model.identity();
        let precision = pass.key.precision.name();
        let alike = self.measured.iter();
        let alike = alike.filter(|measured| measured.precision == precision);
        let same = alike.clone().filter(|measured| measured.model == form);
        let here = |measured: &Measured| match measured.multiply_adds {
            0 => Some(measured.seconds_per_image),
            cost => Some(measured.seconds_per_image * pass.multiply_adds as f64 / cost as f64),
        };
        if let Some(seconds) = median(same.filter_map(here).collect()) {
            return Some((seconds, true));
        }
        if pass.multiply_adds == 0 {
            return Some((0.0, false));
        }
        let others = alike.filter(|measured| measured.multiply_adds > 0);
        Some((median(others.filter_map(here).collect())?, false))
    }
}

/// What the pass of features was, as text, and their block.
fn pass_of(entry: &Entry) -> Option<(String, u64)> {
    let mut recipe: Value = serde_json::from_str(entry.recipe.json()).ok()?;
    let fields = recipe.get_mut("fields")?.as_object_mut()?;
    let block = fields.get("block")?.as_u64()?;
    fields.retain(|name, _| !OF_TAPS.contains(&name.as_str()));
    Some((serde_json::to_string(&fields).ok()?, block))
}

/// The number in the middle; `None` of none.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// The lines of a plan about time; nothing where nothing has to run.
pub fn render_time(plan: &Plan, expected: &Forecast) -> String {
    let heads = expected.heads.as_ref().map(ExpectedHeads::render);
    let samples = samples::render(plan, expected.samples.as_ref());
    let passes = render_passes(plan, expected.passes.as_ref());
    let lines = samples + &passes + &heads.unwrap_or_default();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{lines}")
    }
}

fn render_passes(plan: &Plan, expected: Option<&ExpectedTime>) -> String {
    let multiply_adds: u64 = plan
        .passes()
        .iter()
        .map(|pass| pass.cost().multiply_adds)
        .sum();
    match expected {
        _ if plan.passes().is_empty() => String::new(),
        None => "time: no measurement yet on this machine: `repro bench extraction`\n".to_owned(),
        Some(expected) => {
            let of = if expected.same_networks {
                "of these networks"
            } else {
                "of other networks"
            };
            let speed = rate(multiply_adds as f64 / 1e9 / expected.seconds.max(1e-9));
            format!(
                "time: about {} for the passes on {}, by {} {of} here ({speed} G multiply-adds a second)\n",
                duration(expected.seconds),
                expected.device,
                plural(expected.passes, "pass"),
            )
        }
    }
}
