//! The table `classes` of a query: what labels of a dataset are called.
//!
//! Labels are numbers in every file of the store; their names are known from the notes about datasets. Which dataset an experiment calls
//! by a name is known from its results, and from the recipes of the features that these were computed from.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{Column, DataFrame, IntoLazy, LazyFrame, PolarsResult};

use super::ClassNames;
use crate::store::fingerprint::ArtifactKind;
use crate::store::manifest::Manifest;
use crate::store::results::{AxisValue, ResultRow};

/// A row for each class of each dataset that some result is about. Where two experiments give a name to different datasets, classes that
/// both have stand once.
pub(super) fn table(
    results: &[ResultRow],
    manifests: &[Manifest],
    known: &[ClassNames],
) -> PolarsResult<LazyFrame> {
    let digests = digests(manifests);
    let mut named: BTreeSet<(&str, &str)> = BTreeSet::new();
    for row in results {
        let Some(AxisValue::Text(dataset)) = row.axes.get("dataset") else {
            continue;
        };
        let read = row.sources.values();
        let digest = read.filter_map(|source| digests.get(source));
        named.extend(digest.map(|digest| (dataset.as_str(), digest.as_str())));
    }
    let mut rows: BTreeSet<(&str, i64, &str)> = BTreeSet::new();
    for (dataset, digest) in named {
        for classes in known.iter().filter(|classes| classes.digest == digest) {
            let numbered = (0..).zip(&classes.names);
            rows.extend(numbered.map(|(label, name)| (dataset, label, name.as_str())));
        }
    }
    let texts = |text: fn(&(&str, i64, &str)) -> String| rows.iter().map(text).collect::<Vec<_>>();
    let columns = vec![
        Column::new("dataset".into(), texts(|row| row.0.to_owned())),
        Column::new(
            "label".into(),
            rows.iter().map(|row| row.1).collect::<Vec<i64>>(),
        ),
        Column::new("name".into(), texts(|row| row.2.to_owned())),
    ];
    Ok(DataFrame::new(rows.len(), columns)?.lazy())
}

/// The digests of the datasets of all features, by the fingerprints of these.
fn digests(manifests: &[Manifest]) -> BTreeMap<String, String> {
    let features = manifests.iter();
    let features = features.filter(|manifest| manifest.kind == ArtifactKind::Features);
    let digest = |manifest: &Manifest| {
        let recipe: serde_json::Value = serde_json::from_str(manifest.recipe.json()).ok()?;
        let digest = recipe.pointer("/fields/dataset")?.as_str()?;
        Some((manifest.fingerprint.to_string(), digest.to_owned()))
    };
    features.filter_map(digest).collect()
}
