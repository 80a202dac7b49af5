//! The scores of many cells on the same samples, and contrasts of them.
//!
//! A contrast is a weight for each cell; the weights are named on some samples (by the cells' means there) and the contrast is measured on
//! others, sample by sample and run by run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::report::comparison::Outcomes;
use crate::report::comparison::runs::{By, Estimate, NO_SCORES, RunKey, Scored, crossed};
use crate::report::error::ReportError;
use crate::report::selection::Cell;
use crate::statistics::halving::halves;

/// How many halvings a verdict rests on.
pub(super) const HALVINGS: u32 = 20;

/// A difference below this is taken for the rounding of sums.
const ROUNDING: f64 = 1e-12;

/// A weight for each cell of a bank.
pub(super) type Weights = Vec<f64>;

/// Scores in 32 bits, since there may be hundreds of cells on tens of thousands of samples.
type Scores = Vec<f32>;

/// The scores of all cells: the same samples, and the same runs.
#[derive(Debug)]
pub(super) struct Bank {
    samples: usize,
    keys: Vec<RunKey>,
    /// `[cells][runs]`.
    cells: Vec<Vec<Arc<Scores>>>,
    /// The samples of both halves in every halving, and the mean of every cell on each half.
    halvings: Vec<[Half; 2]>,
    whole: Half,
}

/// Some of the samples, with the mean of every cell on them.
#[derive(Debug)]
pub(super) struct Half {
    samples: Vec<usize>,
    /// In the order of the cells.
    pub(super) means: Vec<f64>,
}

/// Which samples name the contrast, and which measure it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split<'b> {
    /// Those that name.
    pub(super) named_on: &'b Half,
    measured_on: &'b Half,
}

/// Why cells cannot be compared, as a fragment.
type Reason = String;

impl Bank {
    /// Reads the scores of some cells. A cell with one run stands in for every run of the others; else only runs that all have are used.
    ///
    /// # Errors
    /// Scores that cannot be read; within, why the cells cannot be compared.
    pub(super) fn of(
        cells: &[&Cell<'_>],
        over: &[String],
        outcomes: &dyn Outcomes,
    ) -> Result<Result<Self, Reason>, ReportError> {
        let mut ids: Option<Arc<Vec<String>>> = None;
        let mut read: Vec<Vec<(RunKey, Arc<Scores>)>> = Vec::with_capacity(cells.len());
        for cell in cells {
            let Some(scored) = Scored::of(cell, over, outcomes)? else {
                return Ok(Err(NO_SCORES.to_owned()));
            };
            if ids.get_or_insert_with(|| scored.ids.clone()) != &scored.ids {
                return Ok(Err("not all results are of the same images".to_owned()));
            }
            let runs = scored.runs.into_iter();
            read.push(runs.map(|(key, scores)| (key, narrowed(&scores))).collect());
        }
        let Some(ids) = ids else {
            return Ok(Err("there are no results".to_owned()));
        };
        Ok(Self::with(&ids, &read))
    }

    /// From scores that are there.
    pub(super) fn with(
        ids: &[String],
        cells: &[Vec<(RunKey, Arc<Scores>)>],
    ) -> Result<Self, Reason> {
        let several = || cells.iter().filter(|runs| runs.len() > 1);
        let mut keys: BTreeSet<&RunKey> = match several().next().or(cells.first()) {
            Some(runs) => runs.iter().map(|(key, _)| key).collect(),
            None => BTreeSet::new(),
        };
        for runs in several() {
            keys.retain(|key| runs.iter().any(|(own, _)| own == *key));
        }
        if keys.is_empty() {
            return Err("the results have no run in common".to_owned());
        }
        let scores = |runs: &Vec<(RunKey, Arc<Scores>)>| -> Option<Vec<Arc<Scores>>> {
            let of = |key: &&RunKey| match runs.as_slice() {
                [(_, only)] => Some(only.clone()),
                _ => runs
                    .iter()
                    .find(|(own, _)| own == *key)
                    .map(|(_, scores)| scores.clone()),
            };
            keys.iter().map(of).collect()
        };
        let Some(cells) = cells.iter().map(scores).collect::<Option<Vec<_>>>() else {
            return Err("the results have no run in common".to_owned());
        };
        let half = |samples: Vec<usize>| Half {
            means: cells.iter().map(|runs| mean(runs, &samples)).collect(),
            samples,
        };
        let halvings = (0..HALVINGS)
            .map(|halving| halves(ids.iter().map(String::as_str), halving).map(&half))
            .collect();
        Ok(Self {
            samples: ids.len(),
            keys: keys.into_iter().cloned().collect(),
            halvings,
            whole: half((0..ids.len()).collect()),
            cells,
        })
    }

    /// How many samples it has.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// How many runs every cell has.
    pub(super) fn runs(&self) -> usize {
        self.keys.len()
    }

    /// All samples.
    pub(super) fn whole(&self) -> &Half {
        &self.whole
    }

    /// All samples, which name and measure: for contrasts of which nothing is named by the data.
    pub(super) fn unsplit(&self) -> Split<'_> {
        Split {
            named_on: &self.whole,
            measured_on: &self.whole,
        }
    }

    /// Each halving: one half names, the other measures.
    pub(super) fn splits(&self) -> impl Iterator<Item = Split<'_>> {
        self.halvings.iter().map(|[named_on, measured_on]| Split {
            named_on,
            measured_on,
        })
    }

    /// The value of a contrast by the means on some samples.
    pub(super) fn value(half: &Half, weights: &Weights) -> f64 {
        weights
            .iter()
            .zip(&half.means)
            .map(|(weight, mean)| weight * mean)
            .sum()
    }

    /// Measures a contrast on the samples that did not name it; `None` where they are too few.
    pub(super) fn measure(&self, split: Split<'_>, weights: &Weights) -> Option<Estimate> {
        // Sums over all samples, of which the half is taken at the end: reading in order is faster than reading half as many.
        let mut all = vec![vec![0.0; self.samples]; self.keys.len()];
        let used = self.cells.iter().zip(weights);
        for (runs, &weight) in used.filter(|(_, weight)| **weight != 0.0) {
            for (sums, scores) in all.iter_mut().zip(runs) {
                for (sum, score) in sums.iter_mut().zip(scores.iter()) {
                    *sum += weight * f64::from(*score);
                }
            }
        }
        let samples = split.measured_on.samples.iter();
        // Cells that are equal on a sample have no difference there, and their sums one by rounding alone.
        let unrounded = |sum: f64| if sum.abs() < ROUNDING { 0.0 } else { sum };
        let of_half = |sums: Vec<f64>| {
            let of_half = samples.clone().map(|&sample| unrounded(sums[sample]));
            of_half.collect()
        };
        let differences: Vec<Vec<f64>> = all.into_iter().map(of_half).collect();
        crossed(&self.keys, &differences, By::Satterthwaite)
    }
}

/// Scores in 32 bits.
fn narrowed(scores: &[f64]) -> Arc<Scores> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seven digits of a score are more than a verdict needs"
    )]
    let narrow = scores.iter().map(|&score| score as f32);
    Arc::new(narrow.collect())
}

/// The mean over runs and some samples.
fn mean(runs: &[Arc<Scores>], samples: &[usize]) -> f64 {
    let sum: f64 = runs
        .iter()
        .map(|scores| {
            let of_run = samples.iter().map(|&sample| f64::from(scores[sample]));
            of_run.sum::<f64>()
        })
        .sum();
    sum / (runs.len() * samples.len()) as f64
}
