//! What a report shows of the datasets and models that an experiment uses.

use std::collections::{BTreeMap, BTreeSet};

use crate::exec::NodeError;
use crate::exec::skipped::skipped;
use crate::graph::{DatasetNode, Experiment, OnBadImage};
use crate::imaging::preprocess::{Preprocess, Step};
use crate::numbers::to_u32;
use crate::plan::Plan;
use crate::report::{DatasetSummary, ModelSummary, SkippedImage};
use crate::store::{AxisValue, ResultRow, Store};

/// The datasets, with the images that could not be used.
pub(super) fn datasets(
    experiment: &Experiment,
    plan: &Plan,
    store: &Store,
) -> Result<Vec<DatasetSummary>, NodeError> {
    let mut summaries = Vec::new();
    for (node, images) in experiment.datasets.iter().zip(&plan.datasets) {
        let mut left_out = BTreeSet::new();
        for extract in plan.features.iter().filter(|extract| {
            extract.images.index == images.index && extract.node.on_bad_image == OnBadImage::Skip
        }) {
            if matches!(store.manifest(&extract.fingerprint), Ok(Some(_))) {
                left_out.extend(skipped(store, &extract.fingerprint)?);
            }
        }
        let facts = &images.facts;
        let rows = facts.splits.iter();
        let rows = rows.map(|count| (count.split.clone(), count.samples as u64));
        summaries.push(DatasetSummary {
            name: node.name.clone(),
            kind: node.dataset.kind().to_owned(),
            part_of: part_of(experiment, node),
            digest: facts.digest.clone(),
            rows: rows.collect(),
            classes: to_u32(facts.classes.len()),
            skipped: left_out
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

/// The kinds of the datasets that one is a part of, the nearest first.
fn part_of(experiment: &Experiment, node: &DatasetNode) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut upstream = node.upstream;
    // A dataset stands behind the one that it is made from, so that no circle can be here.
    while let Some(index) = upstream {
        let found = &experiment.datasets[index];
        kinds.push(found.dataset.kind().to_owned());
        upstream = found.upstream;
    }
    kinds
}

/// The names of the extractions whose features are of random resized crops.
pub(super) fn cropped(experiment: &Experiment) -> BTreeSet<String> {
    let crops = |preprocess: &Preprocess| match preprocess {
        Preprocess::Named(_) => false,
        Preprocess::Steps(steps) => steps
            .iter()
            .any(|step| matches!(step, Step::RandomResizedCrop { .. })),
    };
    let extractions = experiment.extractions.iter();
    extractions
        .filter(|node| crops(&node.preprocess))
        .map(|node| node.name.clone())
        .collect()
}

/// The ratio of signal to noise at the timesteps that results are of, by the schedules of their models.
pub(super) fn log_snr(plan: &Plan, results: &[ResultRow]) -> BTreeMap<String, BTreeMap<u32, f64>> {
    let mut ratios: BTreeMap<String, BTreeMap<u32, f64>> = BTreeMap::new();
    for row in results {
        let (Some(model), Some(AxisValue::Integer(timestep))) =
            (row.axes.get("model"), row.axes.get("timestep"))
        else {
            continue;
        };
        let model = model.to_string();
        let node = plan.models.iter().find(|node| node.name == model);
        let (Some(node), Ok(timestep)) = (node, u32::try_from(*timestep)) else {
            continue;
        };
        if let Some(at) = node.model.coefficients(timestep) {
            let ratio = 2.0 * (f64::from(at.signal) / f64::from(at.noise)).ln();
            ratios.entry(model).or_default().insert(timestep, ratio);
        }
    }
    ratios
}

/// The models.
pub(super) fn models(plan: &Plan) -> Result<Vec<ModelSummary>, NodeError> {
    let models = plan.models.iter().map(|node| {
        Ok(ModelSummary {
            name: node.name.clone(),
            kind: node.model.kind().to_owned(),
            configuration: node.model.variant().to_owned(),
            parameters: node.model.parameter_count(),
            weights: node.weights.clone(),
            blocks: to_u32(node.model.blocks().len()),
        })
    });
    models.collect()
}
