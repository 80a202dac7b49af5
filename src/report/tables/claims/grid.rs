//! A whole grid of results, over blocks, timesteps and pools, and linear combinations of them.
//!
//! A difference that decides something is a linear combination of cells, computed for each run by itself, so that its standard
//! error over runs takes into account that cells of one seed may go up and down together. Which cells it combines, such as the
//! best and the second, is decided by the other runs: the largest of many noisy values is large by chance as well, and a
//! difference that was picked and measured on the same runs would be there without any effect.

use std::collections::{BTreeMap, BTreeSet};

use super::AXES;
use crate::report::axes;
use crate::report::number::{listed, mean, standard_error};
use crate::report::selection::{Cell, Cells, value_of};
use crate::store::AxisValue;
use crate::text::plural;

/// Positions on the three axes.
type Position = [usize; 3];

/// Results of which none is missing: every block at every timestep with every pool, in the same runs.
#[derive(Debug, Default)]
pub(super) struct Grid {
    /// The values of each axis, in order.
    values: [Vec<AxisValue>; 3],
    /// Each cell's value in every run.
    cells: BTreeMap<Position, Vec<f64>>,
    /// How many runs have every cell.
    pub(super) runs: usize,
    /// The most runs that any cell has.
    most: usize,
    /// What was left out so that nothing is missing, in words.
    left_out: Vec<String>,
}

/// A linear combination of cells: a weight for each.
#[derive(Debug, Clone)]
pub(super) struct Combination(BTreeMap<Position, f64>);

impl Combination {
    /// This one less another.
    pub(super) fn less(&self, other: &Self) -> Self {
        let mut weights = self.0.clone();
        for (position, weight) in &other.0 {
            *weights.entry(*position).or_default() -= weight;
        }
        Self(weights)
    }

    /// The weighted sum; NaN where a cell has no value.
    fn sum(&self, value: impl Fn(&Position) -> Option<f64>) -> f64 {
        let terms = self
            .0
            .iter()
            .map(|(position, weight)| weight * value(position).unwrap_or(f64::NAN));
        terms.sum()
    }
}

/// A difference that decides something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Its mean over the runs, in the metric's unit.
    pub(super) value: f64,
    /// Its standard error over the runs; `None` for fewer than two.
    pub(super) error: Option<f64>,
}

/// The means of the cells, over all runs or all but one.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'g> {
    grid: &'g Grid,
    without: Option<usize>,
}

impl View<'_> {
    fn of_cell(&self, position: &Position) -> Option<f64> {
        let runs = self.grid.cells.get(position)?;
        let kept = runs.iter().enumerate();
        let kept: Vec<f64> = kept
            .filter(|(run, _)| Some(*run) != self.without)
            .map(|(_, value)| *value)
            .collect();
        mean(&kept)
    }

    /// The value of a combination.
    pub(super) fn value(&self, combination: &Combination) -> f64 {
        combination.sum(|position| self.of_cell(position))
    }

    /// The largest less the smallest value along an axis, averaged over all settings of the other two.
    pub(super) fn sensitivity(&self, axis: usize) -> Combination {
        let mut lines: BTreeMap<Position, Vec<(Position, f64)>> = BTreeMap::new();
        for position in self.grid.cells.keys() {
            let mut line = *position;
            line[axis] = 0;
            let value = self.of_cell(position).unwrap_or(f64::NAN);
            lines.entry(line).or_default().push((*position, value));
        }
        let share = 1.0 / lines.len() as f64;
        let mut weights: BTreeMap<Position, f64> = BTreeMap::new();
        for mut cells in lines.into_values() {
            cells.sort_by(|left, right| left.1.total_cmp(&right.1));
            if let (Some((smallest, _)), Some((largest, _))) = (cells.first(), cells.last()) {
                *weights.entry(*largest).or_default() += share;
                *weights.entry(*smallest).or_default() -= share;
            }
        }
        Combination(weights)
    }

    /// The one with the largest value; of equal ones the first.
    pub(super) fn largest<T>(&self, mut all: Vec<(T, Combination)>) -> Option<(T, Combination)> {
        // Sorting is stable.
        all.sort_by(|(_, left), (_, right)| self.value(right).total_cmp(&self.value(left)));
        all.into_iter().next()
    }
}

