//! How a head is trained: the keys that every head kind shares.
//!
//! # Reference
//! arXiv 2307.08702 §4: Adam, 28 epochs, the learning rate multiplied by 0.1 every 8 epochs, cross entropy. Learning rate and
//! batch size are not printed in the paper; the values here are declared, stand in the fingerprint, and the report lists them
//! as departures.

mod fine_tuning;
mod optimiser;
mod schedule;

use serde::Serialize;

use crate::models::Precision;
use crate::spec::{Fields, Key};

pub use fine_tuning::FineTuning;
pub use optimiser::{Optimiser, UpdateRule};
pub use schedule::{Course, Moment, Schedule};

const FEATURES: Key = Key::required(
    "features",
    "the name of an extraction",
    "What the head reads; one head for each of its features.",
);
const LOGITS: Key = Key::optional(
    "logits",
    "a boolean",
    "false",
    "Keep the logits of every predicted sample and class, beside the predictions.",
);
const TRAIN: Key = Key::optional("train", "a split", "\"train\"", "The split to train on.");
const TEST: Key = Key::optional(
    "test",
    "a split",
    "\"test\"",
    "The split to predict; it decides nothing during training.",
);

/// The keys that a head takes besides its own, if it is fitted to all samples at once.
pub const KEYS_WITHOUT_STEPS: &[Key] = &[
    FEATURES,
    LOGITS,
    Key::optional(
        "seed",
        "an integer from 0",
        "the experiment's seeds",
        "Decides nothing but the name: nothing here is random. One seed is enough.",
    ),
    TRAIN,
    TEST,
];

/// The keys that every head takes besides its own, if it is trained in steps.
pub const KEYS: &[Key] = &[
    FEATURES,
    Key::optional(
        "views",
        "`apart`, `mixed` or `in-turn`",
        "\"apart\"",
        "What becomes of features that differ only in view and draw: a head for each (`apart`), or one head that sees one of them of each image in an epoch, by chance (`mixed`) or one after the other (`in-turn`). It predicts from the first.",
    ),
    Key::optional(
        "online",
        "a boolean",
        "false",
        "Compute the features anew in every epoch, with fresh noise and fresh random steps of `preprocess`, instead of reading them from the cache: the reference code's protocol. Epoch e, from 0, sees draw + e; predictions are from the cached features.",
    ),
    Key::optional(
        "fine_tune",
        "a table",
        "none",
        "Train the network as well: `{ lr = 1e-5 }`, with the keys of `optimizer`, and `recompute` (true by default) to keep few maps in memory. Every epoch sees fresh noise and fresh random steps of `preprocess`; no features are cached.",
    ),
    Key::optional(
        "epochs",
        "an integer from 1",
        "28",
        "Passes over the training split.",
    ),
    Key::optional(
        "batch_size",
        "an integer from 1",
        "256",
        "Samples per step; the last step of an epoch takes what is left.",
    ),
    Key::optional(
        "optimizer",
        "a table",
        "{ kind = \"adam\", lr = 1e-3 }",
        "`kind` is `adam`, `adamw`, `sgd` or `lars`; `lr`, `beta1`, `beta2`, `epsilon`, `momentum`, `trust`, `weight_decay` (0 by default) as in PyTorch.",
    ),
    Key::optional(
        "schedule",
        "a table",
        "{ kind = \"step\", every = 8, gamma = 0.1 }",
        "`kind` is `step` (multiply by `gamma` after every `every` epochs), `cosine` or `constant`; `warmup` is a number of epochs.",
    ),
    Key::optional(
        "label_smoothing",
        "a number in [0, 1)",
        "0",
        "The share of each target that all classes share.",
    ),
    Key::optional(
        "class_weights",
        "`equal` or `balanced`",
        "\"equal\"",
        "`balanced` weighs a sample by how rare its class is in the training split.",
    ),
    Key::optional(
        "clip",
        "a number above 0",
        "none",
        "The longest that the gradient of all parameters may be; longer ones are shortened.",
    ),
    Key::optional(
        "holdout",
        "a number in [0, 0.5]",
        "0",
        "The share of each class of the training split that is not trained on, but scored after every epoch, to choose by.",
    ),
    Key::optional(
        "patience",
        "an integer from 1",
        "none",
        "Stop after so many epochs without a better loss on the held-out samples, and keep the best epoch's weights; needs `holdout`.",
    ),
    Key::optional(
        "precision",
        "`f32` or `bf16`",
        "\"f32\"",
        "What forward and backward compute in; weights and optimiser stay `f32`.",
    ),
    LOGITS,
    Key::optional(
        "seed",
        "an integer from 0",
        "the experiment's seeds",
        "Initial weights and order of samples.",
    ),
    TRAIN,
    TEST,
];

