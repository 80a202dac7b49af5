//! What a metric makes of predictions and features. Run by metrics, and by reports for what no metric has kept yet.

mod distributions;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::NodeError;
use super::choosing;
use super::feature_source::SplitFeatures;
use super::logits::attach;
use super::skipped::skipped;
use crate::graph::axes::{Axes, of_pair};
use crate::graph::{OnBadImage, Swept};
use crate::inputs::Inputs;
use crate::metrics::{FeatureSource, Metric, MetricError, MetricInput, Predictions, Reads, Score};
use crate::plan::{CountedNetwork, Evaluate, Extract, HeadItem, Items, Plan, Train};
use crate::store::names::PREDICTIONS;
use crate::store::{Fingerprint, ResultRow, Store};

/// What came of a metric.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// One row for each score, as the store keeps it.
    pub(crate) rows: Vec<ResultRow>,
    /// Heads that are not trained yet.
    pub(crate) open: Vec<HeadItem>,
    /// Whether features are not there yet, so that nothing was scored.
    pub(crate) waits_for_features: bool,
}

/// Scores everything that is there of what a metric reads.
///
/// # Errors
/// A store that cannot be read, predictions that do not cover their split, a metric that fails, or a user who wants to stop.
pub(crate) fn evaluate(
    plan: &Plan,
    work: &Evaluate,
    inputs: &Inputs,
    store: &Store,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Evaluated, NodeError> {
    match &work.items {
        Items::Heads(heads) => {
            let heads = heads.iter().map(|head| (head.clone(), Axes::new()));
            of_heads(plan, work, heads.collect(), inputs, store)
        }
        Items::Chosen(items) => {
            let scored = choosing::scored(plan, store, items)?;
            let mut evaluated = of_heads(plan, work, scored.heads, inputs, store)?;
            evaluated.open.extend(scored.open);
            Ok(evaluated)
        }
        Items::AgainstFile {
            items, split, file, ..
        } => {
            let given = inputs.moments(file).ok_or_else(|| {
                NodeError::Values(format!("{} is not on disk", file.display()).into())
            })?;
            distributions::against_file(work, items, (split, given), store, keep_going)
        }
        Items::Features {
            items,
            split,
            reference_split,
        } => match reference_split {
            None => of_features(work, items, split, store, keep_going),
            Some(reference) => {
                distributions::scored(work, items, (split, reference), store, keep_going)
            }
        },
        Items::Networks(networks) => of_networks(work, networks),
    }
}

/// Scores heads; each with axes that are not its own.
fn of_heads(
    plan: &Plan,
    work: &Evaluate,
    heads: Vec<(HeadItem, Axes)>,
    inputs: &Inputs,
    store: &Store,
) -> Result<Evaluated, NodeError> {
    let mut evaluated = Evaluated::default();
    for (item, more_axes) in heads {
        let fingerprint = plan.step(item.step).artifact.fingerprint;
        if store.manifest(&fingerprint)?.is_none() {
            evaluated.open.push(item);
            continue;
        }
        let mut predictions = predictions(&item.train, &fingerprint, inputs, store)?;
        attach(&mut predictions, store, &fingerprint, work.metric.reads())?;
        let scores = work
            .metric
            .evaluate(MetricInput::Predictions(&predictions))
            .map_err(|error| of_head(error, &item.train))?;
        let mut axes = item.train.axes();
        axes.extend(more_axes);
        axes.extend(work.swept.axes());
        let sources = [
            ("head", &fingerprint),
            ("features", &item.train.features.fingerprint),
        ];
        let scores = scores.into_iter().flatten();
        let rows = scores.map(|score| row(score, axes.clone(), &sources));
        evaluated.rows.extend(rows);
    }
    Ok(evaluated)
}

/// Counts networks and heads, which come from no artifact.
fn of_networks(work: &Evaluate, networks: &[CountedNetwork]) -> Result<Evaluated, NodeError> {
    let mut evaluated = Evaluated::default();
    for network in networks {
        let input = MetricInput::Network {
            parameters: network.parameters,
        };
        let mut axes = network.axes.clone();
        axes.extend(work.swept.axes());
        let scores = work.metric.evaluate(input)?.into_iter().flatten();
        let rows = scores.map(|score| row(score, axes.clone(), &[]));
        evaluated.rows.extend(rows);
    }
    Ok(evaluated)
}

/// What is wrong with the predictions of a head, with its name.
fn of_head(error: MetricError, train: &Train) -> NodeError {
    match error {
        MetricError::Input(what) => {
            NodeError::Values(format!("head `{}`: {what}", train.node.name).into())
        }
        other => other.into(),
    }
}

/// The predictions of a head. Refuses those that do not cover the split as the dataset's manifest lists it.
///
/// # Errors
/// A store that cannot be read, and predictions that lack a column or rows.
pub(crate) fn predictions(
    train: &Train,
    fingerprint: &Fingerprint,
    inputs: &Inputs,
    store: &Store,
) -> Result<Predictions, NodeError> {
    let extract = &train.features;
    let split = &train.node.training.test_split;
    let table = store.table(fingerprint, PREDICTIONS)?;
    let Some(predictions) = Predictions::from_batch(&table) else {
        return Err(NodeError::Values(
            format!(
                "the predictions of head {} lack a column",
                fingerprint.short()
            )
            .into(),
        ));
    };
    let listed = extract.images.samples_of(split);
    let left_out = match extract.node.on_bad_image {
        OnBadImage::Fail => 0,
        OnBadImage::Skip => skipped_of_split(extract, split, inputs, store)?,
    };
    if predictions.rows.len() as u64 + left_out != listed {
        return Err(NodeError::Values(format!(
            "head {} predicted {} samples, but split `{split}` lists {listed} ({left_out} skipped)",
            fingerprint.short(),
            predictions.rows.len(),
        ).into()));
    }
    Ok(predictions)
}

/// How many images of a split were left out when the features were made.
fn skipped_of_split(
    extract: &Extract,
    split: &str,
    inputs: &Inputs,
    store: &Store,
) -> Result<u64, NodeError> {
    let images = &extract.images;
    let dataset = inputs.images(images, store, 0..images.facts.samples)?;
    let skipped: BTreeSet<String> = skipped(store, &extract.fingerprint)?.into_iter().collect();
    let of_split = dataset
        .manifest
        .samples
        .iter()
        .filter(|sample| sample.split == split && skipped.contains(&sample.id));
    Ok(of_split.count() as u64)
}

fn of_features(
    work: &Evaluate,
    items: &[Vec<Arc<Extract>>],
    split: &str,
    store: &Store,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Evaluated, NodeError> {
    let mut evaluated = Evaluated::default();
    // Pairs are of one dataset each: those of one dataset are read together.
    let mut by_dataset: BTreeMap<usize, Vec<&[Arc<Extract>]>> = BTreeMap::new();
    for item in items {
        for extract in item {
            if store.manifest(&extract.fingerprint)?.is_none() {
                evaluated.waits_for_features = true;
                return Ok(evaluated);
            }
        }
        if let Some(first) = item.first() {
            let of_dataset = by_dataset.entry(first.images.index).or_default();
            of_dataset.push(item);
        }
    }
    for items in by_dataset.values() {
        let mut places: BTreeMap<Fingerprint, usize> = BTreeMap::new();
        let mut sources: Vec<SplitFeatures> = Vec::new();
        for extract in items.iter().copied().flatten() {
            if let Entry::Vacant(place) = places.entry(extract.fingerprint) {
                place.insert(sources.len());
                let features = SplitFeatures::open(store, extract, split)?;
                if let Some(first) = sources.first()
                    && work.metric.reads() == Reads::FeaturePairs
                {
                    features.has_samples_of(first)?;
                }
                sources.push(features);
            }
        }
        let sources: Vec<&dyn FeatureSource> = sources
            .iter()
            .map(|source| source as &dyn FeatureSource)
            .collect();
        let place = |extract: &Extract| places[&extract.fingerprint];
        let scores = scores(&*work.metric, items, &sources, &place, keep_going)?;
        if scores.len() != items.len() {
            return Err(NodeError::bug("a metric scored another number of items"));
        }
        for (item, scores) in items.iter().zip(scores) {
            let rows = rows_of_sets(scores, item, split, &work.swept)?;
            evaluated.rows.extend(rows);
        }
    }
    Ok(evaluated)
}

fn scores(
    metric: &dyn Metric,
    items: &[&[Arc<Extract>]],
    sources: &[&dyn FeatureSource],
    place: &dyn Fn(&Extract) -> usize,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Vec<Score>>, NodeError> {
    if metric.reads() == Reads::FeaturePairs {
        let pairs: Vec<(usize, usize)> = items
            .iter()
            .filter_map(|item| match item {
                [left, right] => Some((place(left), place(right))),
                _ => None,
            })
            .collect();
        return Ok(metric.evaluate(MetricInput::Pairs {
            sets: sources,
            pairs: &pairs,
            keep_going,
        })?);
    }
    let mut all = Vec::new();
    for extract in items.iter().filter_map(|item| item.first()) {
        if !keep_going() {
            return Err(NodeError::Stopped);
        }
        all.extend(metric.evaluate(MetricInput::Features(sources[place(extract)]))?);
    }
    Ok(all)
}

/// The row of one score: its axes, and what it comes from by roles.
fn row(score: Score, mut axes: Axes, sources: &[(&str, &Fingerprint)]) -> ResultRow {
    axes.extend(score.axes);
    let sources = sources.iter();
    ResultRow {
        metric: score.output.name,
        value: score.value,
        interval: score.interval,
        counted: score.counted,
        unit: score.output.unit.to_owned(),
        better: score.output.better,
        axes,
        sources: sources
            .map(|(role, fingerprint)| ((*role).to_owned(), fingerprint.to_string()))
            .collect(),
    }
}

/// The rows of one set of features, or of a pair of them.
fn rows_of_sets(
    scores: Vec<Score>,
    item: &[Arc<Extract>],
    split: &str,
    swept: &Swept,
) -> Result<Vec<ResultRow>, NodeError> {
    let (mut axes, sources) = match item {
        [one] => {
            let fingerprint = &one.fingerprint;
            // One set has one source; a second entry of the same role is the same entry.
            (
                one.axes(),
                [("features", fingerprint), ("features", fingerprint)],
            )
        }
        [left, right] => (
            of_pair(&left.axes(), &right.axes()),
            [("left", &left.fingerprint), ("right", &right.fingerprint)],
        ),
        _ => return Err(NodeError::bug("a metric of more than two sets of features")),
    };
    axes.insert("split".to_owned(), split.into());
    axes.extend(swept.axes());
    let scores = scores.into_iter();
    Ok(scores
        .map(|score| row(score, axes.clone(), &sources))
        .collect())
}
