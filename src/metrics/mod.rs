//! Metrics: what is computed from predictions, from features, or from networks themselves. One file a kind; nothing here touches a tensor.
//!
//! A metric declares what it [`Reads`]; the rest of the program looks at nothing else of it. It is handed a [`MetricInput`].
//!
//! Values are fractions; percent exists in reports only. Adding a kind is one new file and two lines below.

mod accuracy;
mod calibration;
mod cka;
mod confusion;
mod fid;
mod inception_score;
mod kid;
mod matrices;
mod mean_per_class;
mod nll;
mod parameters;
mod per_class;
mod precision_recall;
mod predictions;
mod sfid;
#[cfg(test)]
mod testing;
mod tiles;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::spec::{Count, Key, Keys, Kind, List, Parse, Text};

pub use crate::store::{AxisValue, Better, Counted};
pub use predictions::{HeldOutLogits, Logits, Prediction, Predictions, rank_of_label};

/// Every metric kind.
pub const ALL: &[&MetricKind] = &[
    &accuracy::KIND,
    &calibration::KIND,
    &cka::KIND,
    &confusion::KIND,
    &fid::KIND,
    &inception_score::KIND,
    &kid::KIND,
    &mean_per_class::KIND,
    &nll::KIND,
    &parameters::KIND,
    &per_class::KIND,
    &precision_recall::KIND,
    &sfid::KIND,
];

/// A kind of metric.
pub type MetricKind = Kind<Parse<Arc<dyn Metric>>>;

/// A metric that has a score for each sample behind an output of this name: what there is to go by where results are at hand and not the
/// experiment that they are of. `None` where no kind has one.
pub fn with_scores_of(output: &str) -> Option<Arc<dyn Metric>> {
    let kinds = [
        accuracy::with_output,
        mean_per_class::with_output,
        nll::with_output,
    ];
    kinds.into_iter().find_map(|kind| kind(output))
}

/// The heads that a metric of predictions scores.
pub const HEADS: Key<List<Text>> =
    Key::list("of", Text("the name of a head")).doc("The heads that are scored.");

/// The axes along which a metric of predictions scores only the best of its heads.
pub const CHOOSE: Key<List<Text>> = Key::list("choose", Text("an axis"))
    .optional("none")
    .doc("Axes whose values are chosen, such as `[\"timestep\", \"block\", \"pool\", \"learning_rate\"]`. Of heads that differ in nothing else but the seed, the one that is right most often on the samples that `holdout` keeps out of training (`ridge` without it: by leave-one-out predictions), as a mean over seeds, is trained again on all training samples, and only that is scored.");

/// The extractions that a metric of features scores.
pub const EXTRACTIONS: Key<List<Text>> = Key::list("of", Text("the name of an extraction"))
    .doc("The extractions whose features are scored.");

/// The left sets of a metric of pairs.
pub const LEFT: Key<List<Text>> = Key::list("left", Text("the name of an extraction"))
    .doc("The first sets of features that are compared.");

/// The right sets of a metric of pairs.
pub const RIGHT: Key<List<Text>> = Key::list("right", Text("the name of an extraction"))
    .optional("as `left`")
    .doc("The second sets of features; every one is compared with every one of `left` that has the same images.");

/// The reference sets of a metric that compares distributions.
pub const REFERENCE: Key<List<Text>> = Key::list("reference", Text("the name of an extraction"))
    .doc("The extractions whose features are the reference. Each set of `of` is compared with each of these that is made in the same way: by the same model, block and preparation.");

/// The reference of a metric that takes moments as well.
pub const REFERENCE_OR_FILE: Key<List<Text>> = Key::list("reference", Text("the name of an extraction"))
    .optional("`statistics`")
    .doc("The extractions whose features are the reference. Each set of `of` is compared with each of these that is made in the same way: by the same model, block and preparation.");

/// The file of moments that stands for a reference.
pub const STATISTICS: Key<Text> = Key::text("statistics", "a path")
    .optional("`reference`")
    .doc("A NumPy archive (`.npz`) with the mean and the covariance of reference features, `mu` and `sigma` (for `sfid` also `mu_s` and `sigma_s`), in place of `reference`. That they are of the same network and resize is for you to know.");

