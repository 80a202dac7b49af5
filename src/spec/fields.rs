//! Reading one table key by key, collecting every error on the way.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::advice::{self, Wanted};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::form::{Form, List};
use super::key::{AnyKey, Key};
use super::source::Span;
use super::suggest;
use super::tree::{Entry, Node, Table, Value};

/// A value that was read, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// What was read at `span`.
    pub value: T,
    /// The bytes of the file that hold it.
    pub span: Span,
}

/// A reader over one table.
///
/// [`Fields::check_keys`] finds all that is wrong with a table by the declarations of its keys; [`Fields::get`] then reads one key at
/// a time. What is wrong is recorded as a diagnostic, so that the caller can continue and find the next error. Whether anything
/// was wrong is asked once, at the end, with [`Fields::is_sound`].
#[derive(Debug)]
pub struct Fields<'a> {
    table: &'a Table,
    /// What the table is, for messages: "extraction `gd`".
    context: String,
    /// The place to point at when a key is missing.
    span: Span,
    diagnostics: &'a RefCell<Diagnostics>,
    before: usize,
    /// The key that the table stands under, where that sweeps over a list of tables.
    under: Option<String>,
    /// The keys that unknown ones stand for: they are not missing.
    meant: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// A reader over a table that is called `context` in messages.
    pub fn new(
        table: &'a Table,
        context: impl Into<String>,
        span: Span,
        diagnostics: &'a RefCell<Diagnostics>,
    ) -> Self {
        let before = diagnostics.borrow().recorded();
        Self {
            table,
            context: context.into(),
            span,
            diagnostics,
            before,
            under: None,
            meant: RefCell::default(),
        }
    }

    /// Records an error.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Records a misfit of one key's value; points at the table when the key is absent.
    pub fn invalid(
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

    /// Whether no new error was recorded since this reader was made.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.borrow().recorded() == self.before
    }

    /// Reports keys that are not in `known`, required ones that are missing, and values that their declarations do not allow.
    /// `extra` are legal but read elsewhere.
    pub fn check_keys(&self, known: &[&dyn AnyKey], extra: &[&str]) {
        let names = known
            .iter()
            .map(|key| key.name())
            .chain(extra.iter().copied());
        for entry in &self.table.entries {
            if names.clone().any(|name| name == entry.key) {
                continue;
            }
            // A key that is there already was not meant once more.
            let free = names.clone().filter(|name| !self.has(name));
            let meant = suggest::nearest(&entry.key, free);
            self.meant.borrow_mut().extend(meant.map(str::to_owned));
            let hint = match meant {
                Some(meant) => Some(format!("did you mean `{meant}`?")),
                None => advice::key_within(&entry.key, known, self.typed(entry.node.span).as_str())
                    .or_else(|| suggest::hint(&entry.key, names.clone())),
            };
            self.report(
                Diagnostic::new(
                    "spec::unknown-key",
                    entry.key_span,
                    format!("unknown key `{}` in {}", entry.key, self.context),
                    "not a key of this table",
                )
                .maybe_hint(hint),
            );
        }
        for key in known {
            if key.is_required() && !self.has(key.name()) {
                self.missing(*key);
            }
            key.check(self);
        }
    }

    /// Reports that a key is missing, unless an unknown one stands for it.
    pub fn missing(&self, key: &dyn AnyKey) {
        if self.meant.borrow().contains(key.name()) {
            return;
        }
        let doc = key.describe();
        self.report(
            Diagnostic::new(
                "spec::missing-key",
                self.span,
                format!("{} needs the key `{}`", self.context, doc.name),
                "missing here",
            )
            .hint(format!("`{}` = {}: {}", doc.name, doc.value, doc.doc)),
        );
    }

    /// The value of a key, or its default where it is absent. Where the value is wrong, that is reported, and the default stands in
    /// for it as well, so that whoever reads on finds the next error. `None` where there is no default.
    pub fn get<F: Form>(&self, key: &Key<F>) -> Option<F::Value<'a>> {
        self.given(key).or_else(|| key.fallback(self))
    }

    /// The value of a key that is there; `None` where it is absent or wrong.
    pub fn given<F: Form>(&self, key: &Key<F>) -> Option<F::Value<'a>> {
        key.form.read(self, key.name, self.raw(key.name)?)
    }

    /// The same as [`Fields::get`], with the place of the value.
    pub fn located<F: Form>(&self, key: &Key<F>) -> Option<Spanned<F::Value<'a>>> {
        let value = self.get(key)?;
        let span = self.span_of(key.name);
        Some(Spanned { value, span })
    }

    /// The items of a list, each with its place; those of the default where the key is absent.
    pub fn items<F: Form>(&self, key: &Key<List<F>>) -> Option<Vec<Spanned<F::Value<'a>>>> {
        let read = |node| key.form.read_items(self, key.name, node);
        self.raw(key.name).and_then(read).or_else(|| {
            let span = self.span;
            let items = key.fallback(self)?.into_iter();
            Some(items.map(|value| Spanned { value, span }).collect())
        })
    }

    /// A reader over a table under a key.
    pub fn table(&self, key: &str) -> Option<Fields<'a>> {
        let entry = self.table.get(key)?;
        match &entry.node.value {
            Value::Table(table) => {
                let mut fields = self.nested(table, key, entry.node.span);
                fields.under = Some(key.to_owned());
                Some(fields)
            }
            other => {
                self.wrong_type(entry, (Wanted::Table, "a table"), other);
                None
            }
        }
    }

    /// What stands at a place, as it was typed.
    pub(super) fn typed(&self, span: Span) -> String {
        self.diagnostics.borrow().source.slice(span).to_owned()
    }

    /// Where something stands, as seen from another place: `line 3` of the same file, or `parts/gd.toml:3:1`.
    pub fn place_of(&self, span: Span, from: Span) -> String {
        let diagnostics = self.diagnostics.borrow();
        diagnostics.source.place_from(span, from)
    }

    /// Whether a node may be there, although it is not found; see [`FollowUps`](super::follow_ups::FollowUps).
    pub fn may_hide(&self, section: &str, name: &str) -> bool {
        let diagnostics = self.diagnostics.borrow();
        diagnostics.follow_ups.may_hide(section, name)
    }

    /// A reader over a table without entries, as if it stood under a key that is absent.
    pub(super) fn empty_table(&self, key: &str) -> Fields<'a> {
        static EMPTY: Table = Table {
            entries: Vec::new(),
        };
        self.nested(&EMPTY, key, self.span)
    }

    /// Readers over a list of tables under a key, such as `[[report.table]]`.
    pub fn tables(&self, key: &str) -> Vec<Fields<'a>> {
        let Some(entry) = self.table.get(key) else {
            return Vec::new();
        };
        let Value::List(items) = &entry.node.value else {
            self.wrong_type(
                entry,
                (Wanted::Tables, "a list of tables"),
                &entry.node.value,
            );
            return Vec::new();
        };
        let mut readers = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match &item.value {
                Value::Table(table) => {
                    readers.push(self.nested(table, &format!("{key} {}", index + 1), item.span));
                }
                other => self.wrong_type_at(item.span, key, (Wanted::Table, "a table"), other),
            }
        }
        readers
    }

    /// The value of a key before it is parsed; `None` where the key is absent.
    pub fn raw(&self, key: &str) -> Option<&'a Node> {
        self.table.get(key).map(|entry| &entry.node)
    }

    /// Every entry, in the order of the file.
    pub fn entries(&self) -> &'a [Entry] {
        &self.table.entries
    }

    /// Reports that a value has the wrong type, with the right spelling where that can be told; `wanted` is the right type, and what
    /// the value may be in words.
    pub fn wrong_type_at(
        &self,
        span: Span,
        key: &str,
        (wanted, words): (Wanted, &str),
        found: &Value,
    ) {
        let hint = advice::right_type(
            &advice::Place {
                key,
                typed: &self.typed(span),
                beside: &self.beside(key),
                under: self.under.as_deref(),
            },
            wanted,
            found,
            &|span| self.typed(span),
        );
        self.wrong_type_with(span, key, words, found, hint);
    }

    /// Reports that a value has the wrong type, with a hint.
    pub(super) fn wrong_type_with(
        &self,
        span: Span,
        key: &str,
        words: &str,
        found: &Value,
        hint: Option<String>,
    ) {
        self.report(
            Diagnostic::new(
                "spec::wrong-type",
                span,
                format!(
                    "`{key}` of {} must be {words}, not {}",
                    self.context,
                    found.type_name()
                ),
                format!("{} here", found.type_name()),
            )
            .maybe_hint(hint),
        );
    }

    /// The other entries of the table, as they were typed.
    fn beside(&self, key: &str) -> Vec<String> {
        let others = self.table.entries.iter().filter(|entry| entry.key != key);
        let others = others.filter(|_| self.under.is_some()).take(8);
        others
            .map(|entry| format!("{} = {}", entry.key, self.typed(entry.node.span)))
            .collect()
    }

    fn nested(&self, table: &'a Table, key: &str, span: Span) -> Fields<'a> {
        Fields::new(
            table,
            format!("`{key}` of {}", self.context),
            span,
            self.diagnostics,
        )
    }

    fn wrong_type(&self, entry: &Entry, wanted: (Wanted, &str), found: &Value) {
        self.wrong_type_at(entry.node.span, &entry.key, wanted, found);
    }

    /// Reports a value that its declaration does not allow; `words` is what it allows.
    pub(super) fn out_of_range(&self, key: &str, span: Span, found: &str, words: &str) {
        self.report(Diagnostic::new(
            "spec::out-of-range",
            span,
            format!("`{key}` of {} must be {words}, not {found}", self.context),
            "out of range",
        ));
    }

    /// Reports a word that its declaration does not list.
    pub(super) fn unknown_word(
        &self,
        key: &str,
        span: Span,
        found: &str,
        words: impl Iterator<Item = &'static str> + Clone,
    ) {
        self.report(
            Diagnostic::new(
                "spec::out-of-range",
                span,
                format!("unknown value `{found}` of `{key}` in {}", self.context),
                "unknown word",
            )
            .maybe_hint(suggest::hint(found, words)),
        );
    }
}
