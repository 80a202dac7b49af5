//! What a cell is called: its metric and what tells it from the other cells of both sets.

use std::collections::BTreeSet;

use super::Place;
use crate::report::axes;
use crate::store::AxisValue;

/// What the only cell of a metric is called.
const ALL: &str = "all results";

/// Names cells of one metric.
pub(super) struct Labels<'a> {
    metric: &'a str,
    key: &'a [String],
    /// Which axes of the key are shown.
    shown: Vec<bool>,
}

impl<'a> Labels<'a> {
    /// Of the keys of all cells of a metric, in both sets.
    pub(super) fn of(metric: &'a str, key: &'a [String], cells: &[&Vec<AxisValue>]) -> Self {
        let mut values: Vec<BTreeSet<&AxisValue>> = vec![BTreeSet::new(); key.len()];
        for cell in cells {
            for (values, value) in values.iter_mut().zip(cell.iter()) {
                values.insert(value);
            }
        }
        // An axis that some kinds of results lack, with one value for all others, only repeats which kind it is; unless nothing else
        // tells two cells apart.
        let varying = |values: &BTreeSet<&AxisValue>| values.len() > 1;
        let of_values = |values: &BTreeSet<&AxisValue>| {
            let present = values.iter().filter(|value| !axes::is_absent(value));
            present.count() > 1
        };
        let few: Vec<bool> = values.iter().map(of_values).collect();
        let names: BTreeSet<Vec<&AxisValue>> =
            cells.iter().map(|cell| picked(&few, cell)).collect();
        let distinct: BTreeSet<&Vec<AxisValue>> = cells.iter().copied().collect();
        let shown = if names.len() == distinct.len() {
            few
        } else {
            values.iter().map(varying).collect()
        };
        Self { metric, key, shown }
    }

    /// The place of a cell.
    pub(super) fn place(&self, cell: &[AxisValue]) -> Place {
        let pairs = self.key.iter().zip(cell);
        // What a kind of result does not have tells nothing.
        let present = pairs.filter(|(_, value)| !axes::is_absent(value));
        let shown = self.key.iter().zip(cell).zip(&self.shown);
        let mut phrases: Vec<String> = Vec::new();
        for ((axis, value), _) in shown.filter(|(_, shown)| **shown) {
            let phrase = axes::phrase(axis, value);
            // A head and its features may have one name.
            if !axes::is_absent(value) && !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        let label = if phrases.is_empty() {
            ALL.to_owned()
        } else {
            phrases.join(", ")
        };
        Place {
            metric: self.metric.to_owned(),
            axes: present
                .map(|(axis, value)| (axis.clone(), value.clone()))
                .collect(),
            label,
        }
    }
}

/// The values of a cell on the axes that are shown.
fn picked<'c>(shown: &[bool], cell: &'c [AxisValue]) -> Vec<&'c AxisValue> {
    let values = cell.iter().zip(shown);
    values
        .filter_map(|(value, shown)| shown.then_some(value))
        .collect()
}