/// The split of the reference images.
pub const REFERENCE_SPLIT: Key<Text> = Key::text("reference_split", "a split")
    .optional("as `split`")
    .doc("The split of the reference whose features are read.");

/// The split whose features are read.
pub const SPLIT: Key<Text> = Key::text("split", "a split")
    .default("test")
    .doc("The split whose features are read.");

/// The models that a metric of networks is about.
pub const MODELS: Key<List<Text>> = Key::list("of", Text("the name of a model"))
    .optional("none")
    .doc("The models whose networks are counted.");

/// The heads that a metric of networks is about.
pub const COUNTED_HEADS: Key<List<Text>> = Key::list("heads", Text("the name of a head"))
    .optional("none")
    .doc("The heads that are counted, without the networks before them.");

/// The classes that counted heads tell apart.
pub const COUNTED_CLASSES: Key<Count> = Key::count("classes", 2..=1_000_000)
    .optional("as many as the dataset has")
    .doc("Counts the heads as if they told so many classes apart.");

/// What a metric reads. `check` and the planner go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// The predictions of heads, each by itself. Key: `of`, names of heads.
    Predictions,
    /// The same, with the logits of every predicted sample. Their heads have `logits = true`.
    Logits,
    /// The same, and the logits of the samples that `holdout` keeps out of training. Their heads have that key too.
    HeldOutLogits,
    /// Sets of features, each by itself. Key: `of`, names of extractions.
    Features,
    /// Pairs of sets of features of the same images. Keys: `left` and `right`, names of extractions.
    FeaturePairs,
    /// Networks and heads themselves, whatever they were trained on. Keys: `of`, names of models, `heads`, names of heads, and `classes`.
    Networks,
    /// Sets of features of generated images, each with one of reference images: other images, features made in the same way. Keys: `of` and
    /// `reference`, names of extractions.
    Distributions,
    /// The same, or moments out of a file in place of the reference. Key: `statistics`.
    DistributionsOrMoments,
}

impl Reads {
    /// The keys that say what is read, for the declarations of kinds.
    pub const fn keys(self) -> Keys {
        match self {
            Self::Predictions | Self::Logits | Self::HeldOutLogits => &[&HEADS, &CHOOSE],
            Self::Features => &[&EXTRACTIONS, &SPLIT],
            Self::FeaturePairs => &[&LEFT, &RIGHT, &SPLIT],
            Self::Networks => &[&MODELS, &COUNTED_HEADS, &COUNTED_CLASSES],
            Self::Distributions => &[&EXTRACTIONS, &REFERENCE, &SPLIT, &REFERENCE_SPLIT],
            Self::DistributionsOrMoments => &[
                &EXTRACTIONS,
                &REFERENCE_OR_FILE,
                &STATISTICS,
                &SPLIT,
                &REFERENCE_SPLIT,
            ],
        }
    }
}

/// Features of the samples of one split, in the order of the dataset's manifest.
pub trait FeatureSource: Sync {
    /// What messages call them, in the plural, such as "the features of extraction `taps` (block 3)".
    fn name(&self) -> String;

    /// How many samples it has, one row each.
    fn rows(&self) -> usize;

    /// Values of one feature.
    fn width(&self) -> usize;

    /// Copies the features of some rows, `[rows, width]`, row-major.
    ///
    /// # Errors
    /// A cache that cannot be read, as a sentence.
    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<(), String>;
}

/// Moments of reference features that somebody else computed.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenMoments {
    /// What messages call them: the path of the file.
    pub name: String,
    /// The digest of the file.
    pub digest: String,
    /// The arrays, row-major: `mu` `[D]` and `sigma` `[D, D]`, `mu_s` and `sigma_s`.
    pub arrays: BTreeMap<&'static str, Vec<f64>>,
}

