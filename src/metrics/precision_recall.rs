//! `precision-recall`: how many generated images lie among the reference ones, and the other way round, by nearest neighbors.
//!
//! The radius of an image is its distance to the k-th other image of its own set. Then
//!
//! - `precision` is the share of generated images within the radius of some reference image: are they good?
//! - `recall` is the share of reference images within the radius of some generated image: are they varied?
//! - `density` is the mean over generated images of how many radii of reference images they lie within, divided by k; it may exceed 1.
//! - `coverage` is the share of reference images with a generated image within their radius.
//!
//! The first two count what lies on the radius, the last two do not, as their authors' programs do.
//!
//! # Interval
//! Wilson's, of shares, with the other set as it is. Density has none: images in one radius are not independent.
//!
//! # Cost
//! (N² + M² + N M) · D multiply-adds in f64, in tiles; nothing of size N · M is kept.
//!
//! # Reference
//! Kynkäänniemi et al. 2019 (arXiv 1904.06991); Naeem et al. 2020 (arXiv 2002.09797); the programs torch-fidelity 0.4.0 and prdc 0.2.
//!
//! # Deviations
//! Distances are ‖x‖² + ‖y‖² − 2 x · y in f64, where the references take f32 or half precision. Equal images are exactly 0 apart, since the three
//! numbers are made by the same additions.
//!
//! # Parity
//! `tests/golden/generative`: equal counts, radii to 1e-9.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::fid::at_least;
use super::tiles::Wide;
use super::{Better, Counted, Metric, MetricError, MetricInput, MetricKind, Output, Reads, Score};
use crate::numbers::to_usize;
use crate::spec::{Count, Key, Kind, KindDoc};
use crate::statistics::CONFIDENCE;
use crate::statistics::proportion::wilson;

const NEIGHBORS: Key<Count> = Key::count("k", 1..=1000)
    .default(3)
    .doc("Which neighbor of an image is its radius away; the image itself is none.");

/// `kind = "precision-recall"`.
pub const KIND: MetricKind = Kind::new(
    KindDoc {
        name: "precision-recall",
        summary: "Shares of generated images among the neighbors of reference ones and the other way round, called `precision`, `recall`, `density` and `coverage`.",
        keys: &[&NEIGHBORS],
        shared: Reads::Distributions.keys(),
    },
    |fields| {
        let neighbors = fields.get(&NEIGHBORS)?;
        Some(Arc::new(PrecisionRecall { neighbors }))
    },
);

#[derive(Debug)]
struct PrecisionRecall {
    neighbors: u32,
}

impl Metric for PrecisionRecall {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn reads(&self) -> Reads {
        Reads::Distributions
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({ "kind": KIND.doc.name, "k": self.neighbors })
    }

    fn outputs(&self) -> Vec<Output> {
        let output = |name: &str, unit| Output {
            name: name.to_owned(),
            unit,
            better: Better::Higher,
            axes: &[],
        };
        vec![
            output("precision", "fraction"),
            output("recall", "fraction"),
            output("density", ""),
            output("coverage", "fraction"),
        ]
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
        let neighbors = to_usize(u64::from(self.neighbors));
        let mut known: BTreeMap<usize, Neighborhood<'_>> = BTreeMap::new();
        let mut all = Vec::new();
        for &(generated, reference) in pairs {
            for index in [generated, reference] {
                if let Entry::Vacant(place) = known.entry(index) {
                    let set = *sets.get(index).ok_or(MetricError::Bug)?;
                    at_least(set, neighbors + 1)?;
                    place.insert(Neighborhood::of(Wide::new(set)?, neighbors, keep_going)?);
                }
            }
            let counts = counts(&known[&generated], &known[&reference], keep_going)?;
            all.push(self.scores(&counts));
        }
        Ok(all)
    }
}

