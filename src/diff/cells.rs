//! From rows to cells, and from the cells of two sets to what changed.

use std::collections::{BTreeMap, BTreeSet};

use super::configuration::{self, ConfigurationChange, UNIT};
use super::label::Labels;
use super::renamed::{self, Alone};
use super::{ChangedCell, Difference, Direction, Lone, Mean, Refitted};
use crate::report::axes;
use crate::report::number::mean;
use crate::report::selection::value_of;
use crate::store::{AxisValue, Better, Counted, ResultRow};

/// The values of a run on the axes that are averaged over.
type Run = Vec<AxisValue>;

/// The rows of one cell, sorted by their runs.
type Rows<'a> = Vec<(Run, &'a ResultRow)>;

/// Compares two sets of results. `name` is what messages call them, and `over` has the axes whose values are averaged within a cell; without
/// any, each row is a cell.
pub fn compare<'a>(
    name: &str,
    base: &'a [ResultRow],
    head: &'a [ResultRow],
    over: &[String],
) -> Difference<'a> {
    let mut difference = Difference {
        name: name.to_owned(),
        metrics: BTreeSet::new(),
        configuration: Vec::new(),
        changed: Vec::new(),
        recounted: Vec::new(),
        refitted: Vec::new(),
        renamed: Vec::new(),
        new: Vec::new(),
        lost: Vec::new(),
        equal: 0,
        reasons: Vec::new(),
        over: over.to_owned(),
    };
    let metrics: BTreeSet<&str> = base
        .iter()
        .chain(head)
        .map(|row| row.metric.as_str())
        .collect();
    let mut changes: Vec<ConfigurationChange> = Vec::new();
    for &metric in &metrics {
        let of_metric = |rows: &'a [ResultRow]| -> Vec<&'a ResultRow> {
            rows.iter().filter(|row| row.metric == metric).collect()
        };
        let (base, head) = (of_metric(base), of_metric(head));
        let mut all: Vec<String> = axes::of(base.iter().chain(&head).copied())
            .into_iter()
            .filter(|axis| !over.iter().any(|averaged| averaged == axis))
            .map(str::to_owned)
            .collect();
        all.push(UNIT.to_owned());
        let (key, changed) = configuration::split(metric, &all, &base, &head);
        changes.extend(changed);
        of_one_metric(&mut difference, metric, &key, (&base, &head));
    }
    difference.metrics = metrics.into_iter().map(str::to_owned).collect();
    difference.configuration = configuration::joined(changes);
    difference.changed.sort_by(|left, right| {
        let size = |cell: &ChangedCell<'_>| cell.difference().abs();
        let by_size = size(right).total_cmp(&size(left));
        left.place.metric.cmp(&right.place.metric).then(by_size)
    });
    difference
}

/// Compares the cells of one metric.
fn of_one_metric<'a>(
    difference: &mut Difference<'a>,
    metric: &str,
    key: &[String],
    (base, head): (&[&'a ResultRow], &[&'a ResultRow]),
) {
    let over = difference.over.clone();
    let (base, mut head) = (gathered(base, key, &over), gathered(head, key, &over));
    let cells: Vec<&Vec<AxisValue>> = base.keys().chain(head.keys()).collect();
    let labels = Labels::of(metric, key, &cells);
    drop(cells);
    let parts =
        |rows: &Rows<'a>| -> Vec<&'a ResultRow> { rows.iter().map(|(_, row)| *row).collect() };
    let mut gone = Vec::new();
    for (cell, before) in base {
        let place = labels.place(&cell);
        let Some(after) = head.remove(&cell) else {
            let rows = parts(&before);
            gone.push(Alone { place, rows });
            continue;
        };
        if !same(&before, &after, |row| row.value.to_bits()) {
            let chosen = chosen(&before, &after);
            let (before, after) = (averaged(&before), averaged(&after));
            let better = after.rows.first().map_or(Better::Neither, |row| row.better);
            difference.changed.push(ChangedCell {
                place,
                direction: direction(before.value, after.value, better),
                before,
                after,
                chosen,
                test: None,
            });
        } else if !same(&before, &after, around) {
            difference.recounted.push(place);
        } else if !same(&before, &after, |row| row.sources.clone()) {
            difference.refitted.push(Refitted {
                place,
                before: parts(&before),
                after: parts(&after),
            });
        } else {
            difference.equal += 1;
        }
    }
    let arrived = head.iter().map(|(cell, after)| Alone {
        place: labels.place(cell),
        rows: parts(after),
    });
    let (renamed, lost, new) = renamed::pair(gone, arrived.collect());
    difference.renamed.extend(renamed);
    difference.lost.extend(lost.into_iter().map(lone));
    difference.new.extend(new.into_iter().map(lone));
}

