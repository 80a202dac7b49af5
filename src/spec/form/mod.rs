//! The forms of values: how each is read, and what it is in words.

mod compound;
mod custom;
mod numbers;
mod words;

pub use compound::{Empty, List, Map, Nested, WordOr, WordOrNode};
pub use custom::{Custom, Shape};
pub use numbers::{Count, Number, OneOf, OrWord, Seed};
pub use words::{Boolean, Choice, Text};

use super::fields::Fields;
use super::key::Lists;
use super::kind::KindDoc;
use super::tree::Node;

/// The form of a key's value.
pub trait Form: Copy + Sync + 'static {
    /// What reading gives.
    type Value<'a>;
    /// A default, as a declaration holds it.
    type Default: Copy + Sync + 'static;

    /// What a value may be: "an integer from 1 to 64".
    fn words(&self) -> String;

    /// What a value may be, as a JSON Schema.
    fn schema(&self) -> serde_json::Value;

    /// Reads a value; what is wrong with it is reported.
    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<Self::Value<'a>>;

    /// A default as a value, for a key that is absent from a table.
    fn value<'a>(&self, default: Self::Default, fields: &Fields<'a>, key: &str) -> Self::Value<'a>;

    /// A default as it would be typed.
    fn show(&self, default: Self::Default) -> String;

    /// What a list means.
    fn lists(&self) -> Lists {
        Lists::Sweep
    }

    /// The keys of a value that is a table with keys of its own.
    fn inner(&self) -> Option<&'static KindDoc> {
        None
    }

    /// Reports what is wrong with a value.
    fn check(&self, fields: &Fields<'_>, key: &str, node: &Node) {
        let _ = self.read(fields, key, node);
    }
}

/// "a, b or c".
fn alternatives(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    match (items.pop(), items.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} or {last}", items.join(", ")),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
