//! The Fréchet distance of two normal distributions.
//!
//! ```text
//! d = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁^½ Σ₂ Σ₁^½)^½
//! ```
//!
//! With Σ₁ = AᵀA and Σ₂ = BᵀB, whatever A and B are, the last trace is the sum of the singular values of ABᵀ. A and B are made by
//! Cholesky's factorization with the largest pivot first, in blocks, which ends at the rank: a covariance of fewer images than values is
//! exact work, and no root is taken of a number that is 0 up to rounding. Singular values come from Householder's bidiagonal form, and of
//! that from implicit QL steps on the tridiagonal matrix of Golub and Kahan, whose eigenvalues are ± them; their error is absolute, that of
//! one rounding of the largest.
//!
//! # Reference
//! mseitzer/pytorch-fid@b9c1811: src/pytorch_fid/fid_score.py, `calculate_frechet_distance`; Dowson and Landau 1982. Golub and Van Loan,
//! Matrix Computations, 4th edition, 4.2.8 (pivots), 5.4.8 (bidiagonal form), 8.6.1 (the tridiagonal matrix).
//!
//! # Deviations
//! - The reference takes the root of the product Σ₁Σ₂, which is not symmetric, and adds 10⁻⁶ to the diagonals where that fails. Nothing is added here.
//! - The reference can return a small negative number for equal distributions; here it is 0.
//!
//! # Parity
//! `tests/golden/generative`: 1e-9 relative for covariances of full rank, 1e-6 for others, which is how far the reference's own routes
//! differ.

use rayon::prelude::*;

use super::moments::Moments;
use crate::metrics::matrices::{add_multiple, add_products, dot, multiply};

/// Rows that one task works on.
const CHUNK: usize = 128;

/// Rows of a factor that are taken from what is left of a covariance together, as a product of matrices.
const BLOCK: usize = 64;

/// Most steps for one eigenvalue; it takes about two.
const MOST_STEPS: usize = 100;

/// A distribution, ready to be compared with many.
#[derive(Debug)]
pub(in crate::metrics) struct Normal {
    /// μ, `[D]`.
    mean: Vec<f64>,
    /// tr Σ.
    trace: f64,
    /// A with Σ = AᵀA, `[rank, D]`.
    factor: Vec<f64>,
}

impl Normal {
    /// That of a mean and a covariance.
    pub(in crate::metrics) fn new(moments: Moments) -> Self {
        let Moments { mean, covariance } = moments;
        let width = mean.len();
        Self {
            trace: covariance.iter().step_by(width + 1).sum(),
            factor: factor(covariance, width),
            mean,
        }
    }

    /// The Fréchet distance to another one of as many values; `None` where its singular values are not found, which nobody has seen.
    pub(in crate::metrics) fn distance(&self, other: &Self) -> Option<f64> {
        let means = self.mean.iter().zip(&other.mean);
        let apart: f64 = means.map(|(own, its)| (own - its).powi(2)).sum();
        let shared = shared_trace(self, other)?;
        Some((apart + self.trace + other.trace - 2.0 * shared).max(0.0))
    }
}

/// tr (Σ₁^½ Σ₂ Σ₁^½)^½.
fn shared_trace(one: &Normal, other: &Normal) -> Option<f64> {
    let width = one.mean.len();
    let (tall, wide) = if one.factor.len() < other.factor.len() {
        (&other.factor, &one.factor)
    } else {
        (&one.factor, &other.factor)
    };
    let columns = wide.len() / width;
    if columns == 0 {
        return Some(0.0);
    }
    let mut product = vec![0.0; tall.len() / width * columns];
    let parts = product.par_chunks_mut(CHUNK * columns);
    let rows = tall.par_chunks(CHUNK * width);
    parts
        .zip(rows)
        .for_each(|(into, rows)| multiply(rows, wide, width, into, false));
    let (diagonal, above) = bidiagonal(&mut product, columns);
    sum_of_singular_values(&diagonal, &above)
}

