//! How a head is trained: the keys that every head kind shares.
//!
//! # Reference
//! arXiv 2307.08702 §4: Adam, 28 epochs, the learning rate multiplied by 0.1 every 8 epochs, cross entropy. Learning rate and
//! batch size are not printed in the paper; the values here are declared, stand in the fingerprint, and the report lists them
//! as deviations.

mod fine_tuning;
pub mod optimizer;
mod schedule;

use serde::Serialize;

use crate::models::Precision;
use crate::spec::{
    Boolean, Choice, Count, Fields, Key, Keys, KindDoc, List, Nested, Number, Seed, Text,
};

pub use fine_tuning::FineTuning;
pub use optimizer::{Optimizer, UpdateRule};
pub use schedule::{Decay, Progress, Schedule};

/// The features that a head reads.
pub const FEATURES: Key<Text> = Key::text("features", "the name of an extraction")
    .doc("What the head reads; one head for each of its features.");
/// The extractions whose features are joined to those of [`FEATURES`].
pub const CONCAT: Key<List<Text>> = Key::list("concat", Text("the name of an extraction"))
    .default(&[])
    .doc("More extractions of the same images, all of whose features stand behind those of `features`, so that one head reads several timesteps, blocks or draws. Maps of one size are joined by channels, others as vectors.");
/// Seed of initial weights and of the order of samples.
pub const SEED: Key<Seed> = Key::seed("seed")
    .optional("the experiment's seeds")
    .doc("Initial weights and order of samples.");
/// The seed of a head in which nothing but the validation split is random.
const SEED_WITHOUT_STEPS: Key<Seed> =
    SEED.doc("Which samples are the validation split, with `holdout`; nothing else here is random, and without it one seed is enough.");
/// How the network is trained as well.
pub const FINE_TUNE: Key<Nested> = Key::table("fine_tune", &fine_tuning::DOC)
    .optional("none")
    .doc("Train the network as well, such as `{ lr = 1e-5 }`. Every epoch sees fresh noise and fresh random steps of `preprocess`; no features are cached.");
const VIEWS: Key<Choice<Views>> = Key::choice(
    "views",
    &[
        ("apart", Views::Apart),
        ("mixed", Views::Mixed),
        ("in-turn", Views::InTurn),
    ],
)
.default(Views::Apart)
.doc("What becomes of features that differ only in view and draw: a head for each (`apart`), or one head that sees one of them of each image in an epoch, by chance (`mixed`) or one after the other (`in-turn`). It predicts from the first.");
const ONLINE: Key<Boolean> = Key::boolean("online").default(false).doc(
    "Recompute the features in every epoch, with fresh noise and fresh random steps of `preprocess`, instead of reading them from the cache: the reference code's protocol. Epoch e, from 0, sees draw + e; predictions are from the cached features.",
);
const EPOCHS: Key<Count> = Key::count("epochs", 1..=100_000)
    .default(28)
    .doc("Passes over the training split.");
const BATCH_SIZE: Key<Count> = Key::count("batch_size", 1..=1_000_000)
    .default(256)
    .doc("Samples of a step, at most: an epoch is cut into as few steps as that allows, of equal size but for one sample.");
const OPTIMIZER: Key<Nested> = Key::table("optimizer", &optimizer::DOC)
    .or_empty()
    .doc("How gradients make a step.");
const SCHEDULE: Key<Nested> = Key::table("schedule", &schedule::DOC)
    .or_empty()
    .doc("The learning rate over the epochs.");
const LABEL_SMOOTHING: Key<Number> = Key::number("label_smoothing", Number::from(0.0).below(1.0))
    .default(0.0)
    .doc("The share of each target that all classes share.");
const CLASS_WEIGHTS: Key<Choice<ClassWeights>> = Key::choice(
    "class_weights",
    &[
        ("equal", ClassWeights::Equal),
        ("balanced", ClassWeights::Balanced),
    ],
)
.default(ClassWeights::Equal)
.doc("`balanced` weighs a sample by how rare its class is in the training split.");
const CLIP: Key<Number> = Key::number("clip", Number::above(0.0).to(1e9))
    .optional("none")
    .doc("The maximum gradient norm over all parameters; longer gradients are shortened to it.");
const HOLDOUT: Key<Number> = Key::number("holdout", Number::from(0.0).to(0.5))
    .default(0.0)
    .doc("The share of each class of the training split that is not trained on, but scored after every epoch, to choose by.");
