//! Configuration that changed: an axis that has one value in each of two sets of results, and not the same.
//!
//! Such an axis tells no cells of a set apart, so cells are matched without it: results of other weights are compared with those of the
//! weights before, and the change is said once. The same holds for an axis that only repeats another one in other words, as `weights`
//! does for `model`: its changes are said for each value of that one.

use std::collections::{BTreeMap, BTreeSet};

use crate::axes::{decided_by, without_prefix};
use crate::report::selection::value_of;
use crate::store::{AxisValue, ResultRow};

/// One axis, or the unit, that changed for all results of some metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationChange {
    /// The axis, such as `epochs`.
    pub axis: String,
    /// Of which value of another axis it is, such as `model` and `unet`; `None` where it is of all results.
    pub of: Option<(String, AxisValue)>,
    /// The one value in the first set; the text `none` where the axis is absent.
    pub before: AxisValue,
    /// The one value in the second set.
    pub after: AxisValue,
    /// The metrics whose results it concerns.
    pub metrics: BTreeSet<String>,
}

/// The axes of `all` that cells of one metric are matched by, and those that changed for all of its rows.
pub(super) fn split(
    metric: &str,
    all: &[String],
    base: &[&ResultRow],
    head: &[&ResultRow],
) -> (Vec<String>, Vec<ConfigurationChange>) {
    let mut key = Vec::new();
    let mut changes = Vec::new();
    let change = |axis: &str, of, before: &AxisValue, after: &AxisValue| ConfigurationChange {
        axis: axis.to_owned(),
        of,
        before: before.clone(),
        after: after.clone(),
        metrics: BTreeSet::from([metric.to_owned()]),
    };
    for axis in all {
        let values = |rows: &[&ResultRow]| -> BTreeSet<AxisValue> {
            rows.iter().map(|row| value_of(row, axis)).collect()
        };
        let (before, after) = (values(base), values(head));
        if let (1, Some(before), 1, Some(after)) =
            (before.len(), before.first(), after.len(), after.first())
        {
            if before != after {
                changes.push(change(axis, None, before, after));
            }
            // One value in both tells nothing apart.
            if before != after || axis == UNIT {
                continue;
            }
        } else if let Some(decider) = decider(axis, all)
            && let (Some(before), Some(after)) =
                (by(&decider, axis, base), by(&decider, axis, head))
        {
            for (value, before) in &before {
                if let Some(after) = after.get(value).filter(|after| *after != before) {
                    let of = Some((decider.clone(), value.clone()));
                    changes.push(change(axis, of, before, after));
                }
            }
            continue;
        }
        key.push(axis.clone());
    }
    (key, changes)
}

/// What the unit of a metric is called among the axes.
pub(super) const UNIT: &str = "unit";

/// The axis that decides another one, with the same prefix of one of two inputs; `None` where no result has it.
fn decider(axis: &str, all: &[String]) -> Option<String> {
    let base = without_prefix(axis);
    let prefix = axis.strip_suffix(base)?;
    let decider = format!("{prefix}{}", decided_by(base)?);
    all.contains(&decider).then_some(decider)
}

/// The value of an axis for each value of the one that decides it; `None` where that does not decide it in these rows.
fn by(decider: &str, axis: &str, rows: &[&ResultRow]) -> Option<BTreeMap<AxisValue, AxisValue>> {
    let mut values = BTreeMap::new();
    for row in rows {
        let value = value_of(row, axis);
        let known = values
            .entry(value_of(row, decider))
            .or_insert_with(|| value.clone());
        if *known != value {
            return None;
        }
    }
    Some(values)
}

/// The changes of all metrics, each once with the metrics that it concerns.
pub(super) fn joined(changes: Vec<ConfigurationChange>) -> Vec<ConfigurationChange> {
    let mut joined: Vec<ConfigurationChange> = Vec::new();
    for change in changes {
        let same = joined.iter_mut().find(|known| {
            known.axis == change.axis
                && known.of == change.of
                && known.before == change.before
                && known.after == change.after
        });
        match same {
            Some(known) => known.metrics.extend(change.metrics),
            None => joined.push(change),
        }
    }
    joined
}
