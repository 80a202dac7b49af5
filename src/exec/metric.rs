//! One metric: predictions of many heads from the store, scores into the store.

use std::collections::BTreeSet;

use super::NodeError;
use super::event::Event;
use super::run::Run;
use crate::graph::OnBadImage;
use crate::metrics::Predictions;
use crate::plan::{MetricStep, Plan};
use crate::store::{Begin, Fingerprint, Patience, ResultRow};

/// Scores every head of a metric and commits the table of results.
pub(super) fn run_metric(run: &Run<'_>, plan: &Plan, step: &MetricStep) -> Result<(), NodeError> {
    let started = std::time::Instant::now();
    let begun = run
        .store
        .begin(&step.artifact.recipe, &step.artifact.label, &mut |_| {
            if run.stop.is_given() {
                Patience::GiveUp
            } else {
                Patience::Wait
            }
        })?;
    let Begin::Writer(mut writer) = begun else {
        return Ok(());
    };
    let mut rows = Vec::new();
    for &(head, fingerprint) in &step.heads {
        rows.extend(score(run, plan, step, head, fingerprint)?);
    }
    writer.write_table("results", &ResultRow::to_batch(&rows)?)?;
    writer.finish(run.made(started.elapsed().as_secs_f64()))?;
    (run.emit)(Event::MetricFinished {
        label: step.artifact.label.clone(),
        results: rows.len(),
    });
    Ok(())
}

/// The scores of one head. Refuses predictions that do not cover the split as the dataset's manifest lists it.
fn score(
    run: &Run<'_>,
    plan: &Plan,
    step: &MetricStep,
    head: usize,
    fingerprint: Fingerprint,
) -> Result<Vec<ResultRow>, NodeError> {
    let metric = &run.experiment.metrics[step.metric].metric;
    let node = &run.experiment.heads[head];
    let extraction = &run.experiment.extractions[node.features];
    let table = run.store.table(&fingerprint, "predictions")?;
    let Some(predictions) = Predictions::from_batch(&table) else {
        return Err(NodeError::Values(format!(
            "the predictions of head {} lack a column",
            fingerprint.short()
        )));
    };
    let features = plan.features[node.features];
    let listed = run.inputs.datasets[extraction.dataset]
        .manifest
        .count(&node.training.test_split);
    let skipped = match extraction.on_bad_image {
        OnBadImage::Fail => 0,
        OnBadImage::Skip => {
            skipped_of_split(run, features, extraction.dataset, &node.training.test_split)?
        }
    };
    if predictions.rows.len() + skipped != listed {
        return Err(NodeError::Values(format!(
            "head {} predicted {} samples, but split `{}` lists {listed} ({skipped} skipped)",
            fingerprint.short(),
            predictions.rows.len(),
            node.training.test_split
        )));
    }
    let model = &run.experiment.models[extraction.model];
    let scored = metric
        .score(&predictions)
        .into_iter()
        .map(|score| ResultRow {
            metric: score.output.name,
            value: score.value,
            correct: score.correct,
            count: score.count,
            unit: score.output.unit.to_owned(),
            higher_is_better: score.output.higher_is_better,
            split: node.training.test_split.clone(),
            head: node.name.clone(),
            head_kind: node.head.kind().to_owned(),
            extraction: extraction.name.clone(),
            model: model.name.clone(),
            weights: run.inputs.facts.weights[extraction.model].clone(),
            dataset: run.experiment.datasets[extraction.dataset].name.clone(),
            timestep: extraction.timestep,
            block: extraction.block.0,
            pool: extraction.pool,
            view: extraction.view.name().to_owned(),
            draw: extraction.draw,
            noise_seed: extraction.noise_seed,
            seed: node.seed,
            learning_rate: node.training.optimiser.learning_rate(),
            epochs: node.training.epochs,
            head_fingerprint: fingerprint.to_string(),
            features_fingerprint: features.to_string(),
        });
    Ok(scored.collect())
}

/// How many images of a split were left out when the features were made.
fn skipped_of_split(
    run: &Run<'_>,
    features: Fingerprint,
    dataset: usize,
    split: &str,
) -> Result<usize, NodeError> {
    let manifest = &run.inputs.datasets[dataset].manifest;
    let skipped: BTreeSet<String> = super::report::skipped(run.store, &features)?
        .into_iter()
        .collect();
    let of_split = manifest
        .samples
        .iter()
        .filter(|sample| sample.split == split && skipped.contains(&sample.id));
    Ok(of_split.count())
}
