//! Which optimiser, with all its numbers.

use serde::Serialize;

use crate::spec::{Fields, Key};

/// The keys of an optimiser's table.
pub(super) const KEYS: &[Key] = &[
    Key::optional(
        "kind",
        "a word",
        "\"adam\"",
        "`adam`, `adamw`, `sgd` or `lars`.",
    ),
    Key::optional("lr", "a number above 0", "1e-3", "Learning rate."),
    Key::optional(
        "beta1",
        "a number in [0, 1)",
        "0.9",
        "Decay of the first moment; `adam` and `adamw`.",
    ),
    Key::optional(
        "beta2",
        "a number in [0, 1)",
        "0.999",
        "Decay of the second moment; `adam` and `adamw`.",
    ),
    Key::optional(
        "epsilon",
        "a number above 0",
        "1e-8",
        "Added to the root of the second moment; `adam` and `adamw`.",
    ),
    Key::optional(
        "momentum",
        "a number in [0, 1)",
        "0.9",
        "The share of the last step that is made again; `sgd` and `lars`.",
    ),
    Key::optional(
        "trust",
        "a number above 0",
        "1e-3",
        "The length of a step as a share of the length of the weights; `lars`.",
    ),
    Key::optional(
        "weight_decay",
        "a number from 0",
        "0",
        "With `adamw` what a weight loses at a learning rate of 1, else an L2 penalty added to the gradient.",
    ),
];

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

impl Default for Optimiser {
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

impl Optimiser {
    /// Reads the key `optimizer`; what is not given is taken from `default`.
    pub(in crate::trainer) fn parse(fields: &Fields<'_>, default: Self) -> Self {
        let Some(table) = fields.table("optimizer") else {
            return default;
        };
        table.check_keys(KEYS, &[]);
        Self::read(&table, default)
    }

    /// Reads a table that has the keys of an optimiser; what is not given is taken from `default`.
    pub(super) fn read(table: &Fields<'_>, default: Self) -> Self {
        let kind = table.choice("kind", UpdateRule::CHOICES);
        let kind = kind.unwrap_or(default.kind);
        let below_one = 1.0 - f64::EPSILON;
        let number = |key: &str, range, default| table.number(key, range).unwrap_or(default);
        let without_moments = !kind.has_moments();
        for (key, fits) in [
            ("beta1", kind.has_moments()),
            ("beta2", kind.has_moments()),
            ("epsilon", kind.has_moments()),
            ("momentum", without_moments),
            ("trust", kind == UpdateRule::Lars),
        ] {
            if table.has(key) && !fits {
                table.misfit(
                    key,
                    "spec::unknown-key",
                    format!("{} has no `{key}`", kind.title()),
                    Some("leave it out, or choose another `kind` of optimiser".to_owned()),
                );
            }
        }
        Self {
            kind,
            lr: number("lr", f64::MIN_POSITIVE..=1e6, default.lr),
            beta1: number("beta1", 0.0..=below_one, default.beta1),
            beta2: number("beta2", 0.0..=below_one, default.beta2),
            epsilon: number("epsilon", f64::MIN_POSITIVE..=1.0, default.epsilon),
            weight_decay: number("weight_decay", 0.0..=1e6, default.weight_decay),
            momentum: without_moments.then(|| number("momentum", 0.0..=below_one, 0.9)),
            trust: (kind == UpdateRule::Lars)
                .then(|| number("trust", f64::MIN_POSITIVE..=1e3, 1e-3)),
        }
    }
}
