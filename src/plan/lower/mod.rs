//! From the graph to the plan before any rule: every extraction is a pass of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lower_networks::{lower_pretrains, lower_samples, weights};
use super::physical::{HeadStep, MetricStep, Pass, PassKey, Plan, PlannedArtifact, State, Tap};
use super::recipes::{FeaturesRecipe, HeadRecipe, MetricRecipe, ScoredHead};
use super::shards::Shards;
use super::{DatasetFacts, Facts, PlanError};
use crate::graph::{Experiment, ExtractionNode, HeadNode, OnBadImage};
use crate::models::find_block;
use crate::store::{FieldChange, Fingerprint, Listing, Recipe};

pub(super) fn lower(
    experiment: &Experiment,
    facts: &Facts,
    listing: &Listing,
) -> Result<Plan, PlanError> {
    let known = Known::new(listing);
    let identities: Vec<Value> = experiment
        .models
        .iter()
        .map(|node| node.model.identity())
        .collect();
    let pretrains = lower_pretrains(experiment, facts, &known, &identities)?;
    let weights = weights(experiment, facts, &pretrains);
    let samples = lower_samples(experiment, &known, &identities, &weights)?;
    let mut passes = Vec::new();
    let mut features = Vec::new();
    for (index, extraction) in experiment.extractions.iter().enumerate() {
        let pass = lower_extraction(
            experiment,
            facts,
            &known,
            extraction,
            (&identities[extraction.model], &weights[extraction.model]),
        )?;
        features.extend(pass.taps.iter().map(|tap| tap.artifact.fingerprint));
        if is_cached_for_somebody(experiment, index) {
            passes.push(pass);
        }
    }
    let mut head_fingerprints = Vec::new();
    let mut heads: Vec<HeadStep> = Vec::new();
    for (index, head) in experiment.heads.iter().enumerate() {
        let reads = std::iter::once(&head.features).chain(&head.more_views);
        let reads: Vec<Fingerprint> = reads.map(|&index| features[index]).collect();
        let artifact = lower_head(experiment, facts, &known, head, &reads)?;
        head_fingerprints.push(artifact.fingerprint);
        if !heads
            .iter()
            .any(|step| step.artifact.fingerprint == artifact.fingerprint)
        {
            heads.push(HeadStep {
                head: index,
                features: match head.training.fine_tune {
                    Some(_) => Vec::new(),
                    None => reads,
                },
                forwards: forwards(experiment, facts, head),
                artifact,
            });
        }
    }
    let metrics = lower_metrics(experiment, &known, &head_fingerprints)?;
    Ok(Plan {
        pretrains,
        samples,
        weights,
        passes,
        cached_features: BTreeMap::new(),
        features,
        heads,
        metrics,
        report: experiment
            .report
            .as_ref()
            .map(|report| report.output.clone()),
    })
}

/// Whether an extraction's features are wanted as such: not where all heads that name it train the network, whose features change with
/// every step.
fn is_cached_for_somebody(experiment: &Experiment, extraction: usize) -> bool {
    let mut heads = experiment
        .heads
        .iter()
        .filter(|head| head.features == extraction || head.more_views.contains(&extraction))
        .peekable();
    heads.peek().is_none() || heads.any(|head| head.training.fine_tune.is_none())
}

/// How many images go through the network while a head is trained.
fn forwards(experiment: &Experiment, facts: &Facts, head: &HeadNode) -> u64 {
    let extraction = &experiment.extractions[head.features];
    let splits = &facts.datasets[extraction.dataset].splits;
    let samples = |split: &str| {
        let of_split = splits.iter().find(|count| count.split == split);
        of_split.map_or(0, |count| count.samples as u64)
    };
    let training = &head.training;
    let (train, epochs) = (samples(&training.train_split), u64::from(training.epochs));
    match (&training.fine_tune, training.online) {
        (Some(_), _) => epochs * train + samples(&training.test_split),
        // The first epoch sees the features that predictions are made from.
        (None, true) => (epochs - 1) * train,
        (None, false) => 0,
    }
}

/// The splits of a dataset, for messages.
pub(super) fn split_names(dataset: &DatasetFacts) -> String {
    let names: Vec<String> = dataset
        .splits
        .iter()
        .map(|count| format!("`{}`", count.split))
        .collect();
    names.join(", ")
}

fn lower_extraction(
    experiment: &Experiment,
    facts: &Facts,
    known: &Known<'_>,
    extraction: &ExtractionNode,
    (identity, weights): (&Value, &str),
) -> Result<Pass, PlanError> {
    let model = &experiment.models[extraction.model].model;
    let dataset = &facts.datasets[extraction.dataset];
    let block = find_block(&**model, extraction.block).ok_or(PlanError::NoSuchTap)?;
    let shape = block
        .shape
        .reduced(extraction.reduce)
        .ok_or(PlanError::NoSuchTap)?;
    let recipe = FeaturesRecipe {
        dataset: &dataset.digest,
        model: identity,
        weights,
        preprocess: &extraction.preprocess,
        normalization: extraction.normalization,
        view: extraction.view,
        timestep: extraction.timestep,
        draw: extraction.random.map(|random| random.draw),
        noise_seed: extraction.random.map(|random| random.seed),
        noise_version: extraction
            .timestep
            .map(|_| crate::diffusion::noise::VERSION),
        block: extraction.block.0,
        pool: extraction.reduce.pool(),
        token: extraction.reduce.token(block.shape),
        precision: extraction.precision,
        storage: extraction.storage,
    }
    .recipe()?;
    let side = model.input().side;
    Ok(Pass {
        key: PassKey::of(extraction),
        taps: vec![Tap {
            block: extraction.block,
            reduce: extraction.reduce,
            shape: block.shape,
            storage: extraction.storage,
            width: shape.values(),
            artifact: known.artifact(extraction.label(experiment), recipe),
        }],
        images: dataset.samples,
        shards: Shards::new(dataset.samples, side).count(),
        side,
        batch_size: extraction.batch_size,
        skip_bad_images: extraction.on_bad_image == OnBadImage::Skip,
        multiply_adds: block.multiply_adds,
    })
}

