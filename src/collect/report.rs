//! Gathering what a report shows, and writing it where it differs from what is there. What is computed here is said in `report::comparison`.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{Written, more_files, put, waiting, write_if_different};
use super::materials::{cropped, datasets, log_snr, models};
use super::outcomes::Kept;
use super::place::{self, Place};
use super::queries;
use super::warnings::{Warnings, of_results};
use super::{drawing, pictures};
use crate::axes::decided_by;
use crate::exec::NodeError;
use crate::exec::scoring::evaluate;
use crate::graph::{Experiment, OnBadImage};
use crate::inputs::Inputs;
use crate::message::Message;
use crate::papers::deviations;
use crate::plan::{Evaluate, Items, Plan, StepId, Train, Work};
use crate::report::figures::Wanted;
use crate::report::{
    MissingResult, NodeRecord, Rendered, ReportConfig, ReportInput, compare, comparison, render,
    results_csv,
};
use crate::store::names::RESULTS;
use crate::store::{ResultRow, Store};
use crate::text::plural;

/// Renders the report of an experiment from the store and writes it where it differs. `last_look` is taken when everything is read that
/// the report shows, and before anything of it is written.
///
/// # Errors
/// A store that cannot be read, a template that fails, a folder that cannot be written to, somebody else's files in the way, and what the
/// last look finds. Nothing half-written is left.
pub fn write(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    to: &Place<'_>,
    last_look: &dyn Fn() -> Result<(), NodeError>,
) -> Result<Written, NodeError> {
    let config = config(experiment)?;
    let base = to.base;
    place::look(base, &experiment.name, config, to.force)?;
    place::look_at(
        base,
        &experiment.name,
        config,
        &more_files(config, to),
        to.force,
    )?;
    let input = prepare(experiment, inputs, plan, store, to)?;
    let comparisons = input.comparisons.as_deref().unwrap_or_default();
    let text = comparison::file::write(comparisons);
    let file = base.join(config.comparisons_file());
    // Where nothing is compared there is no file, unless one is left that says something else.
    let is_needed = !comparisons.is_empty() || file.is_file();
    let rendered = render(&input, config, base, Some(&|sql| queries::ask(store, sql)))?;
    last_look()?;
    let mut written = put(&input, config, to, &rendered)?;
    let results = results_csv::write(&input.results);
    written.changed |= write_if_different(&base.join(config.results_file()), results.as_bytes())?;
    if is_needed {
        written.changed |= write_if_different(&file, text.as_bytes())?;
    }
    Ok(written)
}

/// What the experiment file asks of a report.
fn config(experiment: &Experiment) -> Result<&ReportConfig, NodeError> {
    let none = || NodeError::Values("the experiment has no `[report]`".into());
    experiment.report.as_ref().ok_or_else(none)
}

/// Renders the report of an experiment from what the store holds now, and writes nothing; gives how many results are missing, too.
///
/// # Errors
/// Those of [`prepare`], and a template that fails.
pub fn in_memory(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    to: &Place<'_>,
) -> Result<(Rendered, usize), NodeError> {
    let input = prepare(experiment, inputs, plan, store, to)?;
    let ask = |sql: &str| queries::ask(store, sql);
    let rendered = render(&input, config(experiment)?, to.base, Some(&ask))?;
    Ok((rendered, input.missing.len()))
}

/// Everything that the report of an experiment shows, with what is compared, from the store. Nothing is written.
///
/// # Errors
/// A store that cannot be read, and results that do not fit what the file asks for.
pub fn prepare(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    to: &Place<'_>,
) -> Result<ReportInput, NodeError> {
    let config = config(experiment)?;
    let Place { base, command, .. } = *to;
    let mut input = gather(experiment, inputs, plan, store, command)?;
    input.manual = place::manual(base, config);
    let target = base.join(&config.output);
    let folder = target.parent().unwrap_or(base);
    for (file, wanted) in config.wanted() {
        let is_absent = matches!(&wanted, Wanted::NoiseStrip(strip) if input.absent_datasets.contains(&strip.dataset));
        if is_absent && folder.join(&file).is_file() {
            input.drawn.insert(file);
        }
    }
    if input.results.is_empty() && waiting(&input) > 0 {
        let cache = store.root().display();
        let text = format!("all results of the report are missing from {cache}");
        let hint = "`repro run` computes them; where it just did, the cache was removed meanwhile";
        return Err(NodeError::Values(Message::new(text).hint(hint)));
    }
    let comparisons = compare(&input, config, &Kept::of(plan, inputs, store)?)?;
    input.comparisons = Some(comparisons);
    Ok(input)
}

/// Everything that a report shows, from the plan and the store.
///
/// # Errors
/// A store that cannot be read.
fn gather(
    experiment: &Experiment,
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
    command: &str,
) -> Result<ReportInput, NodeError> {
    let (results, mut missing) = results(inputs, plan, store)?;
    missing.extend(experiment.absent.missing());
    let (nodes, versions) = nodes(plan, store)?;
    let mut warnings = Warnings::of(experiment, inputs, plan).records();
    warnings.extend(of_results(&results));
    Ok(ReportInput {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        log_snr: log_snr(plan, &results),
        results,
        comparisons: None,
        cropped: cropped(experiment),
        missing,
        warnings,
        graph: drawing::graph(experiment),
        datasets: datasets(experiment, plan, store)?,
        models: models(plan)?,
        nodes,
        versions,
        seeds: experiment.seeds.clone(),
        deviations: deviations::of(experiment, &|dataset, split| {
            plan.datasets
                .get(dataset)
                .map(|images| images.samples_of(split))
        }),
        command: command.to_owned(),
        trainings: pictures::trainings(plan, store)?,
        sheets: pictures::sheets(experiment, inputs, plan, store)?,
        results_file: None,
        absent_datasets: absent_datasets(inputs, plan),
        manual: None,
        drawn: BTreeSet::new(),
    })
}

