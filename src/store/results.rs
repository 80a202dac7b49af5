//! One scored value and all that it can be sorted by: the rows of the table `results`.

use std::cmp::Ordering;
use std::fmt;

/// One scored value. Rates are fractions in `[0, 1]`, never percent.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// Metric, such as "top1".
    pub metric: String,
    /// The score; a fraction where the unit is one.
    pub value: f64,
    /// Lower bound of the 95 % bootstrap interval of `value` over the scored rows, in the same unit.
    pub low: f64,
    /// Upper bound of that interval.
    pub high: f64,
    /// Rows that were scored as correct, for metrics that count; zero for others.
    pub correct: u64,
    /// Rows that were scored: all that the dataset's manifest lists for the split.
    pub count: u64,
    /// Unit of `value`, such as "fraction".
    pub unit: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// Split that was scored, such as "test".
    pub split: String,
    /// Name of the head in the experiment.
    pub head: String,
    /// Kind of the head, such as "linear".
    pub head_kind: String,
    /// Name of the extraction in the experiment.
    pub extraction: String,
    /// Name of the model in the experiment.
    pub model: String,
    /// Where the model's weights came from: "synthetic:7", "blake3:" and 64 hex digits, or "none" for a model without any.
    pub weights: String,
    /// Name of the dataset in the experiment.
    pub dataset: String,
    /// Diffusion timestep of the features.
    pub timestep: u32,
    /// Block that the features were taken from, 1-based as in the paper.
    pub block: u32,
    /// Side of the grid that the features were pooled to.
    pub pool: u32,
    /// What the network computed in: "f32", "bf16" or "f16".
    pub precision: String,
    /// View of the images.
    pub view: String,
    /// Index of the noise draw.
    pub draw: u32,
    /// Seed of the noise.
    pub noise_seed: u64,
    /// Seed of the head's training.
    pub seed: u64,
    /// Learning rate of the head's training.
    pub learning_rate: f64,
    /// Learning rate of the network's training; 0 where it is frozen.
    pub network_learning_rate: f64,
    /// Epochs of the head's training.
    pub epochs: u32,
    /// Head that was scored, as 64 hex digits.
    pub head_fingerprint: String,
    /// Features that it was scored on, as 64 hex digits.
    pub features_fingerprint: String,
}

/// What the rows and columns of a report's table can be: every field that says where a score came from.
pub const AXES: &[&str] = &[
    "metric",
    "unit",
    "split",
    "head",
    "head_kind",
    "extraction",
    "model",
    "weights",
    "dataset",
    "timestep",
    "block",
    "pool",
    "precision",
    "view",
    "draw",
    "noise_seed",
    "seed",
    "learning_rate",
    "network_learning_rate",
    "epochs",
];

/// How many rows counted as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Those that did.
    pub correct: u64,
    /// All that were scored.
    pub scored: u64,
}

/// Value of an axis. The order is total: integers, then numbers, then texts, each in their own order.
#[derive(Debug, Clone)]
pub enum AxisValue {
    /// Such as a timestep.
    Integer(i64),
    /// Such as a learning rate.
    Number(f64),
    /// Such as the name of a head.
    Text(String),
}

impl ResultRow {
    /// Value of the axis `name`, one of [`AXES`]; `None` for any other name.
    pub fn axis(&self, name: &str) -> Option<AxisValue> {
        Some(match name {
            "metric" => text(&self.metric),
            "unit" => text(&self.unit),
            "split" => text(&self.split),
            "head" => text(&self.head),
            "head_kind" => text(&self.head_kind),
            "extraction" => text(&self.extraction),
            "model" => text(&self.model),
            "weights" => text(&self.weights),
            "dataset" => text(&self.dataset),
            "timestep" => AxisValue::Integer(self.timestep.into()),
            "block" => AxisValue::Integer(self.block.into()),
            "pool" => AxisValue::Integer(self.pool.into()),
            "precision" => text(&self.precision),
            "view" => text(&self.view),
            "draw" => AxisValue::Integer(self.draw.into()),
            "noise_seed" => integer(self.noise_seed),
            "seed" => integer(self.seed),
            "learning_rate" => AxisValue::Number(self.learning_rate),
            "network_learning_rate" => AxisValue::Number(self.network_learning_rate),
            "epochs" => AxisValue::Integer(self.epochs.into()),
            _ => return None,
        })
    }
}

fn text(text: &str) -> AxisValue {
    AxisValue::Text(text.to_owned())
}

/// Seeds beyond the signed integers have no order worth having, so they become texts.
fn integer(value: u64) -> AxisValue {
    i64::try_from(value).map_or_else(|_| AxisValue::Text(value.to_string()), AxisValue::Integer)
}

impl Ord for AxisValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Integer(_), _) | (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (_, Self::Integer(_)) | (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for AxisValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for AxisValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for AxisValue {}

impl fmt::Display for AxisValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => fmt::Display::fmt(value, formatter),
            Self::Number(value) => fmt::Display::fmt(value, formatter),
            Self::Text(value) => fmt::Display::fmt(value, formatter),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn example() -> ResultRow {
        ResultRow {
            metric: "top1".to_owned(),
            value: 0.625,
            low: 0.25,
            high: 0.875,
            correct: 5,
            count: 8,
            unit: "fraction".to_owned(),
            higher_is_better: true,
            split: "test".to_owned(),
            head: "linear".to_owned(),
            head_kind: "linear".to_owned(),
            extraction: "gd".to_owned(),
            model: "gd".to_owned(),
            weights: "synthetic:7".to_owned(),
            dataset: "cub".to_owned(),
            timestep: 90,
            block: 24,
            pool: 2,
            precision: "f32".to_owned(),
            view: "center".to_owned(),
            draw: 0,
            noise_seed: u64::MAX,
            seed: 1,
            learning_rate: 1e-3,
            network_learning_rate: 1e-5,
            epochs: 28,
            head_fingerprint: "ab".repeat(32),
            features_fingerprint: "cd".repeat(32),
        }
    }

    #[test]
    fn every_axis_has_a_value_and_nothing_else_has() {
        let row = example();
        for axis in AXES {
            assert!(row.axis(axis).is_some(), "{axis}");
        }
        for other in ["value", "low", "high", "correct", "", "Head"] {
            assert!(row.axis(other).is_none(), "{other}");
        }
        assert_eq!(row.axis("timestep"), Some(AxisValue::Integer(90)));
        assert_eq!(row.axis("learning_rate").unwrap().to_string(), "0.001");
        assert_eq!(
            row.axis("noise_seed"),
            Some(AxisValue::Text(u64::MAX.to_string()))
        );
    }

    #[test]
    fn the_order_is_numeric_and_total() {
        let sorted = [
            AxisValue::Integer(9),
            AxisValue::Integer(10),
            AxisValue::Number(-0.5),
            AxisValue::Number(1e-4),
            AxisValue::Number(1e-3),
            AxisValue::Number(f64::NAN),
            text("a"),
            text("b"),
        ];
        for (left_index, left) in sorted.iter().enumerate() {
            for (right_index, right) in sorted.iter().enumerate() {
                assert_eq!(
                    left.cmp(right),
                    left_index.cmp(&right_index),
                    "{left} {right}"
                );
            }
        }
    }
}