fn lower_head(
    experiment: &Experiment,
    facts: &Facts,
    known: &Known<'_>,
    head: &HeadNode,
    features: &[Fingerprint],
) -> Result<PlannedArtifact, PlanError> {
    let extraction = &experiment.extractions[head.features];
    let dataset = &facts.datasets[extraction.dataset];
    for split in [&head.training.train_split, &head.training.test_split] {
        if !dataset.splits.iter().any(|count| count.split == *split) {
            return Err(PlanError::NoSplit {
                head: head.name.clone(),
                split: split.clone(),
                dataset: experiment.datasets[extraction.dataset].name.clone(),
                known: split_names(dataset),
            });
        }
    }
    let recipe = HeadRecipe {
        head: &head.head.identity(),
        training: &head.training,
        seed: head.seed,
        classes: dataset.classes.len(),
        features: features.iter().map(ToString::to_string).collect(),
    }
    .recipe()?;
    let label = format!(
        "{}[{} {}]",
        head.name,
        extraction.label(experiment),
        head.distinction()
    );
    Ok(known.artifact(label, recipe))
}

fn lower_metrics(
    experiment: &Experiment,
    known: &Known<'_>,
    heads: &[Fingerprint],
) -> Result<Vec<MetricStep>, PlanError> {
    let mut steps = Vec::new();
    for (index, node) in experiment.metrics.iter().enumerate() {
        // A head that is named twice, or that a repeated value of a sweep makes twice, is scored once.
        let mut scored: Vec<ScoredHead<'_>> = Vec::new();
        let mut step_heads = Vec::new();
        for &head in &node.heads {
            let extraction = &experiment.extractions[experiment.heads[head].features];
            let row = ScoredHead {
                fingerprint: heads[head].to_string(),
                head: &experiment.heads[head].name,
                extraction: &extraction.name,
                model: &experiment.models[extraction.model].name,
                dataset: &experiment.datasets[extraction.dataset].name,
            };
            if !scored.contains(&row) {
                scored.push(row);
                step_heads.push((head, heads[head]));
            }
        }
        let recipe = MetricRecipe {
            metric: &node.metric.identity(),
            choose: node.choose,
            heads: scored,
        }
        .recipe()?;
        steps.push(MetricStep {
            metric: index,
            heads: step_heads,
            artifact: known.artifact(node.name.clone(), recipe),
        });
    }
    Ok(steps)
}

/// What the store has, with the artifacts of each label at hand for saying what changed.
pub(super) struct Known<'a> {
    listing: &'a Listing,
    by_label: BTreeMap<(&'static str, &'a str), Vec<&'a Recipe>>,
}

impl<'a> Known<'a> {
    fn new(listing: &'a Listing) -> Self {
        let mut by_label: BTreeMap<_, Vec<&Recipe>> = BTreeMap::new();
        for entry in listing.artifacts.values() {
            by_label
                .entry((entry.kind.name(), entry.label.as_str()))
                .or_default()
                .push(&entry.recipe);
        }
        Self { listing, by_label }
    }

    /// What the store says of an artifact.
    pub(super) fn artifact(&self, label: String, recipe: Recipe) -> PlannedArtifact {
        let fingerprint = recipe.fingerprint();
        let state = if self.listing.artifacts.contains_key(&fingerprint) {
            State::Cached
        } else if let Some(partial) = self.listing.partial.get(&fingerprint) {
            State::Partial {
                parts: partial.parts.clone(),
            }
        } else {
            State::Missing {
                why: self.why(&label, &recipe),
            }
        };
        PlannedArtifact {
            label,
            recipe,
            fingerprint,
            state,
        }
    }

    /// What differs from the artifact of the same label that is most alike; "never made" where there is none.
    fn why(&self, label: &str, recipe: &Recipe) -> String {
        let candidates = self
            .by_label
            .get(&(recipe.kind().name(), label))
            .map_or(&[][..], Vec::as_slice);
        let nearest = candidates
            .iter()
            .map(|candidate| candidate.differences(recipe))
            .min_by_key(Vec::len);
        let Some(changes) = nearest else {
            return "never made".to_owned();
        };
        let mut shown: Vec<String> = Vec::new();
        for change in &changes {
            let text = describe(change);
            if !shown.contains(&text) {
                shown.push(text);
            }
        }
        let more = match shown.len() {
            0..=3 => String::new(),
            count => format!(" and {} more", count - 3),
        };
        shown.truncate(3);
        format!("changed: {}{more}", shown.join(", "))
    }
}

/// A changed field in words: `epochs 28 → 5`; digests and lists by their name alone, since their values tell nobody anything.
fn describe(change: &FieldChange) -> String {
    let path = &change.path;
    if let Some((list, _)) = path.split_once('[') {
        return list.to_owned();
    }
    let is_digest = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or_default();
        text.trim_matches('"')
            .rsplit(':')
            .next()
            .is_some_and(|tail| tail.len() == 64)
    };
    if is_digest(&change.before) || is_digest(&change.after) {
        return path.clone();
    }
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{path} {} → {}", side(&change.before), side(&change.after))
}
