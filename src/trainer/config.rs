//! How a head is trained: the keys that every head kind shares.
//!
//! # Reference
//! arXiv 2307.08702 §4: Adam, 28 epochs, the learning rate multiplied by 0.1 every 8 epochs, cross entropy. Learning rate and
//! batch size are not printed in the paper; the values here are declared, stand in the fingerprint, and the report lists them
//! as departures.

use serde::Serialize;

use crate::spec::{Fields, Key};

const FEATURES: Key = Key::required(
    "features",
    "the name of an extraction",
    "What the head reads; one head for each of its features.",
);
const TRAIN: Key = Key::optional("train", "a split", "\"train\"", "The split to train on.");
const TEST: Key = Key::optional(
    "test",
    "a split",
    "\"test\"",
    "The split to predict; it decides nothing during training.",
);

/// The keys that every head takes besides its own, if it is trained in steps.
pub const KEYS: &[Key] = &[
    FEATURES,
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
        "`kind` is `adam` or `adamw`; `lr`, `beta1`, `beta2`, `epsilon`, `weight_decay` (0 by default) as in PyTorch.",
    ),
    Key::optional(
        "schedule",
        "a table",
        "{ kind = \"step\", every = 8, gamma = 0.1 }",
        "`kind` is `step` (multiply by `gamma` after every `every` epochs) or `constant`.",
    ),
    Key::optional(
        "seed",
        "an integer from 0",
        "the experiment's seeds",
        "Initial weights and order of samples.",
    ),
    TRAIN,
    TEST,
];

/// The keys that a head takes besides its own, if it is fitted to all samples at once.
pub const KEYS_WITHOUT_STEPS: &[Key] = &[
    FEATURES,
    Key::optional(
        "seed",
        "an integer from 0",
        "the experiment's seeds",
        "Decides nothing but the name: nothing here is random. One seed is enough.",
    ),
    TRAIN,
    TEST,
];

const OPTIMISER_KEYS: &[Key] = &[
    Key::optional("kind", "a word", "\"adam\"", "`adam` or `adamw`."),
    Key::optional("lr", "a number above 0", "1e-3", "Learning rate."),
    Key::optional(
        "beta1",
        "a number in [0, 1)",
        "0.9",
        "Decay of the first moment.",
    ),
    Key::optional(
        "beta2",
        "a number in [0, 1)",
        "0.999",
        "Decay of the second moment.",
    ),
    Key::optional(
        "epsilon",
        "a number above 0",
        "1e-8",
        "Added to the root of the second moment.",
    ),
    Key::optional(
        "weight_decay",
        "a number from 0",
        "0",
        "With `adam` an L2 penalty added to the gradient, with `adamw` what a weight loses at a learning rate of 1.",
    ),
];

const SCHEDULE_KEYS: &[Key] = &[
    Key::optional("kind", "a word", "\"step\"", "`step` or `constant`."),
    Key::optional("every", "an integer from 1", "8", "Epochs between steps."),
    Key::optional("gamma", "a number above 0", "0.1", "The factor of a step."),
];

/// How moments and weight decay make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateRule {
    /// Kingma and Ba 2015; weight decay is an L2 penalty added to the gradient.
    Adam,
    /// Loshchilov and Hutter 2019: weight decay does not pass through the moments.
    AdamW,
}

/// The optimiser with all its numbers; the defaults are PyTorch's, but for no weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Optimiser {
    /// The update rule.
    pub kind: UpdateRule,
    /// Learning rate, above 0.
    pub lr: f64,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// The L2 penalty of [`UpdateRule::Adam`], or the share of a weight that a step of [`UpdateRule::AdamW`] takes away,
    /// divided by the learning rate; from 0.
    pub weight_decay: f64,
}

impl Default for Optimiser {
    fn default() -> Self {
        Self {
            kind: UpdateRule::Adam,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// How the learning rate changes from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Schedule {
    /// Multiply by `gamma` after every `every` epochs.
    Step {
        /// Epochs between steps.
        every: u32,
        /// The factor.
        gamma: f64,
    },
    /// Never changes.
    Constant,
}

/// All that decides how a head is trained, besides its form, its features and its seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Training {
    /// Passes over the training split.
    pub epochs: u32,
    /// Samples per step.
    pub batch_size: u32,
    /// The update rule.
    pub optimiser: Optimiser,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// The split to train on.
    pub train_split: String,
    /// The split to predict.
    pub test_split: String,
}

impl Schedule {
    /// The factor on the learning rate in an epoch, counted from 0.
    pub fn factor(&self, epoch: u32) -> f64 {
        match self {
            Self::Step { every, gamma } => {
                gamma.powi(i32::try_from(epoch / every).unwrap_or(i32::MAX))
            }
            Self::Constant => 1.0,
        }
    }
}

impl Training {
    /// Reads the shared keys of a head's table.
    pub fn parse(fields: &Fields<'_>) -> Self {
        Self {
            epochs: fields.count("epochs", 1..=100_000).unwrap_or(28),
            batch_size: fields.count("batch_size", 1..=1_000_000).unwrap_or(256),
            optimiser: parse_optimiser(fields, Optimiser::default()),
            schedule: parse_schedule(fields),
            train_split: fields
                .text("train")
                .map_or_else(|| "train".to_owned(), |split| split.value),
            test_split: fields
                .text("test")
                .map_or_else(|| "test".to_owned(), |split| split.value),
        }
    }
}

/// Reads the key `optimizer`; what is not given is taken from `default`.
pub(super) fn parse_optimiser(fields: &Fields<'_>, default: Optimiser) -> Optimiser {
    let table = fields.table("optimizer");
    if let Some(table) = &table {
        table.check_keys(OPTIMISER_KEYS, &[]);
    }
    let rules = [("adam", UpdateRule::Adam), ("adamw", UpdateRule::AdamW)];
    let kind = table
        .as_ref()
        .and_then(|table| table.choice("kind", &rules));
    let number = |key: &str, range, default| {
        table
            .as_ref()
            .and_then(|table| table.number(key, range))
            .unwrap_or(default)
    };
    let below_one = 1.0 - f64::EPSILON;
    Optimiser {
        kind: kind.unwrap_or(default.kind),
        lr: number("lr", f64::MIN_POSITIVE..=1e6, default.lr),
        beta1: number("beta1", 0.0..=below_one, default.beta1),
        beta2: number("beta2", 0.0..=below_one, default.beta2),
        epsilon: number("epsilon", f64::MIN_POSITIVE..=1.0, default.epsilon),
        weight_decay: number("weight_decay", 0.0..=1e6, default.weight_decay),
    }
}

fn parse_schedule(fields: &Fields<'_>) -> Schedule {
    let Some(table) = fields.table("schedule") else {
        return Schedule::Step {
            every: 8,
            gamma: 0.1,
        };
    };
    table.check_keys(SCHEDULE_KEYS, &[]);
    let every = table.count("every", 1..=100_000).unwrap_or(8);
    let gamma = table
        .number("gamma", f64::MIN_POSITIVE..=1e3)
        .unwrap_or(0.1);
    match table.choice("kind", &[("step", true), ("constant", false)]) {
        Some(false) => Schedule::Constant,
        _ => Schedule::Step { every, gamma },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_schedule_steps_every_eight_epochs() {
        let schedule = Schedule::Step {
            every: 8,
            gamma: 0.1,
        };
        let factors: Vec<f64> = [0, 7, 8, 15, 16, 27]
            .iter()
            .map(|&epoch| schedule.factor(epoch))
            .collect();
        for (factor, wanted) in factors.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.001]) {
            assert!((factor - wanted).abs() < 1e-12);
        }
    }
}
