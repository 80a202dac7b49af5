//! Gathering what a report shows, and writing it where it differs from what is there. Nothing is computed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use super::{drawing, pictures};
use crate::exec::choosing::{Chosen, choose};
use crate::exec::scoring::Scored;
use crate::exec::{NodeError, SKIPPED};
use crate::graph::{Experiment, OnBadImage};
use crate::inputs::Inputs;
use crate::papers::departures;
use crate::plan::{Facts, Plan, PlannedArtifact};
use crate::report::{
    DatasetSummary, MissingResult, ModelSummary, NodeRecord, ReportConfig, ReportInput,
    SkippedImage, render, results_csv,
};
use crate::store::{Fingerprint, ResultRow, Store, StoreError};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Whether any file was not there with these bytes already.
    pub changed: bool,
    /// The Markdown file.
    pub path: String,
    /// How many other files belong to it.
    pub files: usize,
    /// How many results were asked for and are not there.
    pub missing: usize,
}

/// Renders the report of an experiment from the store and writes it where it differs.
///
/// # Errors
/// A store that cannot be read, a template that fails, a folder that cannot be written to. Nothing half-written is left.
pub fn write(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    base: &Path,
    command: &str,
) -> Result<Written, NodeError> {
    let Some(config) = &experiment.report else {
        return Err(NodeError::Values(
            "the experiment has no `[report]`".to_owned(),
        ));
    };
    let input = gather(experiment, inputs, plan, store, command)?;
    if input.results.is_empty() && !input.missing.is_empty() {
        return Err(NodeError::Values(
            "there is no result to report yet\n  hint: `repro run` computes them".to_owned(),
        ));
    }
    let mut written = put(&input, config, base)?;
    let results = results_csv::write(&input.results);
    written.changed |= write_if_different(&base.join(config.results_file()), results.as_bytes())?;
    written.files += 1;
    Ok(written)
}

/// Renders a report and writes its Markdown and its figures where they differ from what is there.
pub(super) fn put(
    input: &ReportInput,
    config: &ReportConfig,
    base: &Path,
) -> Result<Written, NodeError> {
    let mut config = config.clone();
    config.template = config
        .template
        .map(|template| base.join(template).to_string_lossy().into_owned());
    let rendered = render(input, &config)?;
    let target = base.join(&config.output);
    let folder = target.parent().unwrap_or(base);
    let mut changed = false;
    for (file, bytes) in &rendered.files {
        changed |= write_if_different(&folder.join(file), bytes)?;
    }
    changed |= write_if_different(&target, rendered.markdown.as_bytes())?;
    Ok(Written {
        changed,
        path: config.output.clone(),
        files: rendered.files.len(),
        missing: input.missing.len(),
    })
}

/// The ids of the images that were left out when features were made.
pub(crate) fn skipped(store: &Store, features: &Fingerprint) -> Result<Vec<String>, StoreError> {
    let reader = store.features(features)?;
    let rows = reader
        .parts()
        .iter()
        .flat_map(|part| part.ids().zip(part.splits()));
    Ok(rows
        .filter(|(_, split)| *split == SKIPPED)
        .map(|(id, _)| id.to_owned())
        .collect())
}

fn gather(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    command: &str,
) -> Result<ReportInput, NodeError> {
    let mut results = Vec::new();
    let mut missing = Vec::new();
    for step in &plan.metrics {
        if store.manifest(&step.artifact.fingerprint)?.is_some() {
            results.extend(ResultRow::from_batch(
                &store.table(&step.artifact.fingerprint, "results")?,
            )?);
            continue;
        }
        let chosen = if experiment.metrics[step.metric].choose {
            choose(experiment, store, &step.heads)?
        } else {
            Chosen {
                heads: step.heads.clone(),
                ..Chosen::default()
            }
        };
        for (head, _) in chosen.open {
            let results = missing_results(experiment, plan, step.metric, head);
            missing.extend(results.map(without_rates));
        }
        for (head, fingerprint) in chosen.heads {
            let scored = Scored {
                metric: step.metric,
                head,
                fingerprint,
            };
            if store.manifest(&fingerprint)?.is_some() {
                results.extend(scored.score(experiment, inputs, plan, store)?);
            } else {
                missing.extend(missing_results(experiment, plan, step.metric, head));
            }
        }
    }
    let mut nodes = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, artifact) in artifacts(plan) {
        let Some(manifest) = store.manifest(&artifact.fingerprint)? else {
            continue;
        };
        for (component, version) in &manifest.made.versions {
            let known = versions.entry(component.clone()).or_default();
            if !known.contains(version) {
                known.push(version.clone());
            }
        }
        nodes.push(NodeRecord {
            label: artifact.label.clone(),
            kind: kind.to_owned(),
            fingerprint: artifact.fingerprint.to_string(),
            rows: manifest.rows,
            bytes: manifest.bytes(),
            wall_seconds: manifest.made.wall_seconds,
            device: manifest.made.device,
        });
    }
    Ok(ReportInput {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        results,
        missing,
        graph: drawing::graph(experiment),
        datasets: datasets(experiment, &inputs.facts, plan, store)?,
        models: models(experiment, plan),
        nodes,
        versions: versions
            .into_iter()
            .map(|(component, versions)| (component, versions.join(", ")))
            .collect(),
        seeds: experiment.seeds.clone(),
        departures: departures::of(experiment),
        command: command.to_owned(),
        trainings: pictures::trainings(experiment, plan, store)?,
        sheets: pictures::sheets(experiment, inputs, plan, store)?,
        results_file: None,
    })
}

