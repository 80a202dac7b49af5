//! From the cells of a table to differences: the scores of every run, and the runs of two cells that belong together.
//!
//! A cell is a mean over runs, which differ in the axes of `over`, such as the seed. Two cells are compared run by run and sample by sample:
//! the run of seed 1 with the run of seed 1. On an axis on which they share no value (weights of two networks) or that one of them does
//! not have (a head that is fitted without a seed), a cell with one value only stands beside every value of the other; nothing is
//! known then of how its own value varies, and the error does not hold it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Comparison, Outcomes};
use crate::report::error::ReportError;
use crate::report::number::Unit;
use crate::report::selection::{Cell, value_of};
use crate::statistics::CONFIDENCE;
use crate::statistics::mcnemar::Discordant;
use crate::statistics::paired::{Method, Paired, of_differences};
use crate::statistics::proportion::wilson_of_share;
use crate::statistics::{normal_quantile, student_quantile, student_two_sided};
use crate::store::AxisValue;

/// The values of a run on the axes that are averaged over.
pub type RunKey = Vec<AxisValue>;

/// The scores of all runs of a cell.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The samples' ids, the same for all runs.
    pub ids: Arc<Vec<String>>,
    /// Each run with one score for each sample.
    pub runs: Vec<(RunKey, Vec<f64>)>,
}

/// Why there are no scores of single samples, as a fragment.
pub const NO_SCORES: &str =
    "the metric has no score for each image, or its predictions are not kept";

/// Why the scores of two results are not compared, as a fragment.
const OTHER_SAMPLES: &str = "they were not scored on the same images";

impl Scored {
    /// The scores of a cell; `None` where one of its runs has none, or is on other samples than the rest.
    ///
    /// # Errors
    /// Scores that cannot be read.
    pub fn of(
        cell: &Cell<'_>,
        over: &[String],
        outcomes: &dyn Outcomes,
    ) -> Result<Option<Self>, ReportError> {
        let mut ids: Option<Arc<Vec<String>>> = None;
        let mut runs = Vec::with_capacity(cell.rows.len());
        for row in &cell.rows {
            let Some(outcome) = outcomes.of(row)? else {
                return Ok(None);
            };
            if ids.get_or_insert_with(|| outcome.ids.clone()) != &outcome.ids {
                return Ok(None);
            }
            let key = over.iter().map(|axis| value_of(row, axis)).collect();
            runs.push((key, outcome.scores.clone()));
        }
        Ok(ids.map(|ids| Self { ids, runs }))
    }

    /// The mean over runs of each sample's score.
    pub fn means(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.ids.len()];
        for (_, scores) in &self.runs {
            for (sum, score) in sums.iter_mut().zip(scores) {
                *sum += score;
            }
        }
        let count = self.runs.len() as f64;
        sums.iter().map(|sum| sum / count).collect()
    }

    /// Its values on an axis of `over`.
    fn values(&self, axis: usize) -> BTreeSet<&AxisValue> {
        self.runs.iter().map(|(key, _)| &key[axis]).collect()
    }
}

/// A difference of two cells, or a mean, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The estimate, over all samples and the runs that both cells have.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// The two-sided p-value of zero.
    pub p: f64,
    /// How many samples it rests on.
    pub samples: usize,
    /// How many runs it rests on.
    pub runs: usize,
    /// Samples on which the first alone is right, and the second alone, in the first run that both have, with McNemar's exact p; `None`
    /// where scores are other than 0 and 1.
    pub discordant: Option<([u64; 2], f64)>,
}

impl Estimate {
    /// Writes it into a comparison.
    #[must_use]
    pub fn into(self, comparison: Comparison) -> Comparison {
        Comparison {
            estimate: Some(self.value),
            interval: Some(self.interval),
            p: Some(self.p),
            samples: Some(self.samples as u64),
            runs: Some(self.runs as u64),
            discordant: self.discordant.map(|(counts, _)| counts),
            discordant_p: self.discordant.map(|(_, p)| p),
            ..comparison
        }
    }
}