impl Grid {
    /// The largest grid that is found by leaving out, again and again, the value with the largest share of missing cells.
    pub(super) fn of(cells: &Cells<'_>, over: &[String]) -> Self {
        let mut kept: [BTreeSet<&AxisValue>; 3] = Default::default();
        for key in cells.keys() {
            for (values, value) in kept.iter_mut().zip(key) {
                values.insert(value);
            }
        }
        let mut left_out = Vec::new();
        while let Some((axis, value)) = worst(cells, &kept) {
            left_out.push(axes::phrase(AXES[axis], value));
            kept[axis].remove(value);
        }
        let values = kept.map(|values| values.into_iter().cloned().collect::<Vec<_>>());
        let chosen: Vec<(Position, BTreeMap<Vec<AxisValue>, f64>)> = positions(&values)
            .filter_map(|position| {
                let key: Vec<AxisValue> = (0..3)
                    .map(|axis| values[axis][position[axis]].clone())
                    .collect();
                Some((position, runs(cells.get(&key)?, over)))
            })
            .collect();
        let every: BTreeSet<&Vec<AxisValue>> =
            chosen.iter().flat_map(|(_, runs)| runs.keys()).collect();
        let common: Vec<&Vec<AxisValue>> = every
            .into_iter()
            .filter(|run| chosen.iter().all(|(_, runs)| runs.contains_key(*run)))
            .collect();
        let most = chosen.iter().map(|(_, runs)| runs.len()).max().unwrap_or(0);
        let of_runs = |runs: &BTreeMap<Vec<AxisValue>, f64>| {
            common
                .iter()
                .filter_map(|run| runs.get(*run).copied())
                .collect()
        };
        Self {
            cells: chosen
                .iter()
                .map(|(position, runs)| (*position, of_runs(runs)))
                .collect(),
            runs: common.len(),
            most,
            values,
            left_out,
        }
    }

    /// How many values each of the three axes has.
    pub(super) fn sizes(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.values[axis].len())
    }

    /// The values of an axis, in order.
    pub(super) fn values(&self, axis: usize) -> &[AxisValue] {
        &self.values[axis]
    }

    /// The mean over all cells with one value of an axis.
    pub(super) fn marginal(&self, axis: usize, index: usize) -> Combination {
        let cells: Vec<Position> = self
            .cells
            .keys()
            .filter(|position| position[axis] == index)
            .copied()
            .collect();
        let share = 1.0 / cells.len() as f64;
        Combination(
            cells
                .into_iter()
                .map(|position| (position, share))
                .collect(),
        )
    }

    /// All runs together.
    pub(super) fn view(&self) -> View<'_> {
        View {
            grid: self,
            without: None,
        }
    }

    /// The difference that `pick` names, of which each run's own is named by the other runs.
    pub(super) fn decide(&self, pick: impl Fn(View<'_>) -> Combination) -> Estimate {
        let of_run = |run: usize| {
            let without = (self.runs > 1).then_some(run);
            let picked = pick(View {
                grid: self,
                without,
            });
            picked.sum(|position| self.cells.get(position)?.get(run).copied())
        };
        let values: Vec<f64> = (0..self.runs).map(of_run).collect();
        Estimate {
            value: mean(&values).unwrap_or(f64::NAN),
            error: standard_error(&values),
        }
    }

    /// What a reader must know of what is not used.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.left_out.is_empty() {
            remarks.push(format!(
                "Left out, so that the grid has no gaps: {}.",
                listed(&self.left_out)
            ));
        }
        if self.runs < self.most {
            remarks.push(format!(
                "Only what all cells have is used: {} of at most {}.",
                plural(self.runs, "run"),
                self.most
            ));
        }
        remarks
    }
}

/// Every position of a grid.
fn positions(values: &[Vec<AxisValue>; 3]) -> impl Iterator<Item = Position> {
    let [blocks, timesteps, pools] = [0, 1, 2].map(|axis| values[axis].len());
    (0..blocks).flat_map(move |block| {
        (0..timesteps).flat_map(move |timestep| (0..pools).map(move |pool| [block, timestep, pool]))
    })
}

/// The results of a cell by their values on the axes that are averaged over.
fn runs(cell: &Cell<'_>, over: &[String]) -> BTreeMap<Vec<AxisValue>, f64> {
    let run = |row| over.iter().map(|axis| value_of(row, axis)).collect();
    cell.rows.iter().map(|row| (run(row), row.value)).collect()
}

/// The value that lacks the largest share of its cells; `None` where nothing is missing. Of equal ones that of the pool goes
/// before that of the timestep and of the block, and a larger value before a smaller one.
fn worst<'a>(
    cells: &Cells<'_>,
    kept: &[BTreeSet<&'a AxisValue>; 3],
) -> Option<(usize, &'a AxisValue)> {
    let is_kept = |key: &&Vec<AxisValue>| {
        kept.iter()
            .zip(*key)
            .all(|(kept, value)| kept.contains(value))
    };
    let present: Vec<&Vec<AxisValue>> = cells.keys().filter(is_kept).collect();
    let sizes = [0, 1, 2].map(|axis| kept[axis].len());
    let all: usize = sizes.iter().product();
    if present.len() == all {
        return None;
    }
    let mut worst: Option<(f64, usize, &AxisValue)> = None;
    for axis in [2, 1, 0] {
        let wanted = all / sizes[axis];
        for value in kept[axis].iter().rev() {
            let there = present.iter().filter(|key| key[axis] == **value).count();
            let missing = (wanted - there) as f64 / wanted as f64;
            if worst.is_none_or(|(most, ..)| missing > most) {
                worst = Some((missing, axis, value));
            }
        }
    }
    worst.map(|(_, axis, value)| (axis, value))
}
