//! How long the heads of a plan take, by what earlier heads took that the store still has.
//!
//! A head is measured by the values that it reads: those of its training features, once in each epoch. Heads of one kind that train
//! together share the time of their scan, so the rate of a head that trains alone is lower; the median over all says what is usual here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::median;
use crate::feature_type::FeatureType;
use crate::plan::{Plan, Step, Train, Work};
use crate::store::{ArtifactKind, Entry, Fingerprint, Listing};
use crate::text::{duration, plural};

/// Heads that were measured: seconds for each value that they read, by kind.
#[derive(Debug, Default)]
pub(super) struct HeadRates {
    device: String,
    of_kind: BTreeMap<String, Vec<f64>>,
}

/// How long the heads of a plan are expected to take.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedHeads {
    /// Wall time of those whose kind was measured, on one device.
    pub seconds: f64,
    /// How many those are.
    pub heads: usize,
    /// How many are of kinds that were never trained here, or train with their network.
    pub unmeasured: usize,
    /// The device that was measured.
    pub device: String,
    /// How many heads were measured.
    pub measured: usize,
}

impl HeadRates {
    /// What a store's heads tell, of those that its newest head shares the device with. Of heads on a processor only those count that used
    /// `instructions`, where the store knows: others were made on another machine.
    pub(super) fn of(listing: &Listing, instructions: &str) -> Self {
        let heads = listing.artifacts.values().filter(|entry| {
            let other = entry.instructions.as_deref();
            let is_here = entry.device != "cpu" || other.is_none_or(|other| other == instructions);
            entry.kind == ArtifactKind::Head && is_here
        });
        let heads: Vec<&Entry> = heads.collect();
        let newest = heads.iter().max_by_key(|entry| entry.made_at.as_str());
        let device = newest.map_or_else(String::new, |entry| entry.device.clone());
        let mut of_kind: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for entry in heads.iter().filter(|entry| entry.device == device) {
            if let Some((kind, values)) = values_read(entry, listing)
                && entry.wall_seconds > 0.0
            {
                let seconds = entry.wall_seconds / values;
                of_kind.entry(kind).or_default().push(seconds);
            }
        }
        Self { device, of_kind }
    }

    /// How long the heads take that a plan has to train; `None` where there are none of a kind that was measured.
    pub(super) fn expect(&self, plan: &Plan) -> Option<ExpectedHeads> {
        let mut expected = ExpectedHeads {
            seconds: 0.0,
            heads: 0,
            unmeasured: 0,
            device: self.device.clone(),
            measured: self.of_kind.values().map(Vec::len).sum(),
        };
        let mut medians: BTreeMap<&str, Option<f64>> = BTreeMap::new();
        for step in plan.steps.iter().filter(|step| step.is_missing()) {
            let Some(train) = trained(step) else {
                continue;
            };
            let kind = train.node.head.kind();
            let of_value = *medians
                .entry(kind)
                .or_insert_with(|| median(self.of_kind.get(kind)?.clone()));
            match of_value {
                Some(seconds) if train.forwards == 0 => {
                    expected.seconds += seconds * values_to_read(train);
                    expected.heads += 1;
                }
                _ => expected.unmeasured += 1,
            }
        }
        (expected.heads > 0).then_some(expected)
    }

    /// Seconds that one head takes; `None` for one of a kind that was never trained here, for one that trains with its network, and
    /// for anything else.
    pub(super) fn expect_of(&self, step: &Step) -> Option<f64> {
        let train = trained(step).filter(|train| train.forwards == 0)?;
        let measured = self.of_kind.get(train.node.head.kind())?.clone();
        Some(median(measured)? * values_to_read(train))
    }
}

impl ExpectedHeads {
    /// As a line of a plan.
    pub(super) fn render(&self) -> String {
        let others = match self.unmeasured {
            0 => String::new(),
            others => format!("; {} without a measurement", plural(others, "other")),
        };
        let time = if self.seconds < 0.1 {
            "under 0.1 s".to_owned()
        } else {
            format!("about {}", duration(self.seconds))
        };
        format!(
            "time: {time} for {} on {}, by {} here{others}\n",
            plural(self.heads, "head"),
            self.device,
            plural(self.measured, "head"),
        )
    }
}

/// The kind of a head in the store and how many values it read; `None` where its features are gone.
fn values_read(entry: &Entry, listing: &Listing) -> Option<(String, f64)> {
    let recipe: Value = serde_json::from_str(entry.recipe.json()).ok()?;
    let fields = recipe.get("fields")?;
    let kind = fields.get("head")?.get("kind")?.as_str()?;
    let features: Fingerprint = fields.get("features")?.get(0)?.as_str()?.parse().ok()?;
    let features = listing.artifacts.get(&features)?;
    let recipe: Value = serde_json::from_str(features.recipe.json()).ok()?;
    let storage = recipe.get("fields")?.get("storage")?.clone();
    let storage: FeatureType = serde_json::from_value(storage).ok()?;
    let values = features.bytes as f64 / storage.bytes() as f64;
    // A full-batch fit reads its features some fixed number of times, whatever the key says.
    let epochs = fields.get("training")?.get("epochs")?.as_f64()?;
    (values > 0.0 && epochs > 0.0).then(|| (kind.to_owned(), values * epochs))
}

/// The head that a step trains. Which of the candidates is trained again is not known yet; they read about the same.
fn trained(step: &Step) -> Option<&Train> {
    match &step.work {
        Work::Train(train) => Some(train),
        Work::Refit(refit) => refit.choice.heads.first().map(|head| &*head.train),
        _ => None,
    }
}

/// How many values a head is going to read.
fn values_to_read(train: &Train) -> f64 {
    let shape = train.trained.shape;
    let values = shape.channels * shape.height * shape.width;
    let samples = train.trained.images.facts.samples;
    samples as f64 * values as f64 * f64::from(train.node.training.epochs)
}
