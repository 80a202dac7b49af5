//! Errors and warnings in an experiment file: where, what, and what to do about it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use serde::Serialize;

use super::follow_ups::FollowUps;
use super::snippet::{ShownPart, Snippet};
use super::source::{Places, Source, Span};
use crate::text;

/// Whether a file can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but something in it looks like a slip.
    Warning,
}

impl Severity {
    /// As it stands before a code.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Whether it is an error.
    pub severity: Severity,
    /// Stable code such as `spec::unknown-key`; documented in `docs/errors.md`.
    pub code: &'static str,
    /// What is wrong, as a lower-case fragment.
    pub message: String,
    /// The bytes of the file that it is about.
    pub span: Span,
    /// A few words to stand at the place itself.
    pub label: String,
    /// A lower-case fragment that may follow `hint: `.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a hint.
    pub fn new(
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            label: label.into(),
            hint: None,
        }
    }

    /// A warning without a hint.
    pub fn warning(
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::new(code, span, message, label)
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a hint where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// All errors of one file, in the order of their places, each once.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    /// The file that the places of the errors refer to.
    pub source: Box<Source>,
    pub(super) items: Vec<Diagnostic>,
    seen: Box<Seen>,
    /// What could not be read.
    pub follow_ups: Box<FollowUps>,
}

/// What was recorded so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The errors that are kept, to find repeated ones at once.
    known: HashSet<Diagnostic>,
    /// How many were recorded, those included that are repeated or follow from others.
    recorded: usize,
}

/// So many errors are shown to people; the first ones tell what is wrong with a file that has more.
const MOST_SHOWN: usize = 100;
/// Longer texts from the file within an error are cut, in characters.
const LONGEST_TEXT: usize = 1000;

/// One error as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct DiagnosticRecord<'a> {
    /// The file as the user named it, or as the file that includes it does; `--set` for what that says.
    pub file: &'a str,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// `error` or `warning`.
    pub severity: Severity,
    /// Stable code.
    pub code: &'static str,
    /// A lower-case fragment.
    pub message: &'a str,
    /// The part of the file that the error is about, as it was typed; the begin of a long one.
    pub text: Cow<'a, str>,
    /// A lower-case fragment that may follow `hint: `.
    pub hint: Option<&'a str>,
}

/// Cuts a text that quotes too much of a file.
fn cut(quoted: &mut String) {
    if let Cow::Owned(short) = text::shortened(quoted, LONGEST_TEXT) {
        *quoted = short;
    }
}

impl Diagnostics {
    /// No errors yet.
    pub fn new(source: impl Into<Box<Source>>) -> Self {
        Self {
            source: source.into(),
            items: Vec::new(),
            seen: Box::default(),
            follow_ups: Box::default(),
        }
    }

    /// Records an error; one that a sweep repeats is listed once, and one that may be due to an error of syntax is not listed.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        self.seen.recorded += 1;
        if self.follow_ups.is_broken(diagnostic.span.start) {
            return;
        }
        cut(&mut diagnostic.message);
        diagnostic.hint.iter_mut().for_each(cut);
        if self.seen.known.insert(diagnostic.clone()) {
            self.items.push(diagnostic);
        }
    }

    /// Takes over what was found in one part of the source, which begins at `start`.
    pub(super) fn absorb(&mut self, found: Self, start: usize) {
        self.follow_ups.absorb(&found.follow_ups, start);
        for item in found.items {
            let span = item.span.moved(start);
            // What may be due to an error of syntax was left out where it was found.
            let item = Diagnostic { span, ..item };
            self.seen.recorded += 1;
            if self.seen.known.insert(item.clone()) {
                self.items.push(item);
            }
        }
    }

    /// Adds the errors of the same source under a profile that are not known yet, and says under which; `None` for the file as it stands.
    pub fn extend(&mut self, others: &Self, profile: Option<&str>) {
        let named = profile.map(|name| format!("profile `{name}`"));
        for item in &others.items {
            if self.seen.known.insert(item.clone()) {
                let mut item = item.clone();
                let note = named.iter().filter(|name| !item.message.contains(*name));
                let note: Vec<String> = note.map(|name| format!(", with {name}")).collect();
                let note = note.concat();
                item.message.push_str(&note);
                self.items.push(item);
            }
        }
    }

    /// How many were recorded so far, whether or not they are listed: equal numbers mean that nothing was wrong in between.
    pub(super) fn recorded(&self) -> usize {
        self.seen.recorded
    }

    /// The same but for the errors of one code.
    #[must_use]
    pub fn without(mut self, code: &str) -> Self {
        self.items.retain(|item| item.code != code);
        self.seen.known.retain(|item| item.code != code);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many errors there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All of them, in the order of their places.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_key(|item| (item.span, item.code));
        items
    }

    /// All of them as records for `--json`.
    pub fn records(&self) -> Vec<DiagnosticRecord<'_>> {
        let mut places = Places::new(&self.source);
        self.sorted()
            .into_iter()
            .map(|item| {
                let (line, column) = places.next(item.span.start);
                DiagnosticRecord {
                    file: self.source.name_at(item.span.start),
                    line,
                    column,
                    severity: item.severity,
                    code: item.code,
                    message: &item.message,
                    text: text::shortened(self.source.slice(item.span), LONGEST_TEXT),
                    hint: item.hint.as_deref(),
                }
            })
            .collect()
    }

    /// All of them as text for people: `file:line:column`, the lines themselves, a code and a hint.
    ///
    /// `color` decides whether escape sequences are written; `width` is the terminal's, in columns.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(width)
            .with_links(false)
            .with_context_lines(1);
        let mut text = String::new();
        let mut places = Places::new(&self.source);
        let mut parts: HashMap<usize, ShownPart> = HashMap::new();
        for item in self.sorted().into_iter().take(MOST_SHOWN) {
            let place = places.next(item.span.start);
            let part = self.source.part_at(item.span.start);
            let part = parts
                .entry(part)
                .or_insert_with(|| ShownPart::of(&self.source, part));
            let item = part.shown(item);
            let located = Rendered {
                item: &item,
                name: &part.shown.name,
                snippet: Snippet::new(&part.shown, item.span, place),
                place,
            };
            // Writing to a String does not fail; a handler that does is reported in its place.
            if handler.render_report(&mut text, &located).is_err() {
                text.push_str(&item.message);
            }
            text.push('\n');
        }
        if let Some(more @ 1..) = self.items.len().checked_sub(MOST_SHOWN) {
            let _ = writeln!(text, "  … and {more} more; `--json` has all of them");
        }
        text
    }
}

/// An error together with its source, in the shape that miette renders.
struct Rendered<'a> {
    item: &'a Diagnostic,
    name: &'a str,
    snippet: Snippet,
    place: (usize, usize),
}

impl fmt::Debug for Rendered<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.item.message)
    }
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place;
        write!(
            formatter,
            "{}:{line}:{column}: {}",
            self.name, self.item.message
        )
    }
}

impl std::error::Error for Rendered<'_> {}

impl miette::Diagnostic for Rendered<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let Diagnostic { severity, code, .. } = self.item;
        Some(Box::new(format!("{}[{code}]", severity.word())))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.item.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.item
            .hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.snippet)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.snippet.span;
        let length = span.end.saturating_sub(span.start);
        Some(Box::new(std::iter::once(LabeledSpan::new(
            Some(self.item.label.clone()),
            span.start,
            length,
        ))))
    }
}
