//! One scored value: the rows of the table `results`.
//!
//! A row knows what was measured, where it stands among other rows (its *axes*, by name) and what it was computed from (its
//! *sources*, by role). Which axes and roles there are is for those to say who make the rows; nothing here knows of networks.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// One scored value. Rates are fractions in `[0, 1]`, never percent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultRow {
    /// Metric, such as "top1".
    pub metric: String,
    /// The score; a fraction where the unit is one.
    pub value: f64,
    /// Bounds of the 95 % interval of `value` over what was scored, in the same unit; `None` for metrics without one.
    pub interval: Option<[f64; 2]>,
    /// How many rows were right, of how many; `None` for metrics that count nothing.
    pub counted: Option<Counted>,
    /// Unit of `value`, such as "fraction".
    pub unit: String,
    /// Which values are better.
    pub better: Better,
    /// Where the value stands: the name of an axis, such as "block", and the value there. An axis that is absent is null.
    pub axes: BTreeMap<String, AxisValue>,
    /// What the value was computed from: a role, such as "head", and a fingerprint of 64 hexadecimal digits.
    pub sources: BTreeMap<String, String>,
}

/// Which of two values of a metric is better. Tables and files keep it as `higher_is_better`: true, false, or nothing where neither is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Better {
    /// The higher one, as with an accuracy.
    Higher,
    /// The lower one, as with an error.
    Lower,
    /// Neither: the metric describes, as a similarity does.
    #[default]
    Neither,
}

impl Better {
    /// As tables and files keep it.
    pub fn flag(self) -> Option<bool> {
        match self {
            Self::Higher => Some(true),
            Self::Lower => Some(false),
            Self::Neither => None,
        }
    }

    /// From what tables and files keep.
    pub fn of_flag(flag: Option<bool>) -> Self {
        match flag {
            Some(true) => Self::Higher,
            Some(false) => Self::Lower,
            None => Self::Neither,
        }
    }
}

/// How many rows were right, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Rows that were right.
    pub correct: u64,
    /// Rows that were scored: all that the dataset's manifest lists for the split.
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

/// The type of an axis, which is the type of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AxisType {
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Number,
    /// Texts.
    Text,
}

impl ResultRow {
    /// Value of an axis, the metric and its unit included; `None` where the row does not have it.
    pub fn axis(&self, name: &str) -> Option<AxisValue> {
        match name {
            "metric" => Some(self.metric.as_str().into()),
            "unit" => Some(self.unit.as_str().into()),
            other => self.axes.get(other).cloned(),
        }
    }
}

impl AxisType {
    /// The narrowest type that holds the values of both.
    #[must_use]
    pub fn widened(self, other: Self) -> Self {
        self.max(other)
    }
}

impl AxisValue {
    /// The type of the column that can hold it.
    pub fn kind(&self) -> AxisType {
        match self {
            Self::Integer(_) => AxisType::Integer,
            Self::Number(_) => AxisType::Number,
            Self::Text(_) => AxisType::Text,
        }
    }
}

impl From<&str> for AxisValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AxisValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for AxisValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for AxisValue {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<u64> for AxisValue {
    /// Beyond the signed integers there are only seeds, whose order says nothing, so they become texts.
    fn from(integer: u64) -> Self {
        i64::try_from(integer).map_or_else(|_| Self::Text(integer.to_string()), Self::Integer)
    }
}

impl Ord for AxisValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (left, right) => left.kind().cmp(&right.kind()),
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
        let axes: [(&str, AxisValue); 5] = [
            ("head", "linear".into()),
            ("block", 24_u32.into()),
            ("seed", 1_u32.into()),
            ("learning_rate", 1e-3.into()),
            ("noise_seed", 7_u64.into()),
        ];
        let sources = [("head", "ab"), ("features", "cd")];
        ResultRow {
            metric: "top1".to_owned(),
            value: 0.625,
            interval: Some([0.25, 0.875]),
            counted: Some(Counted {
                correct: 5,
                scored: 8,
            }),
            unit: "fraction".to_owned(),
            better: Better::Higher,
            axes: axes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            sources: sources
                .into_iter()
                .map(|(role, digits)| (role.to_owned(), digits.repeat(32)))
                .collect(),
        }
    }

    #[test]
    fn axes_are_looked_up_by_name() {
        let row = example();
        assert_eq!(row.axis("block"), Some(AxisValue::Integer(24)));
        assert_eq!(row.axis("metric"), Some("top1".into()));
        assert_eq!(row.axis("learning_rate").unwrap().to_string(), "0.001");
        for other in ["value", "low", "pool", "", "Head"] {
            assert!(row.axis(other).is_none(), "{other}");
        }
        let beyond = AxisValue::from(u64::MAX);
        assert_eq!(beyond, AxisValue::Text(u64::MAX.to_string()));
    }

    #[test]
    fn the_order_is_numeric_and_total() {
        let sorted: [AxisValue; 8] = [
            9_u32.into(),
            10_u32.into(),
            (-0.5).into(),
            1e-4.into(),
            1e-3.into(),
            f64::NAN.into(),
            "a".into(),
            "b".into(),
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