/// Every artifact of the plan with its kind, in a fixed order.
fn artifacts(plan: &Plan) -> impl Iterator<Item = (&'static str, &PlannedArtifact)> {
    let mut features: Vec<&PlannedArtifact> = plan
        .cached_features
        .values()
        .chain(
            plan.passes
                .iter()
                .flat_map(|pass| pass.taps.iter().map(|tap| &tap.artifact)),
        )
        .collect();
    let position = |artifact: &PlannedArtifact| {
        plan.features
            .iter()
            .position(|fingerprint| *fingerprint == artifact.fingerprint)
    };
    features.sort_by_key(|artifact| position(artifact));
    let features = features.into_iter().map(|artifact| ("features", artifact));
    let trainings = plan.pretrains.iter();
    let trainings = trainings.map(|step| ("pretraining", &step.artifact));
    let samples = plan.samples.iter();
    let samples = samples.map(|step| ("samples", &step.artifact));
    let heads = plan.heads.iter().map(|step| ("head", &step.artifact));
    trainings
        .chain(samples)
        .chain(features)
        .chain(heads)
        .chain(plan.metrics.iter().map(|step| ("metric", &step.artifact)))
}

fn missing_results(
    experiment: &Experiment,
    plan: &Plan,
    metric: usize,
    head: usize,
) -> impl Iterator<Item = MissingResult> {
    let model = experiment.extractions[experiment.heads[head].features].model;
    let axes = experiment.head_axes(head, &plan.weights[model]);
    let swept = experiment.metrics[metric].swept.0.iter().cloned();
    let axes: BTreeMap<String, String> = axes
        .into_iter()
        .chain(swept)
        .map(|(axis, value)| (axis, value.to_string()))
        .collect();
    let outputs = experiment.metrics[metric].metric.outputs().into_iter();
    outputs.map(move |output| MissingResult {
        metric: output.name,
        axes: axes.clone(),
        why: "its head is not trained yet".to_owned(),
    })
}

/// What is missing of a choice that is still open: nobody knows yet at which of the rates it will be.
fn without_rates(mut missing: MissingResult) -> MissingResult {
    let of_rates = ["learning_rate", "network_learning_rate", "seed"];
    let of_optimizers = ["head_optimizer_", "head_fine_tune_"];
    missing.axes.retain(|axis, _| {
        !of_rates.contains(&axis.as_str())
            && !of_optimizers.iter().any(|prefix| axis.starts_with(prefix))
    });
    missing
}

fn datasets(
    experiment: &Experiment,
    facts: &Facts,
    plan: &Plan,
    store: &Store,
) -> Result<Vec<DatasetSummary>, NodeError> {
    let mut summaries = Vec::new();
    for (index, (node, facts)) in experiment.datasets.iter().zip(&facts.datasets).enumerate() {
        let skipping =
            experiment
                .extractions
                .iter()
                .zip(&plan.features)
                .find(|(extraction, fingerprint)| {
                    extraction.dataset == index
                        && extraction.on_bad_image == OnBadImage::Skip
                        && matches!(store.manifest(fingerprint), Ok(Some(_)))
                });
        let skipped = match skipping {
            Some((_, fingerprint)) => skipped(store, fingerprint)?,
            None => Vec::new(),
        };
        summaries.push(DatasetSummary {
            name: node.name.clone(),
            kind: node.dataset.kind().to_owned(),
            digest: facts.digest.clone(),
            rows: facts
                .splits
                .iter()
                .map(|count| (count.split.clone(), count.samples as u64))
                .collect(),
            classes: u32::try_from(facts.classes.len()).unwrap_or(u32::MAX),
            skipped: skipped
                .into_iter()
                .map(|id| SkippedImage {
                    id,
                    reason: "it does not decode".to_owned(),
                })
                .collect(),
        });
    }
    Ok(summaries)
}

fn models(experiment: &Experiment, plan: &Plan) -> Vec<ModelSummary> {
    let nodes = experiment.models.iter().zip(&plan.weights);
    nodes
        .map(|(node, weights)| ModelSummary {
            name: node.name.clone(),
            kind: node.model.kind().to_owned(),
            configuration: node.model.variant().to_owned(),
            parameters: node.model.parameter_count(),
            weights: weights.clone(),
            blocks: u32::try_from(node.model.blocks().len()).unwrap_or(u32::MAX),
        })
        .collect()
}

/// Writes a file atomically, unless it has these bytes already; says whether it was written.
fn write_if_different(path: &Path, bytes: &[u8]) -> Result<bool, NodeError> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let failed = |source| NodeError::Output {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    temporary.write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    make_readable(temporary.as_file()).map_err(failed)?;
    temporary
        .persist(path)
        .map_err(|error| failed(error.error))?;
    Ok(true)
}

/// Temporary files are private; a report is for everyone.
fn make_readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}
