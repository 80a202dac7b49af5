//! The plan as people and programs read it.

mod trainings;

use std::fmt::Write;

use serde::Serialize;

use self::trainings::{render_fresh, render_trainings};
use super::physical::{Pass, Plan, PlannedArtifact, State};
use crate::graph::Experiment;
use crate::imaging::Preprocess;
use crate::models::Precision;
use crate::text::{bytes, count, plural};

/// The plan as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct PlanRecord {
    /// Whether nothing has to be done.
    pub done: bool,
    /// Images through a network, over all passes.
    pub forward_images: u64,
    /// The same if every extraction ran alone.
    pub forward_images_unfused: u64,
    /// Images through a network while heads are trained.
    pub training_images: u64,
    /// Multiply-adds of the passes.
    pub multiply_adds: u64,
    /// Bytes of features that will be written.
    pub feature_bytes: u64,
    /// The passes.
    pub passes: Vec<PassRecord>,
    /// Every artifact and whether it is there.
    pub artifacts: Vec<ArtifactRecord>,
}

/// One pass.
#[derive(Debug, Serialize)]
pub struct PassRecord {
    /// The model's name.
    pub model: String,
    /// The dataset's name.
    pub dataset: String,
    /// Noise step; `None` where the model has no noise.
    pub timestep: Option<u32>,
    /// View.
    pub view: &'static str,
    /// What the network computes in.
    pub precision: &'static str,
    /// Which random draw; `None` where nothing is drawn.
    pub draw: Option<u32>,
    /// Seed of the draws; `None` where nothing is drawn.
    pub noise_seed: Option<u64>,
    /// Deepest block.
    pub deepest_block: u32,
    /// Number of taps.
    pub taps: usize,
    /// Images that will run.
    pub images: usize,
    /// Shards that are committed already.
    pub committed_shards: usize,
    /// Shards in all.
    pub shards: usize,
}

/// One artifact.
#[derive(Debug, Serialize)]
pub struct ArtifactRecord {
    /// What kind.
    pub kind: &'static str,
    /// What the experiment calls it.
    pub label: String,
    /// Its name in the store.
    pub fingerprint: String,
    /// `cached`, `partial` or `missing`.
    pub state: &'static str,
    /// Why it has to be made.
    pub why: Option<String>,
}

impl PlanRecord {
    /// The record of a plan.
    pub fn new(plan: &Plan, experiment: &Experiment) -> Self {
        let totals = Totals::of(plan);
        let pretrains = plan.pretrains.iter().map(|step| &step.artifact);
        let samples = plan.samples.iter().map(|step| &step.artifact);
        let features = plan.cached_features.values().chain(
            plan.passes
                .iter()
                .flat_map(|pass| pass.taps.iter().map(|tap| &tap.artifact)),
        );
        let artifacts = pretrains
            .map(|artifact| ("pretraining", artifact))
            .chain(samples.map(|artifact| ("samples", artifact)))
            .chain(features.map(|artifact| ("features", artifact)))
            .chain(plan.heads.iter().map(|step| ("head", &step.artifact)))
            .chain(plan.metrics.iter().map(|step| ("metric", &step.artifact)))
            .map(|(kind, artifact)| artifact_record(kind, artifact));
        Self {
            done: plan.is_done(),
            forward_images: totals.images,
            forward_images_unfused: totals.unfused,
            training_images: plan
                .heads
                .iter()
                .filter(|step| !step.artifact.state.is_cached())
                .map(|step| step.forwards)
                .sum(),
            multiply_adds: totals.multiply_adds,
            feature_bytes: totals.bytes,
            passes: plan
                .passes
                .iter()
                .map(|pass| pass_record(pass, experiment))
                .collect(),
            artifacts: artifacts.collect(),
        }
    }
}

