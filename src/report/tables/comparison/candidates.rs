//! The candidates of a comparison, the best of each contender, and what each reaches at the choice that was made beforehand.

use std::collections::{BTreeMap, BTreeSet};

use super::BestOf;
use crate::report::axes;
use crate::report::error::ReportError;
use crate::report::number::{listed, standard_error};
use crate::report::selection::{Cell, Cells, Selection};
use crate::store::{AxisValue, Better, ResultRow};

/// Axes on which results have to agree before they can compete at all.
const COMPARABLE: [&str; 2] = ["dataset", "split"];

/// The axes that are named first of a place; all others follow in their own order.
const FIRST: [&str; 3] = ["block", "timestep", "pool"];

/// Axes that mostly repeat what another one has; they are named only where they do not.
const DERIVED: [&str; 3] = ["head_kind", "extraction", "weights"];

/// A candidate: its values on all axes, and its results.
pub(super) type Candidate<'a> = (&'a [AxisValue], &'a Cell<'a>);

/// One row of the table.
#[derive(Debug)]
pub(super) struct Contender<'a> {
    /// Its value on the axis that is compared.
    pub(super) value: AxisValue,
    /// Whether it is at the choice that was made beforehand.
    pub(super) is_fixed: bool,
    /// The best candidate; `None` where nothing was measured.
    pub(super) best: Option<Candidate<'a>>,
    /// How many candidates were searched.
    pub(super) searched: usize,
    /// Why there is no candidate, where something is known about it.
    pub(super) absent: Option<&'a str>,
}

impl<'a> Contender<'a> {
    /// The results of its best candidate.
    pub(super) fn rows(&self) -> &[&'a ResultRow] {
        self.best.map_or(&[], |(_, cell)| &cell.rows)
    }
}

/// Every combination of axes that has results.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    /// By their values on `spread`.
    pub(super) cells: Cells<'a>,
    /// Every axis but those that are averaged over.
    spread: Vec<String>,
    /// The position in `spread` of the axis that competes.
    by: usize,
    /// The positions in `spread` of the axes that name a candidate's place.
    told: Vec<usize>,
}

/// The standard error of a cell's mean.
pub(super) fn error(cell: &Cell<'_>) -> Option<f64> {
    let values: Vec<f64> = cell.rows.iter().map(|row| row.value).collect();
    standard_error(&values)
}

impl<'a> Candidates<'a> {
    /// Gathers the candidates.
    pub(super) fn of(comparison: &BestOf, selection: &Selection<'a>) -> Result<Self, ReportError> {
        for axis in COMPARABLE {
            let values = selection.values(axis);
            let spread_out =
                comparison.by == axis || comparison.question.over.iter().any(|o| o == axis);
            if values.len() > 1 && !spread_out {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                return Err(ReportError::Unfit {
                    place: selection.place.clone(),
                    problem: format!(
                        "results on several values of `{axis}` do not compete with each other: {}",
                        listed(&values)
                    ),
                    hint: format!("choose one by `where = {{ {axis} = … }}`"),
                });
            }
        }
        let mut spread: Vec<String> = axes::of(selection.rows.iter().copied())
            .into_iter()
            .filter(|axis| !comparison.question.over.iter().any(|over| over == axis))
            .map(str::to_owned)
            .collect();
        // What no row has is one value for all, and may still be asked for.
        if !spread.contains(&comparison.by) {
            spread.push(comparison.by.clone());
        }
        let cells = selection.cells(&spread)?;
        let by = spread.iter().position(|axis| *axis == comparison.by);
        let mut candidates = Self {
            cells,
            spread,
            by: by.unwrap_or_default(),
            told: Vec::new(),
        };
        candidates.told = candidates.telling();
        Ok(candidates)
    }

