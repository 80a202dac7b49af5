//! The text of an experiment file, and places in it.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::Diagnostic;

/// A range of byte offsets into a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The same range, so many bytes further on.
    pub(super) fn moved(self, by: usize) -> Self {
        Self {
            start: self.start + by,
            end: self.end + by,
        }
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// One text of a [`Source`]: the experiment file, a file that it includes, or what one `--set` says.
#[derive(Debug, Clone)]
pub struct Part {
    /// The name to show in messages.
    pub name: Arc<str>,
    /// Where it stands in the text of the source.
    pub span: Span,
    /// What its key `include` names, in the order of the list: the part of each file, or why there is none.
    pub(super) includes: Vec<Result<usize, Diagnostic>>,
}

/// An experiment file with all that is read together with it: its name as the user typed it, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name of the file, to show in messages.
    pub name: String,
    /// The text of the file, then those of the other parts; [`Span`]s are byte offsets into all of it.
    pub text: Arc<str>,
    /// The folder that `~/` stands for at the begin of a path; `None` where it stands for itself.
    pub home: Option<Arc<str>>,
    /// The profile whose keys override those of the file; `None` where the file stands as it was written.
    pub profile: Option<Arc<str>>,
    /// The file itself, the files that it includes, and the `--set`s, in the order of the text.
    pub(super) parts: Vec<Part>,
    /// Which parts are `--set`s.
    pub(super) sets: Vec<usize>,
}

impl Source {
    /// A source from a name and a text.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        let (name, text): (String, Arc<str>) = (name.into(), text.into());
        let part = Part {
            name: name.as_str().into(),
            span: (0..text.len()).into(),
            includes: Vec::new(),
        };
        Self {
            name,
            text,
            home: None,
            profile: None,
            parts: vec![part],
            sets: Vec::new(),
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

    /// The same source, overridden by one of its profiles.
    #[must_use]
    pub fn with_profile(self, profile: Option<&str>) -> Self {
        Self {
            profile: profile.map(Into::into),
            ..self
        }
    }

    /// Adds a text behind the others; the number of its part.
    pub(super) fn append(&mut self, name: &str, text: &str) -> usize {
        let start = self.text.len() + 1;
        self.text = format!("{}\n{text}", self.text).into();
        self.parts.push(Part {
            name: name.into(),
            span: (start..start + text.len()).into(),
            includes: Vec::new(),
        });
        self.parts.len() - 1
    }

    /// The number of the part that a byte offset lies in.
    pub(super) fn part_at(&self, offset: usize) -> usize {
        let next = self.parts.partition_point(|part| part.span.start <= offset);
        next.saturating_sub(1)
    }

    /// A part as a source of its own.
    pub(super) fn alone(&self, part: usize) -> Self {
        let part = &self.parts[part];
        Self::new(&*part.name, self.slice(part.span))
    }

    /// The name of the file that a byte offset lies in.
    pub fn name_at(&self, offset: usize) -> &str {
        &self.parts[self.part_at(offset)].name
    }

    /// Line and column of a byte offset in its file, both counted from 1; the column counts characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let start = self.parts[self.part_at(offset)].span.start;
        let before = self.text.get(start..offset);
        let before = before.or_else(|| self.text.get(start..)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before
            .get(line_start..)
            .map_or(0, |head| head.chars().count())
            + 1;
        (line, column)
    }

    /// `FILE:LINE:COLUMN` of a byte offset.
    pub fn place(&self, offset: usize) -> String {
        let (line, column) = self.line_and_column(offset);
        format!("{}:{line}:{column}", self.name_at(offset))
    }

    /// Where a span begins, as seen from another: `line 3` of the same file, `FILE:LINE:COLUMN` of another one.
    pub fn place_from(&self, span: Span, from: Span) -> String {
        if self.part_at(span.start) == self.part_at(from.start) {
            return format!("line {}", self.line_and_column(span.start).0);
        }
        self.place(span.start)
    }

    /// The text at a span; empty when the span is outside.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }
}

/// Lines and columns of places that are asked for from the first to the last: the text is walked over once.
#[derive(Debug)]
pub struct Places<'a> {
    source: &'a Source,
    part: usize,
    offset: usize,
    line: usize,
    column: usize,
}

impl<'a> Places<'a> {
    /// From the begin of a file.
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            part: 0,
            offset: 0,
            line: 1,
            column: 1,
        }
    }

    /// Line and column of a byte offset, as [`Source::line_and_column`] has them. The offset is not before the one that was asked for last.
    pub fn next(&mut self, offset: usize) -> (usize, usize) {
        let part = self.source.part_at(offset);
        if part != self.part {
            let offset = self.source.parts[part].span.start;
            (self.part, self.offset, self.line, self.column) = (part, offset, 1, 1);
        }
        let text = &*self.source.text;
        let offset = offset.min(text.len());
        let between = text.get(self.offset..offset).unwrap_or_default();
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
    #[test]
    fn places_are_those_of_the_part_that_they_lie_in() {
        let mut source = Source::new("x.toml", "a = 1\n");
        let second = source.append("y.toml", "b = 2\nc = 3");
        let third = source.append("--set", "d = 4");
        let start = |part: usize| source.parts[part].span.start;
        assert_eq!(source.place(4), "x.toml:1:5");
        assert_eq!(source.place(start(second) + 6), "y.toml:2:1");
        assert_eq!(source.place(start(third) + 4), "--set:1:5");
        // The end of a file without a last newline is a place of that file.
        assert_eq!(source.place(start(third) - 1), "y.toml:2:6");
        let mut places = Places::new(&source);
        for offset in [0, 4, start(second), start(second) + 7, start(third) + 2] {
            assert_eq!(places.next(offset), source.line_and_column(offset));
        }
        assert_eq!(source.alone(second).text.as_ref(), "b = 2\nc = 3");
    }
}
