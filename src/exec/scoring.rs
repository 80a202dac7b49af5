//! Scores of one head from its predictions. Run by metrics, and by reports for what no metric has kept yet.

use std::collections::BTreeSet;

use super::NodeError;
use crate::graph::{Experiment, OnBadImage};
use crate::inputs::Inputs;
use crate::metrics::Predictions;
use crate::plan::Plan;
use crate::store::names::PREDICTIONS;
use crate::store::{Fingerprint, ResultRow, Store};

/// A head under a metric.
pub(crate) struct Scored {
    /// Index of the metric in the experiment.
    pub(crate) metric: usize,
    /// Index of the head in the experiment.
    pub(crate) head: usize,
    /// The head in the store.
    pub(crate) fingerprint: Fingerprint,
}

impl Scored {
    /// The rows of results. Refuses predictions that do not cover the split as the dataset's manifest lists it.
    pub(crate) fn score(
        &self,
        experiment: &Experiment,
        inputs: &Inputs,
        plan: &Plan,
        store: &Store,
    ) -> Result<Vec<ResultRow>, NodeError> {
        let metric = &experiment.metrics[self.metric].metric;
        let node = &experiment.heads[self.head];
        let extraction = &experiment.extractions[node.features];
        let table = store.table(&self.fingerprint, PREDICTIONS)?;
        let Some(predictions) = Predictions::from_batch(&table) else {
            return Err(NodeError::Values(format!(
                "the predictions of head {} lack a column",
                self.fingerprint.short()
            )));
        };
        let features = plan.features[node.features];
        let listed = inputs.datasets[extraction.dataset]
            .manifest
            .count(&node.training.test_split);
        let skipped = match extraction.on_bad_image {
            OnBadImage::Fail => 0,
            OnBadImage::Skip => skipped_of_split(
                inputs,
                store,
                features,
                extraction.dataset,
                &node.training.test_split,
            )?,
        };
        if predictions.rows.len() + skipped != listed {
            return Err(NodeError::Values(format!(
                "head {} predicted {} samples, but split `{}` lists {listed} ({skipped} skipped)",
                self.fingerprint.short(),
                predictions.rows.len(),
                node.training.test_split
            )));
        }
        let model = &experiment.models[extraction.model];
        let scored = metric
            .score(&predictions)
            .into_iter()
            .map(|score| ResultRow {
                metric: score.output.name,
                value: score.value,
                low: score.low,
                high: score.high,
                correct: score.correct,
                count: score.count,
                unit: score.output.unit.to_owned(),
                higher_is_better: score.output.higher_is_better,
                split: node.training.test_split.clone(),
                head: node.name.clone(),
                head_kind: node.head.kind().to_owned(),
                extraction: extraction.name.clone(),
                model: model.name.clone(),
                weights: plan.weights[extraction.model].clone(),
                dataset: experiment.datasets[extraction.dataset].name.clone(),
                timestep: extraction.timestep.unwrap_or(0),
                block: extraction.block.0,
                pool: extraction.reduce.pool().unwrap_or(1),
                precision: extraction.precision.name().to_owned(),
                view: extraction.view.name().to_owned(),
                draw: extraction.random.map_or(0, |random| random.draw),
                noise_seed: extraction.random.map_or(0, |random| random.seed),
                seed: node.seed,
                learning_rate: node.training.optimiser.lr,
                network_learning_rate: node
                    .training
                    .fine_tune
                    .map_or(0.0, |tuning| tuning.optimiser.lr),
                epochs: node.training.epochs,
                head_fingerprint: self.fingerprint.to_string(),
                features_fingerprint: features.to_string(),
            });
        Ok(scored.collect())
    }
}

/// How many images of a split were left out when the features were made.
fn skipped_of_split(
    inputs: &Inputs,
    store: &Store,
    features: Fingerprint,
    dataset: usize,
    split: &str,
) -> Result<usize, NodeError> {
    let manifest = &inputs.datasets[dataset].manifest;
    let skipped: BTreeSet<String> = crate::collect::report::skipped(store, &features)?
        .into_iter()
        .collect();
    let of_split = manifest
        .samples
        .iter()
        .filter(|sample| sample.split == split && skipped.contains(&sample.id));
    Ok(of_split.count())
}
