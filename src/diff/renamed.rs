//! Cells that only one of two sets has, and that are the same under another name.
//!
//! No fingerprint holds the names that an experiment gives to things. So a cell that is gone and a new one are the same where all their
//! runs have the same sources and values, and they differ in nothing but names. Where two cells could be meant, neither is.

use std::collections::BTreeMap;

use super::Place;
use crate::axes::without_prefix;
use crate::store::{AxisValue, ResultRow};

/// The axes that hold names.
const NAMES: [&str; 4] = ["head", "extraction", "model", "dataset"];

/// A cell under two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// In the first set.
    pub before: Place,
    /// In the second set.
    pub after: Place,
}

/// A cell of one set alone, with its rows in the order of its runs.
pub(super) struct Alone<'a> {
    pub(super) place: Place,
    pub(super) rows: Vec<&'a ResultRow>,
}

/// What two cells have in common that differ in names: the axes that hold none, and sources and value of every run.
type Same<'a> = (
    Vec<(&'a str, &'a AxisValue)>,
    Vec<(&'a BTreeMap<String, String>, u64)>,
);

/// Pairs the cells of the first set alone with those of the second; those without another name are given back.
pub(super) fn pair<'a>(
    lost: Vec<Alone<'a>>,
    new: Vec<Alone<'a>>,
) -> (Vec<Renamed>, Vec<Alone<'a>>, Vec<Alone<'a>>) {
    let mut known: BTreeMap<Same<'_>, [Vec<usize>; 2]> = BTreeMap::new();
    for (side, cells) in [&lost, &new].into_iter().enumerate() {
        for (index, cell) in cells.iter().enumerate() {
            if let Some(same) = same(cell) {
                known.entry(same).or_default()[side].push(index);
            }
        }
    }
    let pairs: BTreeMap<usize, usize> = known
        .values()
        .filter_map(
            |[before, after]| match (before.as_slice(), after.as_slice()) {
                (&[before], &[after]) => Some((before, after)),
                _ => None,
            },
        )
        .collect();
    let mut new: Vec<Option<Alone<'a>>> = new.into_iter().map(Some).collect();
    let (mut renamed, mut gone) = (Vec::new(), Vec::new());
    for (index, before) in lost.into_iter().enumerate() {
        let after = pairs
            .get(&index)
            .and_then(|&place| new.get_mut(place)?.take());
        match after {
            Some(after) => renamed.push(Renamed {
                before: before.place,
                after: after.place,
            }),
            None => gone.push(before),
        }
    }
    (renamed, gone, new.into_iter().flatten().collect())
}

/// What a cell shares with itself under another name; `None` where some run has no sources, so that nothing says what it is of.
fn same<'c>(cell: &'c Alone<'_>) -> Option<Same<'c>> {
    let axes = cell.place.axes.iter();
    let others = axes.filter(|(axis, _)| !NAMES.contains(&without_prefix(axis)));
    let runs = cell.rows.iter().map(|row| {
        let run = (&row.sources, row.value.to_bits());
        (!row.sources.is_empty()).then_some(run)
    });
    let runs = runs.collect::<Option<_>>()?;
    Some((others.map(|(axis, at)| (axis.as_str(), at)).collect(), runs))
}
