//! What is taken apart by hand.

use std::convert::Infallible;

use serde_json::json;

use super::Form;
use crate::spec::fields::Fields;
use crate::spec::key::{AnyKey, Lists};
use crate::spec::tree::Node;

/// Anything, in words; whoever reads it takes it apart: the bare value.
#[derive(Debug, Clone, Copy)]
pub struct Custom {
    words: &'static str,
    lists: Lists,
    shapes: &'static [Shape],
}

/// One of the shapes that such a value may have, for schemas.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// What a key takes.
    Value(&'static dyn AnyKey),
    /// A word.
    Word(&'static str),
    /// A table that has a key and no other.
    Only(&'static dyn AnyKey),
    /// A table of names with what a key takes.
    Named(&'static dyn AnyKey),
}

impl Shape {
    fn schema(&self) -> serde_json::Value {
        match self {
            Self::Value(key) => key.value_schema(),
            Self::Word(word) => json!({ "const": word }),
            Self::Only(key) => json!({
                "type": "object",
                "properties": { key.name(): key.value_schema() },
                "required": [key.name()],
                "additionalProperties": false,
            }),
            Self::Named(key) => json!({
                "type": "object",
                "additionalProperties": key.value_schema(),
            }),
        }
    }
}

impl Custom {
    pub(in crate::spec) const fn new(words: &'static str) -> Self {
        Self {
            words,
            lists: Lists::Sweep,
            shapes: &[],
        }
    }

    pub(in crate::spec) const fn with_shapes(self, shapes: &'static [Shape]) -> Self {
        Self { shapes, ..self }
    }

    pub(in crate::spec) const fn with_lists(self, lists: Lists) -> Self {
        Self { lists, ..self }
    }
}

impl Form for Custom {
    type Value<'a> = &'a Node;
    type Default = Infallible;

    fn words(&self) -> String {
        self.words.to_owned()
    }

    fn schema(&self) -> serde_json::Value {
        // Of a value without shapes nothing is declared.
        let shapes: Vec<_> = self.shapes.iter().map(Shape::schema).collect();
        match shapes.as_slice() {
            [] => json!({}),
            some => json!({ "anyOf": some }),
        }
    }

    fn read<'a>(&self, _: &Fields<'a>, _: &str, node: &'a Node) -> Option<&'a Node> {
        Some(node)
    }

    fn value<'a>(&self, default: Infallible, _: &Fields<'a>, _: &str) -> &'a Node {
        match default {}
    }

    fn show(&self, default: Infallible) -> String {
        match default {}
    }

    fn lists(&self) -> Lists {
        self.lists
    }
}
