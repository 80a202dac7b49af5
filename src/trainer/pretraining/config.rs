//! How a diffusion network is trained: the keys of `[pretrain.*]` that decide it.
//!
//! # Reference
//! Dhariwal and Nichol 2021 (arXiv 2105.05233), appendix, and openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:
//! guided_diffusion/train_util.py (`TrainLoop`), scripts/image_train.py (defaults): AdamW without weight decay at a learning rate
//! of 1e-4, average of the parameters at 0.9999, timesteps drawn uniformly.
//!
//! # Deviations
//! A linear warm-up and gradient clipping can be asked for; upstream has neither.

use serde::Serialize;

use crate::diffusion::PUBLISHED_LAMBDA;
#[cfg(feature = "torch")]
use crate::diffusion::losses::Objective;
use crate::models::Precision;
use crate::spec::{Boolean, Choice, Count, Fields, Key, Keys, KindDoc, Nested, Number, Seed};
use crate::trainer::config::{Optimizer, UpdateRule, optimizer};

/// Steps between two points of the loss curve.
pub const POINT_EVERY: u32 = 10;

/// The most steps of a training.
const MOST_STEPS: u32 = 10_000_000;

const STEPS: Key<Count> = Key::count("steps", 1..=MOST_STEPS)
    .doc("Steps of the optimizer. A longer training resumes from a shorter one.");
const BATCH_SIZE: Key<Count> = Key::count("batch_size", 1..=1_000_000)
    .default(128)
    .doc("Images per step.");
const KIND: Key<Choice<UpdateRule>> = optimizer::KIND.default(UpdateRule::AdamW);
const LR: Key<Number> = optimizer::LR.default(1e-4);

/// The table `optimizer` of a training.
pub const OPTIMIZER_DOC: KindDoc = KindDoc {
    name: "pretrain.optimizer",
    summary: "How gradients make a step of a diffusion network.",
    keys: &[&KIND, &LR],
    shared: optimizer::OTHER_KEYS,
};

const OPTIMIZER: Key<Nested> = Key::table("optimizer", &OPTIMIZER_DOC)
    .or_empty()
    .doc("How gradients make a step.");
const WARMUP: Key<Count> = Key::count("warmup", 0..=MOST_STEPS)
    .default(0)
    .doc("Steps in which the learning rate rises linearly to its full value.");
const AVERAGE: Key<Number> = Key::number("average", Number::from(0.0).to(1.0))
    .default(0.9999)
    .doc("The share of the averaged parameters that stays at a step. The average is what extractions read.");
const LOSS: Key<Choice<Chosen>> = Key::choice(
    "loss",
    &[
        ("simple", Chosen::Simple),
        ("hybrid", Chosen::Hybrid),
        ("bound", Chosen::Bound),
    ],
)
.optional("`hybrid` where the network predicts a variance, else `simple`")
.doc("`simple` is the mean square of what is wrong in the predicted noise (Eq. 4 of the paper), `bound` the variational bound, `hybrid` both, of which only the variance learns from the bound.");
const LAMBDA: Key<Number> = Key::number("lambda", Number::from(0.0).to(1e6))
    .default(PUBLISHED_LAMBDA)
    .doc("How much the bound counts in `hybrid`.");
const TIMESTEPS: Key<Choice<Timesteps>> = Key::choice(
    "timesteps",
    &[
        ("uniform", Timesteps::Uniform),
        ("loss-aware", Timesteps::LossAware),
    ],
)
.default(Timesteps::Uniform)
.doc("Which timesteps are trained more often: none, or those with a large loss.");
const FLIP: Key<Boolean> = Key::boolean("flip")
    .default(true)
    .doc("Whether half of the images are mirrored, by chance.");
const CLIP: Key<Number> = Key::number("clip", Number::above(0.0).to(1e9))
    .optional("none")
    .doc("The maximum gradient norm; longer gradients are shortened to it.");
