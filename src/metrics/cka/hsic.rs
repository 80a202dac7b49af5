//! HSIC of all pairs of sets, from one walk over the tiles of their Gram matrices.
//!
//! A tile is computed for all sets, and then their products S · Sᵀ over its entries, for sets stacked as S `[sets, entries]`. What tiles give
//! is added in the order of the tiles, whichever thread computed them, so that values do not depend on the number of threads. Tiles below the
//! diagonal mirror those above, and are counted with those. Sums of rows, which HSIC₁ needs, are gathered on the way.

use std::ops::Range;

use rayon::prelude::*;

use super::gram::{COLUMNS, tile};
use super::sets::{Rows, Set};
use crate::metrics::MetricError;
use crate::metrics::matrices::multiply;
use crate::random::Stream;

/// Most rows of a tile: enough that reading and centering cost little beside the products, and that a thousand samples make 36 tiles for
/// as many threads.
pub(super) const TILE: usize = 128;

/// Memory for all tiles that are computed at once, in bytes.
const MEMORY: usize = 256 << 20;

/// Below this share of the sum that it is the rest of, HSIC₁ is made of rounding.
const LEAST_SHARE: f64 = 1e-12;

/// HSIC of all pairs of sets, up to a factor that all share.
pub(super) struct Hsic {
    sets: usize,
    /// `[sets, sets]`.
    values: Vec<f64>,
    /// For each set, what HSIC with itself has to exceed.
    least: Vec<f64>,
}

impl Hsic {
    fn of(&self, left: usize, right: usize) -> f64 {
        self.values[left * self.sets + right]
    }

    /// Whether a set's HSIC with itself is a positive number, and more than rounding.
    pub(super) fn varies(&self, set: usize) -> bool {
        self.of(set, set) > self.least[set]
    }

    /// The CKA of two sets: exactly 1 for equal features, and `None` where one of them does not vary.
    pub(super) fn alignment(&self, left: usize, right: usize) -> Option<f64> {
        let own = [self.of(left, left), self.of(right, right)];
        // The root of the product, without its overflow.
        let scale = own[0] * (own[1] / own[0]).sqrt();
        (self.varies(left) && self.varies(right)).then(|| self.of(left, right) / scale)
    }
}