    /// The axes that tell two candidates of one contender apart.
    fn telling(&self) -> Vec<usize> {
        let mut groups: BTreeMap<&AxisValue, Vec<&[AxisValue]>> = BTreeMap::new();
        for key in self.cells.keys() {
            groups.entry(&key[self.by]).or_default().push(key);
        }
        let varies = |position: usize| {
            groups
                .values()
                .any(|keys| keys.iter().any(|key| key[position] != keys[0][position]))
        };
        let of = |name: &&str| self.spread.iter().position(|axis| axis == name);
        let first = FIRST.iter().filter_map(of);
        let rest = (0..self.spread.len()).filter(|&position| {
            let name = self.spread[position].as_str();
            !FIRST.contains(&name) && !DERIVED.contains(&name)
        });
        let mut told: Vec<usize> = first
            .chain(rest)
            .filter(|&position| position != self.by && varies(position))
            .collect();
        for position in DERIVED.iter().filter_map(of) {
            let mut known = told.iter().chain(std::iter::once(&self.by));
            let is_new = position != self.by
                && varies(position)
                && !known.any(|&known| self.decides(known, position));
            if is_new {
                told.push(position);
            }
        }
        told
    }

    /// Whether, for each contender, one axis has one value only for each value of another.
    fn decides(&self, known: usize, derived: usize) -> bool {
        let known = |key: &'_ Vec<AxisValue>| [key[self.by].clone(), key[known].clone()];
        let pairs: BTreeSet<_> = self
            .cells
            .keys()
            .map(|key| (known(key), &key[derived]))
            .collect();
        let values: BTreeSet<_> = self.cells.keys().map(known).collect();
        values.len() == pairs.len()
    }

    /// Where a candidate stands, in words, without the axes that it lacks, such as a timestep.
    pub(super) fn place(&self, key: &[AxisValue]) -> String {
        let parts: Vec<String> = self
            .told
            .iter()
            .filter(|&&position| !axes::is_absent(&key[position]))
            .map(|&position| axes::phrase(&self.spread[position], &key[position]))
            .collect();
        parts.join(", ")
    }

