//! Gathering what a report shows, and writing it where it differs from what is there. Nothing is computed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use super::inputs::Inputs;
use super::scoring::Scored;
use super::{NodeError, SKIPPED, departures};
use crate::graph::{Experiment, OnBadImage};
use crate::plan::{Facts, Plan, PlannedArtifact};
use crate::report::{
    DatasetSummary, Graph, GraphEdge, GraphNode, GraphRole, MissingResult, ModelSummary,
    NodeRecord, ReportInput, SkippedImage, render,
};
use crate::store::{Fingerprint, ResultRow, Store, StoreError};
use crate::text::plural;

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
    let missing = input.missing.len();
    let mut config = config.clone();
    config.template = config
        .template
        .map(|template| base.join(template).to_string_lossy().into_owned());
    let rendered = render(&input, &config)?;
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
        missing,
    })
}

/// The ids of the images that were left out when features were made.
pub(super) fn skipped(store: &Store, features: &Fingerprint) -> Result<Vec<String>, StoreError> {
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
        for &(head, fingerprint) in &step.heads {
            let scored = Scored {
                metric: step.metric,
                head,
                fingerprint,
            };
            if store.manifest(&fingerprint)?.is_some() {
                results.extend(scored.score(experiment, inputs, plan, store)?);
            } else {
                missing.extend(missing_results(experiment, step.metric, head));
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
        graph: graph(experiment),
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
        trainings: Vec::new(),
        sheets: Vec::new(),
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
    let heads = plan.heads.iter().map(|step| ("head", &step.artifact));
    features
        .chain(heads)
        .chain(plan.metrics.iter().map(|step| ("metric", &step.artifact)))
}

fn missing_results(experiment: &Experiment, metric: usize, head: usize) -> Vec<MissingResult> {
    let node = &experiment.heads[head];
    let extraction = &experiment.extractions[node.features];
    let axes = [
        ("head", node.name.clone()),
        (
            "dataset",
            experiment.datasets[extraction.dataset].name.clone(),
        ),
        ("model", experiment.models[extraction.model].name.clone()),
        ("extraction", extraction.name.clone()),
        ("timestep", extraction.timestep.to_string()),
        ("block", extraction.block.0.to_string()),
        ("pool", extraction.pool.to_string()),
        ("view", extraction.view.name().to_owned()),
        ("seed", node.seed.to_string()),
    ];
    let outputs = experiment.metrics[metric].metric.outputs().into_iter();
    outputs
        .map(|output| MissingResult {
            metric: output.name,
            axes: axes
                .iter()
                .map(|(axis, value)| ((*axis).to_owned(), value.clone()))
                .collect(),
            why: "its head is not trained yet".to_owned(),
        })
        .collect()
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

/// The graph by names: instances of one node are drawn as one.
fn graph(experiment: &Experiment) -> Graph {
    let mut drawing = Drawing::default();
    for node in &experiment.datasets {
        drawing.node("dataset", &node.name, GraphRole::Dataset, || {
            node.name.clone()
        });
        if let Some(upstream) = node.upstream {
            drawing.edge(
                ("dataset", &experiment.datasets[upstream].name),
                ("dataset", &node.name),
            );
        }
    }
    for node in &experiment.models {
        drawing.node("model", &node.name, GraphRole::Model, || {
            format!("{}: {}", node.name, node.model.variant())
        });
    }
    for node in &experiment.extractions {
        let count = experiment
            .extractions
            .iter()
            .filter(|other| other.name == node.name)
            .count();
        drawing.node("extraction", &node.name, GraphRole::Extraction, || {
            format!("{}: {}", node.name, plural(count, "feature set"))
        });
        drawing.edge(
            ("dataset", &experiment.datasets[node.dataset].name),
            ("extraction", &node.name),
        );
        drawing.edge(
            ("model", &experiment.models[node.model].name),
            ("extraction", &node.name),
        );
    }
    for node in &experiment.heads {
        let count = experiment
            .heads
            .iter()
            .filter(|other| other.name == node.name)
            .count();
        drawing.node("head", &node.name, GraphRole::Head, || {
            format!("{}: {}", node.name, plural(count, "head"))
        });
        drawing.edge(
            ("extraction", &experiment.extractions[node.features].name),
            ("head", &node.name),
        );
    }
    for node in &experiment.metrics {
        drawing.node("metric", &node.name, GraphRole::Metric, || {
            node.name.clone()
        });
        for &head in &node.heads {
            drawing.edge(
                ("head", &experiment.heads[head].name),
                ("metric", &node.name),
            );
        }
    }
    if let Some(report) = &experiment.report {
        drawing.node("report", "report", GraphRole::Report, || {
            report.output.clone()
        });
        for node in &experiment.metrics {
            drawing.edge(("metric", &node.name), ("report", "report"));
        }
    }
    drawing.graph
}

#[derive(Default)]
struct Drawing {
    graph: Graph,
}

impl Drawing {
    fn node(&mut self, section: &str, name: &str, role: GraphRole, label: impl FnOnce() -> String) {
        let id = format!("{section}.{name}");
        if !self.graph.nodes.iter().any(|node| node.id == id) {
            self.graph.nodes.push(GraphNode {
                id,
                role,
                label: label(),
            });
        }
    }

    fn edge(&mut self, from: (&str, &str), to: (&str, &str)) {
        let edge = GraphEdge {
            from: format!("{}.{}", from.0, from.1),
            to: format!("{}.{}", to.0, to.1),
        };
        if !self.graph.edges.contains(&edge) {
            self.graph.edges.push(edge);
        }
    }
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
