//! Which result of the metric that runs to the right belongs to a result.

use std::collections::BTreeMap;

use crate::store::{AxisValue, ResultRow};

/// The values of the metric that runs to the right, by the axes that each result has and where it stands on them.
pub(super) struct Along<'a>(BTreeMap<Vec<&'a str>, BTreeMap<Vec<&'a AxisValue>, Vec<f64>>>);

impl<'a> Along<'a> {
    pub(super) fn of(rows: &[&'a ResultRow]) -> Self {
        let mut known: BTreeMap<Vec<&str>, BTreeMap<Vec<&AxisValue>, Vec<f64>>> = BTreeMap::new();
        for row in rows {
            let names = row.axes.keys().map(String::as_str).collect();
            let values = row.axes.values().collect();
            let alike = known.entry(names).or_default();
            alike.entry(values).or_default().push(row.value);
        }
        Self(known)
    }

    /// The values that belong to a row of another metric.
    pub(super) fn find(&self, row: &ResultRow) -> Vec<f64> {
        let of_names = |(names, alike): (&Vec<&str>, &BTreeMap<Vec<&AxisValue>, Vec<f64>>)| {
            let key: Option<Vec<&AxisValue>> =
                names.iter().map(|name| row.axes.get(*name)).collect();
            alike.get(&key?).cloned()
        };
        self.0.iter().filter_map(of_names).flatten().collect()
    }
}
