//! Lists and tables.

use std::convert::Infallible;
use std::ops::RangeInclusive;

use serde_json::json;

use super::{Choice, Form};
use crate::spec::advice::{self, Wanted};
use crate::spec::fields::{Fields, Spanned};
use crate::spec::key::Lists;
use crate::spec::kind::KindDoc;
use crate::spec::tree::{Node, Value};

/// A list whose items have one form: `Vec`.
#[derive(Debug, Clone, Copy)]
pub struct List<F> {
    item: F,
    least: usize,
    most: usize,
}

impl<F: Form> List<F> {
    pub(in crate::spec) const fn of(item: F) -> Self {
        Self {
            item,
            least: 0,
            most: usize::MAX,
        }
    }

    pub(in crate::spec) const fn items(self, lengths: RangeInclusive<usize>) -> Self {
        Self {
            least: *lengths.start(),
            most: *lengths.end(),
            ..self
        }
    }

    /// Reads the items, each with its place.
    pub(in crate::spec) fn read_items<'a>(
        &self,
        fields: &Fields<'a>,
        key: &str,
        node: &'a Node,
    ) -> Option<Vec<Spanned<F::Value<'a>>>> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let read = |item: &'a Node| {
            let value = self.item.read(fields, key, item)?;
            let span = item.span;
            Some(Spanned { value, span })
        };
        // All are read before any is missed, so that every wrong one is reported.
        let values: Vec<_> = items.iter().map(read).collect();
        let values = values.into_iter().collect::<Option<Vec<_>>>()?;
        if !(self.least..=self.most).contains(&values.len()) {
            let found = format!("a list of {}", values.len());
            fields.out_of_range(key, node.span, &found, &self.words());
            return None;
        }
        Some(values)
    }
}

impl<F: Form> Form for List<F> {
    type Value<'a> = Vec<F::Value<'a>>;
    type Default = &'static [F::Default];

    fn words(&self) -> String {
        let item = self.item.words();
        match (self.least, self.most) {
            (0, usize::MAX) => format!("a list, each {item}"),
            (least, usize::MAX) => format!("a list of {least} or more, each {item}"),
            (least, most) if least == most => format!("a list of {least}, each {item}"),
            (least, most) => format!("a list of {least} to {most}, each {item}"),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let item = self.item.schema();
        let mut list = json!({ "type": "array", "items": item, "minItems": self.least });
        if self.most != usize::MAX {
            list["maxItems"] = self.most.into();
        }
        json!({ "anyOf": [item, list] })
    }

    fn read<'a>(
        &self,
        fields: &Fields<'a>,
        key: &str,
        node: &'a Node,
    ) -> Option<Vec<F::Value<'a>>> {
        let items = self.read_items(fields, key, node)?;
        Some(items.into_iter().map(|item| item.value).collect())
    }

    fn value<'a>(
        &self,
        default: &'static [F::Default],
        fields: &Fields<'a>,
        key: &str,
    ) -> Vec<F::Value<'a>> {
        let items = default.iter();
        let value = |item: &F::Default| self.item.value(*item, fields, key);
        items.map(value).collect()
    }

    fn show(&self, default: &'static [F::Default]) -> String {
        let items: Vec<String> = default.iter().map(|item| self.item.show(*item)).collect();
        format!("[{}]", items.join(", "))
    }

    fn lists(&self) -> Lists {
        Lists::Value
    }
}

/// A table of names with values of one form: pairs in the order of the file.
#[derive(Debug, Clone, Copy)]
pub struct Map<F> {
    pub(in crate::spec) what: &'static str,
    pub(in crate::spec) value: F,
}

impl<F: Form> Form for Map<F> {
    type Value<'a> = Vec<(String, F::Value<'a>)>;
    type Default = Infallible;

    fn words(&self) -> String {
        format!("a table of {} = {}", self.what, self.value.words())
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "type": "object", "additionalProperties": self.value.schema() })
    }

    fn read<'a>(
        &self,
        fields: &Fields<'a>,
        key: &str,
        _: &'a Node,
    ) -> Option<Vec<(String, F::Value<'a>)>> {
        let table = fields.table(key)?;
        let read = table.entries().iter().map(|entry| {
            let value = self.value.read(&table, &entry.key, &entry.node)?;
            Some((entry.key.clone(), value))
        });
        let pairs: Vec<_> = read.collect();
        pairs.into_iter().collect()
    }

    fn value<'a>(&self, default: Infallible, _: &Fields<'a>, _: &str) -> Self::Value<'a> {
        match default {}
    }

    fn show(&self, default: Infallible) -> String {
        match default {}
    }
}

