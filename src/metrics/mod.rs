//! Metrics: what is computed from a head's predictions. One file a kind; nothing here touches a tensor.
//!
//! Values are fractions; percent exists in reports only. Adding a kind is one new file and two lines below.

mod accuracy;
mod bootstrap;
mod mean_per_class;
mod predictions;

use std::fmt::Debug;
use std::sync::Arc;

use crate::spec::{Fields, KindDoc};

pub use bootstrap::CONFIDENCE;
pub use predictions::{Prediction, Predictions, rank_of_label};

/// Every metric kind.
pub const ALL: &[&dyn MetricKind] = &[&accuracy::KIND, &mean_per_class::KIND];

/// A kind of metric.
pub trait MetricKind: Sync {
    /// What it says of itself.
    fn doc(&self) -> &'static KindDoc;

    /// Reads a node's table; mistakes are recorded in the reader.
    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Metric>>;
}

/// One value that a metric gives for each head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in the results, such as `top1`.
    pub name: String,
    /// `fraction` for values in [0, 1].
    pub unit: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Which output it is.
    pub output: Output,
    /// The value, in the output's unit.
    pub value: f64,
    /// The lower bound of the value's bootstrap interval over the scored rows, at the level [`CONFIDENCE`], in the same unit.
    pub low: f64,
    /// The upper bound of that interval.
    pub high: f64,
    /// How many rows counted as right.
    pub correct: u64,
    /// How many rows were scored.
    pub count: u64,
}

/// A metric as declared.
pub trait Metric: Send + Sync + Debug {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// All that decides its values, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// The values that it gives.
    fn outputs(&self) -> Vec<Output>;

    /// Scores every row of the predictions; nothing is left out.
    fn score(&self, predictions: &Predictions) -> Vec<Score>;
}
