//! The text of an experiment file, and places in it.

use std::ops::Range;
use std::sync::Arc;

/// A range of byte offsets into a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// An experiment file: its name as the user typed it, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name to show in messages.
    pub name: String,
    /// The whole text; [`Span`]s are byte offsets into it.
    pub text: Arc<str>,
    /// The folder that `~/` stands for at the begin of a path; `None` where it stands for itself.
    pub home: Option<Arc<str>>,
}

impl Source {
    /// A source from a name and a text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            home: None,
        }
    }

    /// The same source, where `~/` at the begin of a path stands for this folder.
    #[must_use]
    pub fn with_home(self, home: Option<String>) -> Self {
        Self {
            home: home.map(Into::into),
            ..self
        }
    }

    /// Line and column of a byte offset, both counted from 1; the column counts characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before
            .get(line_start..)
            .map_or(0, |head| head.chars().count())
            + 1;
        (line, column)
    }

    /// The text at a span; empty when the span is outside.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }
}

/// Lines and columns of places that are asked for from the first to the last: the text is walked over once.
#[derive(Debug)]
pub struct Places<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    column: usize,
}

impl<'a> Places<'a> {
    /// From the begin of a file.
    pub fn new(source: &'a Source) -> Self {
        Self {
            text: &source.text,
            offset: 0,
            line: 1,
            column: 1,
        }
    }

    /// Line and column of a byte offset, as [`Source::line_and_column`] has them. The offset is not before the one that was asked for last.
    pub fn next(&mut self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        match between.rfind('\n') {
            Some(newline) => {
                self.line += between.matches('\n').count();
                self.column = between[newline + 1..].chars().count() + 1;
            }
            None => self.column += between.chars().count(),
        }
        self.offset = offset.max(self.offset);
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let source = Source::new("x.toml", "a = 1\nß = \"é\" # x\n");
        assert_eq!(source.line_and_column(0), (1, 1));
        assert_eq!(source.line_and_column(4), (1, 5));
        assert_eq!(source.line_and_column(6), (2, 1));
        let quote = source.text.find('"').unwrap();
        assert_eq!(source.line_and_column(quote), (2, 5));
        assert_eq!(source.line_and_column(10_000), (3, 1));
        let mut places = Places::new(&source);
        for offset in [0, 0, 4, 6, quote, 10_000] {
            assert_eq!(places.next(offset), source.line_and_column(offset));
        }
    }
}
