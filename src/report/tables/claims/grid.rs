//! A whole grid of results, over blocks, timesteps and pools, and the contrasts that claims about it are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::AXES;
use super::bank::{Half, Weights};
use crate::report::axes;
use crate::report::number::listed;
use crate::report::selection::{Cell, Cells};
use crate::store::AxisValue;

/// Positions on the three axes.
pub(super) type Position = [usize; 3];

/// Results of which none is missing: every block at every timestep with every pool.
#[derive(Debug, Default)]
pub(super) struct Grid {
    /// The values of each axis, in order.
    values: [Vec<AxisValue>; 3],
    /// The positions of the cells, in the order of their bank.
    positions: Vec<Position>,
    /// What was left out so that nothing is missing, in words.
    left_out: Vec<String>,
}

impl Grid {
    /// The largest grid that is found by leaving out, again and again, the value with the largest share of missing cells; and its cells.
    pub(super) fn of<'c, 'a>(cells: &'c Cells<'a>) -> (Self, Vec<&'c Cell<'a>>) {
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
        let chosen = positions(&values).filter_map(|position| {
            let key: Vec<AxisValue> = (0..3)
                .map(|axis| values[axis][position[axis]].clone())
                .collect();
            Some((position, cells.get(&key)?))
        });
        let (positions, cells) = chosen.unzip();
        let grid = Self {
            values,
            positions,
            left_out,
        };
        (grid, cells)
    }

    /// A whole grid of so many values, for tests of the rules.
    #[cfg(test)]
    pub(super) fn whole(values: [Vec<AxisValue>; 3]) -> Self {
        Self {
            positions: positions(&values).collect(),
            values,
            left_out: Vec::new(),
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
    pub(super) fn marginal(&self, axis: usize, index: usize) -> Weights {
        self.mean_where(|position| position[axis] == index)
    }

    /// The mean over the cells at some positions.
    pub(super) fn mean_where(&self, is_in: impl Fn(&Position) -> bool) -> Weights {
        let count = self.positions.iter().filter(|&position| is_in(position));
        let share = 1.0 / count.count() as f64;
        let weight = |position| if is_in(position) { share } else { 0.0 };
        self.positions.iter().map(weight).collect()
    }

    /// The mean absolute difference of two values of an axis, all else equal, among the blocks that count. The signs are those that the means have
    /// on the samples that name. Unlike the range it does not grow with the number of values.
    pub(super) fn sensitivity(
        &self,
        axis: usize,
        counts: &dyn Fn(usize) -> bool,
        named_on: &Half,
    ) -> Weights {
        let mut lines: BTreeMap<Position, Vec<usize>> = BTreeMap::new();
        for (cell, position) in self.positions.iter().enumerate() {
            if counts(position[0]) {
                let mut line = *position;
                line[axis] = 0;
                lines.entry(line).or_default().push(cell);
            }
        }
        let mut weights = vec![0.0; self.positions.len()];
        let count = lines.len() as f64;
        for mut cells in lines.into_values() {
            cells.sort_by(|&left, &right| named_on.means[left].total_cmp(&named_on.means[right]));
            let length = cells.len() as f64;
            let pairs = length * (length - 1.0) / 2.0;
            for (rank, cell) in cells.into_iter().enumerate() {
                // Added once for each smaller value, subtracted once for each larger one.
                weights[cell] = (2.0 * rank as f64 - (length - 1.0)) / pairs / count;
            }
        }
        weights
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
