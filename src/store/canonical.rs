//! Canonical JSON: one text for one value, so that a digest of the text is a digest of the value.
//!
//! Keys are sorted at every depth, there is no white space, and a float is written as the shortest decimal that reads
//! back as the same float. Infinities and NaN have no JSON form and are refused, where ordinary JSON writers turn them
//! into `null` and so would give two different recipes one fingerprint.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::canonical_serializer::TreeSerializer;

/// A value that cannot be written as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CanonicalError {
    /// What stands in the way.
    pub reason: String,
}

impl serde::ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            reason: message.to_string(),
        }
    }
}

/// A JSON value whose numbers already have their canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// Lays out any serializable value as a tree.
    pub(super) fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, CanonicalError> {
        value.serialize(TreeSerializer)
    }

    /// The canonical JSON text, of which fingerprints are digests.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Writes a JSON string; only what JSON demands is escaped.
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                out.extend(["\\u", &format!("{:04x}", u32::from(control))]);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value =
            serde_json::json!({ "b": { "z": 1, "a": [true, null] }, "a": "x\n\"y\"\u{1}ü" });
        assert_eq!(
            Tree::of(&value).unwrap().text(),
            r#"{"a":"x\n\"y\"\u0001ü","b":{"a":[true,null],"z":1}}"#
        );
    }

    #[test]
    fn floats_are_short_and_exact() {
        let text = |value: f64| Tree::of(&value).unwrap().text();
        assert_eq!(text(1e-3), "0.001");
        assert_eq!(text(1.0), "1.0");
        assert_eq!(text(-0.0), "0.0", "the two zeros compute the same");
        assert_eq!(text(1e300), "1e300");
        assert_eq!(Tree::of(&0.1_f32).unwrap().text(), "0.1");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Tree::of(&[value]).is_err());
        }
        assert!(Tree::of(&f32::NAN).is_err());
        assert!(Tree::of(&u128::MAX).is_err());
    }

    #[test]
    fn enums_and_structs_look_as_serde_json_writes_them() {
        #[derive(Serialize)]
        enum Schedule {
            Constant,
            Step { every: u32, gamma: f32 },
            Pair(u8, u8),
            Wrapped(Option<i64>),
        }
        #[derive(Serialize)]
        struct Fields {
            schedules: Vec<Schedule>,
            unit: (),
            tuple: (char, i8),
        }
        let fields = Fields {
            schedules: vec![
                Schedule::Constant,
                Schedule::Step {
                    every: 8,
                    gamma: 0.5,
                },
                Schedule::Pair(1, 2),
                Schedule::Wrapped(None),
                Schedule::Wrapped(Some(-3)),
            ],
            unit: (),
            tuple: ('c', -1),
        };
        let ours: serde_json::Value =
            serde_json::from_str(&Tree::of(&fields).unwrap().text()).unwrap();
        assert_eq!(ours, serde_json::to_value(&fields).unwrap());
    }

    proptest! {
        #[test]
        fn a_float_reads_back_as_the_same_float(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = Tree::of(&value).unwrap().text();
            // Minus zero is the one float that is meant to come back as another.
            let read = text.parse::<f64>().unwrap();
            prop_assert_eq!(read.to_bits(), (value + 0.0).to_bits());
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "{} is JSON", text);
        }

        #[test]
        fn the_order_of_keys_does_not_matter(fields in proptest::collection::hash_map(".{0,6}", any::<i64>(), 0..12)) {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let reversed: Vec<_> = sorted.iter().rev().collect();
            // A hash map with its own seed, and one that was filled backwards.
            let refilled: HashMap<_, _> = reversed.into_iter().collect();
            prop_assert_eq!(Tree::of(&fields).unwrap().text(), Tree::of(&refilled).unwrap().text());
            prop_assert_eq!(Tree::of(&fields).unwrap().text(), Tree::of(&sorted).unwrap().text());
        }

        #[test]
        fn any_text_is_valid_json(text in ".{0,20}") {
            let written = Tree::of(&text).unwrap().text();
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
