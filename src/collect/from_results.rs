//! A report from a file of results: without datasets, weights and cache.
//!
//! All that is known is the experiment's own file and the results. Curves and images are in no such file; where an earlier run drew
//! them, the figures stay.

use std::collections::{BTreeMap, BTreeSet};

use super::drawing;
use super::files::{Written, more_files, put};
use super::place::{self, Place};
use super::warnings::{Warnings, of_results};
use crate::exec::NodeError;
use crate::graph::{Experiment, ModelNode};
use crate::limits;
use crate::papers::deviations;
use crate::report::comment::Changes;
use crate::report::{
    MissingResult, ModelSummary, ReportConfig, ReportInput, ResultsFile, comment, comparison,
    render, results_csv,
};
use crate::store::{AxisValue, ResultRow};

/// A file of results, and the file of comparisons beside it where there is one: of each its path and its text.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The file of results.
    pub results: (&'a str, &'a str),
    /// The file of comparisons.
    pub comparisons: Option<(&'a str, &'a str)>,
}

/// Everything that the report of an experiment shows, from its files; and what the experiment asks of a report. Nothing is written.
///
/// # Errors
/// A file that cannot be read.
pub fn prepare(
    experiment: &Experiment,
    files: Files<'_>,
    to: &Place<'_>,
) -> Result<(ReportInput, ReportConfig), NodeError> {
    let Place { base, command, .. } = *to;
    let mut input = input(experiment, files, command)?;
    let plain = || ReportConfig::plain(&experiment.name);
    let config = experiment.report.clone().unwrap_or_else(plain);
    let target = base.join(&config.output);
    let folder = target.parent().unwrap_or(base);
    let of_others = config.wanted().into_iter().map(|(file, _)| file);
    input.drawn = of_others
        .filter(|file| folder.join(file).is_file())
        .collect();
    input.manual = place::manual(base, &config);
    Ok((input, config))
}

/// Renders the report of an experiment from its files, and writes it where it differs.
///
/// # Errors
/// A file that cannot be read, a template that fails, a folder that cannot be written to, somebody else's
/// files in the way.
pub fn write(
    experiment: &Experiment,
    files: Files<'_>,
    to: &Place<'_>,
) -> Result<Written, NodeError> {
    let (input, config) = prepare(experiment, files, to)?;
    let base = to.base;
    let mut beside = vec![config.provenance_file()];
    beside.extend(more_files(&config, to));
    place::look_at(base, &experiment.name, &config, &beside, to.force)?;
    let file = base.join(config.provenance_file());
    let earlier = limits::read_text(&file, limits::WHOLE_FILE).unwrap_or_default();
    let mut rendered = render(&input, &config, base, None)?;
    rendered.provenance = rendered.provenance.with_run_of(&earlier);
    put(&input, &config, to, &rendered)
}

/// The report as a comment on a pull request, with what changed against a base where there is one.
///
/// # Errors
/// A file that cannot be read, and tables that the results do not fit into.
pub fn comment(
    experiment: &Experiment,
    files: Files<'_>,
    command: &str,
    changes: Option<&Changes>,
) -> Result<String, NodeError> {
    let input = input(experiment, files, command)?;
    let plain = ReportConfig::plain(&experiment.name);
    let config = experiment.report.as_ref().unwrap_or(&plain);
    Ok(comment::comment(&input, config, changes)?)
}

/// What the files and the experiment's own file say.
fn input(
    experiment: &Experiment,
    files: Files<'_>,
    command: &str,
) -> Result<ReportInput, NodeError> {
    let (path, text) = files.results;
    // A file of no rows is what a run writes of which nothing could be computed yet.
    let results = results_csv::read(path, text)?;
    let comparisons = files
        .comparisons
        .map(|(path, text)| comparison::file::read(path, text))
        .transpose()?;
    Ok(ReportInput {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        warnings: [
            Warnings::of_file(experiment).records(),
            of_results(&results),
        ]
        .concat(),
        graph: drawing::graph(experiment),
        models: experiment
            .models
            .iter()
            .map(|node| summary(node, &results))
            .collect(),
        seeds: experiment.seeds.clone(),
        deviations: deviations::of(experiment, &|_, _| None),
        command: command.to_owned(),
        results_file: Some(ResultsFile {
            path: path.to_owned(),
        }),
        missing: missing(experiment, &results, path),
        results,
        comparisons,
        ..ReportInput::default()
    })
}

/// What the file has no result of at all, beside what waits for an announced kind.
fn missing(experiment: &Experiment, results: &[ResultRow], path: &str) -> Vec<MissingResult> {
    let outputs = experiment.metrics.iter();
    let outputs = outputs.flat_map(|node| node.metric.outputs());
    let lacking: BTreeSet<String> = outputs
        .map(|output| output.name)
        .filter(|name| !results.iter().any(|row| row.metric == *name))
        .collect();
    let lacking = lacking.into_iter().map(|metric| MissingResult {
        metric,
        axes: BTreeMap::new(),
        why: format!("not in `{path}`"),
    });
    let announced = experiment.absent.missing();
    announced.into_iter().chain(lacking).collect()
}

/// A model as far as its node and the results show.
fn summary(node: &ModelNode, results: &[ResultRow]) -> ModelSummary {
    let name = AxisValue::from(node.name.as_str());
    let own = results
        .iter()
        .filter(|row| row.axes.get("model") == Some(&name));
    let weights: BTreeSet<String> = own
        .filter_map(|row| Some(row.axes.get("weights")?.to_string()))
        .collect();
    ModelSummary {
        name: node.name.clone(),
        kind: node.model.kind().to_owned(),
        configuration: node.model.variant().to_owned(),
        parameters: node.model.parameter_count(),
        weights: weights.into_iter().collect::<Vec<_>>().join(", "),
        blocks: u32::try_from(node.model.blocks().len()).unwrap_or(u32::MAX),
    }
}
