//! What a metric does not score, because it needs a kind that is only announced.

use std::collections::BTreeSet;

use super::{Known, right_key};
use crate::axes::decided_by;
use crate::graph::announced::{AbsentNode, Announced};
use crate::graph::axes::{Axes, of_pair};
use crate::graph::resolve::Names;
use crate::graph::{Experiment, MetricInputs, Swept};
use crate::metrics::{
    COUNTED_HEADS, EXTRACTIONS, HEADS, LEFT, MODELS, Metric, REFERENCE, Reads, SPLIT,
};
use crate::spec::fields::Spanned;
use crate::spec::sections::{RawNode, Sections};
use crate::spec::{Fields, Key, List, Table, Text, Value};

/// Where results are missing, and the kind that each of them needs.
type Places = Vec<(&'static Announced, Axes)>;

/// The nodes that the table of a metric names, under whatever key: of an announced kind nobody knows which keys it has.
pub(super) fn read_by(table: &Table, sections: &Sections) -> Vec<(&'static str, String)> {
    let entries = table.entries.iter().filter(|entry| entry.key != "kind");
    let texts = entries.flat_map(|entry| {
        let items = match &entry.node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        items.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    });
    let named: BTreeSet<&str> = texts.collect();
    let nodes = sections.named().into_iter();
    nodes
        .filter(|(_, name)| named.contains(name))
        .filter(|(section, _)| *section != "metric")
        .map(|(section, name)| (section, name.to_owned()))
        .collect()
}

/// Where the results of a metric are missing.
pub(super) fn places(
    fields: &Fields<'_>,
    experiment: &Experiment,
    known: &Known<'_>,
    metric: &dyn Metric,
    choose: &[String],
) -> Places {
    match metric.reads() {
        Reads::Predictions | Reads::Logits | Reads::HeldOutLogits => {
            let is_open = |axis: &str| {
                let is_chosen =
                    |chosen: &String| axis == chosen || decided_by(axis) == Some(chosen.as_str());
                choose.iter().any(is_chosen)
            };
            let mut places = Places::new();
            for (needs, mut axes) in of_names(fields, &HEADS, experiment, known.heads) {
                axes.retain(|axis, _| !is_open(axis));
                if !places.iter().any(|(_, known)| *known == axes) {
                    places.push((needs, axes));
                }
            }
            places
        }
        Reads::Features => {
            let places = of_names(fields, &EXTRACTIONS, experiment, known.extractions).into_iter();
            let places = places.map(|(needs, axes)| (needs, with_split(axes, fields)));
            places.collect()
        }
        Reads::FeaturePairs => of_pairs(fields, experiment, known.extractions),
        Reads::Networks => {
            let mut places = of_names(fields, &MODELS, experiment, known.models);
            places.extend(of_names(fields, &COUNTED_HEADS, experiment, known.heads));
            places
        }
        Reads::Distributions | Reads::DistributionsOrMoments => {
            let mut places = of_names(fields, &EXTRACTIONS, experiment, known.extractions);
            let reference = of_names(fields, &REFERENCE, experiment, known.extractions);
            if let Some((needs, _)) = reference.first() {
                let listed = fields.items(&EXTRACTIONS).unwrap_or_default();
                let there = listed
                    .iter()
                    .flat_map(|name| known.extractions.there(&name.value));
                places.extend(there.map(|&index| (*needs, experiment.stated_axes(index))));
            }
            let places = places.into_iter();
            let places = places.map(|(needs, axes)| (needs, with_split(axes, fields)));
            places.collect()
        }
    }
}

/// The absent nodes that a key names.
fn of_names(
    fields: &Fields<'_>,
    key: &Key<List<Text>>,
    experiment: &Experiment,
    names: &Names,
) -> Places {
    let listed = fields.items(key).unwrap_or_default();
    let absent = listed.iter().flat_map(|name| names.absent(&name.value));
    absent
        .map(|&index| &experiment.absent.nodes[index])
        .map(|node| (node.needs, node.axes.clone()))
        .collect()
}

fn with_split(mut axes: Axes, fields: &Fields<'_>) -> Axes {
    axes.extend(
        fields
            .get(&SPLIT)
            .map(|split| ("split".to_owned(), split.into())),
    );
    axes
}

/// The pairs of which one set is absent, or both are.
fn of_pairs(fields: &Fields<'_>, experiment: &Experiment, extractions: &Names) -> Places {
    let all = |key: &Key<List<Text>>| -> Vec<(Option<&'static Announced>, Axes)> {
        let listed: Vec<Spanned<String>> = fields.items(key).unwrap_or_default();
        let there = listed
            .iter()
            .flat_map(|name| extractions.there(&name.value))
            .map(|&index| (None, experiment.stated_axes(index)));
        let absent = of_names(fields, key, experiment, extractions).into_iter();
        there
            .chain(absent.map(|(needs, axes)| (Some(needs), axes)))
            .collect()
    };
    let right = all(right_key(fields));
    let mut places = Places::new();
    for (left_needs, left) in all(&LEFT) {
        for (right_needs, right) in &right {
            let is_pair = left.get("dataset") == right.get("dataset");
            if let Some(needs) = left_needs.or(*right_needs).filter(|_| is_pair) {
                places.push((needs, with_split(of_pair(&left, right), fields)));
            }
        }
    }
    places
}

/// Keeps the results that are missing. Whether that is all that the metric has, so that it is absent itself.
pub(super) fn put(
    experiment: &mut Experiment,
    node: &RawNode,
    reads: Vec<(&'static str, String)>,
    (metric, inputs): (&dyn Metric, &MetricInputs),
    (mut places, swept): (Places, &Swept),
) -> bool {
    let Some(&(needs, _)) = places.first() else {
        return false;
    };
    for (_, axes) in &mut places {
        axes.extend(swept.axes());
    }
    experiment
        .absent
        .put_results(&node.name, &metric.outputs(), &places);
    let is_empty = inputs.is_empty();
    if is_empty {
        experiment.absent.put(AbsentNode {
            section: "metric",
            name: node.name.clone(),
            needs,
            reads,
            axes: Axes::new(),
        });
    }
    is_empty
}
