//! Booleans, strings and words.

use serde_json::json;

use super::{Form, alternatives};
use crate::spec::advice::Wanted;
use crate::spec::fields::Fields;
use crate::spec::tree::{Node, Value};

/// `true` or `false`: `bool`.
#[derive(Debug, Clone, Copy)]
pub struct Boolean;

impl Form for Boolean {
    type Value<'a> = bool;
    type Default = bool;

    fn words(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "boolean" })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<bool> {
        let Value::Boolean(boolean) = node.value else {
            fields.wrong_type_at(
                node.span,
                key,
                (Wanted::Boolean, &self.words()),
                &node.value,
            );
            return None;
        };
        Some(boolean)
    }

    fn value<'a>(&self, default: bool, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: bool) -> String {
        default.to_string()
    }
}

/// A string, with a word for what: `String`.
#[derive(Debug, Clone, Copy)]
pub struct Text(pub &'static str);

impl Form for Text {
    type Value<'a> = String;
    type Default = &'static str;

    fn words(&self) -> String {
        self.0.to_owned()
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "string" })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<String> {
        let Value::Text(text) = &node.value else {
            let wanted = match self.0 {
                "" | "a string" => "a string".to_owned(),
                what => format!("a string ({what})"),
            };
            fields.wrong_type_at(node.span, key, (Wanted::Text, &wanted), &node.value);
            return None;
        };
        Some(text.clone())
    }

    fn value<'a>(&self, default: &'static str, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default.to_owned()
    }

    fn show(&self, default: &'static str) -> String {
        format!("\"{default}\"")
    }
}

/// One of a few words, each with what it stands for: `T`.
#[derive(Debug, Clone, Copy)]
pub struct Choice<T: 'static>(pub(in crate::spec) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Sync + 'static> Form for Choice<T> {
    type Value<'a> = T;
    type Default = T;

    fn words(&self) -> String {
        alternatives(self.0.iter().map(|(word, _)| format!("`{word}`")))
    }

    fn schema(&self) -> serde_json::Value {
        let words = self.0.iter().map(|(word, _)| *word);
        json!({ "enum": words.collect::<Vec<_>>() })
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<T> {
        let text = Text("").read(fields, key, node)?;
        let found = self.0.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words = self.0.iter().map(|(word, _)| *word);
            fields.unknown_word(key, node.span, &text, words);
        }
        found.map(|(_, value)| *value)
    }

    fn value<'a>(&self, default: T, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        default
    }

    fn show(&self, default: T) -> String {
        let word = self.0.iter().find(|(_, value)| *value == default);
        word.map_or_else(String::new, |(word, _)| format!("\"{word}\""))
    }
}
