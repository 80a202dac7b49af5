//! Scores of generated images: each set of features with a reference of other images.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Evaluated, row};
use crate::exec::NodeError;
use crate::exec::feature_source::SplitFeatures;
use crate::graph::{Reference, of_distributions};
use crate::metrics::{FeatureSource, GivenMoments, MetricInput};
use crate::plan::{Evaluate, Extract};
use crate::store::{Fingerprint, Store};

/// Scores every item, which is the generated images and their reference; `splits` are those of both. Nothing where some features are not
/// there yet.
///
/// # Errors
/// As for [`evaluate`](super::evaluate).
pub(super) fn scored(
    work: &Evaluate,
    items: &[Vec<Arc<Extract>>],
    splits: (&str, &str),
    store: &Store,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Evaluated, NodeError> {
    let mut evaluated = Evaluated::default();
    let mut places: BTreeMap<(Fingerprint, &str), usize> = BTreeMap::new();
    let mut sources: Vec<SplitFeatures> = Vec::new();
    let mut pairs = Vec::new();
    let mut sides = Vec::new();
    for item in items {
        let [generated, reference] = item.as_slice() else {
            return Err(NodeError::bug("generated images without one reference"));
        };
        let mut place = |extract: &Extract, split| -> Result<Option<usize>, NodeError> {
            if let Some(&known) = places.get(&(extract.fingerprint, split)) {
                return Ok(Some(known));
            }
            if store.manifest(&extract.fingerprint)?.is_none() {
                return Ok(None);
            }
            sources.push(SplitFeatures::open(store, extract, split)?);
            places.insert((extract.fingerprint, split), sources.len() - 1);
            Ok(Some(sources.len() - 1))
        };
        let (left, right) = (place(generated, splits.0)?, place(reference, splits.1)?);
        let (Some(left), Some(right)) = (left, right) else {
            evaluated.waits_for_features = true;
            return Ok(evaluated);
        };
        pairs.push((left, right));
        sides.push((generated, reference));
    }
    let sets: Vec<&dyn FeatureSource> = sources
        .iter()
        .map(|source| source as &dyn FeatureSource)
        .collect();
    let scores = work.metric.evaluate(MetricInput::Distributions {
        sets: &sets,
        pairs: &pairs,
        keep_going,
    })?;
    if scores.len() != items.len() {
        return Err(NodeError::bug("a metric scored another number of items"));
    }
    for (((generated, reference), pair), scores) in sides.iter().zip(&pairs).zip(scores) {
        let [own, its] = [pair.0, pair.1].map(|place| sets[place].rows() as u64);
        let said = Reference {
            name: &reference.images.name,
            split: Some(splits.1),
            generated: own,
            images: Some(its),
            preprocess: &generated.node.test_preprocess,
        };
        let mut axes = of_distributions(generated.axes(), &said);
        axes.insert("split".to_owned(), splits.0.into());
        axes.extend(work.swept.axes());
        let sources = [
            ("features", &generated.fingerprint),
            ("reference", &reference.fingerprint),
        ];
        let rows = scores.into_iter();
        let rows = rows.map(|score| row(score, axes.clone(), &sources));
        evaluated.rows.extend(rows);
    }
    Ok(evaluated)
}

/// Scores every set against the moments of a file. Nothing where some features are not there yet.
///
/// # Errors
/// As for [`evaluate`](super::evaluate).
pub(super) fn against_file(
    work: &Evaluate,
    items: &[Arc<Extract>],
    (split, given): (&str, &GivenMoments),
    store: &Store,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Evaluated, NodeError> {
    let mut evaluated = Evaluated::default();
    for extract in items {
        if store.manifest(&extract.fingerprint)?.is_none() {
            evaluated.waits_for_features = true;
            return Ok(evaluated);
        }
    }
    for extract in items {
        let set = SplitFeatures::open(store, extract, split)?;
        let scores = work.metric.evaluate(MetricInput::AgainstMoments {
            sets: &[&set],
            reference: given,
            keep_going,
        })?;
        let said = Reference {
            name: &given.name,
            split: None,
            generated: set.rows() as u64,
            images: None,
            preprocess: &extract.node.test_preprocess,
        };
        let mut axes = of_distributions(extract.axes(), &said);
        axes.insert("split".to_owned(), split.into());
        axes.extend(work.swept.axes());
        let sources = [("features", &extract.fingerprint)];
        let rows = scores.into_iter().flatten();
        let rows = rows.map(|score| row(score, axes.clone(), &sources));
        evaluated.rows.extend(rows);
    }
    Ok(evaluated)
}