/// The same for a head that has no epochs.
const HOLDOUT_WITHOUT_STEPS: Key<Number> = HOLDOUT.doc(
    "The share of each class of the training split that the head is not fitted to, but scored on, to choose by.",
);
/// Whether a head that reads vectors standardizes them.
pub const STANDARDIZE: Key<Boolean> = Key::boolean("standardize").default(false).doc(
    "Train on standardized features: each value less its mean over the training samples, divided by its standard deviation there. The stored head takes features as they are.",
);
const PATIENCE: Key<Count> = Key::count("patience", 1..=100_000)
    .optional("none")
    .doc("Stop after so many epochs without a better loss on the validation split, and keep the best epoch's weights; needs `holdout`.");
const PRECISION: Key<Choice<Precision>> = Key::choice(
    "precision",
    &[("f32", Precision::F32), ("bf16", Precision::Bf16)],
)
.default(Precision::F32)
.doc("What the forward and backward passes compute in; weights and optimizer stay `f32`.");
const LOGITS: Key<Boolean> = Key::boolean("logits")
    .default(false)
    .doc("Keep the logits of every predicted sample and class, beside the predictions, and those of the samples that `holdout` keeps out.");
/// The split that a head is trained on.
pub const TRAIN: Key<Text> = Key::text("train", "a split")
    .default("train")
    .doc("The split to train on.");
/// The split that a head predicts.
pub const TEST: Key<Text> = Key::text("test", "a split")
    .default("test")
    .doc("The split to predict; it decides nothing during training.");

/// Over how many draws of the noise predictions are averaged.
pub const TEST_DRAWS: Key<Count> = Key::count("test_draws", 1..=1000).default(1).doc(
    "From how many draws of the noise a test image is predicted. They are the extraction's `draw` and those after it; `test_average` says what is averaged.",
);
const TEST_AVERAGE: Key<Choice<TestAverage>> = Key::choice(
    "test_average",
    &[
        ("logits", TestAverage::Logits),
        ("features", TestAverage::Features),
    ],
)
.default(TestAverage::Logits)
.doc("What the mean over `test_draws` is taken of: the logits of each draw, or the features, which are then read once. For a head without a hidden layer both are the same but for rounding.");

/// The keys that a head takes besides its own, if it is fitted full-batch.
pub const KEYS_WITHOUT_STEPS: Keys = &[
    &FEATURES,
    &CONCAT,
    &HOLDOUT_WITHOUT_STEPS,
    &LOGITS,
    &SEED_WITHOUT_STEPS,
    &TRAIN,
    &TEST,
    &TEST_DRAWS,
    &TEST_AVERAGE,
];

/// The keys that every head takes besides its own, if it is trained in steps.
pub const KEYS: Keys = &[
    &FEATURES,
    &CONCAT,
    &VIEWS,
    &ONLINE,
    &FINE_TUNE,
    &EPOCHS,
    &BATCH_SIZE,
    &OPTIMIZER,
    &SCHEDULE,
    &LABEL_SMOOTHING,
    &CLASS_WEIGHTS,
    &CLIP,
    &HOLDOUT,
    &PATIENCE,
    &PRECISION,
    &LOGITS,
    &SEED,
    &TRAIN,
    &TEST,
    &TEST_DRAWS,
    &TEST_AVERAGE,
];

/// [`KEYS`] as the reference lists them, once for all heads.
pub const TRAINING: KindDoc = KindDoc {
    name: "training",
    summary: "How a head is trained that is trained in steps: keys that all such kinds share.",
    keys: KEYS,
    shared: &[],
};

/// The tables that are values of these keys.
pub const TABLES: &[&KindDoc] = &[&optimizer::DOC, &schedule::DOC, &fine_tuning::DOC];

/// What a sample weighs in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every sample weighs 1.
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

/// What is averaged over several draws of a test image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestAverage {
    /// The logits of each.
    Logits,
    /// The features, of which logits are then computed once.
    Features,
}

impl TestAverage {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over references"
    )]
    fn is_of_logits(&self) -> bool {
        *self == Self::Logits
    }
}