/// What a metric is given.
#[derive(Clone, Copy)]
pub enum MetricInput<'a> {
    /// One head's predictions, with logits where the metric reads them.
    Predictions(&'a Predictions),
    /// One set of features.
    Features(&'a dyn FeatureSource),
    /// Many pairs at once, so that each set is read as often as the metric needs, and not once for each of its pairs.
    Pairs {
        /// The sets, all of the same samples.
        sets: &'a [&'a dyn FeatureSource],
        /// Left and right, as indices into `sets`.
        pairs: &'a [(usize, usize)],
        /// Whether to continue; asked now and then.
        keep_going: &'a (dyn Fn() -> bool + Sync),
    },
    /// One network or head.
    Network {
        /// How many numbers its parameters have, over all tensors; of a head, those that are trained.
        parameters: u64,
    },
    /// Sets of features of generated images, and what they are compared with.
    Distributions {
        /// The sets, of whatever samples.
        sets: &'a [&'a dyn FeatureSource],
        /// Generated and reference, as indices into `sets`.
        pairs: &'a [(usize, usize)],
        /// Whether to continue; asked now and then.
        keep_going: &'a (dyn Fn() -> bool + Sync),
    },
    /// Sets of features of generated images, and moments that each is compared with.
    AgainstMoments {
        /// The sets.
        sets: &'a [&'a dyn FeatureSource],
        /// The reference.
        reference: &'a GivenMoments,
        /// Whether to continue; asked now and then.
        keep_going: &'a (dyn Fn() -> bool + Sync),
    },
}

/// Why a metric has no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// What it reads cannot be read, or has no such metric, as a sentence.
    #[error("{0}")]
    Input(String),
    /// Ended early because the user asked for it; not a failure.
    #[error("stopped")]
    Stopped,
    /// It was given something other than what it declares to read.
    #[error("internal error: a metric was given what it does not read; this is a bug in repro")]
    Bug,
}

/// One value that a metric gives for each item that it scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name in the results, such as `top1`.
    pub name: String,
    /// `fraction` for values in [0, 1].
    pub unit: &'static str,
    /// Which values are better.
    pub better: Better,
    /// The axes that tell several values for one item apart, such as `class`; none where there is one value.
    pub axes: &'static [&'static str],
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Which output it is.
    pub output: Output,
    /// The value, in the output's unit.
    pub value: f64,
    /// The bounds of the value's interval over the scored rows, at the level [`CONFIDENCE`](crate::statistics::CONFIDENCE), in the same unit: Wilson's for
    /// a share; `None` for a metric without one.
    pub interval: Option<[f64; 2]>,
    /// How many rows counted as right, of how many; `None` for a metric that counts nothing.
    pub counted: Option<Counted>,
    /// Where it stands among the values of this output for one item, such as the class that it is of; empty where there is one.
    pub axes: BTreeMap<String, AxisValue>,
}

/// A metric as declared.
pub trait Metric: Send + Sync + Debug {
    /// The name of its kind, as it is typed.
    fn kind(&self) -> &'static str;

    /// Predictions of heads, features, pairs of features, or networks.
    fn reads(&self) -> Reads {
        Reads::Predictions
    }

    /// All that decides its values, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// Names, units and directions of the values that it gives for each item.
    fn outputs(&self) -> Vec<Output>;

    /// Up to how many classes one of its values is the same whatever is predicted, such as 5 for `top5`; `None` for a metric whose values
    /// always depend on predictions.
    fn most_classes(&self) -> Option<u32> {
        None
    }

    /// The scores of each item of the input: one for predictions, for a set of features and for a network, one for each pair. Every row is
    /// scored; nothing is left out.
    ///
    /// # Errors
    /// See [`MetricError`].
    fn evaluate(&self, input: MetricInput<'_>) -> Result<Vec<Vec<Score>>, MetricError>;

    /// One score for each predicted row, in their order, whose mean is the value of an output: what differences of two heads are paired by.
    /// `None` where the metric has no such output, or an output that is not a mean over rows, or reads something else than predictions.
    fn per_sample(&self, predictions: &Predictions, output: &str) -> Option<Vec<f64>> {
        let _ = (predictions, output);
        None
    }
}
