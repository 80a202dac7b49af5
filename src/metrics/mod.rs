//! Metrics: what is computed from a head's predictions. One file a kind; nothing here touches a tensor.
//!
//! Values are fractions; percent exists in reports only. Adding a kind is one new file and two lines below.

mod accuracy;
mod bootstrap;
mod mean_per_class;
mod predictions;

use std::fmt::Debug;
use std::sync::Arc;

use crate::spec::{Boolean, Key, Keys, Kind, List, Text};

pub use bootstrap::CONFIDENCE;
pub use predictions::{Prediction, Predictions, rank_of_label};

/// Every metric kind.
pub const ALL: &[&MetricKind] = &[&accuracy::KIND, &mean_per_class::KIND];

/// A kind of metric.
pub type MetricKind = Kind<Arc<dyn Metric>>;

/// The heads that a metric scores.
pub const OF: Key<List<Text>> =
    Key::list("of", Text("the name of a head")).doc("The heads that are scored.");

/// Whether a metric scores only the best of its heads.
pub const CHOOSE: Key<Boolean> = Key::boolean("choose").default(false).doc(
    "Score only the best of heads that differ in learning rate and weight decay alone, their own and their network's: the one that is right most often on the samples that `holdout` keeps out of training, as a mean over seeds.",
);

/// The keys of every metric that scores heads.
pub const KEYS: Keys = &[&OF, &CHOOSE];

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
    /// The name of its kind, as it is typed.
    fn kind(&self) -> &'static str;

    /// All that decides its values, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// The values that it gives.
    fn outputs(&self) -> Vec<Output>;

    /// Scores every row of the predictions; nothing is left out.
    fn score(&self, predictions: &Predictions) -> Vec<Score>;
}
