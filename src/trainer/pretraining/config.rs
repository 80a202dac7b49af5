//! How a diffusion network is trained: the keys of `[pretrain.*]` that decide it.
//!
//! # Reference
//! Dhariwal and Nichol 2021 (arXiv 2105.05233), appendix, and openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:
//! guided_diffusion/train_util.py (`TrainLoop`), scripts/image_train.py (defaults): AdamW without weight decay at a learning rate
//! of 1e-4, average of the parameters at 0.9999, timesteps drawn uniformly.
//!
//! # Deviations
//! A linear warm-up and a bound on the length of gradients can be asked for; upstream has neither.

use serde::Serialize;

use crate::diffusion::PUBLISHED_LAMBDA;
#[cfg(feature = "torch")]
use crate::diffusion::losses::Objective;
use crate::models::Precision;
use crate::spec::{Fields, Key};
use crate::trainer::config::{Optimiser, UpdateRule};

/// Steps between two points of the loss curve.
pub const POINT_EVERY: u32 = 10;

/// The most steps of a training.
const MOST_STEPS: u32 = 10_000_000;

/// The keys of `[pretrain.*]` that decide the training itself.
pub const KEYS: &[Key] = &[
    Key::required(
        "steps",
        "an integer from 1",
        "Steps of the optimiser. More of them go on from where fewer ended.",
    ),
    Key::optional("batch_size", "an integer from 1", "128", "Images per step."),
    Key::optional(
        "optimizer",
        "a table",
        "{ kind = \"adamw\", lr = 1e-4 }",
        "As in `[head.*]`.",
    ),
    Key::optional(
        "warmup",
        "an integer from 0",
        "0",
        "Steps in which the learning rate rises linearly to its full value.",
    ),
    Key::optional(
        "average",
        "a number in [0, 1]",
        "0.9999",
        "The share of the averaged parameters that stays at a step. The average is what extractions read.",
    ),
    Key::optional(
        "loss",
        "`simple`, `hybrid` or `bound`",
        "`hybrid` where the network predicts a variance, else `simple`",
        "`simple` is the mean square of what is wrong in the predicted noise (Eq. 4 of the paper), `bound` the variational bound, `hybrid` both, of which only the variance learns from the bound.",
    ),
    Key::optional(
        "lambda",
        "a number from 0",
        "0.001",
        "How much the bound counts in `hybrid`.",
    ),
    Key::optional(
        "timesteps",
        "`uniform` or `loss-aware`",
        "\"uniform\"",
        "Which timesteps are trained more often: none, or those with a large loss.",
    ),
    Key::optional(
        "flip",
        "a boolean",
        "true",
        "Whether half of the images are mirrored, by chance.",
    ),
    Key::optional(
        "clip",
        "a number above 0",
        "none",
        "The longest gradient; longer ones are shortened to it.",
    ),
    Key::optional(
        "precision",
        "`f32` or `bf16`",
        "\"f32\"",
        "What convolutions compute in. Parameters, their averages and the loss are 32-bit floats.",
    ),
    Key::optional(
        "seed",
        "an integer from 0",
        "0",
        "Initial parameters, order of images, mirror images, timesteps and noise.",
    ),
];

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Loss {
    /// `L_simple`.
    Simple,
    /// `L_hybrid`.
    Hybrid {
        /// The weight of the bound.
        lambda: f64,
    },
    /// `L_vlb`.
    Bound,
}

/// At which timesteps it is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timesteps {
    /// All alike.
    Uniform,
    /// Those with a large loss more often.
    LossAware,
}

/// All that decides a training, besides network and images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pretraining {
    /// Steps of the optimiser.
    pub steps: u32,
    /// Images per step.
    pub batch_size: u32,
    /// The update rule.
    pub optimiser: Optimiser,
    /// Steps in which the learning rate rises.
    pub warmup: u32,
    /// The share of the average that stays at a step.
    pub average: f64,
    /// What is minimised.
    pub loss: Loss,
    /// At which timesteps.
    pub timesteps: Timesteps,
    /// Whether images are mirrored by chance.
    pub flip: bool,
    /// The longest gradient.
    pub clip: Option<f64>,
    /// What convolutions compute in.
    pub precision: Precision,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

impl Loss {
    /// As the models know it.
    #[cfg(feature = "torch")]
    pub fn objective(self) -> Objective {
        match self {
            Self::Simple => Objective::Simple,
            Self::Hybrid { lambda } => Objective::Hybrid { lambda },
            Self::Bound => Objective::Bound,
        }
    }

    /// The word that users type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Hybrid { .. } => "hybrid",
            Self::Bound => "bound",
        }
    }
}

impl Pretraining {
    /// Reads the keys; `learns_variance` says whether the network predicts a variance.
    pub fn parse(fields: &Fields<'_>, learns_variance: bool) -> Option<Self> {
        let rules = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
        let timesteps = [
            ("uniform", Timesteps::Uniform),
            ("loss-aware", Timesteps::LossAware),
        ];
        let default = Optimiser {
            kind: UpdateRule::AdamW,
            lr: 1e-4,
            ..Optimiser::default()
        };
        let steps = fields.count("steps", 1..=MOST_STEPS);
        let pretraining = Self {
            steps: steps.unwrap_or(1),
            batch_size: fields.count("batch_size", 1..=1_000_000).unwrap_or(128),
            optimiser: Optimiser::parse(fields, default),
            warmup: fields.count("warmup", 0..=MOST_STEPS).unwrap_or(0),
            average: fields.number("average", 0.0..=1.0).unwrap_or(0.9999),
            loss: parse_loss(fields, learns_variance),
            timesteps: fields
                .choice("timesteps", &timesteps)
                .unwrap_or(Timesteps::Uniform),
            flip: !fields.has("flip") || fields.boolean("flip").unwrap_or(true),
            clip: fields.number("clip", f64::MIN_POSITIVE..=1e9),
            precision: fields.choice("precision", &rules).unwrap_or(Precision::F32),
            seed: fields.seed("seed").unwrap_or(0),
        };
        fields.is_sound().then_some(pretraining)
    }

    /// The factor on the learning rate at a step, counted from 0.
    pub fn warmth(&self, step: u32) -> f64 {
        if step >= self.warmup {
            1.0
        } else {
            f64::from(step + 1) / f64::from(self.warmup)
        }
    }
}

fn parse_loss(fields: &Fields<'_>, learns_variance: bool) -> Loss {
    let choices = [("simple", 0), ("hybrid", 1), ("bound", 2)];
    let chosen = fields.choice("loss", &choices);
    let lambda = fields.number("lambda", 0.0..=1e6);
    let which = chosen.unwrap_or(i32::from(learns_variance));
    if which > 0 && !learns_variance {
        let message = format!(
            "the network of {} predicts no variance, which this loss trains",
            fields.context()
        );
        let hint = "set `learn_sigma = true` in the model, or `loss = \"simple\"`".to_owned();
        fields.misfit("loss", "graph::model-misfit", message, Some(hint));
    }
    if lambda.is_some() && which != 1 {
        let message = format!("`lambda` of {} counts only in `hybrid`", fields.context());
        let hint = Some("take it out, or set `loss = \"hybrid\"`".to_owned());
        fields.misfit("lambda", "spec::out-of-range", message, hint);
    }
    match which {
        0 => Loss::Simple,
        1 => Loss::Hybrid {
            lambda: lambda.unwrap_or(PUBLISHED_LAMBDA),
        },
        _ => Loss::Bound,
    }
}
