//! A comparison in words and numbers for people: what the terminal and Markdown have in common. Nothing is escaped here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{ChangedCell, ConfigurationChange, Difference, Direction, Lone, Renamed, Untested};
use crate::report::axes::label;
use crate::report::comparison::p_value;
use crate::report::number::{Unit, confidence, listed, significant};
use crate::store::AxisValue;
use crate::text::plural;

/// Decimals of a value in percent, and of one in another unit.
const DECIMALS: [usize; 2] = [2, 4];

/// Digits of a digest that are shown.
const DIGITS: usize = 12;

/// The changed cells of one metric as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedTable {
    /// The metric and its unit, such as "top1, in percent".
    pub title: String,
    /// One for each column.
    pub heads: Vec<String>,
    /// Which columns hold numbers.
    pub numeric: Vec<bool>,
    /// One for each changed cell, the largest difference first.
    pub rows: Vec<Vec<String>>,
}

/// The tables of all changed cells, one for each metric and unit.
pub fn changed(compared: &Difference<'_>) -> Vec<ChangedTable> {
    let mut by_metric: BTreeMap<(&str, &str), Vec<&ChangedCell<'_>>> = BTreeMap::new();
    for cell in &compared.changed {
        let key = (cell.place.metric.as_str(), unit_name(cell));
        by_metric.entry(key).or_default().push(cell);
    }
    let tables = by_metric.into_iter();
    tables
        .map(|((metric, unit), cells)| table(metric, &Unit::of(unit), &cells))
        .collect()
}

fn unit_name<'a>(cell: &ChangedCell<'a>) -> &'a str {
    cell.after.rows.first().map_or("", |row| row.unit.as_str())
}

fn table(metric: &str, unit: &Unit, cells: &[&ChangedCell<'_>]) -> ChangedTable {
    let is_tested = cells.iter().any(|cell| matches!(cell.test, Some(Ok(_))));
    let has_direction = cells
        .iter()
        .any(|cell| cell.direction != Direction::Neither);
    let difference = match unit {
        Unit::Percent => "points",
        Unit::Plain(_) => "difference",
    };
    let mut columns = vec![
        ("cell", false),
        ("before", true),
        ("after", true),
        (difference, true),
    ];
    if has_direction {
        columns.push(("change", false));
    }
    let mut heads: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let mut numeric: Vec<bool> = columns.iter().map(|(_, numeric)| *numeric).collect();
    if is_tested {
        heads.extend([confidence(), "p (Holm)".to_owned()]);
        numeric.extend([true, true]);
    }
    let rows = cells.iter().map(|cell| {
        let mut row = vec![
            described(cell),
            value(unit, cell.before.value),
            value(unit, cell.after.value),
            signed(unit, cell.difference()),
        ];
        if has_direction {
            row.push(match cell.direction {
                Direction::Neither => String::new(),
                other => other.word().to_owned(),
            });
        }
        if is_tested {
            row.extend(match &cell.test {
                Some(Ok(test)) => {
                    let [low, high] = test.interval.map(|bound| signed(unit, bound));
                    [format!("{low} to {high}"), p_value(test.adjusted)]
                }
                _ => [String::new(), "not tested".to_owned()],
            });
        }
        row
    });
    ChangedTable {
        title: format!("{metric}, {}", unit.phrase()),
        rows: rows.collect(),
        heads,
        numeric,
    }
}

/// A cell with what else changed about it: how many runs it is the mean of, what was chosen.
fn described(cell: &ChangedCell<'_>) -> String {
    let mut text = cell.place.label.clone();
    let (before, after) = (cell.before.rows.len(), cell.after.rows.len());
    if before != after {
        // Writing into a string cannot fail.
        let _ = write!(text, "; {before} → {} averaged", plural(after, "run"));
    }
    for (axis, before, after) in &cell.chosen {
        let _ = write!(text, "; chosen {} {before} → {after}", label(axis));
    }
    text
}

/// A value on the scale that reports show it on, without its unit.
pub fn value(unit: &Unit, value: f64) -> String {
    unit.show(value, decimals(unit))
}

/// A difference with its sign; one that all decimals hide has three significant digits.
pub fn signed(unit: &Unit, difference: f64) -> String {
    let text = unit.show(difference, decimals(unit));
    let is_hidden = text.chars().all(|digit| digit == '0' || digit == '.');
    let text = if is_hidden && difference.abs() > 0.0 {
        significant(unit.scaled(difference))
    } else {
        text
    };
    let has_sign = text.starts_with('-') || difference.is_nan();
    if has_sign || difference.abs() <= 0.0 {
        text
    } else {
        format!("+{text}")
    }
}

fn decimals(unit: &Unit) -> usize {
    match unit {
        Unit::Percent => DECIMALS[0],
        Unit::Plain(_) => DECIMALS[1],
    }
}

/// A cell of one set alone, with its value: "top1: linear, timestep 90 (81.23 %)".
pub fn lone(cell: &Lone) -> String {
    let unit = Unit::of(&cell.unit);
    let name = match &unit {
        Unit::Percent => " %".to_owned(),
        Unit::Plain(name) if name.is_empty() => String::new(),
        Unit::Plain(name) => format!(" {name}"),
    };
    format!(
        "{} ({}{name})",
        cell.place.phrase(),
        value(&unit, cell.value)
    )
}

/// A cell that has another name: "top1: linear → probe".
pub fn renamed(cell: &Renamed) -> String {
    let Renamed { before, after } = cell;
    format!("{} → {}", before.phrase(), after.label)
}

/// A change of the configuration: "epochs 28 → 5", "weights of model unet blake3:da82ab7d73ae… → synthetic".
pub fn configuration(change: &ConfigurationChange, compared: &Difference<'_>) -> String {
    let of = match &change.of {
        Some((axis, value)) => format!(" of {} {value}", label(axis)),
        None => String::new(),
    };
    // Where all are meant, it goes without saying.
    let metrics = if change.metrics == compared.metrics {
        String::new()
    } else {
        let metrics: Vec<String> = change.metrics.iter().cloned().collect();
        format!(" ({})", listed(&metrics))
    };
    format!(
        "{}{of} {} → {}{metrics}",
        label(&change.axis),
        short(&change.before),
        short(&change.after)
    )
}

/// A value of an axis; a digest by its first digits.
fn short(value: &AxisValue) -> String {
    let text = value.to_string();
    let digest = text.rsplit(':').next().unwrap_or_default();
    let is_digest = digest.len() == 64 && digest.chars().all(|digit| digit.is_ascii_hexdigit());
    match text.strip_suffix(digest) {
        Some(word) if is_digest => format!("{word}{}…", digest.get(..DIGITS).unwrap_or_default()),
        _ => text,
    }
}

/// Which changed cells were not tested, and why: "3 cells: the metric has no score for each sample".
pub fn untested(compared: &Difference<'_>) -> Vec<String> {
    let mut counts: BTreeMap<Untested, usize> = BTreeMap::new();
    for cell in &compared.changed {
        if let Some(Err(why)) = cell.test {
            *counts.entry(why).or_default() += 1;
        }
    }
    let counts = counts.into_iter();
    counts
        .map(|(why, cells)| format!("{}: {}", plural(cells, "cell"), why.why()))
        .collect()
}

/// Why cells changed or rest on other artifacts: "epochs 28 → 5 (34 cells)".
pub fn reasons(compared: &Difference<'_>) -> Vec<String> {
    let reasons = compared.reasons.iter();
    reasons
        .map(|reason| format!("{} ({})", reason.text, plural(reason.cells, "cell")))
        .collect()
}
