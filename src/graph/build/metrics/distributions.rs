//! Metrics of generated images and reference ones: which sets of features are compared.

use super::named;
use crate::graph::resolve::Names;
use crate::graph::{Experiment, MetricInputs};
use crate::limits::MOST_NODES;
use crate::metrics::{EXTRACTIONS, REFERENCE_OR_FILE, REFERENCE_SPLIT, SPLIT, STATISTICS};
use crate::spec::{Fields, Key, List, Text};
use crate::text::count;

/// Pairs of sets whose features are made in the same way, of other images.
pub(super) fn of_distributions(
    fields: &Fields<'_>,
    key: &Key<List<Text>>,
    experiment: &Experiment,
    extractions: &Names,
) -> Option<MetricInputs> {
    let generated = named(fields, &EXTRACTIONS, extractions, "extraction")?;
    let reference = named(fields, key, extractions, "extraction")?;
    let split = fields.get(&SPLIT)?;
    let reference_split = fields
        .get(&REFERENCE_SPLIT)
        .unwrap_or_else(|| split.clone());
    let mut pairs = Vec::new();
    for &generated in &generated {
        let node = &experiment.extractions[generated];
        let comparable = reference.iter().filter(|&&reference| {
            let other = &experiment.extractions[reference];
            let is_other = node.dataset != other.dataset || split != reference_split;
            is_other && node.is_made_as(other)
        });
        pairs.extend(comparable.map(|&reference| (generated, reference)));
    }
    if pairs.len() > MOST_NODES {
        let message = format!("{} compares {} pairs", fields.context(), count(pairs.len()));
        let hint = format!("at most {} pairs are compared", count(MOST_NODES));
        fields.invalid(EXTRACTIONS.name, "sweep::too-large", message, Some(hint));
        return None;
    }
    if pairs.is_empty() && !generated.is_empty() && !reference.is_empty() {
        let message = format!("{} has no pair to compare", fields.context());
        let hint = "both sets of features are of the same model, block and preparation, and of other images";
        fields.invalid(key.name, "graph::no-pairs", message, Some(hint.to_owned()));
    }
    Some(MetricInputs::Distributions {
        pairs,
        split,
        reference_split,
    })
}

/// The same, or moments out of a file.
pub(super) fn of_distributions_or_moments(
    fields: &Fields<'_>,
    experiment: &Experiment,
    extractions: &Names,
) -> Option<MetricInputs> {
    let has = [REFERENCE_OR_FILE.name, STATISTICS.name].map(|key| fields.has(key));
    let misfit = |message: &str, hint: &str| {
        let message = format!("{} {message}", fields.context());
        let hint = Some(hint.to_owned());
        fields.invalid(STATISTICS.name, "graph::metric-misfit", message, hint);
        None
    };
    match has {
        [false, false] => {
            fields.missing(&REFERENCE_OR_FILE);
            None
        }
        [true, false] => of_distributions(fields, &REFERENCE_OR_FILE, experiment, extractions),
        [true, true] => misfit("has a `reference` and `statistics`", "take one of them out"),
        [false, true] if fields.has(REFERENCE_SPLIT.name) => misfit(
            "has a `reference_split`, and its reference is a file",
            "take `reference_split` out",
        ),
        [false, true] => Some(MetricInputs::AgainstFile {
            sets: named(fields, &EXTRACTIONS, extractions, "extraction")?,
            split: fields.get(&SPLIT)?,
            file: fields.get(&STATISTICS)?.into(),
        }),
    }
}
