//! Whether a changed cell changed by more than chance: paired over samples and crossed with runs, as the comparisons of reports are.

use std::sync::Arc;

use super::scores::Scores;
use super::{Difference, Mean};
use crate::exec::NodeError;
use crate::report::comparison::runs::{Scored, difference};
use crate::report::selection::value_of;
use crate::statistics::holm::holm;
use crate::store::Store;

/// What is known of a changed cell from the predictions before and after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The mean difference over the samples and the runs that both have, after less before.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// The two-sided p-value of no difference.
    pub p: f64,
    /// The p-value by Holm's method, over all changed cells of the file that were tested.
    pub adjusted: f64,
    /// How many samples it rests on.
    pub samples: usize,
    /// How many runs, such as seeds, both have.
    pub runs: usize,
}

/// Why a changed cell was not tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untested {
    /// The predictions of a head before or after are not in the cache.
    NotCached,
    /// The metric has no score for each sample.
    NoScores,
    /// The predictions in the cache have another value than the file of results.
    OtherValue,
    /// The samples before and after are not the same.
    OtherSamples,
    /// No run before belongs to one after, or several rows are of one run.
    OtherRuns,
}

impl Untested {
    /// As a fragment behind "not tested:".
    pub fn why(self) -> &'static str {
        match self {
            Self::NotCached => "the predictions before and after are not both in the cache",
            Self::NoScores => "the metric has no score for each sample",
            Self::OtherValue => "the predictions in the cache give another value than the file",
            Self::OtherSamples => "the samples before and after are not the same",
            Self::OtherRuns => "no runs before and after belong together",
        }
    }
}

/// Tests every changed cell of which the predictions before and after are in a cache, and corrects over them by Holm's method. Without a
/// cache nothing is tested.
///
/// # Errors
/// A cache that cannot be read.
pub fn test(compared: &mut Difference<'_>, store: Option<&Store>) -> Result<(), NodeError> {
    let scores = store.map(Scores::new);
    let over = compared.over.clone();
    for cell in &mut compared.changed {
        let tested = match &scores {
            None => Err(Untested::NotCached),
            Some(scores) => one(&cell.before, &cell.after, &over, scores)?,
        };
        cell.test = Some(tested);
    }
    let tested = || {
        let cells = compared.changed.iter();
        cells.filter_map(|cell| cell.test?.ok())
    };
    let p: Vec<f64> = tested().map(|test| test.p).collect();
    let mut adjusted = holm(&p).into_iter();
    for cell in &mut compared.changed {
        if let Some(Ok(test)) = &mut cell.test
            && let Some(adjusted) = adjusted.next()
        {
            test.adjusted = adjusted;
        }
    }
    Ok(())
}

/// The test of one cell, without the correction.
fn one(
    before: &Mean<'_>,
    after: &Mean<'_>,
    over: &[String],
    scores: &Scores<'_>,
) -> Result<Result<Test, Untested>, NodeError> {
    let (before, after) = match (scored(before, over, scores)?, scored(after, over, scores)?) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
    };
    if before.ids != after.ids {
        return Ok(Err(Untested::OtherSamples));
    }
    Ok(match difference(&after, &before) {
        Ok(estimate) => Ok(Test {
            difference: estimate.value,
            interval: estimate.interval,
            p: estimate.p,
            adjusted: estimate.p,
            samples: estimate.samples,
            runs: estimate.runs,
        }),
        // All else that can be in the way was looked at.
        Err(_) => Err(Untested::OtherRuns),
    })
}

/// The scores of all runs of a cell.
fn scored(
    cell: &Mean<'_>,
    over: &[String],
    scores: &Scores<'_>,
) -> Result<Result<Scored, Untested>, NodeError> {
    let mut ids: Option<Arc<Vec<String>>> = None;
    let mut runs = Vec::with_capacity(cell.rows.len());
    for row in &cell.rows {
        let outcome = match scores.of(row)? {
            Ok(outcome) => outcome,
            Err(why) => return Ok(Err(why)),
        };
        if ids.get_or_insert_with(|| outcome.ids.clone()) != &outcome.ids {
            return Ok(Err(Untested::OtherSamples));
        }
        let run: Vec<_> = over.iter().map(|axis| value_of(row, axis)).collect();
        if runs.iter().any(|(known, _)| *known == run) {
            return Ok(Err(Untested::OtherRuns));
        }
        runs.push((run, outcome.scores));
    }
    Ok(match ids {
        Some(ids) => Ok(Scored { ids, runs }),
        None => Err(Untested::OtherRuns),
    })
}