    /// The rows of the table: the best first, what was not measured last, and behind each what it has at the fixed choice.
    pub(super) fn ranked<'s>(
        &'s self,
        comparison: &BestOf,
        selection: &'s Selection<'a>,
    ) -> Result<Vec<Contender<'s>>, ReportError> {
        // Negated where less is better, so that more is better from here on.
        let sign = match selection.better {
            Some(Better::Lower) => -1.0,
            Some(Better::Higher) | None => 1.0,
            Some(Better::Neither) => {
                return Err(ReportError::Unfit {
                    place: selection.place.clone(),
                    problem: format!(
                        "neither higher nor lower values of `{}` are better, so nothing can be the best",
                        comparison.question.metric.value
                    ),
                    hint: "name a metric such as `top1`, or show it by a table of kind `grid`"
                        .to_owned(),
                });
            }
        };
        let values = selection.values(&comparison.by);
        let is_reference = |value: &AxisValue| axes::same(value, &comparison.reference);
        if !values.iter().any(is_reference) {
            let known: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            return Err(ReportError::Unfit {
                place: selection.place.clone(),
                problem: format!(
                    "the reference `{}` has no result: no `{}` is called so",
                    comparison.reference, comparison.by
                ),
                hint: format!("`reference` is one of {}", listed(&known)),
            });
        }
        let mut rows: Vec<Contender<'s>> = values
            .into_iter()
            .map(|value| {
                let own = self.of_contender(&value);
                let better = |best: Candidate<'s>, next: Candidate<'s>| {
                    // Of two equal ones the first is kept, whose axes have the smaller values.
                    if sign * next.1.mean > sign * best.1.mean {
                        next
                    } else {
                        best
                    }
                };
                let names = std::slice::from_ref(&comparison.by);
                Contender {
                    is_fixed: false,
                    searched: own.len(),
                    best: own.into_iter().reduce(better),
                    absent: selection.reason(names, std::slice::from_ref(&value)),
                    value,
                }
            })
            .collect();
        let height = |row: &Contender<'_>| {
            row.best
                .map_or(f64::NEG_INFINITY, |(_, cell)| sign * cell.mean)
        };
        rows.sort_by(|left, right| height(right).total_cmp(&height(left)));
        if comparison.fixed.is_empty() {
            return Ok(rows);
        }
        let mut with_fixed = Vec::with_capacity(2 * rows.len());
        for row in rows {
            let is_reference = is_reference(&row.value);
            let fixed = if is_reference {
                Some(self.fixed(comparison, selection, &row.value)?)
            } else {
                self.fixed_of_other(comparison, &row)
            };
            with_fixed.push(row);
            with_fixed.extend(fixed);
        }
        Ok(with_fixed)
    }

    fn of_contender(&self, value: &AxisValue) -> Vec<Candidate<'_>> {
        let own = |key: &&Vec<AxisValue>| key[self.by] == *value;
        self.cells
            .iter()
            .filter(|(key, _)| own(key))
            .map(|(key, cell)| (key.as_slice(), cell))
            .collect()
    }

    /// Another contender at the fixed choice; `None` where it has no such candidate, or no single one, and where nothing was picked of it. On
    /// an axis on which it has one value only, such as the pool of an image itself, there is no choice to be made.
    fn fixed_of_other<'s>(
        &'s self,
        comparison: &BestOf,
        contender: &Contender<'s>,
    ) -> Option<Contender<'s>> {
        let all = self.of_contender(&contender.value);
        if all.len() < 2 {
            return None;
        }
        let is_open = |position: usize| {
            all.iter()
                .any(|(key, _)| key[position] != all[0].0[position])
        };
        let chosen = |key: &[AxisValue]| {
            comparison.fixed.iter().all(|choice| {
                let position = self.spread.iter().position(|axis| *axis == choice.axis);
                position.is_some_and(|position| !is_open(position) || choice.admits(&key[position]))
            })
        };
        let mut own = all.iter().filter(|(key, _)| chosen(key));
        let (Some(only), None) = (own.next(), own.next()) else {
            return None;
        };
        Some(Contender {
            value: contender.value.clone(),
            is_fixed: true,
            searched: 1,
            best: Some(*only),
            absent: None,
        })
    }

    /// All candidates of a contender.
    pub(super) fn all(&self, value: &AxisValue) -> Vec<Candidate<'_>> {
        self.of_contender(value)
    }

    /// The reference at the fixed choice.
    fn fixed<'s>(
        &'s self,
        comparison: &BestOf,
        selection: &'s Selection<'a>,
        reference: &AxisValue,
    ) -> Result<Contender<'s>, ReportError> {
        let chosen = |key: &[AxisValue]| {
            comparison.fixed.iter().all(|choice| {
                let mut axes = self.spread.iter().zip(key);
                axes.any(|(axis, value)| *axis == choice.axis && choice.admits(value))
            })
        };
        let mut own = self.of_contender(reference);
        own.retain(|(key, _)| chosen(key));
        if let [(first, _), _, ..] = own.as_slice() {
            let differing: Vec<String> = (0..self.spread.len())
                .filter(|&position| own.iter().any(|(key, _)| key[position] != first[position]))
                .map(|position| format!("`{}`", self.spread[position]))
                .collect();
            return Err(ReportError::Unfit {
                place: selection.place.clone(),
                problem: format!(
                    "`fixed` leaves {} candidates of `{reference}`, which differ in {}",
                    own.len(),
                    listed(&differing)
                ),
                hint: format!("name a value of {} in `fixed` too", listed(&differing)),
            });
        }
        let (mut names, mut values) = (vec![comparison.by.clone()], vec![reference.clone()]);
        for choice in &comparison.fixed {
            names.push(choice.axis.clone());
            values.extend(choice.values.first().cloned());
        }
        Ok(Contender {
            value: reference.clone(),
            is_fixed: true,
            searched: own.len(),
            best: own.first().copied(),
            absent: selection.reason(&names, &values),
        })
    }
}