/// The biased estimate: the sum of products of entries, from all rows at once.
///
/// # Errors
/// Features that cannot be read, and a user who wants to stop.
pub(super) fn biased<R: Rows>(
    sets: &[Set<'_, R>],
    most: usize,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Hsic, MetricError> {
    let rows = sets.first().map_or(0, |set| set.source.count());
    let mut values = vec![0.0; sets.len() * sets.len()];
    let walk = Walk {
        sets,
        batches: vec![Batch {
            rows: 0..rows,
            order: None,
        }],
        most,
        keep_going,
    };
    walk.run(false, &mut |_, sums| values.clone_from(&sums.products))?;
    Ok(Hsic {
        sets: sets.len(),
        values,
        least: vec![0.0; sets.len()],
    })
}

/// The sum over batches of HSIC₁. Batches are random, by a fixed seed: a dataset may list its samples by class.
///
/// # Errors
/// Features that cannot be read, and a user who wants to stop.
pub(super) fn unbiased<R: Rows>(
    sets: &[Set<'_, R>],
    batch_size: usize,
    most: usize,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Hsic, MetricError> {
    let rows = sets.first().map_or(0, |set| set.source.count());
    let order = Stream::new(0, "metric/cka/batches").permutation(rows);
    let parts = Parts::new(0..rows, batch_size);
    let batches = (0..parts.count).map(|part| Batch {
        rows: parts.get(part),
        order: Some(&order),
    });
    let walk = Walk {
        sets,
        batches: batches.collect(),
        most,
        keep_going,
    };
    let count = sets.len();
    let mut values = vec![0.0; count * count];
    let mut least = vec![0.0; count];
    walk.run(true, &mut |batch, sums| {
        let n = batch.rows.len() as f64;
        let totals: Vec<f64> = sums
            .rows
            .chunks_exact(batch.rows.len())
            .map(|rows| rows.iter().sum())
            .collect();
        let mut rows = vec![0.0; count * count];
        multiply(&sums.rows, &sums.rows, batch.rows.len(), &mut rows, false);
        let divisor = n * (n - 3.0);
        for left in 0..count {
            for right in 0..count {
                let at = left * count + right;
                let sum = sums.products[at]
                    + totals[left] * totals[right] / ((n - 1.0) * (n - 2.0))
                    - 2.0 / (n - 2.0) * rows[at];
                values[at] += sum / divisor;
            }
            least[left] += LEAST_SHARE * sums.products[left * count + left] / divisor;
        }
    })?;
    Ok(Hsic {
        sets: count,
        values,
        least,
    })
}

/// Rows that are cut into parts of nearly equal size.
#[derive(Clone)]
struct Parts {
    rows: Range<usize>,
    count: usize,
}

impl Parts {
    /// As few parts as there can be of at most so many rows.
    fn new(rows: Range<usize>, most: usize) -> Self {
        let count = rows.len().div_ceil(most).max(1);
        Self { rows, count }
    }

    fn get(&self, part: usize) -> Range<usize> {
        let bound = |part: usize| self.rows.start + self.rows.len() * part / self.count;
        bound(part)..bound(part + 1)
    }
}

/// Rows that are compared with each other.
struct Batch<'a> {
    /// Their positions.
    rows: Range<usize>,
    /// Which row stands at a position; the same one if absent.
    order: Option<&'a [usize]>,
}

impl Batch<'_> {
    /// The rows at some positions, as ranges.
    fn rows_at(&self, positions: &Range<usize>) -> Vec<Range<usize>> {
        match self.order {
            None => vec![positions.clone()],
            Some(order) => order[positions.clone()]
                .iter()
                .map(|&row| row..row + 1)
                .collect(),
        }
    }
}

/// What the tiles of a batch add up to.
struct Sums {
    /// Products of the entries of two Gram matrices, `[sets, sets]`.
    products: Vec<f64>,
    /// Sums of the rows of each Gram matrix, `[sets, rows]`; empty where nobody asks for them.
    rows: Vec<f64>,
}

/// A tile of the Gram matrices of a batch.
struct Tile {
    batch: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Tile {
    fn is_on_the_diagonal(&self) -> bool {
        self.rows == self.columns
    }
}

/// A walk over the tiles of all batches.
struct Walk<'a, R> {
    sets: &'a [Set<'a, R>],
    batches: Vec<Batch<'a>>,
    /// Most rows of a tile.
    most: usize,
    keep_going: &'a (dyn Fn() -> bool + Sync),
}

impl<R: Rows> Walk<'_, R> {
    /// Bytes that a tile of so many rows takes while it is computed.
    fn bytes(&self, rows: usize) -> usize {
        let widest = self.sets.iter().map(|set| set.source.width()).max();
        let sets = self.sets.len();
        let read = 2 * rows * widest.unwrap_or(0) * size_of::<R::Value>();
        let doubles = 2 * rows * COLUMNS + sets * rows * rows + 2 * sets * rows + sets * sets;
        read + doubles * size_of::<f64>()
    }

    /// Computes all tiles, and hands over what those of each batch add up to. `hollow` takes the diagonal of Gram matrices as zero, and sums
    /// their rows.
    fn run(
        &self,
        hollow: bool,
        finished: &mut dyn FnMut(&Batch<'_>, &Sums),
    ) -> Result<(), MetricError> {
        let mut most = self.most;
        while most > 1 && self.bytes(most) > MEMORY / 4 {
            most /= 2;
        }
        let at_once = (MEMORY / self.bytes(most)).max(1);
        let mut tiles = (0..self.batches.len()).flat_map(|batch| self.tiles(batch, most));
        let count = self.sets.len();
        let mut sums: Option<(usize, Sums)> = None;
        loop {
            let tiles: Vec<Tile> = tiles.by_ref().take(at_once).collect();
            if tiles.is_empty() {
                break;
            }
            let computed: Vec<_> = tiles
                .par_iter()
                .map(|tile| self.compute(tile, hollow))
                .collect();
            for (tile, computed) in tiles.iter().zip(computed) {
                let computed = computed?;
                let batch = &self.batches[tile.batch];
                if let Some((index, done)) = sums.take_if(|(index, _)| *index != tile.batch) {
                    finished(&self.batches[index], &done);
                }
                let (_, sums) = sums.get_or_insert_with(|| {
                    let rows = if hollow { count * batch.rows.len() } else { 0 };
                    let sums = Sums {
                        products: vec![0.0; count * count],
                        rows: vec![0.0; rows],
                    };
                    (tile.batch, sums)
                });
                add(sums, &computed, tile, batch);
            }
        }
        if let Some((index, done)) = sums {
            finished(&self.batches[index], &done);
        }
        Ok(())
    }

    /// The tiles of a batch on the diagonal and above it, row by row.
    fn tiles(&self, batch: usize, most: usize) -> impl Iterator<Item = Tile> + use<R> {
        let parts = Parts::new(self.batches[batch].rows.clone(), most);
        (0..parts.count).flat_map(move |row| {
            let parts = parts.clone();
            (row..parts.count).map(move |column| Tile {
                batch,
                rows: parts.get(row),
                columns: parts.get(column),
            })
        })
    }

    fn compute(&self, place: &Tile, hollow: bool) -> Result<Sums, MetricError> {
        let batch = &self.batches[place.batch];
        let (rows, columns) = (batch.rows_at(&place.rows), batch.rows_at(&place.columns));
        let (height, width) = (place.rows.len(), place.columns.len());
        let count = self.sets.len();
        let mut grams = vec![0.0; count * height * width];
        let mut row_sums = Vec::new();
        for (set, gram) in self.sets.iter().zip(grams.chunks_exact_mut(height * width)) {
            if !(self.keep_going)() {
                return Err(MetricError::Stopped);
            }
            tile(set, &rows, &columns, gram)?;
            if !hollow {
                continue;
            }
            if place.is_on_the_diagonal() {
                gram.iter_mut()
                    .step_by(width + 1)
                    .for_each(|value| *value = 0.0);
            }
            let start = row_sums.len();
            row_sums.resize(start + height + width, 0.0);
            let (of_rows, of_columns) = row_sums[start..].split_at_mut(height);
            for (row, sum) in gram.chunks_exact(width).zip(of_rows) {
                *sum = row.iter().sum();
                for (value, sum) in row.iter().zip(of_columns.iter_mut()) {
                    *sum += value;
                }
            }
        }
        let mut products = vec![0.0; count * count];
        multiply(&grams, &grams, height * width, &mut products, false);
        Ok(Sums {
            products,
            rows: row_sums,
        })
    }
}

/// Adds what a tile gives, and what its mirror image would give. The tile has the sums of its rows and then those of its columns, for each set.
fn add(sums: &mut Sums, computed: &Sums, tile: &Tile, batch: &Batch<'_>) {
    let times = if tile.is_on_the_diagonal() { 1.0 } else { 2.0 };
    for (sum, value) in sums.products.iter_mut().zip(&computed.products) {
        *sum += times * value;
    }
    if sums.rows.is_empty() {
        return;
    }
    let (height, width) = (tile.rows.len(), tile.columns.len());
    let all = sums.rows.chunks_exact_mut(batch.rows.len());
    for (all, part) in all.zip(computed.rows.chunks_exact(height + width)) {
        let (of_rows, of_columns) = part.split_at(height);
        let mut put = |positions: &Range<usize>, values: &[f64]| {
            let start = positions.start - batch.rows.start;
            for (sum, value) in all[start..].iter_mut().zip(values) {
                *sum += value;
            }
        };
        put(&tile.rows, of_rows);
        if !tile.is_on_the_diagonal() {
            put(&tile.columns, of_columns);
        }
    }
}