fn artifact_record(kind: &'static str, artifact: &PlannedArtifact) -> ArtifactRecord {
    let (state, why) = match &artifact.state {
        State::Cached => ("cached", None),
        State::Partial { parts } => (
            "partial",
            Some(format!("{} committed", plural(parts.len(), "part"))),
        ),
        State::Missing { why } => ("missing", Some(why.clone())),
    };
    ArtifactRecord {
        kind,
        label: artifact.label.clone(),
        fingerprint: artifact.fingerprint.to_string(),
        state,
        why,
    }
}

fn pass_record(pass: &Pass, experiment: &Experiment) -> PassRecord {
    let missing = pass.missing_shards();
    PassRecord {
        model: experiment.models[pass.key.model].name.clone(),
        dataset: experiment.datasets[pass.key.dataset].name.clone(),
        timestep: pass.key.timestep,
        view: pass.key.view.name(),
        precision: pass.key.precision.name(),
        draw: pass.key.random.map(|random| random.draw),
        noise_seed: pass.key.random.map(|random| random.seed),
        deepest_block: pass.deepest().map_or(0, |block| block.0),
        taps: pass.taps.len(),
        images: images_to_run(pass),
        committed_shards: pass.shards - missing.len(),
        shards: pass.shards,
    }
}

struct Totals {
    images: u64,
    unfused: u64,
    multiply_adds: u64,
    bytes: u64,
}

impl Totals {
    fn of(plan: &Plan) -> Self {
        let mut totals = Self {
            images: 0,
            unfused: 0,
            multiply_adds: 0,
            bytes: 0,
        };
        for pass in &plan.passes {
            let images = images_to_run(pass) as u64;
            totals.images += images;
            totals.unfused += images * pass.taps.len() as u64;
            totals.multiply_adds += images * pass.multiply_adds;
            totals.bytes += pass.feature_bytes() * images / (pass.images as u64).max(1);
        }
        totals
    }
}

fn images_to_run(pass: &Pass) -> usize {
    let shards = super::Shards::new(pass.images, pass.side);
    pass.missing_shards()
        .into_iter()
        .map(|shard| shards.rows_of(shard).len())
        .sum()
}