impl PrecisionRecall {
    fn scores(&self, counts: &Counts) -> Vec<Score> {
        let share = |correct: usize, scored: usize| {
            let (correct, scored) = (correct as u64, scored as u64);
            let counted = Counted { correct, scored };
            let value = correct as f64 / scored as f64;
            (
                value,
                Some(wilson(correct, scored, CONFIDENCE)),
                Some(counted),
            )
        };
        let (generated, reference) = (counts.generated, counts.reference);
        let density = counts.dense as f64 / (f64::from(self.neighbors) * generated as f64);
        let values = [
            share(counts.precise, generated),
            share(counts.recalled, reference),
            (density, None, None),
            share(counts.covered, reference),
        ];
        let scores = self.outputs().into_iter().zip(values);
        scores
            .map(|(output, (value, interval, counted))| Score {
                output,
                value,
                interval,
                counted,
                axes: BTreeMap::new(),
            })
            .collect()
    }
}

/// A set with the squares of its rows' lengths and radii.
struct Neighborhood<'a> {
    set: Wide<'a>,
    squares: Vec<f64>,
    radii: Vec<f64>,
}

impl<'a> Neighborhood<'a> {
    fn of(
        set: Wide<'a>,
        neighbors: usize,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, MetricError> {
        let squares = set.squares()?;
        let mut all = Self {
            set,
            squares,
            radii: Vec::new(),
        };
        let tiles = set.tiles();
        let radii = tiles.par_iter().map(|rows| {
            // The nearest of each row so far, the nearest first.
            let mut nearest = vec![vec![f64::INFINITY; neighbors]; rows.len()];
            for columns in &tiles {
                if !keep_going() {
                    return Err(MetricError::Stopped);
                }
                let distances = all.distances(rows, &all, columns)?;
                let of_rows = distances.chunks_exact(columns.len());
                for ((row, distances), nearest) in rows.clone().zip(of_rows).zip(&mut nearest) {
                    for (column, &distance) in columns.clone().zip(distances) {
                        if column != row {
                            keep_nearest(nearest, distance);
                        }
                    }
                }
            }
            let radii = nearest.iter().filter_map(|nearest| nearest.last().copied());
            Ok(radii.collect::<Vec<f64>>())
        });
        let radii: Result<Vec<Vec<f64>>, MetricError> = radii.collect();
        all.radii = radii?.concat();
        Ok(all)
    }

    /// The squares of the distances of each two rows, `[rows, columns]`.
    fn distances(
        &self,
        rows: &Range<usize>,
        other: &Self,
        columns: &Range<usize>,
    ) -> Result<Vec<f64>, MetricError> {
        let mut products = self.set.products(rows, &other.set, columns)?;
        let of_rows = products.chunks_exact_mut(columns.len());
        for (values, own) in of_rows.zip(&self.squares[rows.clone()]) {
            for (value, its) in values.iter_mut().zip(&other.squares[columns.clone()]) {
                *value = (own + its - 2.0 * *value).max(0.0);
            }
        }
        Ok(products)
    }
}

/// Puts a distance among the nearest, which are sorted.
fn keep_nearest(nearest: &mut [f64], distance: f64) {
    let place = nearest.partition_point(|&known| known <= distance);
    if let Some(behind) = nearest.get_mut(place..) {
        behind.rotate_right(usize::from(!behind.is_empty()));
        if let Some(first) = behind.first_mut() {
            *first = distance;
        }
    }
}

/// How many images lie where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    generated: usize,
    reference: usize,
    precise: usize,
    recalled: usize,
    /// Generated images within radii of reference ones, each as often as it is in one.
    dense: usize,
    covered: usize,
}

/// What a tile of generated images adds.
struct Part {
    precise: usize,
    dense: usize,
    recalled: Vec<bool>,
    covered: Vec<bool>,
}

