//! Tiles of Gram matrices.

use std::ops::Range;

use super::sets::{Rows, Set, read};
use crate::metrics::MetricError;
use crate::metrics::matrices::multiply;

/// Columns that are widened to f64 and centered at once, so that they stay in the processor's cache.
pub(super) const COLUMNS: usize = 512;

/// Writes the tile X Yᵀ `[rows, columns]` of the Gram matrix of a centered set, where X are its rows at `rows`, and Y those at `columns`.
///
/// # Errors
/// Features that cannot be read.
pub(super) fn tile<R: Rows>(
    set: &Set<'_, R>,
    rows: &[Range<usize>],
    columns: &[Range<usize>],
    into: &mut [f64],
) -> Result<(), MetricError> {
    let width = set.source.width();
    let left = block(set, rows)?;
    let right = if rows == columns {
        None
    } else {
        Some(block(set, columns)?)
    };
    let mut centered = [Vec::new(), Vec::new()];
    for start in (0..width).step_by(COLUMNS) {
        let part = start..(start + COLUMNS).min(width);
        center(&left, &set.means, &part, &mut centered[0]);
        if let Some(right) = &right {
            center(right, &set.means, &part, &mut centered[1]);
        }
        let [left, other] = &centered;
        let right = if right.is_some() { other } else { left };
        multiply(left, right, part.len(), into, start > 0);
    }
    Ok(())
}

/// The features at some rows, `[rows, width]`.
fn block<R: Rows>(set: &Set<'_, R>, rows: &[Range<usize>]) -> Result<Vec<R::Value>, MetricError> {
    let width = set.source.width();
    let count: usize = rows.iter().map(ExactSizeIterator::len).sum();
    let mut values = vec![R::Value::default(); count * width];
    let mut rest = values.as_mut_slice();
    for rows in rows {
        let (into, behind) = rest.split_at_mut(rows.len() * width);
        read(set.source, rows.clone(), into)?;
        rest = behind;
    }
    Ok(values)
}

/// Some columns of features `[rows, width]`, minus their means: `[rows, columns]`.
fn center<T: Copy + Into<f64>>(
    values: &[T],
    means: &[f64],
    columns: &Range<usize>,
    into: &mut Vec<f64>,
) {
    into.clear();
    let part = &means[columns.clone()];
    for row in values.chunks_exact(means.len()) {
        let row = row[columns.clone()].iter().zip(part);
        into.extend(row.map(|(&value, mean)| value.into() - mean));
    }
}