/// What a sample weighs in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// All the same.
    Equal,
    /// N / (K × samples of its class), over what is trained on.
    Balanced,
}

/// How features that differ only in view and draw become heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// A head for each.
    Apart,
    /// One head; an epoch sees one of them of each image, by chance.
    Mixed,
    /// One head; each epoch sees the next of them of every image, and after the last the first again.
    InTurn,
}

/// All that decides how a head is trained, besides its form, its features and its seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// What becomes of views and draws.
    pub views: Views,
    /// Whether features are computed anew in every epoch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub online: bool,
    /// How the network is trained as well, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tune: Option<FineTuning>,
    /// Passes over the training split.
    pub epochs: u32,
    /// Samples per step.
    pub batch_size: u32,
    /// The update rule.
    pub optimiser: Optimiser,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// The share of each target that all classes share, in `[0, 1)`.
    pub label_smoothing: f64,
    /// What a sample weighs in the loss.
    pub class_weights: ClassWeights,
    /// The longest that the gradient of all parameters may be.
    pub clip: Option<f64>,
    /// The share of each class that is held out of the training split, in `[0, 0.5]`.
    pub holdout: f64,
    /// Epochs without a better loss on the held-out samples after which training stops.
    pub patience: Option<u32>,
    /// What forward and backward compute in.
    pub precision: Precision,
    /// Whether logits are kept.
    pub logits: bool,
    /// The split to train on.
    pub train_split: String,
    /// The split to predict.
    pub test_split: String,
}

impl Default for Training {
    /// The paper's, as far as it states them.
    fn default() -> Self {
        Self {
            views: Views::Apart,
            online: false,
            fine_tune: None,
            epochs: 28,
            batch_size: 256,
            optimiser: Optimiser::default(),
            schedule: Schedule::default(),
            label_smoothing: 0.0,
            class_weights: ClassWeights::Equal,
            clip: None,
            holdout: 0.0,
            patience: None,
            precision: Precision::F32,
            logits: false,
            train_split: "train".to_owned(),
            test_split: "test".to_owned(),
        }
    }
}

impl Training {
    /// Reads the shared keys of a head's table.
    pub fn parse(fields: &Fields<'_>) -> Self {
        let default = Self::default();
        let views = [
            ("apart", Views::Apart),
            ("mixed", Views::Mixed),
            ("in-turn", Views::InTurn),
        ];
        let weights = [
            ("equal", ClassWeights::Equal),
            ("balanced", ClassWeights::Balanced),
        ];
        let holdout = fields.number("holdout", 0.0..=0.5).unwrap_or(0.0);
        let patience = fields.count("patience", 1..=100_000);
        if patience.is_some() && holdout == 0.0 {
            fields.misfit(
                "patience",
                "graph::no-holdout",
                "`patience` has nothing to judge an epoch by",
                Some("hold samples out of the training split, such as `holdout = 0.1`".to_owned()),
            );
        }
        let fine_tune = FineTuning::parse(fields);
        let online = fields.boolean("online").unwrap_or(false);
        if fine_tune.is_some() && patience.is_some() {
            fields.misfit(
                "patience",
                "graph::fine-tuning-misfit",
                "`patience` would need a second network to go back to",
                Some("choose `epochs` by `holdout`, or leave `fine_tune` out".to_owned()),
            );
        }
        let precisions = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
        let split =
            |key: &str, default: String| fields.text(key).map_or(default, |split| split.value);
        Self {
            views: fields.choice("views", &views).unwrap_or(default.views),
            // A network that changes has no features to read from the cache.
            online: online && fine_tune.is_none(),
            fine_tune,
            epochs: fields
                .count("epochs", 1..=100_000)
                .unwrap_or(default.epochs),
            batch_size: fields
                .count("batch_size", 1..=1_000_000)
                .unwrap_or(default.batch_size),
            optimiser: Optimiser::parse(fields, default.optimiser),
            schedule: Schedule::parse(fields),
            label_smoothing: fields
                .number("label_smoothing", 0.0..=1.0 - f64::EPSILON)
                .unwrap_or(default.label_smoothing),
            class_weights: fields
                .choice("class_weights", &weights)
                .unwrap_or(default.class_weights),
            clip: fields.number("clip", f64::MIN_POSITIVE..=1e9),
            holdout,
            patience,
            precision: fields
                .choice("precision", &precisions)
                .unwrap_or(default.precision),
            logits: fields.boolean("logits").unwrap_or(default.logits),
            train_split: split("train", default.train_split),
            test_split: split("test", default.test_split),
        }
    }
}
