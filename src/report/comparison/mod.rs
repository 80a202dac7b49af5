//! Comparisons: what a report says of how far results are apart, and the scores of single samples that it rests on.
//!
//! A result is a mean over samples. Whether two of them differ is decided sample by sample, which neither the table of results nor
//! its file holds. So what a table or figure compares is computed while the report is gathered, where the predictions are
//! at hand ([`Outcomes`]), and kept as [`Comparison`]s in a file beside the results ([`mod@file`]): a report that is rendered from
//! files says the same.

pub mod file;
pub mod runs;

use std::cell::RefCell;
use std::sync::Arc;

use super::error::ReportError;
use crate::store::ResultRow;

/// The score of every sample that one result is the mean of.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The samples' ids, in the order of the scores; results on the same samples share them.
    pub ids: Arc<Vec<String>>,
    /// One score for each sample, in the unit of the result: for top-1, 1 where the head was right and 0 where it was not. Their mean
    /// is the result's value.
    pub scores: Vec<f64>,
}

/// Lists of samples' ids that were seen, each once: results on the same samples share one.
#[derive(Debug, Default)]
pub struct SharedIds(RefCell<Vec<Arc<Vec<String>>>>);

impl SharedIds {
    /// The list, shared where it was seen before.
    pub fn shared(&self, ids: Vec<String>) -> Arc<Vec<String>> {
        let mut known = self.0.borrow_mut();
        if let Some(same) = known.iter().find(|known| ***known == ids) {
            return same.clone();
        }
        let ids = Arc::new(ids);
        known.push(ids.clone());
        ids
    }
}

/// Where the scores of single samples come from.
pub trait Outcomes {
    /// The scores behind a result; `None` where its metric has none for single samples, or where they are not kept.
    ///
    /// # Errors
    /// A cache that cannot be read.
    fn of(&self, row: &ResultRow) -> Result<Option<Arc<Outcome>>, ReportError>;
}

/// One thing that a table or figure says of how far results are apart, or how sure a result is. Values are in the unit of the metric.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The table or figure: "table 1" (in the order of the experiment file), or the file of the figure.
    pub place: String,
    /// What kind of statement it is: `difference`, `interval`, `optimism`, `component` or `claim`.
    pub about: String,
    /// What is compared, or the id of the claim.
    pub subject: String,
    /// What it is compared with; empty for what stands alone.
    pub against: String,
    /// The difference, or the value.
    pub estimate: Option<f64>,
    /// Bounds of the 95 % interval of the estimate.
    pub interval: Option<[f64; 2]>,
    /// The two-sided p-value of the hypothesis that the estimate is zero.
    pub p: Option<f64>,
    /// The p-value by Holm's method, over all of the same place and kind.
    pub adjusted: Option<f64>,
    /// Samples for which only the subject is right, and for which only the other is, in the first run that both have.
    pub discordant: Option<[u64; 2]>,
    /// McNemar's exact two-sided p-value of these counts.
    pub discordant_p: Option<f64>,
    /// How many samples it rests on.
    pub samples: Option<u64>,
    /// How many runs, such as seeds, it rests on.
    pub runs: Option<u64>,
    /// The verdict on a claim; empty elsewhere.
    pub verdict: String,
    /// What a reader must know besides: what was picked and measured, or why there is no number.
    pub text: String,
}

/// The comparisons of one table or figure, as they are given to its rendering.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// `None` where the file of comparisons is not there.
    known: Option<&'a [Comparison]>,
    place: &'a str,
}

impl<'a> Compared<'a> {
    /// Those of a place; `None` for `known` where nobody has them.
    pub fn at(known: Option<&'a [Comparison]>, place: &'a str) -> Self {
        Self { known, place }
    }

    /// Whether there are none because their file is not there.
    fn is_unknown(&self) -> bool {
        self.known.is_none()
    }

    /// Why there is no comparison, as a fragment.
    pub fn why_none(&self) -> &'static str {
        if self.is_unknown() { UNKNOWN } else { OTHERS }
    }

    /// All of a kind, in their order.
    pub fn all(&self, about: &'a str) -> impl Iterator<Item = &'a Comparison> {
        let place = self.place;
        self.known
            .unwrap_or_default()
            .iter()
            .filter(move |one| one.place == place && one.about == about)
    }

    /// That of a subject and what it is compared with.
    pub fn find(&self, about: &'a str, subject: &str, against: &str) -> Option<&'a Comparison> {
        self.all(about)
            .find(|one| one.subject == subject && one.against == against)
    }
}

/// What verdicts on claims are kept as.
pub const CLAIM: &str = "claim";

/// The verdict on a claim that has nothing to rest on.
pub const NOT_APPLICABLE: &str = "not applicable here";

/// Why cells that need comparisons are empty where their file is not there, as a fragment.
const UNKNOWN: &str = "no file of comparisons: it is computed from the outcomes of single images, which are in the file of comparisons that `repro run` writes beside a report, and that file is not there";

/// Why they are empty where the file has nothing about them.
const OTHERS: &str = "not compared: the file of comparisons is of other results";

/// A p-value with two significant digits: "0.068", "5.1e-9".
pub fn p_value(p: f64) -> String {
    if p >= 0.995 {
        return "1".to_owned();
    }
    // What floats cannot hold is small, and never nothing.
    if p < 1e-300 {
        return "< 1e-300".to_owned();
    }
    if p < 1e-3 {
        return format!("{p:.1e}");
    }
    let decimals = if p >= 0.1 {
        2
    } else if p >= 0.01 {
        3
    } else {
        4
    };
    format!("{p:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_have_two_digits() {
        let texts = [1.0, 0.9951, 0.5, 0.068_12, 0.001_234, 5.12e-9, 0.0].map(p_value);
        assert_eq!(
            texts,
            ["1", "1", "0.50", "0.068", "0.0012", "5.1e-9", "< 1e-300"]
        );
    }
}
