//! Reading one table key by key, collecting every mistake on the way.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::kind::Key;
use super::source::Span;
use super::suggest;
use super::tree::{Entry, Node, Table, Value};

/// A value that was read, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A reader over one table.
///
/// Each method reads one key. A method returns `None` when the key is absent or wrong; a wrong value is recorded as a
/// diagnostic, so that the caller can go on and find the next mistake. Whether anything was wrong is asked once, at the end,
/// with [`Fields::is_sound`].
#[derive(Debug)]
pub struct Fields<'a> {
    table: &'a Table,
    /// What the table is, for messages: "extraction `gd`".
    context: String,
    /// The place to point at when a key is missing.
    span: Span,
    diagnostics: &'a RefCell<Diagnostics>,
    before: usize,
}

impl<'a> Fields<'a> {
    /// A reader over a table that is called `context` in messages.
    pub fn new(
        table: &'a Table,
        context: impl Into<String>,
        span: Span,
        diagnostics: &'a RefCell<Diagnostics>,
    ) -> Self {
        let before = diagnostics.borrow().len();
        Self {
            table,
            context: context.into(),
            span,
            diagnostics,
            before,
        }
    }

    /// Records a mistake.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Records a misfit of one key's value; points at the table when the key is absent.
    pub fn misfit(
        &self,
        key: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let span = self.span_of(key);
        self.report(Diagnostic::new(code, span, message, "here").maybe_hint(hint));
    }

    /// What the table is, for messages.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The place of the table's header.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The place of a key's value, or of the table's header when the key is absent.
    pub fn span_of(&self, key: &str) -> Span {
        self.table
            .get(key)
            .map_or(self.span, |entry| entry.node.span)
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Whether no new mistake was recorded since this reader was made.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.borrow().len() == self.before
    }

    /// Reports keys that are not in `known`, and required ones that are missing. `extra` are legal but documented elsewhere.
    pub fn check_keys(&self, known: &[Key], extra: &[&str]) {
        let names: Vec<&str> = known
            .iter()
            .map(|key| key.name)
            .chain(extra.iter().copied())
            .collect();
        for entry in &self.table.entries {
            if !names.contains(&entry.key.as_str()) {
                self.report(
                    Diagnostic::new(
                        "spec::unknown-key",
                        entry.key_span,
                        format!("unknown key `{}` in {}", entry.key, self.context),
                        "not a key of this table",
                    )
                    .maybe_hint(suggest::hint(&entry.key, names.iter().copied())),
                );
            }
        }
        for key in known.iter().filter(|key| key.default.is_none()) {
            if self.table.get(key.name).is_none() {
                self.report(
                    Diagnostic::new(
                        "spec::missing-key",
                        self.span,
                        format!("{} needs the key `{}`", self.context, key.name),
                        "missing here",
                    )
                    .hint(format!("`{}` = {}: {}", key.name, key.value, key.doc)),
                );
            }
        }
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<Located<String>> {
        self.read(key, "a string", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A boolean.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.read(key, "`true` or `false`", |value| match value {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        })
        .map(|located| located.value)
    }

    /// An integer within a range.
    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<Located<i64>> {
        let located = self.read(key, "an integer", |value| match value {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        })?;
        if range.contains(&located.value) {
            return Some(located);
        }
        self.out_of_range(
            key,
            located.span,
            &located.value.to_string(),
            &range_in_words(&range),
        );
        None
    }

    /// An integer within a range of `u32`.
    pub fn count(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let wide = i64::from(*range.start())..=i64::from(*range.end());
        self.integer(key, wide)
            .and_then(|located| u32::try_from(located.value).ok())
    }

    /// A seed: any integer from 0.
    pub fn seed(&self, key: &str) -> Option<u64> {
        self.integer(key, 0..=i64::MAX)
            .and_then(|located| u64::try_from(located.value).ok())
    }

    /// A finite number, integers included, within a range.
    pub fn number(&self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let located = self.read(key, "a number", |value| match value {
            Value::Number(number) => Some(*number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "no key takes an integer above 2^53"
            )]
            Value::Integer(integer) => Some(*integer as f64),
            _ => None,
        })?;
        if located.value.is_finite() && range.contains(&located.value) {
            return Some(located.value);
        }
        // The smallest positive number stands for "anything above 0".
        let words = if (f64::MIN_POSITIVE..1e-300).contains(range.start()) {
            format!("above 0 and at most {}", range.end())
        } else {
            format!("between {} and {}", range.start(), range.end())
        };
        self.out_of_range(key, located.span, &located.value.to_string(), &words);
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let located = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == located.value) {
            return Some(*value);
        }
        let names = choices.iter().map(|(name, _)| *name);
        self.report(
            Diagnostic::new(
                "spec::out-of-range",
                located.span,
                format!(
                    "`{}` is no value of `{key}` in {}",
                    located.value, self.context
                ),
                "unknown word",
            )
            .maybe_hint(suggest::hint(&located.value, names)),
        );
        None
    }