/// The names of the datasets that are not on disk.
fn absent_datasets(inputs: &Inputs, plan: &Plan) -> BTreeSet<String> {
    let datasets = plan.datasets.iter();
    datasets
        .filter(|dataset| inputs.is_absent(dataset))
        .map(|dataset| dataset.name.clone())
        .collect()
}

/// The results of all metrics, and what is known of those that are not there.
fn results(
    inputs: &Inputs,
    plan: &Plan,
    store: &Store,
) -> Result<(Vec<ResultRow>, Vec<MissingResult>), NodeError> {
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        let Work::Evaluate(work) = &step.work else {
            continue;
        };
        let fingerprint = &step.artifact.fingerprint;
        if store.manifest(fingerprint)?.is_some() {
            results.extend(ResultRow::from_batch(&store.table(fingerprint, RESULTS)?)?);
            continue;
        }
        let outputs = || work.metric.outputs().into_iter();
        let waits_for_features = match &work.items {
            // Which splits skipped images are of is known from the dataset alone.
            items if !can_be_scored(items, inputs) => {
                missing.extend(outputs().map(|output| MissingResult {
                    metric: output.name,
                    axes: BTreeMap::new(),
                    why: "not computed yet: its dataset is not on disk".to_owned(),
                }));
                false
            }
            // What no metric has kept yet is scored from predictions, which takes no time. Features are not read for a report.
            Items::Heads(_) | Items::Chosen(_) | Items::Networks(_) => {
                let evaluated = evaluate(plan, work, inputs, store, &|| true)?;
                results.extend(evaluated.rows);
                for head in &evaluated.open {
                    let axes = missing_axes(work, &head.train);
                    missing.extend(outputs().map(|output| MissingResult {
                        metric: output.name,
                        axes: axes.clone(),
                        why: "not trained yet".to_owned(),
                    }));
                }
                false
            }
            Items::Features { .. } | Items::AgainstFile { .. } => true,
        };
        if waits_for_features {
            missing.extend(outputs().map(|output| MissingResult {
                metric: output.name,
                axes: BTreeMap::new(),
                why: "not computed yet".to_owned(),
            }));
        }
    }
    Ok((results, missing))
}

/// Whether the predictions of heads can be compared with the lists of their datasets.
fn can_be_scored(items: &Items, inputs: &Inputs) -> bool {
    items.heads().all(|head| {
        let extract = &head.train.features;
        extract.node.on_bad_image == OnBadImage::Fail || !inputs.is_absent(&extract.images)
    })
}

/// The axes of a head, as they stand beside a result that is not there. Of a choice that is still open nobody knows yet at which
/// values it will be.
fn missing_axes(work: &Evaluate, train: &Train) -> BTreeMap<String, String> {
    let is_open = |axis: &str| match &work.items {
        Items::Chosen(items) => items.first().is_some_and(|item| {
            let is_chosen = |chosen: &String| axis == chosen || decided_by(axis) == Some(chosen);
            axis == "seed" || item.choice.axes.iter().any(is_chosen)
        }),
        Items::Heads(_)
        | Items::Features { .. }
        | Items::AgainstFile { .. }
        | Items::Networks(_) => false,
    };
    let mut axes = train.axes();
    axes.extend(work.swept.axes());
    axes.into_iter()
        .filter(|(axis, _)| !is_open(axis))
        .map(|(axis, value)| (axis, value.to_string()))
        .collect()
}

/// Fails where an artifact is not in the store that a finished run found there or made: its report would be one of what is gone.
///
/// # Errors
/// [`NodeError::Values`] with the first that is gone and the folder of the cache, and a store that cannot be read.
pub fn require_all(plan: &Plan, store: &Store) -> Result<(), NodeError> {
    let made: BTreeSet<StepId> = plan.jobs.iter().flat_map(|job| job.steps.clone()).collect();
    let (mut first, mut others) = (None, 0);
    for (place, step) in plan.steps.iter().enumerate() {
        let artifact = &step.artifact;
        let was_there = artifact.state.is_cached() || made.contains(&StepId(place));
        if !was_there || store.manifest(&artifact.fingerprint)?.is_some() {
            continue;
        }
        match first {
            None => first = Some(&artifact.label),
            Some(_) => others += 1,
        }
    }
    let Some(first) = first else {
        return Ok(());
    };
    let others = match others {
        0 => String::new(),
        count => format!(" and {}", plural(count, "other artifact")),
    };
    let text = format!(
        "{first}{others} went missing from {} while the run worked; the report was not written",
        store.root().display()
    );
    let hint = "somebody removed or moved them: once the cache stays where it is, `repro run` makes them again";
    Err(NodeError::Values(Message::new(text).hint(hint)))
}

/// Every artifact of the plan that is there or in a remote, and the versions of what made them.
type Nodes = (Vec<NodeRecord>, BTreeMap<String, String>);

fn nodes(plan: &Plan, store: &Store) -> Result<Nodes, NodeError> {
    let mut nodes = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in &plan.steps {
        let artifact = &step.artifact;
        let kind = artifact.recipe.kind();
        let Some(manifest) = store.known_manifest(kind, &artifact.fingerprint)? else {
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
            kind: step.work.kind().to_owned(),
            fingerprint: artifact.fingerprint.to_string(),
            rows: manifest.rows,
            bytes: manifest.bytes(),
            wall_seconds: manifest.made.wall_seconds,
            device: manifest.made.device,
        });
    }
    let versions = versions.into_iter();
    let versions = versions.map(|(component, versions)| (component, versions.join(", ")));
    Ok((nodes, versions.collect()))
}