/// A table with keys of its own: a reader over it. The only default is the empty table, with which each key has its own.
#[derive(Debug, Clone, Copy)]
pub struct Nested(pub(in crate::spec) &'static KindDoc);

impl Form for Nested {
    type Value<'a> = Fields<'a>;
    type Default = Empty;

    fn words(&self) -> String {
        format!("a table of the keys under `{}`", self.0.name)
    }

    fn schema(&self) -> serde_json::Value {
        // A profile may override one key of the table, so none is required.
        self.0.schema(serde_json::Map::new(), Lists::Value)
    }

    fn read<'a>(&self, fields: &Fields<'a>, key: &str, node: &'a Node) -> Option<Fields<'a>> {
        // What is not a table was reported when the keys were checked.
        let is_table = matches!(node.value, Value::Table(_));
        is_table.then(|| fields.table(key)).flatten()
    }

    fn value<'a>(&self, _: Empty, fields: &Fields<'a>, key: &str) -> Fields<'a> {
        fields.empty_table(key)
    }

    fn show(&self, _: Empty) -> String {
        let keys = self.0.keys.iter().map(|key| key.describe());
        let shown = keys.filter_map(|key| Some(format!("{} = {}", key.name, key.default?)));
        format!("{{ {} }}", shown.collect::<Vec<_>>().join(", "))
    }

    fn inner(&self) -> Option<&'static KindDoc> {
        Some(self.0)
    }

    fn check(&self, fields: &Fields<'_>, key: &str, node: &Node) {
        if !matches!(node.value, Value::Table(_)) {
            let typed = fields.typed(node.span);
            let hint = advice::table_of(key, self.0, &node.value, &typed);
            fields.wrong_type_with(node.span, key, "a table", &node.value, Some(hint));
        } else if let Some(table) = fields.table(key) {
            table.check_keys(&self.0.all_keys(), &[]);
        }
    }
}

/// The table without entries, as a default.
#[derive(Debug, Clone, Copy)]
pub struct Empty;

/// One of a few words, or a list of tables that whoever reads it takes apart, each of one of a few kinds.
#[derive(Debug, Clone, Copy)]
pub struct WordOr<T: 'static> {
    pub(in crate::spec) words: Choice<T>,
    pub(in crate::spec) list: &'static str,
    pub(in crate::spec) items: fn() -> Vec<&'static KindDoc>,
}

/// What a [`WordOr`] reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WordOrNode<'a, T> {
    /// What the word stands for.
    Word(T),
    /// The list, which the caller reads.
    List(&'a Node),
}

impl<T: Copy + PartialEq + Sync + 'static> Form for WordOr<T> {
    type Value<'a> = WordOrNode<'a, T>;
    type Default = T;

    fn words(&self) -> String {
        format!("{}, or {}", self.words.words(), self.list)
    }

    fn schema(&self) -> serde_json::Value {
        let items = (self.items)().into_iter();
        let items: Vec<_> = items.map(KindDoc::whole_schema).collect();
        let list = json!({ "type": "array", "items": { "anyOf": items } });
        json!({ "anyOf": [self.words.schema(), list] })
    }

    fn read<'a>(
        &self,
        fields: &Fields<'a>,
        key: &str,
        node: &'a Node,
    ) -> Option<WordOrNode<'a, T>> {
        match &node.value {
            Value::Text(_) => self.words.read(fields, key, node).map(WordOrNode::Word),
            Value::List(_) => Some(WordOrNode::List(node)),
            other => {
                fields.wrong_type_at(node.span, key, (Wanted::Other, &self.words()), other);
                None
            }
        }
    }

    fn value<'a>(&self, default: T, _: &Fields<'a>, _: &str) -> WordOrNode<'a, T> {
        WordOrNode::Word(default)
    }

    fn show(&self, default: T) -> String {
        self.words.show(default)
    }

    fn lists(&self) -> Lists {
        Lists::Steps
    }
}
