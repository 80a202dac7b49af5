//! Which optimizer, with all its numbers.

use serde::Serialize;

use crate::spec::{Choice, Fields, Key, Keys, KindDoc, Number};

/// The rule that makes a step of a gradient.
pub const KIND: Key<Choice<UpdateRule>> = Key::choice("kind", UpdateRule::CHOICES)
    .default(UpdateRule::Adam)
    .doc("How gradients make a step, as in PyTorch.");
/// Step size, before the schedule's factor.
pub const LR: Key<Number> = Key::number("lr", Number::above(0.0).to(1e6))
    .default(1e-3)
    .doc("Learning rate.");
const BETA1: Key<Number> = Key::number("beta1", Number::from(0.0).below(1.0))
    .default(0.9)
    .doc("Decay of the first moment; `adam` and `adamw`.");
const BETA2: Key<Number> = Key::number("beta2", Number::from(0.0).below(1.0))
    .default(0.999)
    .doc("Decay of the second moment; `adam` and `adamw`.");
const EPSILON: Key<Number> = Key::number("epsilon", Number::above(0.0).to(1.0))
    .default(1e-8)
    .doc("Added to the root of the second moment; `adam` and `adamw`.");
const MOMENTUM: Key<Number> = Key::number("momentum", Number::from(0.0).below(1.0))
    .default(0.9)
    .doc("The share of the last step that is made again; `sgd` and `lars`.");
const TRUST: Key<Number> = Key::number("trust", Number::above(0.0).to(1e3))
    .default(1e-3)
    .doc("The length of a step as a share of the length of the weights; `lars`.");
const WEIGHT_DECAY: Key<Number> = Key::number("weight_decay", Number::from(0.0).to(1e6))
    .default(0.0)
    .doc("With `adamw` what a weight loses at a learning rate of 1, else an L2 penalty added to the gradient.");

/// The keys of an optimizer besides `kind` and `lr`, whose defaults differ.
pub const OTHER_KEYS: Keys = &[&BETA1, &BETA2, &EPSILON, &MOMENTUM, &TRUST, &WEIGHT_DECAY];

/// The table `optimizer` of a head.
pub const DOC: KindDoc = KindDoc {
    name: "optimizer",
    summary: "How gradients make a step of a head.",
    keys: &[&KIND, &LR],
    shared: OTHER_KEYS,
};

/// How gradients make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateRule {
    /// Kingma and Ba 2015; weight decay is an L2 penalty added to the gradient.
    Adam,
    /// Loshchilov and Hutter 2019: weight decay does not pass through the moments.
    AdamW,
    /// Stochastic gradient descent with momentum, as PyTorch's.
    Sgd,
    /// You, Gitman, Ginsburg 2017: SGD whose step is as long for each tensor as its weights are.
    Lars,
}

impl UpdateRule {
    const CHOICES: &[(&'static str, Self)] = &[
        ("adam", Self::Adam),
        ("adamw", Self::AdamW),
        ("sgd", Self::Sgd),
        ("lars", Self::Lars),
    ];

    /// Its name, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Adam => "Adam",
            Self::AdamW => "AdamW",
            Self::Sgd => "SGD with momentum",
            Self::Lars => "LARS",
        }
    }

    /// Whether it keeps moments of the gradient, and not a momentum.
    fn has_moments(self) -> bool {
        matches!(self, Self::Adam | Self::AdamW)
    }
}

/// The optimizer with all its numbers; the defaults are PyTorch's, but for no weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Optimizer {
    /// Which rule makes a step of a gradient.
    pub kind: UpdateRule,
    /// Learning rate, above 0.
    pub lr: f64,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// The L2 penalty, or with [`UpdateRule::AdamW`] the share of a weight that a step takes away, divided by the learning
    /// rate; from 0.
    pub weight_decay: f64,
    /// The share of the last step that is made again, in `[0, 1)`; `None` for rules that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// The trust coefficient of [`UpdateRule::Lars`], above 0; `None` for other rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<f64>,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: UpdateRule::Adam,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            momentum: None,
            trust: None,
        }
    }
}

impl Optimizer {
    /// Reads a table that has the keys of an optimizer; `kind` and `lr` are declared by whoever has the table.
    pub(in crate::trainer) fn parse(
        table: &Fields<'_>,
        kind: &Key<Choice<UpdateRule>>,
        lr: &Key<Number>,
    ) -> Option<Self> {
        let kind = table.get(kind)?;
        let without_moments = !kind.has_moments();
        for (key, fits) in [
            (BETA1.name, kind.has_moments()),
            (BETA2.name, kind.has_moments()),
            (EPSILON.name, kind.has_moments()),
            (MOMENTUM.name, without_moments),
            (TRUST.name, kind == UpdateRule::Lars),
        ] {
            if table.has(key) && !fits {
                table.invalid(
                    key,
                    "spec::unknown-key",
                    format!("{} has no `{key}`", kind.title()),
                    Some("leave it out, or choose another `kind` of optimizer".to_owned()),
                );
            }
        }
        Some(Self {
            kind,
            lr: table.get(lr)?,
            beta1: table.get(&BETA1)?,
            beta2: table.get(&BETA2)?,
            epsilon: table.get(&EPSILON)?,
            weight_decay: table.get(&WEIGHT_DECAY)?,
            momentum: table.get(&MOMENTUM).filter(|_| without_moments),
            trust: table.get(&TRUST).filter(|_| kind == UpdateRule::Lars),
        })
    }
}
