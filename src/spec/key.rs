//! Keys, each declared once: what is typed, what it may be, what stands in for it, what it does.
//!
//! ```ignore
//! const EPOCHS: Key<Count> = Key::count("epochs", 1..=100_000)
//!     .default(28)
//!     .doc("Passes over the training split.");
//!
//! let epochs = fields.get(&EPOCHS)?; // u32; there is always one, since the key has a default
//! ```
//!
//! [`Fields::get`](super::Fields::get) reads a value by its declaration; help, listings, the reference page and all error messages
//! take their words from it. A key is required unless it has a [`default`](Key::default) or is [`optional`](Key::optional).

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::json;

use super::fields::Fields;
use super::form::{Boolean, Choice, Count, Custom, Form, List, Map, Number, OneOf, OrWord, Seed};
use super::form::{Empty, Nested, Shape, Text, WordOr};
use super::kind::KindDoc;

/// A key with the form of its value.
#[derive(Clone, Copy)]
pub struct Key<F: Form = Custom> {
    /// As an experiment file has it, such as `batch_size`.
    pub name: &'static str,
    pub(super) form: F,
    absent: Absent<F::Default>,
    doc: &'static str,
}

/// What it means that a key is absent.
#[derive(Clone, Copy)]
enum Absent<D> {
    /// An error.
    Required,
    /// This value is taken.
    Default(D),
    /// What it means, in words.
    Otherwise(&'static str),
}

/// What a list under a key means; most sweep over their items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// One node for each item.
    Sweep,
    /// One value. A list of lists sweeps.
    Value,
    /// A list of tables is one value; any other list sweeps.
    Steps,
}

/// A key whatever the form of its value: what sweeps, listings and the check of a table look at.
pub trait AnyKey: Sync {
    /// As it is typed.
    fn name(&self) -> &'static str;

    /// Whether a table without it is an error.
    fn is_required(&self) -> bool;

    /// What a list under it means.
    fn lists(&self) -> Lists;

    /// Its name, form, default and meaning in words.
    fn describe(&self) -> KeyDoc;

    /// What one value may be, as a JSON Schema.
    fn value_schema(&self) -> serde_json::Value;

    /// What may stand under it, as a JSON Schema with what it does: one value, or where lists sweep, a list of such values.
    fn schema(&self, lists: Lists) -> serde_json::Value;

    /// The keys of its value, where that is a table with keys of its own.
    fn inner(&self) -> Option<&'static KindDoc>;

    /// Reports what is wrong with its value, where there is one.
    fn check(&self, fields: &Fields<'_>);
}

/// Keys of any form.
pub type Keys = &'static [&'static dyn AnyKey];

/// A key in words, for people and for `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct KeyDoc {
    /// As it is typed.
    pub name: &'static str,
    /// What its value may be.
    pub value: String,
    /// What stands in for it; `None` where it is required.
    pub default: Option<String>,
    /// What it does.
    pub doc: &'static str,
    /// Whether one value is itself a list. A list under any other key sweeps over its items.
    pub is_list: bool,
    /// Whether a list of tables is one value. Every other list under the key sweeps.
    pub is_steps: bool,
}

impl<F: Form> Key<F> {
    /// A key whose value has some form.
    pub const fn of(name: &'static str, form: F) -> Self {
        Self {
            name,
            form,
            absent: Absent::Required,
            doc: "",
        }
    }

    /// The same key, which need not be given: then its value is this one.
    #[must_use]
    pub const fn default(self, default: F::Default) -> Self {
        Self {
            absent: Absent::Default(default),
            ..self
        }
    }

    /// The same key, which need not be given: `otherwise` says what that means, such as "none". Reading it then gives `None`.
    #[must_use]
    pub const fn optional(self, otherwise: &'static str) -> Self {
        Self {
            absent: Absent::Otherwise(otherwise),
            ..self
        }
    }

    /// The same key with what it does: whole sentences.
    #[must_use]
    pub const fn doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// The value that stands in for the key where it is absent.
    pub(super) fn fallback<'a>(&self, fields: &Fields<'a>) -> Option<F::Value<'a>> {
        match self.absent {
            Absent::Default(default) => Some(self.form.value(default, fields, self.name)),
            Absent::Required | Absent::Otherwise(_) => None,
        }
    }
}

impl Key<Count> {
    /// An integer within a range.
    pub const fn count(name: &'static str, range: RangeInclusive<u32>) -> Self {
        Self::of(name, Count::within(range))
    }

    /// The same key with a lower limit, for what is known of one node only.
    #[must_use]
    pub const fn at_most(self, most: u32) -> Self {
        Self {
            form: self.form.at_most(most),
            ..self
        }
    }

    /// The same key, which takes a word as well: its value is then `None`.
    #[must_use]
    pub const fn or(self, word: &'static str) -> Key<OrWord> {
        Key::of(self.name, OrWord::new(self.form, word)).doc(self.doc)
    }
}