fn counts(
    generated: &Neighborhood<'_>,
    reference: &Neighborhood<'_>,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Result<Counts, MetricError> {
    generated.set.comparable(&reference.set)?;
    let (tiles, columns) = (generated.set.tiles(), reference.set.tiles());
    let parts = tiles.par_iter().map(|rows| {
        let mut part = Part {
            precise: 0,
            dense: 0,
            recalled: vec![false; reference.radii.len()],
            covered: vec![false; reference.radii.len()],
        };
        let mut precise = vec![false; rows.len()];
        for columns in &columns {
            if !keep_going() {
                return Err(MetricError::Stopped);
            }
            let distances = generated.distances(rows, reference, columns)?;
            let of_rows = distances.chunks_exact(columns.len());
            let radii = &generated.radii[rows.clone()];
            for ((values, own), precise) in of_rows.zip(radii).zip(&mut precise) {
                for (column, distance) in columns.clone().zip(values) {
                    let radius = &reference.radii[column];
                    *precise |= distance <= radius;
                    part.recalled[column] |= distance <= own;
                    part.covered[column] |= distance < radius;
                    part.dense += usize::from(distance < radius);
                }
            }
        }
        part.precise = precise.into_iter().filter(|&is| is).count();
        Ok(part)
    });
    let parts: Result<Vec<Part>, MetricError> = parts.collect();
    let parts = parts?;
    let any = |which: fn(&Part) -> &[bool]| {
        let reference = 0..reference.radii.len();
        let found = reference.filter(|&column| parts.iter().any(|part| which(part)[column]));
        found.count()
    };
    Ok(Counts {
        generated: generated.radii.len(),
        reference: reference.radii.len(),
        precise: parts.iter().map(|part| part.precise).sum(),
        recalled: any(|part| &part.recalled),
        dense: parts.iter().map(|part| part.dense).sum(),
        covered: any(|part| &part.covered),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing::{Golden, Rows};

    fn neighborhood(set: &Rows, neighbors: usize) -> Neighborhood<'_> {
        Neighborhood::of(Wide::new(set).unwrap(), neighbors, &|| true).unwrap()
    }

    #[test]
    fn golden_counts_and_radii() {
        let golden = Golden::open();
        for (sets, path) in [("", "/precision_recall"), ("ties.", "/ties")] {
            let (fake, real) = (
                golden.rows(&format!("{sets}fake")),
                golden.rows(&format!("{sets}real")),
            );
            for k in [3, 5] {
                let (generated, reference) = (neighborhood(&fake, k), neighborhood(&real, k));
                let radii = if sets.is_empty() { "prdc." } else { sets };
                for (set, name) in [(&generated, "fake"), (&reference, "real")] {
                    let expected = golden.doubles(&format!("{radii}radii_{name}.k{k}"));
                    assert_eq!(set.radii.len(), expected.len());
                    for (found, expected) in set.radii.iter().zip(&expected) {
                        assert!((found.sqrt() - expected).abs() < 1e-9);
                    }
                }
                let found = counts(&generated, &reference, &|| true).unwrap();
                let expected = |name: &str| {
                    let value = golden.number(&format!("{path}/k{k}/counts/{name}"));
                    format!("{value}").parse::<usize>().unwrap()
                };
                let expected = Counts {
                    generated: fake.count(),
                    reference: real.count(),
                    precise: expected("precision_le"),
                    recalled: expected("recall_le"),
                    dense: expected("density_lt"),
                    covered: expected("coverage_lt"),
                };
                assert_eq!(found, expected, "{sets} {k}");
            }
        }
    }

    #[test]
    fn equal_images_are_no_distance_apart_in_any_tile() {
        let mut set = Rows::random(600, 300, 3);
        set.repeat_first_rows(290);
        let set = neighborhood(&set, 1);
        // The first 290 rows stand at the end again.
        let zeros = set.radii.iter().filter(|&&radius| radius == 0.0).count();
        assert_eq!(zeros, 580);
    }

    #[test]
    fn values_are_called_as_their_authors_call_them() {
        let golden = Golden::open();
        let (fake, real) = (golden.rows("fake"), golden.rows("real"));
        let metric = PrecisionRecall { neighbors: 3 };
        let input = MetricInput::Distributions {
            sets: &[&fake, &real],
            pairs: &[(0, 1)],
            keep_going: &|| true,
        };
        for score in &metric.evaluate(input).unwrap()[0] {
            let expected = golden.number(&format!("/precision_recall/k3/{}", score.output.name));
            assert!((score.value - expected).abs() < 1e-12);
        }
    }
}
