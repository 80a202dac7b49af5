//! The scores of single samples behind a result, from the predictions that a cache keeps of its head. Neither the experiment nor its datasets
//! are needed: a result names its head by fingerprint.

use super::significance::Untested;
use crate::exec::NodeError;
use crate::exec::logits::attach;
use crate::metrics::{self, Predictions};
use crate::report::{Outcome, SharedIds};
use crate::store::names::PREDICTIONS;
use crate::store::{Fingerprint, ResultRow, Store};

/// How far the mean of the scores may be from the value of the result: the rounding of sums.
const ROUNDING: f64 = 1e-9;

/// The predictions of a cache. They are read when they are asked for and not held.
pub(super) struct Scores<'a> {
    store: &'a Store,
    /// The lists of ids that were seen, each once.
    ids: SharedIds,
}

impl<'a> Scores<'a> {
    /// Of a cache.
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            ids: SharedIds::default(),
        }
    }

    /// The scores behind a result, or why there are none.
    ///
    /// # Errors
    /// A cache that cannot be read.
    pub(super) fn of(&self, row: &ResultRow) -> Result<Result<Outcome, Untested>, NodeError> {
        let Some(metric) = metrics::with_scores_of(&row.metric) else {
            return Ok(Err(Untested::NoScores));
        };
        let head = row.sources.get("head");
        let Some(fingerprint) = head.and_then(|head| head.parse::<Fingerprint>().ok()) else {
            return Ok(Err(Untested::NoScores));
        };
        if self.store.manifest(&fingerprint)?.is_none() {
            return Ok(Err(Untested::NotCached));
        }
        let table = self.store.table(&fingerprint, PREDICTIONS)?;
        let Some(mut predictions) = Predictions::from_batch(&table) else {
            return Ok(Err(Untested::OtherValue));
        };
        attach(&mut predictions, self.store, &fingerprint, metric.reads())?;
        let Some(scores) = metric.per_sample(&predictions, &row.metric) else {
            return Ok(Err(Untested::NoScores));
        };
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        // Not the result of these predictions: the file may have been edited, or a kind of metric may have the name of another.
        let is_near = (mean - row.value).abs() <= ROUNDING * row.value.abs().max(1.0);
        if !is_near {
            return Ok(Err(Untested::OtherValue));
        }
        let ids = predictions.rows.into_iter().map(|row| row.id).collect();
        Ok(Ok(Outcome {
            ids: self.ids.shared(ids),
            scores,
        }))
    }
}
