//! `kid`: the squared maximum mean discrepancy between the features of generated and of reference images, with a cubic kernel.
//!
//! With k(x, y) = (x · y / D + 1)³, n generated images x and m reference images y,
//!
//! ```text
//! KID = Σ_{i≠j} k(xᵢ, xⱼ) / (n (n − 1)) + Σ_{i≠j} k(yᵢ, yⱼ) / (m (m − 1)) − 2 Σ k(xᵢ, yⱼ) / (n m)
//! ```
//!
//! It has no bias: its mean over draws of images does not depend on how many there are, and where both sets are of one distribution it is
//! 0, so that single values can lie below 0.
//!
//! # Interval
//! Student's, with the standard error by the jackknife, which leaves out one image after the other of each set. That costs nothing: the
//! sums of all rows of the kernel give every value.
//!
//! # Cost
//! (N² / 2 + M² / 2 + N M) · D multiply-adds in f64: 10¹³ for twice 50,000 images and 2,048 values, which is half an hour on one core.
//! Kernels are computed in tiles, and only the sums of their rows are kept.
//!
//! # Reference
//! Bińkowski et al. 2018 (arXiv 1801.01401), equation 4.
//!
//! # Deviations
//! Libraries average over random subsets of 1,000 images, and give the standard deviation over subsets, which is not a standard error of
//! the value. Here all images are used at once.
//!
//! # Parity
//! `tests/golden/generative`: 1e-9 absolute, 1e-6 relative for the standard error.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::fid::at_least;
use super::tiles::Wide;
use super::{Better, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::spec::{Kind, KindDoc};
use crate::statistics::{CONFIDENCE, student_quantile};

/// `kind = "kid"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "kid",
        summary: "The kernel distance between features of generated and of reference images, called `kid`: without bias, of all images at once.",
        keys: &[],
        shared: Reads::Distributions.keys(),
    },
    |_| Some(Arc::new(Kid)),
);

#[derive(Debug)]
struct Kid;

impl Metric for Kid {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::Distributions
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name })
    }

    fn outputs(&self) -> Vec<Output> {
        vec![Output {
            name: KIND.doc.name.to_owned(),
            unit: "",
            better: Better::Lower,
            axes: &[],
        }]
    }

    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError> {
        let MetricInput::Distributions {
            sets,
            pairs,
            keep_going,
        } = input
        else {
            return Err(MetricError::Bug);
        };
        let mut within: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        let mut all = Vec::new();
        for &(generated, reference) in pairs {
            for index in [generated, reference] {
                if let Entry::Vacant(place) = within.entry(index) {
                    let set = *sets.get(index).ok_or(MetricError::Bug)?;
                    // Of two images none can be left out: one has no pair.
                    at_least(set, 3)?;
                    place.insert(sums_within(&Wide::new(set)?, keep_going)?);
                }
            }
            let wide = |index: usize| Wide::new(*sets.get(index).ok_or(MetricError::Bug)?);
            let [rows, columns] = sums_across(&wide(generated)?, &wide(reference)?, keep_going)?;
            let estimate = Estimate {
                generated: &within[&generated],
                reference: &within[&reference],
                rows: &rows,
                columns: &columns,
            };
            all.push(self.scores(&estimate)?);
        }
        Ok(all)
    }
}

impl Kid {
    fn scores(&self, estimate: &Estimate<'_>) -> Result<Vec<Score>, MetricError> {
        let value = estimate.value();
        let freedom = estimate.rows.len().min(estimate.columns.len()) - 1;
        let reach = student_quantile((1.0 - CONFIDENCE) / 2.0, freedom as f64) * estimate.error();
        let output = self.outputs().pop().ok_or(MetricError::Bug)?;
        Ok(vec![Score {
            output,
            value,
            interval: Some([value - reach, value + reach]),
            counted: None,
            axes: BTreeMap::new(),
        }])
    }
}

/// The sums of kernels that the value and its standard error are made of.
struct Estimate<'a> {
    /// Of each generated image, over all other generated ones.
    generated: &'a [f64],
    /// Of each reference image, over all other reference ones.
    reference: &'a [f64],
    /// Of each generated image, over all reference ones.
    rows: &'a [f64],
    /// Of each reference image, over all generated ones.
    columns: &'a [f64],
}

impl Estimate<'_> {
    /// The three sums of kernels.
    fn sums(&self) -> [f64; 3] {
        [self.generated, self.reference, self.rows].map(|sums| sums.iter().sum())
    }

    fn value(&self) -> f64 {
        let (n, m) = (self.rows.len() as f64, self.columns.len() as f64);
        of_sums(self.sums(), n, m)
    }

    /// The standard error by the jackknife over both sets.
    fn error(&self) -> f64 {
        let (n, m) = (self.rows.len() as f64, self.columns.len() as f64);
        let [generated, reference, across] = self.sums();
        // A pair is in the sums within a set twice.
        let without_generated = self.generated.iter().zip(self.rows).map(|(own, row)| {
            let sums = [generated - 2.0 * own, reference, across - row];
            of_sums(sums, n - 1.0, m)
        });
        let without_reference = self
            .reference
            .iter()
            .zip(self.columns)
            .map(|(own, column)| {
                let sums = [generated, reference - 2.0 * own, across - column];
                of_sums(sums, n, m - 1.0)
            });
        let variance = jackknife(&without_generated.collect::<Vec<_>>())
            + jackknife(&without_reference.collect::<Vec<_>>());
        variance.sqrt()
    }
}

fn of_sums([generated, reference, across]: [f64; 3], n: f64, m: f64) -> f64 {
    generated / (n * (n - 1.0)) + reference / (m * (m - 1.0)) - 2.0 * across / (n * m)
}

