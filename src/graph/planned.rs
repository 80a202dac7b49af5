//! The results that an experiment will have: where each will stand on the axes, before any of them is there.
//!
//! `check` puts them through the tables and figures of the report, so that what these would refuse when all is computed is known before.

use std::collections::{BTreeMap, BTreeSet};

use super::axes::{Axes, of_pair};
use super::node_axes::{Reference, of_distributions};
use super::{Experiment, MetricInputs, MetricNode};
use crate::axes::{CHOSEN, CHOSEN_FROM, decided_by};
use crate::metrics::{Output, Reads};
use crate::store::{AxisValue, Counted, ResultRow};

/// Every result of a metric, with a made-up value.
pub(super) fn results(experiment: &Experiment, metric: &str) -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for node in &experiment.metrics {
        for output in node.metric.outputs() {
            if output.name == metric {
                let places = places(experiment, node).into_iter();
                let places = places.flat_map(|axes| within(axes, &output));
                // What is known of a network by itself may be the same at many places.
                let is_count = node.metric.reads() == Reads::Networks;
                rows.extend(places.map(|axes| {
                    if is_count {
                        count(axes, &output)
                    } else {
                        row(axes, &output)
                    }
                }));
            }
        }
    }
    rows
}

/// Heads that compete with each other, by their axes: those that agree on every axis but the chosen ones, what these decide, and the
/// seed. Each group has the indices of its members, in their order.
pub fn competing(chosen: &[String], heads: &[Axes]) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<Vec<(&str, String)>, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, axes) in heads.iter().enumerate() {
        let shared = axes.iter().filter(|(axis, _)| {
            let is_chosen =
                |chosen: &String| chosen == *axis || decided_by(axis) == Some(chosen.as_str());
            *axis != "seed" && !chosen.iter().any(is_chosen)
        });
        let shared = shared.map(|(axis, value)| (axis.as_str(), value.to_string()));
        let place = *places.entry(shared.collect()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(index);
    }
    groups
}

/// Where each item stands that a metric scores.
fn places(experiment: &Experiment, node: &MetricNode) -> Vec<Axes> {
    let mut known: BTreeMap<usize, Option<Axes>> = BTreeMap::new();
    let mut of = |index: usize| {
        let axes = known.entry(index);
        axes.or_insert_with(|| experiment.planned_axes(index))
            .clone()
    };
    let with_split = |mut axes: Axes, split: &str| {
        axes.insert("split".to_owned(), split.into());
        axes
    };
    let mut places: Vec<Axes> = match &node.inputs {
        MetricInputs::Heads(heads) => {
            let heads = heads.iter().map(|&index| &experiment.heads[index]);
            let heads = heads.filter_map(|head| {
                let mut axes = of(head.features)?;
                axes.extend(head.axes());
                Some(axes)
            });
            chosen(&node.choose, heads.collect())
        }
        MetricInputs::Features { sets, split } => {
            let sets = sets.iter().filter_map(|&set| of(set));
            sets.map(|axes| with_split(axes, split)).collect()
        }
        MetricInputs::Distributions {
            pairs,
            split,
            reference_split,
        } => {
            let pairs = pairs.iter().filter_map(|&(generated, reference)| {
                let dataset = experiment.extractions[reference].dataset;
                let reference = Reference {
                    name: &experiment.datasets[dataset].name,
                    split: Some(reference_split),
                    // How many there are is known when they are there.
                    generated: 1,
                    images: Some(1),
                    preprocess: &experiment.extractions[generated].test_preprocess,
                };
                Some(of_distributions(of(generated)?, &reference))
            });
            pairs.map(|axes| with_split(axes, split)).collect()
        }
        MetricInputs::AgainstFile { sets, split, file } => {
            let sets = sets.iter().filter_map(|&set| {
                let reference = Reference {
                    name: &file.display().to_string(),
                    split: None,
                    generated: 1,
                    images: None,
                    preprocess: &experiment.extractions[set].test_preprocess,
                };
                Some(of_distributions(of(set)?, &reference))
            });
            sets.map(|axes| with_split(axes, split)).collect()
        }
        MetricInputs::Pairs { pairs, split } => {
            let pairs = pairs
                .iter()
                .filter_map(|&(left, right)| Some(of_pair(&of(left)?, &of(right)?)));
            pairs.map(|axes| with_split(axes, split)).collect()
        }
        MetricInputs::Networks { models, heads, .. } => {
            let heads = heads.iter().map(|&index| &experiment.heads[index]);
            let heads = heads.filter_map(|head| {
                let mut axes = of(head.features)?;
                axes.extend(head.axes());
                // A count has no seed.
                axes.remove("seed");
                Some(axes)
            });
            let models = models.iter().map(|&model| experiment.network_axes(model));
            models.chain(heads).collect()
        }
    };
    for axes in &mut places {
        axes.extend(node.swept.axes());
    }
    places
}

/// What is left of heads where the best are chosen: one for each group and seed, whose values on the chosen axes nobody knows yet.
fn chosen(choose: &[String], heads: Vec<Axes>) -> Vec<Axes> {
    if choose.is_empty() {
        return heads;
    }
    let mut places = Vec::new();
    for group in competing(choose, &heads) {
        let candidates: BTreeSet<Vec<Option<&AxisValue>>> = group
            .iter()
            .map(|&index| choose.iter().map(|axis| heads[index].get(axis)).collect())
            .collect();
        let mut seeds = BTreeSet::new();
        for &index in &group {
            if seeds.insert(heads[index].get("seed")) {
                let mut axes = heads[index].clone();
                axes.insert(CHOSEN.to_owned(), choose.join(", ").into());
                axes.insert(CHOSEN_FROM.to_owned(), (candidates.len() as u64).into());
                places.push(axes);
            }
        }
    }
    places
}

/// The values of one item: one, or a few that stand for as many as its dataset has classes.
fn within(axes: Axes, output: &Output) -> Vec<Axes> {
    output.axes.iter().fold(vec![axes], |places, inner| {
        let of_class = |axes: &Axes, class: u32| {
            let mut axes = axes.clone();
            axes.insert((*inner).to_owned(), class.into());
            axes
        };
        let all = places.iter();
        // Classes are counted from 0, numbers of images from 1.
        let first = u32::from(*inner == "images");
        all.flat_map(|axes| [first, first + 1].map(|value| of_class(axes, value)))
            .collect()
    })
}

/// A count, which is the same everywhere.
fn count(axes: Axes, output: &Output) -> ResultRow {
    ResultRow {
        metric: output.name.clone(),
        value: 1.0,
        unit: output.unit.to_owned(),
        better: output.better,
        axes,
        ..ResultRow::default()
    }
}

/// A result whose value only depends on where it stands: no two that stand at one place contradict each other.
fn row(axes: Axes, output: &Output) -> ResultRow {
    let mut text = String::new();
    for (axis, value) in &axes {
        text.extend([axis.as_str(), "=", &value.to_string(), "\n"]);
    }
    let first = blake3::hash(text.as_bytes()).as_bytes()[0];
    let correct = 300 + u64::from(first);
    let value = f64::from(300 + u32::from(first)) / 1000.0;
    ResultRow {
        metric: output.name.clone(),
        value,
        interval: Some([value - 0.03, value + 0.03]),
        counted: Some(Counted {
            correct,
            scored: 1000,
        }),
        unit: output.unit.to_owned(),
        better: output.better,
        axes,
        sources: ["head", "features"]
            .map(|role| (role.to_owned(), "0".repeat(64)))
            .into(),
    }
}
