//! Integers and numbers.

use std::ops::RangeInclusive;

use serde_json::json;

use super::{Form, alternatives};
use crate::spec::advice::Wanted;
use crate::spec::fields::Fields;
use crate::spec::tree::{Node, Value};

/// An integer within a range: `u32`.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    least: u32,
    most: u32,
}

impl Count {
    /// From the first to the last of a range.
    pub const fn within(range: RangeInclusive<u32>) -> Self {
        Self {
            least: *range.start(),
            most: *range.end(),
        }
    }

    pub(in crate::spec) const fn at_most(self, most: u32) -> Self {
        Self { most, ..self }
    }
}

impl Form for Count {
    type Value<'a> = u32;
    type Default = u32;

    fn words(&self) -> String {
        match (self.least, self.most) {
            (least, u32::MAX) => format!("an integer from {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("an integer from {least} to {most}"),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let mut schema = json!({ "type": "integer", "minimum": self.least });
        if self.most != u32::MAX {
            schema["maximum"] = self.most.into();
        }
        schema
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<u32> {
        let integer = integer(self, fields, key, node)?;
        let found = u32::try_from(integer).ok();
        let found = found.filter(|found| (self.least..=self.most).contains(found));
        if found.is_none() {
            fields.out_of_range(key, node.span, &integer.to_string(), &self.words());
        }
        found
    }

    fn value<'a>(&self, default: u32, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: u32) -> String {
        default.to_string()
    }
}

/// One of a few integers: `u32`.
#[derive(Debug, Clone, Copy)]
pub struct OneOf(pub(in crate::spec) &'static [u32]);

impl Form for OneOf {
    type Value<'a> = u32;
    type Default = u32;

    fn words(&self) -> String {
        alternatives(self.0.iter().map(u32::to_string))
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "enum": self.0 })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<u32> {
        let integer = integer(self, fields, key, node)?;
        let found = self
            .0
            .iter()
            .find(|allowed| i64::from(**allowed) == integer);
        if found.is_none() {
            fields.out_of_range(key, node.span, &integer.to_string(), &self.words());
        }
        found.copied()
    }

    fn value<'a>(&self, default: u32, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: u32) -> String {
        default.to_string()
    }
}

/// Any integer from 0: `u64`.
#[derive(Debug, Clone, Copy)]
pub struct Seed;

impl Form for Seed {
    type Value<'a> = u64;
    type Default = u64;

    fn words(&self) -> String {
        "an integer from 0".to_owned()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "integer", "minimum": 0 })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<u64> {
        let integer = integer(self, fields, key, node)?;
        let found = u64::try_from(integer).ok();
        if found.is_none() {
            fields.out_of_range(key, node.span, &integer.to_string(), &self.words());
        }
        found
    }

    fn value<'a>(&self, default: u64, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: u64) -> String {
        default.to_string()
    }
}

fn integer(form: &impl Form, fields: &Fields<'_>, key: &str, node: &Node) -> Option<i64> {
    let Value::Integer(integer) = node.value else {
        fields.wrong_type_at(
            node.span,
            key,
            (Wanted::Integer, &form.words()),
            &node.value,
        );
        return None;
    };
    Some(integer)
}

/// An integer within a range, or a word: `Option<u32>`, `None` for the word.
#[derive(Debug, Clone, Copy)]
pub struct OrWord {
    count: Count,
    word: &'static str,
}

impl OrWord {
    pub(in crate::spec) const fn new(count: Count, word: &'static str) -> Self {
        Self { count, word }
    }
}

impl Form for OrWord {
    type Value<'a> = Option<u32>;
    type Default = Option<u32>;

    fn words(&self) -> String {
        format!("{}, or \"{}\"", self.count.words(), self.word)
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "anyOf": [self.count.schema(), { "const": self.word }] })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<Option<u32>> {
        match &node.value {
            Value::Text(text) if text == self.word => Some(None),
            Value::Integer(_) => self.count.read(fields, key, node).map(Some),
            Value::Text(text) if text.eq_ignore_ascii_case(self.word) => {
                let hint = Some(format!("did you mean `\"{}\"`?", self.word));
                fields.wrong_type_with(node.span, key, &self.words(), &node.value, hint);
                None
            }
            other => {
                fields.wrong_type_at(node.span, key, (Wanted::Integer, &self.words()), other);
                None
            }
        }
    }

    fn value<'a>(&self, default: Option<u32>, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: Option<u32>) -> String {
        default.map_or_else(|| format!("\"{}\"", self.word), |count| count.to_string())
    }
}

/// A finite number within bounds, integers included, that a 32-bit float does not take for 0: `f64`.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    low: f64,
    /// Whether the value may be `low` itself.
    low_included: bool,
    high: f64,
    /// Whether the value may be `high` itself.
    high_included: bool,
}

impl Number {
    /// Larger than a bound.
    pub const fn above(low: f64) -> Self {
        Self {
            low_included: false,
            ..Self::from(low)
        }
    }

    /// A bound or larger.
    pub const fn from(low: f64) -> Self {
        Self {
            low,
            low_included: true,
            high: f64::INFINITY,
            high_included: true,
        }
    }

    /// The same, but smaller than a second bound.
    #[must_use]
    pub const fn below(self, high: f64) -> Self {
        Self {
            high,
            high_included: false,
            ..self
        }
    }

    /// The same, up to a second bound.
    #[must_use]
    pub const fn to(self, high: f64) -> Self {
        Self {
            high,
            high_included: true,
            ..self
        }
    }

    fn admits(&self, value: f64) -> bool {
        let low = value > self.low || (self.low_included && value >= self.low);
        let high = value < self.high || (self.high_included && value <= self.high);
        value.is_finite() && low && high
    }
}

impl Form for Number {
    type Value<'a> = f64;
    type Default = f64;

    fn words(&self) -> String {
        let low = if self.low_included { "from" } else { "above" };
        let high = match (self.low_included, self.high_included) {
            _ if self.high.is_infinite() => String::new(),
            (true, true) => format!(" to {}", number_text(self.high)),
            (false, true) => format!(", at most {}", number_text(self.high)),
            (_, false) => format!(", below {}", number_text(self.high)),
        };
        format!("a number {low} {}{high}", number_text(self.low))
    }

    fn schema(&self) -> serde_json::Value {
        let low = if self.low_included {
            "minimum"
        } else {
            "exclusiveMinimum"
        };
        let mut schema = json!({ "type": "number", low: self.low });
        if self.high.is_finite() {
            let high = if self.high_included {
                "maximum"
            } else {
                "exclusiveMaximum"
            };
            schema[high] = self.high.into();
        }
        schema
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<f64> {
        let number = match &node.value {
            Value::Number(number) => *number,
            Value::Integer(integer) => *integer as f64,
            other => {
                fields.wrong_type_at(node.span, key, (Wanted::Number, &self.words()), other);
                return None;
            }
        };
        let is_lost = number != 0.0 && number.abs() < f64::from(f32::MIN_POSITIVE);
        if self.admits(number) && !is_lost {
            return Some(number);
        }
        if is_lost {
            let words = format!("{}, and not closer to 0 than 1.2e-38", self.words());
            fields.out_of_range(key, node.span, &number_text(number), &words);
            return None;
        }
        fields.out_of_range(key, node.span, &number_text(number), &self.words());
        None
    }

    fn value<'a>(&self, default: f64, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: f64) -> String {
        number_text(default)
    }
}

/// A number as people type it: 0.9999, 1e-5, 1e12.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if number != 0.0 && size.is_finite() && !(1e-3..1e6).contains(&size) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