    /// A list of strings; a single string counts as a list of one.
    pub fn texts(&self, key: &str) -> Option<Vec<Located<String>>> {
        self.list_of(key, "a string", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A list of integers within a range of `u32`; a single integer counts as a list of one.
    pub fn counts(&self, key: &str, range: RangeInclusive<u32>) -> Option<Vec<u32>> {
        let items = self.list_of(key, "an integer", |value| match value {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        })?;
        let mut counts = Vec::new();
        for item in items {
            match u32::try_from(item.value) {
                Ok(count) if range.contains(&count) => counts.push(count),
                _ => {
                    let words = format!("between {} and {}", range.start(), range.end());
                    self.out_of_range(key, item.span, &item.value.to_string(), &words);
                    return None;
                }
            }
        }
        Some(counts)
    }

    /// A reader over a table under a key.
    pub fn table(&self, key: &str) -> Option<Fields<'a>> {
        let entry = self.table.get(key)?;
        match &entry.node.value {
            Value::Table(table) => Some(self.nested(table, key, entry.node.span)),
            other => {
                self.wrong_type(entry, "a table", other);
                None
            }
        }
    }

    /// Readers over a list of tables under a key, such as `[[report.table]]`.
    pub fn tables(&self, key: &str) -> Vec<Fields<'a>> {
        let Some(entry) = self.table.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &entry.node.value else {
            self.wrong_type(entry, "a list of tables", &entry.node.value);
            return Vec::new();
        };
        let mut readers = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match &item.value {
                Value::Table(table) => {
                    readers.push(self.nested(table, &format!("{key} {}", index + 1), item.span));
                }
                other => self.wrong_type_at(item.span, key, "a table", other),
            }
        }
        readers
    }

    /// The raw value of a key.
    pub fn raw(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key).map(|entry| &entry.node)
    }

    /// Every entry, in the order of the file.
    pub fn entries(&self) -> &'a [Entry] {
        &self.table.entries
    }

    /// Reports that a value has the wrong type.
    pub fn wrong_type_at(&self, span: Span, key: &str, wanted: &str, found: &Value) {
        self.report(Diagnostic::new(
            "spec::wrong-type",
            span,
            format!(
                "`{key}` of {} must be {wanted}, not {}",
                self.context,
                found.type_name()
            ),
            format!("{} here", found.type_name()),
        ));
    }

    fn nested(&self, table: &'a Table, key: &str, span: Span) -> Fields<'a> {
        Fields::new(
            table,
            format!("`{key}` of {}", self.context),
            span,
            self.diagnostics,
        )
    }

    fn read<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<Located<T>> {
        let entry = self.table.get(key)?;
        let Some(value) = convert(&entry.node.value) else {
            self.wrong_type(entry, wanted, &entry.node.value);
            return None;
        };
        let span = entry.node.span;
        Some(Located { value, span })
    }

    fn list_of<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Option<Vec<Located<T>>> {
        let entry = self.table.get(key)?;
        let items = match &entry.node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        let mut values = Vec::new();
        for item in items {
            match convert(&item.value) {
                Some(value) => values.push(Located {
                    value,
                    span: item.span,
                }),
                None => self.wrong_type_at(
                    item.span,
                    key,
                    &format!("{wanted} or a list of them"),
                    &item.value,
                ),
            }
        }
        (values.len() == items.len()).then_some(values)
    }

    fn wrong_type(&self, entry: &Entry, wanted: &str, found: &Value) {
        self.wrong_type_at(entry.node.span, &entry.key, wanted, found);
    }

    fn out_of_range(&self, key: &str, span: Span, found: &str, words: &str) {
        self.report(Diagnostic::new(
            "spec::out-of-range",
            span,
            format!("`{key}` of {} must be {words}, not {found}", self.context),
            "out of range",
        ));
    }
}

fn range_in_words(range: &RangeInclusive<i64>) -> String {
    if *range.end() == i64::MAX {
        format!("at least {}", range.start())
    } else if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("between {} and {}", range.start(), range.end())
    }
}