/// All that decides how a head is trained, besides its form, its features and its seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// What becomes of views and draws.
    pub views: Views,
    /// Whether features are recomputed in every epoch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub online: bool,
    /// How the network is trained as well, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tune: Option<FineTuning>,
    /// Passes over the training split.
    pub epochs: u32,
    /// Samples per step.
    pub batch_size: u32,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// The learning rate's decay and warm-up.
    pub schedule: Schedule,
    /// The share of each target that all classes share, in `[0, 1)`.
    pub label_smoothing: f64,
    /// What a sample weighs in the loss.
    pub class_weights: ClassWeights,
    /// Maximum norm of the gradient of all parameters, above 0; a longer one is scaled down to it.
    pub clip: Option<f64>,
    /// The share of each class of the training split that becomes the validation split, in `[0, 0.5]`.
    pub holdout: f64,
    /// Epochs without a better loss on the validation split after which training stops.
    pub patience: Option<u32>,
    /// What forward and backward compute in.
    pub precision: Precision,
    /// Whether logits are kept.
    pub logits: bool,
    /// Name of the split to train on.
    pub train_split: String,
    /// Name of the split to predict.
    pub test_split: String,
    /// Over how many draws of the noise predictions are averaged, at least 1; recorded where it is more.
    #[serde(skip_serializing_if = "is_one")]
    pub test_draws: u32,
    /// What is averaged over these draws; [`TestAverage::Logits`] where there is one.
    #[serde(skip_serializing_if = "TestAverage::is_of_logits")]
    pub test_average: TestAverage,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_one(number: &u32) -> bool {
    *number == 1
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
            optimizer: Optimizer::default(),
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
            test_draws: 1,
            test_average: TestAverage::Logits,
        }
    }
}

impl Training {
    /// Reads the shared keys of a head's table; those that it does not have keep their defaults.
    pub fn parse(fields: &Fields<'_>) -> Option<Self> {
        let holdout = fields.get(&HOLDOUT)?;
        let patience = fields.get(&PATIENCE);
        if patience.is_some() && holdout == 0.0 {
            fields.invalid(
                PATIENCE.name,
                "graph::no-holdout",
                "`patience` has nothing to judge an epoch by",
                Some("hold samples out of the training split, such as `holdout = 0.1`".to_owned()),
            );
        }
        let fine_tune = fields.get(&FINE_TUNE);
        let fine_tune = fine_tune.and_then(|table| FineTuning::parse(&table));
        if fine_tune.is_some() && patience.is_some() {
            fields.invalid(
                PATIENCE.name,
                "graph::fine-tuning-misfit",
                "`patience` would need a second network to go back to",
                Some("choose `epochs` by `holdout`, or leave `fine_tune` out".to_owned()),
            );
        }
        let optimizer = fields.get(&OPTIMIZER)?;
        let optimizer = Optimizer::parse(&optimizer, &optimizer::KIND, &optimizer::LR)?;
        let schedule = Schedule::parse(&fields.get(&SCHEDULE)?)?;
        let test_draws = fields.get(&TEST_DRAWS)?;
        let test_average = match fields.get(&TEST_AVERAGE)? {
            // One draw is its own mean, and one head.
            _ if test_draws == 1 => TestAverage::Logits,
            chosen => chosen,
        };
        Some(Self {
            views: fields.get(&VIEWS)?,
            // A network that changes has no features to read from the cache.
            online: fields.get(&ONLINE)? && fine_tune.is_none(),
            fine_tune,
            epochs: fields.get(&EPOCHS)?,
            batch_size: fields.get(&BATCH_SIZE)?,
            optimizer,
            schedule,
            label_smoothing: fields.get(&LABEL_SMOOTHING)?,
            class_weights: fields.get(&CLASS_WEIGHTS)?,
            clip: fields.get(&CLIP),
            holdout,
            patience,
            precision: fields.get(&PRECISION)?,
            logits: fields.get(&LOGITS)?,
            train_split: fields.get(&TRAIN)?,
            test_split: fields.get(&TEST)?,
            test_draws,
            test_average,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::spec::{AnyKey, Diagnostics, Source, Span, Table, tree};

    /// Reads a head's table, which has to be free of errors.
    fn parse(text: &str) -> Training {
        let source = Source::new("head.toml", text);
        let diagnostics = RefCell::new(Diagnostics::new(source.clone()));
        let table: Table = tree::parse(&source, &mut diagnostics.borrow_mut());
        let training = Training::parse(&Fields::new(
            &table,
            "the head",
            Span::default(),
            &diagnostics,
        ));
        assert!(diagnostics.borrow().is_empty());
        training.unwrap()
    }

    #[test]
    fn declared_defaults_are_those_of_the_type() {
        assert_eq!(parse(""), Training::default());
        assert_eq!(parse("optimizer = {}\nschedule = {}"), Training::default());
        // What the declarations show for an absent table is made from the declarations of its keys.
        let shown = [OPTIMIZER.describe(), SCHEDULE.describe()].map(|key| {
            let default = key.default.unwrap_or_default();
            format!("{} = {default}", key.name)
        });
        assert_eq!(shown[0], "optimizer = { kind = \"adam\", lr = 0.001 }");
        assert_eq!(parse(&shown.join("\n")), Training::default());
    }
}