/// The rows in cells, each sorted by its runs; a row that is listed twice counts once.
fn gathered<'a>(
    rows: &[&'a ResultRow],
    key: &[String],
    over: &[String],
) -> BTreeMap<Vec<AxisValue>, Rows<'a>> {
    let mut cells: BTreeMap<Vec<AxisValue>, Rows<'a>> = BTreeMap::new();
    for row in rows {
        let at = |axes: &[String]| axes.iter().map(|axis| value_of(row, axis)).collect();
        cells.entry(at(key)).or_default().push((at(over), row));
    }
    for rows in cells.values_mut() {
        rows.sort_by(|(left, left_row), (right, right_row)| {
            let by_value = || left_row.value.total_cmp(&right_row.value);
            let by_sources = || left_row.sources.cmp(&right_row.sources);
            left.cmp(right).then_with(by_value).then_with(by_sources)
        });
        rows.dedup_by(|(left, left_row), (right, right_row)| {
            left == right
                && left_row.value.to_bits() == right_row.value.to_bits()
                && left_row.sources == right_row.sources
        });
    }
    cells
}

/// Whether two cells have the same runs, and all of them the same of something.
fn same<T: PartialEq>(before: &Rows<'_>, after: &Rows<'_>, of: impl Fn(&ResultRow) -> T) -> bool {
    before.len() == after.len()
        && before
            .iter()
            .zip(after)
            .all(|((left, before), (right, after))| left == right && of(before) == of(after))
}

/// What stands around a value: the bits of its interval, its counts, and which values are better.
fn around(row: &ResultRow) -> (Option<[u64; 2]>, Option<Counted>, Better) {
    let interval = row.interval.map(|bounds| bounds.map(f64::to_bits));
    (interval, row.counted, row.better)
}

fn averaged<'a>(rows: &Rows<'a>) -> Mean<'a> {
    mean_of(rows.iter().map(|(_, row)| *row).collect())
}

fn mean_of(rows: Vec<&ResultRow>) -> Mean<'_> {
    let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
    Mean {
        // A cell is made by its first row, so that the mean exists.
        value: mean(&values).unwrap_or(f64::NAN),
        rows,
    }
}

fn lone(cell: Alone<'_>) -> Lone {
    let unit = cell.rows.first().map(|row| row.unit.clone());
    Lone {
        place: cell.place,
        value: mean_of(cell.rows).value,
        unit: unit.unwrap_or_default(),
    }
}

fn direction(before: f64, after: f64, better: Better) -> Direction {
    let is_higher = match better {
        Better::Neither => return Direction::Neither,
        _ if before.total_cmp(&after).is_eq() => return Direction::Neither,
        // A value that is not a number is worse than any other.
        _ if after.is_nan() => return Direction::Worse,
        _ if before.is_nan() => return Direction::Better,
        _ => after > before,
    };
    if is_higher == (better == Better::Higher) {
        Direction::Better
    } else {
        Direction::Worse
    }
}

/// The axes that were chosen on the validation split, where the choice of a cell is another one: the values over all runs.
fn chosen(before: &Rows<'_>, after: &Rows<'_>) -> Vec<(String, String, String)> {
    let rows = || before.iter().chain(after).map(|(_, row)| *row);
    let outcome = |axis: &&str| {
        rows().any(|row| axes::is_outcome(row, axis)) && !crate::axes::OF_CHOICES.contains(axis)
    };
    let values = |rows: &Rows<'_>, axis: &str| {
        let values: BTreeSet<String> = rows
            .iter()
            .map(|(_, row)| {
                row.axis(axis)
                    .map_or_else(|| axes::ABSENT.to_owned(), |value| value.to_string())
            })
            .collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    axes::of(rows())
        .into_iter()
        .filter(outcome)
        .map(|axis| (axis.to_owned(), values(before, axis), values(after, axis)))
        .filter(|(_, before, after)| before != after)
        .collect()
}