/// A `[rank, D]` with Σ = AᵀA, of a covariance Σ `[D, D]`, which becomes what is left of it.
fn factor(mut left: Vec<f64>, width: usize) -> Vec<f64> {
    let mut diagonal: Vec<f64> = left.iter().step_by(width + 1).copied().collect();
    let largest = diagonal.iter().copied().fold(0.0, f64::max);
    let least = largest * f64::EPSILON * width as f64;
    let mut factor: Vec<f64> = Vec::new();
    loop {
        let start = factor.len();
        for _ in 0..BLOCK {
            let pivot = (0..width).max_by(|&a, &b| diagonal[a].total_cmp(&diagonal[b]));
            let Some(pivot) = pivot.filter(|&pivot| diagonal[pivot] > least) else {
                return factor;
            };
            let scale = 1.0 / diagonal[pivot].sqrt();
            let mut row = left[pivot * width..][..width].to_vec();
            for before in factor[start..].chunks_exact(width) {
                add_multiple(&mut row, -before[pivot], before);
            }
            for (rest, value) in diagonal.iter_mut().zip(&mut row) {
                *value *= scale;
                *rest -= *value * *value;
            }
            // Taken, whatever rounding has left of it.
            diagonal[pivot] = f64::NEG_INFINITY;
            factor.extend(row);
        }
        let block = &factor[start..];
        left.par_chunks_mut(CHUNK * width)
            .enumerate()
            .for_each(|(chunk, rows)| {
                let first = chunk * CHUNK;
                let place = (&(first..first + rows.len() / width), &(0..width));
                add_products(-1.0, block, width, place, rows);
            });
    }
}

/// The reflection that turns a vector into a multiple of the first axis.
struct Reflection {
    /// Its direction.
    vector: Vec<f64>,
    /// 2 / ‖vector‖²; 0 where nothing is to be done.
    scale: f64,
    /// What becomes of the first entry.
    first: f64,
}

impl Reflection {
    fn of(mut vector: Vec<f64>) -> Self {
        let norm = dot(&vector, &vector).sqrt();
        let Some(head) = vector.first_mut() else {
            return Self {
                vector,
                scale: 0.0,
                first: 0.0,
            };
        };
        let first = if *head > 0.0 { -norm } else { norm };
        // The same sign, so that no digits are lost.
        *head -= first;
        let square = dot(&vector, &vector);
        let scale = if square > 0.0 { 2.0 / square } else { 0.0 };
        Self {
            vector,
            scale,
            first,
        }
    }
}

/// The diagonal and what stands above it of the bidiagonal form of a matrix `[rows, columns]`, which has as many rows as columns or more.
/// The matrix is used up.
fn bidiagonal(matrix: &mut [f64], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut above) = (Vec::new(), Vec::new());
    for step in 0..columns {
        let below = matrix.get_mut(step * columns..).unwrap_or_default();
        let left = Reflection::of(below.iter().skip(step).step_by(columns).copied().collect());
        diagonal.push(left.first);
        let behind = step + 1;
        if behind == columns {
            break;
        }
        // What the reflection takes from each column.
        let chunks = below.par_chunks(CHUNK * columns);
        let partial: Vec<Vec<f64>> = chunks
            .zip(left.vector.par_chunks(CHUNK))
            .map(|(rows, vector)| {
                let mut sums = vec![0.0; columns - behind];
                for (row, value) in rows.chunks_exact(columns).zip(vector) {
                    add_multiple(&mut sums, left.scale * value, &row[behind..]);
                }
                sums
            })
            .collect();
        let mut taken = vec![0.0; columns - behind];
        for sums in &partial {
            add_multiple(&mut taken, 1.0, sums);
        }
        let mut top = below[behind..columns].to_vec();
        add_multiple(&mut top, -left.vector[0], &taken);
        let right = Reflection::of(top);
        above.push(right.first);
        let under = below.get_mut(columns..).unwrap_or_default();
        let vector = left.vector.get(1..).unwrap_or_default();
        under
            .par_chunks_mut(CHUNK * columns)
            .zip(vector.par_chunks(CHUNK))
            .for_each(|(rows, vector)| {
                for (row, value) in rows.chunks_exact_mut(columns).zip(vector) {
                    let row = &mut row[behind..];
                    add_multiple(row, -value, &taken);
                    let along = right.scale * dot(row, &right.vector);
                    add_multiple(row, -along, &right.vector);
                }
            });
    }
    (diagonal, above)
}

