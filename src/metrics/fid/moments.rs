//! Means and covariances of sets of features, in one pass over them.
//!
//! Sums are of values less a shift, the mean of the first rows, so that subtracting the square of the mean at the end loses no digits. Of
//! the symmetric matrix only tiles on and above its diagonal are kept: for 2,048 values 18 MB. Every tile adds up all rows in
//! their order, whatever the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::metrics::matrices::add_products;
use crate::metrics::{FeatureSource, MetricError};

/// Side of a tile of a covariance.
const TILE: usize = 256;

/// Values of features that are read at once.
const READ_AT_ONCE: usize = 1 << 20;

/// Mean and covariance of features; the divisor of the covariance is n − 1.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::metrics) struct Moments {
    /// `[D]`.
    pub(in crate::metrics) mean: Vec<f64>,
    /// `[D, D]`, symmetric.
    pub(in crate::metrics) covariance: Vec<f64>,
}

/// What is subtracted from features before they are summed; the same for all sums that are added or subtracted.
#[derive(Debug)]
pub(super) struct Shift(Vec<f64>);

impl Shift {
    /// The mean of the first rows.
    ///
    /// # Errors
    /// Features that cannot be read.
    pub(super) fn of(source: &dyn FeatureSource) -> Result<Self, MetricError> {
        let rows = source.rows().min(256);
        let mut sums = vec![0.0; source.width()];
        let mut values = vec![0.0; rows * source.width()];
        read(source, 0..rows, &mut values)?;
        for row in values.chunks_exact(source.width()) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value) / rows as f64;
            }
        }
        Ok(Self(sums))
    }
}

/// Sums of features, and of the products of each two of their values.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    rows: usize,
    /// Of each value.
    totals: Vec<f64>,
    tiles: Vec<Tile>,
}

/// A part of the matrix of products.
#[derive(Debug, Clone)]
struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
    values: Vec<f64>,
}

impl Sums {
    /// No rows yet.
    pub(super) fn new(width: usize) -> Self {
        let parts: Vec<Range<usize>> = (0..width)
            .step_by(TILE)
            .map(|start| start..(start + TILE).min(width))
            .collect();
        let above = |row: usize| parts.get(row..).unwrap_or_default();
        let tiles = parts.iter().enumerate().flat_map(|(place, rows)| {
            above(place).iter().map(|columns| Tile {
                rows: rows.clone(),
                columns: columns.clone(),
                values: vec![0.0; rows.len() * columns.len()],
            })
        });
        Self {
            rows: 0,
            totals: vec![0.0; width],
            tiles: tiles.collect(),
        }
    }

    /// Those of some rows.
    ///
    /// # Errors
    /// Features that cannot be read, or are not finite, and a user who wants to stop.
    pub(super) fn of(
        source: &dyn FeatureSource,
        ranges: impl IntoIterator<Item = Range<usize>>,
        shift: &Shift,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, MetricError> {
        let width = source.width();
        let at_once = (READ_AT_ONCE / width).max(1);
        let mut all = Self::new(width);
        let mut shifted = Vec::new();
        let mut values = Vec::new();
        for range in ranges {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + at_once - shifted.len() / width);
                values.resize((end - start) * width, 0.0);
                read(source, start..end, &mut values)?;
                for row in values.chunks_exact(width) {
                    let row = row.iter().zip(&shift.0);
                    shifted.extend(row.map(|(&value, shift)| f64::from(value) - shift));
                }
                start = end;
                if shifted.len() >= at_once * width {
                    if !keep_going() {
                        return Err(MetricError::Stopped);
                    }
                    all.put(&shifted);
                    shifted.clear();
                }
            }
        }
        all.put(&shifted);
        match all.totals.iter().position(|sum| !sum.is_finite()) {
            None => Ok(all),
            Some(column) => Err(not_finite(source, column)),
        }
    }

    /// Adds shifted rows, `[rows, width]`.
    fn put(&mut self, shifted: &[f64]) {
        let width = self.totals.len();
        self.rows += shifted.len() / width;
        for row in shifted.chunks_exact(width) {
            for (sum, value) in self.totals.iter_mut().zip(row) {
                *sum += value;
            }
        }
        self.tiles.par_iter_mut().for_each(|tile| {
            let place = (&tile.rows, &tile.columns);
            add_products(1.0, shifted, width, place, &mut tile.values);
        });
    }

    /// How many rows they are of.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds those of other rows of the same features.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.combine(other, |sum, other| sum + other);
    }

    /// Those that are left without other ones, which are among them.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.rows -= other.rows;
        left.combine(other, |sum, other| sum - other);
        left
    }

    fn combine(&mut self, other: &Self, how: fn(f64, f64) -> f64) {
        let each = |into: &mut [f64], from: &[f64]| {
            for (sum, &value) in into.iter_mut().zip(from) {
                *sum = how(*sum, value);
            }
        };
        each(&mut self.totals, &other.totals);
        for (tile, other) in self.tiles.iter_mut().zip(&other.tiles) {
            each(&mut tile.values, &other.values);
        }
    }

    /// Mean and covariance; of two rows at least.
    pub(super) fn moments(&self, shift: &Shift) -> Moments {
        let (width, rows) = (self.totals.len(), self.rows as f64);
        let mut covariance = vec![0.0; width * width];
        for tile in &self.tiles {
            let mut values = tile.values.iter();
            for row in tile.rows.clone() {
                for column in tile.columns.clone() {
                    let product = values.next().copied().unwrap_or_default();
                    let value =
                        (product - self.totals[row] * self.totals[column] / rows) / (rows - 1.0);
                    covariance[row * width + column] = value;
                    covariance[column * width + row] = value;
                }
            }
        }
        let mean = self.totals.iter().zip(&shift.0);
        Moments {
            mean: mean.map(|(sum, shift)| sum / rows + shift).collect(),
            covariance,
        }
    }
}

/// Reads rows; what goes wrong names the set.
pub(in crate::metrics) fn read(
    source: &dyn FeatureSource,
    rows: Range<usize>,
    into: &mut [f32],
) -> Result<(), MetricError> {
    let read = source.read(rows, into);
    read.map_err(|error| MetricError::Input(format!("{}: {error}", source.name())))
}

/// That a value of a set cannot be computed with.
pub(in crate::metrics) fn not_finite(source: &dyn FeatureSource, column: usize) -> MetricError {
    MetricError::Input(format!(
        "value {column} of {} is NaN or infinite for some image; `storage = \"f32\"` holds what is too large for f16",
        source.name()
    ))
}