/// One line for each pass; also what `repro plan --steps` shows after each rule.
pub fn render_passes(passes: &[Pass], experiment: &Experiment) -> String {
    let mut text = String::new();
    for pass in passes {
        let record = pass_record(pass, experiment);
        let mut line = format!(
            "{} ← {}{}  blocks {}{}  {} of {}",
            record.model,
            record.dataset,
            record
                .timestep
                .map_or_else(String::new, |timestep| format!("  t={timestep}")),
            ranges(pass.taps.iter().map(|tap| tap.block.0)),
            reductions(pass),
            plural(record.taps, "tap"),
            plural(record.images, "image"),
        );
        if pass.key.preprocess != Preprocess::default() {
            let _ = write!(line, "  {}", pass.key.preprocess.name());
        }
        let own = experiment.models[pass.key.model].model.input();
        if pass.key.normalization != own.normalization {
            let _ = write!(line, "  {}", pass.key.normalization.name());
        }
        if pass.key.precision != Precision::F32 {
            let _ = write!(line, "  {}", record.precision);
        }
        let (draw, seed) = (record.draw.unwrap_or(0), record.noise_seed.unwrap_or(0));
        if record.view != "center" || draw != 0 || seed != 0 {
            let _ = write!(line, "  {} draw={draw} seed={seed}", record.view);
        }
        if record.committed_shards > 0 && record.images > 0 {
            let _ = write!(
                line,
                "  resumes: {} of {} shards are committed",
                record.committed_shards, record.shards
            );
        }
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// The plan for people.
pub fn render(plan: &Plan, experiment: &Experiment, every_artifact: bool) -> String {
    let mut text = format!("plan for {}\n", experiment.name);
    let totals = Totals::of(plan);
    text.push_str(&render_trainings(plan, experiment));
    let cached_features = plan.cached_features.len();
    let wanted: usize = cached_features
        + plan
            .passes
            .iter()
            .map(|pass| pass.taps.len())
            .sum::<usize>();
    let _ = writeln!(
        text,
        "\nfeatures: {} wanted, {} cached",
        count(wanted),
        count(cached_features)
    );
    if !plan.passes.is_empty() {
        let _ = writeln!(
            text,
            "  {} through the network: {} forwards (one for each extraction alone would be {}), {:.3} T multiply-adds, {} to write",
            plural(plan.passes.len(), "pass"),
            count(totals.images),
            count(totals.unfused),
            totals.multiply_adds as f64 / 1e12,
            bytes(totals.bytes),
        );
        text.push_str(&render_passes(&plan.passes, experiment));
    }
    for (name, artifacts) in [
        (
            "heads",
            plan.heads
                .iter()
                .map(|step| &step.artifact)
                .collect::<Vec<_>>(),
        ),
        (
            "metrics",
            plan.metrics.iter().map(|step| &step.artifact).collect(),
        ),
    ] {
        let cached = artifacts
            .iter()
            .filter(|artifact| artifact.state.is_cached())
            .count();
        let _ = writeln!(
            text,
            "{name}: {} wanted, {} cached",
            count(artifacts.len()),
            count(cached)
        );
        if name == "heads" {
            text.push_str(&render_fresh(plan, experiment));
        }
    }
    if let Some(output) = &plan.report {
        let _ = writeln!(
            text,
            "report: {output}, rendered from the cache and written where it differs"
        );
    }
    let mut reasons: Vec<(String, usize, String)> = Vec::new();
    let missing = PlanRecord::new(plan, experiment).artifacts;
    for artifact in missing.iter().filter(|artifact| artifact.state != "cached") {
        let why = artifact.why.clone().unwrap_or_default();
        let reason = format!("{}: {why}", artifact.kind);
        match reasons.iter_mut().find(|(known, _, _)| *known == reason) {
            Some((_, number, _)) => *number += 1,
            None => reasons.push((reason, 1, artifact.label.clone())),
        }
    }
    if !reasons.is_empty() && !every_artifact {
        text.push_str("\nwhy:\n");
        for (reason, number, example) in reasons.iter().take(12) {
            let example = if *number == 1 {
                example.clone()
            } else {
                format!("{} such as {example}", count(*number))
            };
            let _ = writeln!(text, "  {reason} ({example})");
        }
        if reasons.len() > 12 {
            let _ = writeln!(
                text,
                "  … {} more reasons; `--artifacts` lists every artifact",
                reasons.len() - 12
            );
        }
    }
    if every_artifact {
        text.push_str("\nartifacts:\n");
        for artifact in &missing {
            let why = artifact
                .why
                .as_deref()
                .map_or_else(String::new, |why| format!("  {why}"));
            let _ = writeln!(
                text,
                "  {:<8} {:<8} {}  {}{why}",
                artifact.state,
                artifact.kind,
                &artifact.fingerprint[..12],
                artifact.label
            );
        }
    }
    if plan.is_done() {
        text.push_str("\nnothing to compute: everything is in the cache\n");
    }
    text
}

/// The pools and tokens of a pass, such as `  pools 1,2,4`.
fn reductions(pass: &Pass) -> String {
    let mut text = String::new();
    let pools: Vec<u32> = pass
        .taps
        .iter()
        .filter_map(|tap| tap.reduce.pool())
        .collect();
    if !pools.is_empty() {
        let _ = write!(text, "  pools {}", ranges(pools.into_iter()));
    }
    let tokens: std::collections::BTreeSet<&str> = pass
        .taps
        .iter()
        .filter_map(|tap| tap.reduce.token(tap.shape))
        .collect();
    if !tokens.is_empty() {
        let tokens: Vec<&str> = tokens.into_iter().collect();
        let _ = write!(text, "  tokens {}", tokens.join(","));
    }
    text
}

/// Numbers in order, runs written as `1–13`.
fn ranges(numbers: impl Iterator<Item = u32>) -> String {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}–{last}"),
        })
        .collect();
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_short() {
        assert_eq!(ranges([3, 1, 2, 7, 9, 10].into_iter()), "1–3,7,9,10");
    }
}
