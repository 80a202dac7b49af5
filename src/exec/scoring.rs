//! Scores of one head from its predictions. Run by metrics, and by reports for what no metric has kept yet.

use std::collections::{BTreeMap, BTreeSet};

use super::NodeError;
use crate::graph::{Experiment, OnBadImage};
use crate::inputs::Inputs;
use crate::metrics::Predictions;
use crate::plan::Plan;
use crate::store::{Counted, Fingerprint, ResultRow, Store};

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
        let table = store.table(&self.fingerprint, "predictions")?;
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
        let mut axes = experiment.head_axes(self.head, &plan.weights[extraction.model]);
        axes.extend(experiment.metrics[self.metric].swept.0.iter().cloned());
        let sources = BTreeMap::from([
            ("head".to_owned(), self.fingerprint.to_string()),
            ("features".to_owned(), features.to_string()),
        ]);
        let scored = metric
            .score(&predictions)
            .into_iter()
            .map(|score| ResultRow {
                metric: score.output.name,
                value: score.value,
                interval: Some([score.low, score.high]),
                counted: Some(Counted {
                    correct: score.correct,
                    scored: score.count,
                }),
                unit: score.output.unit.to_owned(),
                higher_is_better: score.output.higher_is_better,
                axes: axes.clone(),
                sources: sources.clone(),
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
