//! Sets of features in pieces, whose rows are compared each with each.

use std::ops::Range;

use super::fid::{not_finite, read};
use super::matrices::multiply;
use super::{FeatureSource, MetricError};

/// Rows of a tile: 256 rows of 2,048 values take 4 MB in f64.
const TILE: usize = 256;

/// A set whose values are read in f64, some rows at a time.
#[derive(Clone, Copy)]
pub(super) struct Wide<'a> {
    source: &'a dyn FeatureSource,
}

impl<'a> Wide<'a> {
    /// A set of one value a row at least.
    ///
    /// # Errors
    /// A set without values, which nothing makes.
    pub(super) fn new(source: &'a dyn FeatureSource) -> Result<Self, MetricError> {
        if source.width() == 0 {
            return Err(MetricError::Bug);
        }
        Ok(Self { source })
    }

    /// Values of a row.
    pub(super) fn width(&self) -> usize {
        self.source.width()
    }

    /// How many rows.
    pub(super) fn count(&self) -> usize {
        self.source.rows()
    }

    /// Its rows in tiles.
    pub(super) fn tiles(&self) -> Vec<Range<usize>> {
        let starts = (0..self.count()).step_by(TILE);
        starts
            .map(|start| start..(start + TILE).min(self.count()))
            .collect()
    }

    /// Refuses another set whose rows have another number of values.
    ///
    /// # Errors
    /// Both sets, with their widths.
    pub(super) fn comparable(&self, other: &Self) -> Result<(), MetricError> {
        if self.width() == other.width() {
            return Ok(());
        }
        Err(MetricError::Input(format!(
            "{} have {} values, and {} have {}",
            self.source.name(),
            self.width(),
            other.source.name(),
            other.width()
        )))
    }

    /// Some rows, `[rows, width]`.
    ///
    /// # Errors
    /// Features that cannot be read, or are not finite.
    pub(super) fn rows(&self, rows: &Range<usize>) -> Result<Vec<f64>, MetricError> {
        let mut values = vec![0.0; rows.len() * self.width()];
        read(self.source, rows.clone(), &mut values)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(not_finite(self.source, place % self.width())),
            None => Ok(values.into_iter().map(f64::from).collect()),
        }
    }

    /// The products of each of some rows with each of some of another set, `[rows, columns]`.
    ///
    /// # Errors
    /// As for [`Wide::rows`].
    pub(super) fn products(
        &self,
        rows: &Range<usize>,
        other: &Self,
        columns: &Range<usize>,
    ) -> Result<Vec<f64>, MetricError> {
        let left = self.rows(rows)?;
        let right = other.rows(columns)?;
        let mut products = vec![0.0; rows.len() * columns.len()];
        multiply(&left, &right, self.width(), &mut products, false);
        Ok(products)
    }

    /// The products of each row with itself, by the same additions in the same order as those of equal rows with each other.
    ///
    /// # Errors
    /// As for [`Wide::rows`].
    pub(super) fn squares(&self) -> Result<Vec<f64>, MetricError> {
        let mut squares = Vec::with_capacity(self.count());
        for tile in self.tiles() {
            let products = self.products(&tile, self, &tile)?;
            squares.extend(products.into_iter().step_by(tile.len() + 1));
        }
        Ok(squares)
    }
}