impl Key<OneOf> {
    /// One of a few integers.
    pub const fn one_of(name: &'static str, allowed: &'static [u32]) -> Self {
        Self::of(name, OneOf(allowed))
    }
}

impl Key<Seed> {
    /// Any integer from 0.
    pub const fn seed(name: &'static str) -> Self {
        Self::of(name, Seed)
    }
}

impl Key<Number> {
    /// A number within bounds.
    pub const fn number(name: &'static str, bounds: Number) -> Self {
        Self::of(name, bounds)
    }
}

impl Key<Boolean> {
    /// `true` or `false`.
    pub const fn boolean(name: &'static str) -> Self {
        Self::of(name, Boolean)
    }
}

impl Key<Text> {
    /// A string; `what` says of what: "a path", "the name of a model".
    pub const fn text(name: &'static str, what: &'static str) -> Self {
        Self::of(name, Text(what))
    }
}

impl<T: Copy + PartialEq + Sync + 'static> Key<Choice<T>> {
    /// One of a few words.
    pub const fn choice(name: &'static str, words: &'static [(&'static str, T)]) -> Self {
        Self::of(name, Choice(words))
    }
}

impl<F: Form> Key<List<F>> {
    /// A list by nature, whose items have one form; a single item counts as a list of one.
    pub const fn list(name: &'static str, item: F) -> Self {
        Self::of(name, List::of(item))
    }

    /// The same key with the number of items that it takes.
    #[must_use]
    pub const fn items(self, lengths: RangeInclusive<usize>) -> Self {
        Self {
            form: self.form.items(lengths),
            ..self
        }
    }
}

impl<F: Form> Key<Map<F>> {
    /// A table of names with values of one form; `what` says of what the names are: "split".
    pub const fn map(name: &'static str, what: &'static str, value: F) -> Self {
        Self::of(name, Map { what, value })
    }
}

impl<T: Copy + PartialEq + Sync + 'static> Key<WordOr<T>> {
    /// One of a few words, or a list of tables; `list` says of what: "a list of steps", and `items` which kinds of tables there are.
    pub const fn word_or(
        name: &'static str,
        words: &'static [(&'static str, T)],
        list: &'static str,
        items: fn() -> Vec<&'static KindDoc>,
    ) -> Self {
        let words = Choice(words);
        Self::of(name, WordOr { words, list, items })
    }
}

impl Key<Nested> {
    /// A table with keys of its own.
    pub const fn table(name: &'static str, doc: &'static KindDoc) -> Self {
        Self::of(name, Nested(doc))
    }

    /// The same key, which need not be given: then every key of the table has its own default.
    #[must_use]
    pub const fn or_empty(self) -> Self {
        self.default(Empty)
    }
}

impl Key<Custom> {
    /// A value that is taken apart by hand; `value` says what it may be.
    pub const fn custom(name: &'static str, value: &'static str) -> Self {
        Self::of(name, Custom::new(value))
    }

    /// The same key with the shapes that its value may have, for schemas.
    #[must_use]
    pub const fn shapes(self, shapes: &'static [Shape]) -> Self {
        Self {
            form: self.form.with_shapes(shapes),
            ..self
        }
    }

    /// The same key, whose value is a list by nature.
    #[must_use]
    pub const fn list_by_nature(self) -> Self {
        Self {
            form: self.form.with_lists(Lists::Value),
            ..self
        }
    }
}

impl<F: Form> AnyKey for Key<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_required(&self) -> bool {
        matches!(self.absent, Absent::Required)
    }

    fn lists(&self) -> Lists {
        self.form.lists()
    }

    fn describe(&self) -> KeyDoc {
        KeyDoc {
            name: self.name,
            value: self.form.words(),
            default: match self.absent {
                Absent::Required => None,
                Absent::Default(default) => Some(self.form.show(default)),
                Absent::Otherwise(words) => Some(words.to_owned()),
            },
            doc: self.doc,
            is_list: self.lists() == Lists::Value,
            is_steps: self.lists() == Lists::Steps,
        }
    }

    fn value_schema(&self) -> serde_json::Value {
        self.form.schema()
    }

    fn schema(&self, lists: Lists) -> serde_json::Value {
        let doc = self.describe();
        let value = self.form.schema();
        let is_any = value.as_object().is_some_and(serde_json::Map::is_empty);
        let mut schema = if is_any || lists == Lists::Value {
            value
        } else {
            json!({ "anyOf": [value, { "type": "array", "items": value }] })
        };
        let default = doc.default.map_or_else(
            || "Required.".to_owned(),
            |default| format!("Default: {default}."),
        );
        schema["description"] = format!("{} {} {default}", upper_first(&doc.value), doc.doc).into();
        schema
    }

    fn inner(&self) -> Option<&'static KindDoc> {
        self.form.inner()
    }

    fn check(&self, fields: &Fields<'_>) {
        if let Some(node) = fields.raw(self.name) {
            self.form.check(fields, self.name, node);
        }
    }
}

/// A sentence of a fragment.
fn upper_first(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    format!("{first}{}.", letters.as_str())
}

impl fmt::Debug for dyn AnyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