/// (n − 1) / n · Σ (aᵢ − mean)².
fn jackknife(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (count - 1.0) / count * squares
}

/// The kernel of each two rows, `[left, right]`.
fn kernels(products: &mut [f64], width: usize) {
    for value in products {
        let base = *value / width as f64 + 1.0;
        *value = base * base * base;
    }
}

/// The sums of kernels of each image with all others of its set.
fn sums_within(
    set: &Wide<'_>,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<f64>, MetricError> {
    let tiles = set.tiles();
    let pairs: Vec<(&Range<usize>, &Range<usize>)> = tiles
        .iter()
        .enumerate()
        .flat_map(|(place, rows)| tiles.iter().skip(place).map(move |columns| (rows, columns)))
        .collect();
    let parts = pairs.par_iter().map(|&(rows, columns)| {
        if !keep_going() {
            return Err(MetricError::Stopped);
        }
        let mut kernel = set.products(rows, set, columns)?;
        kernels(&mut kernel, set.width());
        if rows == columns {
            // No image is compared with itself.
            for place in 0..rows.len() {
                kernel[place * rows.len() + place] = 0.0;
            }
        }
        Ok(sums_of(&kernel, columns.len()))
    });
    let parts: Result<Vec<[Vec<f64>; 2]>, MetricError> = parts.collect();
    let mut sums = vec![0.0; set.count()];
    for ((rows, columns), [of_rows, of_columns]) in pairs.iter().zip(parts?) {
        add(&mut sums[(*rows).clone()], &of_rows);
        if rows != columns {
            add(&mut sums[(*columns).clone()], &of_columns);
        }
    }
    Ok(sums)
}

/// The sums of kernels of each generated image with all reference ones, and the other way round.
fn sums_across(
    generated: &Wide<'_>,
    reference: &Wide<'_>,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<[Vec<f64>; 2], MetricError> {
    generated.comparable(reference)?;
    let (rows, columns) = (generated.tiles(), reference.tiles());
    let pairs: Vec<(&Range<usize>, &Range<usize>)> = rows
        .iter()
        .flat_map(|rows| columns.iter().map(move |columns| (rows, columns)))
        .collect();
    let parts = pairs.par_iter().map(|&(rows, columns)| {
        if !keep_going() {
            return Err(MetricError::Stopped);
        }
        let mut kernel = generated.products(rows, reference, columns)?;
        kernels(&mut kernel, generated.width());
        Ok(sums_of(&kernel, columns.len()))
    });
    let parts: Result<Vec<[Vec<f64>; 2]>, MetricError> = parts.collect();
    let mut sums = [vec![0.0; generated.count()], vec![0.0; reference.count()]];
    for ((rows, columns), [of_rows, of_columns]) in pairs.iter().zip(parts?) {
        add(&mut sums[0][(*rows).clone()], &of_rows);
        add(&mut sums[1][(*columns).clone()], &of_columns);
    }
    Ok(sums)
}

/// The sums of rows and of columns.
fn sums_of(kernel: &[f64], columns: usize) -> [Vec<f64>; 2] {
    let mut of_columns = vec![0.0; columns];
    let of_rows = kernel.chunks_exact(columns).map(|row| {
        add(&mut of_columns, row);
        row.iter().sum::<f64>()
    });
    let of_rows = of_rows.collect();
    [of_rows, of_columns]
}

fn add(into: &mut [f64], values: &[f64]) {
    for (sum, value) in into.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing::{Golden, Rows};

    fn estimated(generated: &Rows, reference: &Rows) -> (f64, f64) {
        let (generated, reference) = (Wide::new(generated), Wide::new(reference));
        let (generated, reference) = (generated.unwrap(), reference.unwrap());
        let within = |set: &Wide<'_>| sums_within(set, &|| true).unwrap();
        let [rows, columns] = sums_across(&generated, &reference, &|| true).unwrap();
        let estimate = Estimate {
            generated: &within(&generated),
            reference: &within(&reference),
            rows: &rows,
            columns: &columns,
        };
        (estimate.value(), estimate.error())
    }

    #[test]
    fn golden_values() {
        let golden = Golden::open();
        let (fake, real) = (golden.rows("fake"), golden.rows("real"));
        let (value, error) = estimated(&fake, &real);
        assert!((value - golden.number("/kid/full_unbiased")).abs() < 1e-9);
        let expected = golden.number("/kid/full_unbiased_jackknife_standard_error");
        assert!((error / expected - 1.0).abs() < 1e-6, "{error} {expected}");
        let indices = ["kid.index_fake", "kid.index_real"].map(|name| golden.indices(name));
        let [fakes, reals] = &indices;
        let subsets = fakes.chunks(100).zip(reals.chunks(100));
        let found: Vec<f64> = subsets
            .map(|(fakes, reals)| estimated(&fake.chosen(fakes), &real.chosen(reals)).0)
            .collect();
        let expected = golden.numbers("/kid/per_subset");
        assert_eq!((found.len(), expected.len()), (20, 20));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn tiles_change_nothing_and_a_set_is_as_far_from_itself_as_without_a_bias() {
        // More rows than a tile has.
        let set = Rows::random(300, 5, 1);
        let (value, error) = estimated(&set, &set);
        assert!(value < 0.0 && error > 0.0, "{value} {error}");
        let (there, _) = estimated(&set, &Rows::random(280, 5, 2));
        let (back, _) = estimated(&Rows::random(280, 5, 2), &set);
        assert!((there - back).abs() < 1e-12);
    }
}
