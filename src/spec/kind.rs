//! Kinds: what a node may be, each with its keys and how its table is read.
//!
//! A module that has kinds lists them in its `ALL`; [`find`] is the one way from `kind = "…"` to one of them.

use std::fmt;

use serde_json::{Map, json};

use super::diagnostic::Diagnostic;
use super::fields::Fields;
use super::form::Text;
use super::key::{AnyKey, Key, Keys, Lists};
use super::suggest;
use super::tree::Value;

/// The documentation of one kind, or of a table that has one form only.
#[derive(Debug, Clone, Copy)]
pub struct KindDoc {
    /// The name as it is typed after `kind =`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Its own keys, besides `kind`, `zip` and `cases`.
    pub keys: Keys,
    /// Further keys: those that it shares with other kinds, or a group that its code lists by itself.
    pub shared: Keys,
}

impl KindDoc {
    /// Its own keys, then the shared ones.
    pub fn all_keys(&self) -> Vec<&'static dyn AnyKey> {
        self.keys.iter().chain(self.shared).copied().collect()
    }

    /// The names of the keys that a table must have.
    pub fn required(&self) -> Vec<&'static str> {
        let keys = self.all_keys().into_iter();
        let required = keys.filter(|key| key.is_required());
        required.map(AnyKey::name).collect()
    }

    /// The tables that have no other keys than these and the `further` ones, as a JSON Schema; `lists` says whether lists sweep. None is
    /// required: a file may leave a key to one that it includes, or that includes it.
    pub fn schema(
        &self,
        further: Map<String, serde_json::Value>,
        lists: Lists,
    ) -> serde_json::Value {
        let mut properties = further;
        for key in self.all_keys() {
            properties.insert(key.name().to_owned(), key.schema(lists));
        }
        json!({
            "type": "object",
            "description": self.summary,
            "properties": properties,
            "additionalProperties": false,
        })
    }

    /// The same for a table that stands where nothing overrides it: it has every required key.
    pub fn whole_schema(&self) -> serde_json::Value {
        let mut schema = self.schema(Map::new(), Lists::Value);
        schema["required"] = json!(self.required());
        schema
    }
}

/// A kind, with the function that reads its tables and what kinds of its family offer besides.
pub struct Kind<P: 'static, M: 'static = ()> {
    /// Name, summary and keys, for listings and the reference page.
    pub doc: KindDoc,
    /// What it offers besides.
    pub more: M,
    parse: P,
}

/// Reads a table whose keys are checked already, and reports what else is wrong.
pub type Parse<T> = fn(&Fields<'_>) -> Option<T>;

/// The same, with something that it has to know.
pub type ParseWith<T, C> = fn(&Fields<'_>, &C) -> Option<T>;

impl<P> Kind<P> {
    /// A kind that offers nothing besides.
    pub const fn new(doc: KindDoc, parse: P) -> Self {
        Self::with(doc, parse, ())
    }
}

impl<P, M> Kind<P, M> {
    /// A kind with what it offers besides.
    pub const fn with(doc: KindDoc, parse: P, more: M) -> Self {
        Self { doc, more, parse }
    }

    /// Reports unknown and missing keys and wrong values, whatever is read first afterwards.
    fn check(&self, fields: &Fields<'_>) {
        fields.check_keys(&self.doc.all_keys(), &[KIND.name]);
    }
}

impl<T, M> Kind<Parse<T>, M> {
    /// Reads a node's table.
    pub fn read(&self, fields: &Fields<'_>) -> Option<T> {
        self.check(fields);
        (self.parse)(fields)
    }
}

impl<T, C, M> Kind<ParseWith<T, C>, M> {
    /// Reads a table by what its parser has to know.
    pub fn read_with(&self, fields: &Fields<'_>, context: &C) -> Option<T> {
        self.check(fields);
        (self.parse)(fields, context)
    }
}

impl<P, M> fmt::Debug for Kind<P, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.doc.name)
    }
}

const KIND: Key<Text> = Key::text("kind", "a word");

/// The kind that a table names; reports one that is missing or unknown. `section` is what there are kinds of: "metric".
pub fn find<P, M>(
    all: &[&'static Kind<P, M>],
    section: &str,
    fields: &Fields<'_>,
) -> Option<&'static Kind<P, M>> {
    let names = all.iter().map(|kind| kind.doc.name);
    if !fields.has(KIND.name) {
        let listed: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let mut keys = fields.entries().iter().map(|entry| entry.key.as_str());
        let other = keys.find(|key| suggest::nearest(key, [KIND.name]).is_some());
        let hint = match other {
            Some(other) => format!(
                "`{other}` is called `kind` here: one of {}",
                listed.join(", ")
            ),
            None => format!("one of {}", listed.join(", ")),
        };
        fields.report(
            Diagnostic::new(
                "spec::missing-key",
                fields.span(),
                format!("{} needs the key `kind`", fields.context()),
                "missing here",
            )
            .hint(hint),
        );
        return None;
    }
    if let Some(Value::List(kinds)) = fields.raw(KIND.name).map(|node| &node.value) {
        let first = kinds
            .first()
            .map_or("…".to_owned(), |kind| fields.typed(kind.span));
        fields.report(
            Diagnostic::new(
                "spec::wrong-type",
                fields.span_of(KIND.name),
                format!(
                    "`kind` of {} must be one word: it does not sweep",
                    fields.context()
                ),
                "a list here",
            )
            .hint(format!(
                "write one table for each kind, this one with `kind = {first}`"
            )),
        );
        return None;
    }
    let name = fields.get(&KIND)?;
    let found = all.iter().find(|kind| kind.doc.name == name);
    if found.is_none() {
        fields.report(
            Diagnostic::new(
                "spec::unknown-kind",
                fields.span_of(KIND.name),
                format!("unknown {section} kind `{name}`"),
                "unknown kind",
            )
            .maybe_hint(suggest::hint(&name, names)),
        );
    }
    found.copied()
}
