//! What a verdict rests on: the interval of a row's results, and whether they are of anything that the paper could be held against.

use super::Row;
use crate::models::{INITIALIZATION, SYNTHETIC};
use crate::report::comparison::Compared;
use crate::report::selection::{Cell, INTERVAL, Shown, Uncertainty};

/// Whether some of the results are of random weights, which say nothing of the paper's. What was computed from no artifact, such as a count
/// of parameters, is of no weights.
pub(super) fn is_random(cell: &Cell<'_>) -> bool {
    let rules = [SYNTHETIC, INITIALIZATION];
    let mut computed = cell.rows.iter().filter(|row| !row.sources.is_empty());
    computed.any(|row| {
        let weights = row.axis("weights").map(|weights| weights.to_string());
        weights.is_some_and(|weights| rules.contains(&weights.as_str()))
    })
}

/// The interval over the scored images: what was compared, or else the mean of the runs' own bounds.
pub(super) fn interval(row: &Row, cell: &Cell<'_>, compared: Compared<'_>) -> Option<[f64; 2]> {
    let known = compared.find(INTERVAL, &row.name, "");
    if let Some(bounds) = known.and_then(|known| known.interval) {
        return Some(bounds);
    }
    match Uncertainty::Images.of(cell, (&[], &[]), Compared::at(None, "")) {
        Some(Shown::Interval(bounds)) => Some(bounds),
        _ => None,
    }
}