/// The difference of two cells, the first less the second: paired over samples and crossed with runs.
///
/// # Errors
/// Why they cannot be compared, as a fragment.
pub fn difference(first: &Scored, second: &Scored) -> Result<Estimate, String> {
    if !Arc::ptr_eq(&first.ids, &second.ids) && first.ids != second.ids {
        return Err(OTHER_SAMPLES.to_owned());
    }
    let pairs = matched(first, second);
    let Some(&(left, right)) = pairs.first() else {
        return Err("they have no run in common".to_owned());
    };
    let discordant = Discordant::of(&left.1, &right.1).map(|discordant| {
        let counts = [discordant.only_first, discordant.only_second];
        (counts, discordant.p())
    });
    let keys: Vec<RunKey> = pairs
        .iter()
        .map(|(left, right)| key_of_pair(&left.0, &right.0))
        .collect();
    let differences: Vec<Vec<f64>> = pairs
        .iter()
        .map(|(left, right)| left.1.iter().zip(&right.1).map(|(l, r)| l - r).collect())
        .collect();
    let estimate = crossed(&keys, &differences, By::Banerjee)
        .ok_or_else(|| "there are fewer than two images".to_owned())?;
    Ok(Estimate {
        discordant,
        ..estimate
    })
}

/// The mean of a cell, with its interval over samples and runs.
pub fn mean(cell: &Scored) -> Option<Estimate> {
    let (keys, scores): (Vec<RunKey>, Vec<Vec<f64>>) = cell.runs.iter().cloned().unzip();
    crossed(&keys, &scores, By::Banerjee)
}

/// The mean of a cell, with its interval over samples and runs. That of a share is Wilson's, among as many samples as leave as much
/// uncertainty as there is: it stays within 0 and 1, and has a width where all are right.
pub fn share_or_mean(cell: &Scored, unit: &Unit) -> Option<Estimate> {
    let estimate = mean(cell)?;
    if *unit != Unit::Percent {
        return Some(estimate);
    }
    let share = estimate.value;
    let reach = (estimate.interval[1] - estimate.interval[0]) / 2.0;
    let z = normal_quantile((1.0 - CONFIDENCE) / 2.0);
    let worth = z * z * share * (1.0 - share) / (reach * reach);
    let samples = estimate.samples as f64;
    // Without any spread the samples are all that is known.
    let worth = if reach > 0.0 {
        worth.min(samples * estimate.runs as f64)
    } else {
        samples
    };
    Some(Estimate {
        interval: wilson_of_share(share, worth, CONFIDENCE),
        ..estimate
    })
}

/// From which distribution interval and p are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Never more certain than its level says, whatever part the runs have: for what is read by itself.
    Banerjee,
    /// A little too certain where few runs have the larger part of the variance: for what is doubled anyway.
    Satterthwaite,
}