/// The sum of the singular values of a bidiagonal matrix, by the eigenvalues of a tridiagonal one of twice the size with zeros on its
/// diagonal; `None` where they are not found.
fn sum_of_singular_values(diagonal: &[f64], above: &[f64]) -> Option<f64> {
    let mut beside = Vec::new();
    for (place, value) in diagonal.iter().enumerate() {
        beside.push(*value);
        beside.extend(above.get(place));
    }
    let eigenvalues = eigenvalues(vec![0.0; 2 * diagonal.len()], beside)?;
    let mut sizes: Vec<f64> = eigenvalues.iter().map(|value| value.abs()).collect();
    // The small ones first, so that none is lost.
    sizes.sort_by(f64::total_cmp);
    Some(sizes.iter().sum::<f64>() / 2.0)
}

/// The eigenvalues of a symmetric tridiagonal matrix by implicit QL steps; `beside` has what stands beside the diagonal. `None` where they are
/// not found.
fn eigenvalues(mut diagonal: Vec<f64>, mut beside: Vec<f64>) -> Option<Vec<f64>> {
    let size = diagonal.len();
    let largest = diagonal.iter().chain(&beside);
    let largest = largest.fold(0.0, |most: f64, value| most.max(value.abs()));
    let negligible = largest * f64::EPSILON;
    beside.resize(size, 0.0);
    for first in 0..size {
        let mut steps = 0;
        loop {
            let is_end = |&place: &usize| beside[place].abs() <= negligible;
            let last = (first..size - 1).find(is_end).unwrap_or(size - 1);
            if last == first {
                break;
            }
            steps += 1;
            if steps > MOST_STEPS {
                return None;
            }
            step(&mut diagonal, &mut beside, first, last);
        }
    }
    Some(diagonal)
}

/// One implicit QL step on a part of a tridiagonal matrix, with Wilkinson's shift.
fn step(diagonal: &mut [f64], beside: &mut [f64], first: usize, last: usize) {
    let half = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
    let root = half.hypot(1.0);
    let shift = half + root.copysign(half);
    let mut along = diagonal[last] - diagonal[first] + beside[first] / shift;
    let (mut sine, mut cosine, mut moved) = (1.0, 1.0, 0.0);
    for place in (first..last).rev() {
        let (off, near) = (sine * beside[place], cosine * beside[place]);
        let length = off.hypot(along);
        beside[place + 1] = length;
        if length == 0.0 {
            diagonal[place + 1] -= moved;
            beside[last] = 0.0;
            return;
        }
        sine = off / length;
        cosine = along / length;
        let next = diagonal[place + 1] - moved;
        let turn = (diagonal[place] - next) * sine + 2.0 * cosine * near;
        moved = sine * turn;
        diagonal[place + 1] = next + moved;
        along = cosine * turn - near;
    }
    diagonal[first] -= moved;
    beside[first] = along;
    beside[last] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_of_several_blocks_has_as_many_rows_as_the_rank_and_gives_the_covariance_back() {
        let width = 150;
        for rank in [1, BLOCK, BLOCK + 1, 140, width] {
            let mut state = 1_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state >> 8) / f64::from(1_u32 << 24) - 0.5
            };
            let vectors: Vec<f64> = (0..width * rank).map(|_| next()).collect();
            let mut covariance = vec![0.0; width * width];
            multiply(&vectors, &vectors, rank, &mut covariance, false);
            let factor = factor(covariance.clone(), width);
            assert_eq!(factor.len(), rank * width);
            let mut again = vec![0.0; width * width];
            add_products(1.0, &factor, width, (&(0..width), &(0..width)), &mut again);
            for (found, expected) in again.iter().zip(&covariance) {
                assert!(
                    (found - expected).abs() < 1e-10,
                    "{rank}: {found} {expected}"
                );
            }
        }
    }
}