const PRECISION: Key<Choice<Precision>> = Key::choice(
    "precision",
    &[("f32", Precision::F32), ("bf16", Precision::Bf16)],
)
.default(Precision::F32)
.doc("What convolutions compute in. Parameters, their averages and the loss are 32-bit floats.");
const SEED: Key<Seed> = Key::seed("seed")
    .default(0)
    .doc("Initial parameters, order of images, mirror images, timesteps and noise.");

/// The keys of `[pretrain.*]` that decide the training itself.
pub const KEYS: Keys = &[
    &STEPS,
    &BATCH_SIZE,
    &OPTIMIZER,
    &WARMUP,
    &AVERAGE,
    &LOSS,
    &LAMBDA,
    &TIMESTEPS,
    &FLIP,
    &CLIP,
    &PRECISION,
    &SEED,
];

/// The word under `loss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    Simple,
    Hybrid,
    Bound,
}

/// The training loss: `simple`, `hybrid` or `bound`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Loss {
    /// `L_simple`.
    Simple,
    /// `L_hybrid`.
    Hybrid {
        /// The weight of `L_vlb` beside `L_simple`, at least 0.
        lambda: f64,
    },
    /// `L_vlb`.
    Bound,
}

/// At which timesteps it is minimized.
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
    /// Steps of the optimizer.
    pub steps: u32,
    /// Images per step.
    pub batch_size: u32,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// Steps in which the learning rate rises.
    pub warmup: u32,
    /// The share of the average that stays at a step.
    pub average: f64,
    /// The training loss; `simple` for a network that predicts no variance.
    pub loss: Loss,
    /// At which timesteps.
    pub timesteps: Timesteps,
    /// Whether images are mirrored by chance.
    pub flip: bool,
    /// The maximum gradient norm; `None` clips nothing.
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

    /// The word for it in experiment files.
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
        let optimizer = Optimizer::parse(&fields.get(&OPTIMIZER)?, &KIND, &LR)?;
        let loss = parse_loss(fields, learns_variance);
        let pretraining = Self {
            steps: fields.get(&STEPS)?,
            batch_size: fields.get(&BATCH_SIZE)?,
            optimizer,
            warmup: fields.get(&WARMUP)?,
            average: fields.get(&AVERAGE)?,
            loss: loss?,
            timesteps: fields.get(&TIMESTEPS)?,
            flip: fields.get(&FLIP)?,
            clip: fields.get(&CLIP),
            precision: fields.get(&PRECISION)?,
            seed: fields.get(&SEED)?,
        };
        fields.is_sound().then_some(pretraining)
    }

    /// The factor on the learning rate at a step, counted from 0.
    pub fn warmup_factor(&self, step: u32) -> f64 {
        if step >= self.warmup {
            1.0
        } else {
            f64::from(step + 1) / f64::from(self.warmup)
        }
    }
}

fn parse_loss(fields: &Fields<'_>, learns_variance: bool) -> Option<Loss> {
    let default = if learns_variance {
        Chosen::Hybrid
    } else {
        Chosen::Simple
    };
    let chosen = fields.get(&LOSS).unwrap_or(default);
    if chosen != Chosen::Simple && !learns_variance {
        let message = format!(
            "the network of {} predicts no variance, which this loss trains",
            fields.context()
        );
        let hint = "set `learn_sigma = true` in the model, or `loss = \"simple\"`".to_owned();
        fields.invalid(LOSS.name, "graph::model-misfit", message, Some(hint));
    }
    if fields.has(LAMBDA.name) && chosen != Chosen::Hybrid {
        let message = format!("`lambda` of {} counts only in `hybrid`", fields.context());
        let hint = Some("take it out, or set `loss = \"hybrid\"`".to_owned());
        fields.invalid(LAMBDA.name, "spec::out-of-range", message, hint);
    }
    Some(match chosen {
        Chosen::Simple => Loss::Simple,
        Chosen::Hybrid => Loss::Hybrid {
            lambda: fields.get(&LAMBDA)?,
        },
        Chosen::Bound => Loss::Bound,
    })
}