/// What is known of the mean of `scores`, `[runs][samples]`. Where runs differ in one axis, that is the second factor beside the samples;
/// where they differ in several, each of them is one: its variance is that of the means by its values, divided by their number, and
/// interval and p have a term for each. They are Banerjee's, or by Satterthwaite's degrees of freedom (`statistics/paired.rs`).
pub fn crossed(keys: &[RunKey], scores: &[Vec<f64>], by: By) -> Option<Estimate> {
    let axes = keys.first().map_or(0, Vec::len);
    let varying: Vec<usize> = (0..axes)
        .filter(|&axis| keys.iter().any(|key| key[axis] != keys[0][axis]))
        .collect();
    let method = match by {
        By::Banerjee => Method::Banerjee,
        By::Satterthwaite => Method::Satterthwaite,
    };
    let all = of_differences(scores, method)?;
    let estimate = Estimate {
        value: all.difference,
        interval: [all.low, all.high],
        p: all.p,
        samples: all.images,
        runs: keys.len(),
        discordant: None,
    };
    if varying.len() < 2 {
        return Some(estimate);
    }
    let mut terms = vec![(all.variance_images, (all.images - 1) as f64)];
    for axis in varying {
        let values: BTreeSet<&AxisValue> = keys.iter().map(|key| &key[axis]).collect();
        let by_value: Vec<Vec<f64>> = values
            .iter()
            .map(|value| {
                let own = keys.iter().zip(scores);
                let own = own.filter(|(key, _)| key[axis] == **value);
                mean_of(own.map(|(_, scores)| scores))
            })
            .collect();
        let of_axis: Paired = of_differences(&by_value, method)?;
        terms.push((of_axis.variance_seeds, (values.len() - 1) as f64));
    }
    terms.retain(|(variance, _)| *variance > 0.0);
    if terms.is_empty() {
        return Some(estimate);
    }
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let distance = estimate.value.abs();
    let (reach, p) = match by {
        By::Banerjee => (reach(&terms, tail), p_of_zero(&terms, distance)),
        By::Satterthwaite => {
            let variance: f64 = terms.iter().map(|(part, _)| part).sum();
            let parts = terms.iter().map(|(part, freedom)| part * part / freedom);
            let freedom = variance * variance / parts.sum::<f64>();
            let error = variance.sqrt();
            (
                student_quantile(tail, freedom) * error,
                student_two_sided(distance / error, freedom),
            )
        }
    };
    Some(Estimate {
        interval: [estimate.value - reach, estimate.value + reach],
        p,
        ..estimate
    })
}

/// Half the width of Banerjee's interval that leaves `tail` on either side, of variances with their degrees of freedom.
fn reach(terms: &[(f64, f64)], tail: f64) -> f64 {
    let squares = terms
        .iter()
        .map(|(variance, freedom)| student_quantile(tail, *freedom).powi(2) * variance);
    squares.sum::<f64>().sqrt()
}

/// The p at which that interval reaches as far as `distance`, by halving the exponent; 1e-300 where it is smaller.
fn p_of_zero(terms: &[(f64, f64)], distance: f64) -> f64 {
    // Natural logarithms of the tail: 1e-300 / 2 and 1 / 2.
    let (mut low, mut high) = (-691.5_f64, -std::f64::consts::LN_2);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if reach(terms, middle.exp()) > distance {
            low = middle;
        } else {
            high = middle;
        }
    }
    2.0 * f64::midpoint(low, high).exp()
}

fn mean_of<'a>(runs: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let runs: Vec<&Vec<f64>> = runs.collect();
    let count = runs.len() as f64;
    let samples = runs.first().map_or(0, |run| run.len());
    (0..samples)
        .map(|sample| runs.iter().map(|run| run[sample]).sum::<f64>() / count)
        .collect()
}

type Run = (RunKey, Vec<f64>);

/// The runs that belong together, in the order of the first cell.
fn matched<'a>(first: &'a Scored, second: &'a Scored) -> Vec<(&'a Run, &'a Run)> {
    let axes = first.runs.first().map_or(0, |(key, _)| key.len());
    // Whether the values on an axis have to be equal.
    let joined: Vec<Option<bool>> = (0..axes)
        .map(|axis| {
            let (left, right) = (first.values(axis), second.values(axis));
            if left.iter().any(|value| right.contains(*value)) {
                Some(true)
            } else if left.len() == 1 || right.len() == 1 {
                Some(false)
            } else {
                None
            }
        })
        .collect();
    if joined.contains(&None) {
        return Vec::new();
    }
    let belong = |left: &RunKey, right: &RunKey| {
        (0..axes).all(|axis| joined[axis] == Some(false) || left[axis] == right[axis])
    };
    first
        .runs
        .iter()
        .flat_map(|left| second.runs.iter().map(move |right| (left, right)))
        .filter(|(left, right)| belong(&left.0, &right.0))
        .collect()
}

/// A pair's values: the common one on each axis, or both where they differ.
fn key_of_pair(left: &RunKey, right: &RunKey) -> RunKey {
    left.iter()
        .zip(right)
        .map(|(left, right)| {
            if left == right {
                left.clone()
            } else {
                AxisValue::Text(format!("{left} / {right}"))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
