//! What is shown of a file around an error: its lines, the long ones cut.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::diagnostic::Diagnostic;
use super::source::{Source, Span};
use crate::visible::{on_one_line, visible};

/// Lines are shown up to so many bytes.
const LONGEST_LINE: usize = 160;
/// Of a longer line, so many bytes before the error are shown.
const BEFORE: usize = 60;
/// An error that goes over more lines is shown as its first ones.
const MOST_LINES: usize = 12;

/// A part of a source with everything hidden in it escaped, as it is shown around errors.
pub(super) struct ShownPart {
    /// The part as it was typed.
    typed: Source,
    /// Where it stands in the source.
    start: usize,
    /// The part as it is shown.
    pub(super) shown: Source,
}

impl ShownPart {
    pub(super) fn of(source: &Source, part: usize) -> Self {
        let typed = source.alone(part);
        let shown = Source::new(on_one_line(&typed.name), &*visible(&typed.text));
        Self {
            start: source.parts[part].span.start,
            typed,
            shown,
        }
    }

    /// An error of the part as it is shown beside the escaped text.
    pub(super) fn shown(&self, item: &Diagnostic) -> Diagnostic {
        let (typed, shown) = (&self.typed.text, &self.shown.text);
        let offset = |offset: usize| {
            let offset = offset.saturating_sub(self.start);
            if typed.len() == shown.len() {
                return offset;
            }
            // Escapes are longer than what they stand for, so that everything behind them has moved.
            let before = typed.get(..offset);
            before.map_or(shown.len(), |before| visible(before).len())
        };
        Diagnostic {
            message: visible(&item.message).into_owned(),
            span: Span {
                start: offset(item.span.start),
                end: offset(item.span.end),
            },
            label: visible(&item.label).into_owned(),
            hint: item.hint.as_deref().map(|hint| visible(hint).into_owned()),
            ..*item
        }
    }
}

/// A few lines of a file.
#[derive(Debug)]
pub(super) struct Snippet {
    name: String,
    /// The lines, with one more on either side.
    text: String,
    /// The error in `text`.
    pub(super) span: Span,
    /// The number of the first line, from 0.
    line: usize,
    /// How many bytes were cut from the begin of the line in which the error begins.
    cut: usize,
    /// Where that line begins in `text`.
    begin: usize,
}

impl Snippet {
    /// The lines around a span. `place` is line and column of its begin, from 1.
    pub(super) fn new(source: &Source, span: Span, place: (usize, usize)) -> Self {
        let text = &*source.text;
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let begin_of = |place: usize| text[..place].rfind('\n').map_or(0, |newline| newline + 1);
        let end_of = |place: usize| {
            text[place..]
                .find('\n')
                .map_or(text.len(), |end| place + end)
        };
        let first = begin_of(start);
        let mut last = end_of(start);
        let mut lines = 1;
        // The newline that ends a span does not count as a line of it.
        while last < end.saturating_sub(1) && lines < MOST_LINES {
            last = end_of(last + 1);
            lines += 1;
        }
        let before = (first > 0).then(|| begin_of(first - 1)..first - 1);
        let after = (last + 1 < text.len()).then(|| last + 1..end_of(last + 1));
        let mut snippet = Self {
            name: source.name.clone(),
            text: String::new(),
            span: Span::default(),
            line: place.0 - 1 - usize::from(before.is_some()),
            cut: 0,
            begin: 0,
        };
        if let Some(before) = before {
            snippet.push(&text[before], 0);
        }
        let (mut at, mut from) = (first, 0);
        while at <= last {
            let to = end_of(at);
            let wanted = start.saturating_sub(at).min(to - at);
            let begin = snippet.text.len();
            let (cut, shift) = snippet.push(&text[at..to], wanted);
            if at == first {
                (snippet.cut, snippet.begin) = (cut, begin);
                from = begin + wanted + shift - cut;
            }
            if end >= at {
                let whole = end.min(to) - at;
                let shown = (whole + shift).saturating_sub(cut);
                let most = snippet.text.len() - 1 - begin;
                snippet.span = Span {
                    start: from,
                    end: (begin + shown.min(most)).max(from),
                };
            }
            at = to + 1;
        }
        if let Some(after) = after {
            snippet.push(&text[after], 0);
        }
        if !text.ends_with('\n') || last >= text.len() {
            snippet.text.pop();
        }
        snippet
    }

    /// Adds a line, of a long one the part around a place; returns how much was cut at its begin, and how much stands there instead.
    fn push(&mut self, line: &str, place: usize) -> (usize, usize) {
        const MARK: &str = "…";
        if line.len() <= LONGEST_LINE {
            self.text.push_str(line);
            self.text.push('\n');
            return (0, 0);
        }
        let from = floor(line, place.saturating_sub(BEFORE));
        let to = floor(line, (from + LONGEST_LINE).min(line.len()));
        let shift = if from > 0 { MARK.len() } else { 0 };
        if from > 0 {
            self.text.push_str(MARK);
        }
        self.text.push_str(&line[from..to]);
        if to < line.len() {
            self.text.push_str(MARK);
        }
        self.text.push('\n');
        (from, shift)
    }
}

/// The begin of the character at a place, or the end of the text.
fn floor(text: &str, place: usize) -> usize {
    let mut place = place.min(text.len());
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, lines_before, lines_after)?;
        let is_cut = self.cut > 0 && inner.span().offset() > self.begin;
        let cut = if is_cut { self.cut - "…".len() } else { 0 };
        let contents = MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            self.line + inner.line(),
            inner.column() + cut,
            inner.line_count(),
        );
        Ok(Box::new(contents.with_language("toml")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Span) -> (String, String) {
        let source = Source::new("x.toml", text);
        let snippet = Snippet::new(&source, span, source.line_and_column(span.start));
        let marked = snippet.text[snippet.span.start..snippet.span.end].to_owned();
        (snippet.text, marked)
    }

    #[test]
    fn short_lines_are_shown_as_they_are() {
        let text = "a = 1\nb = two\nc = 3\nd = 4\n";
        let span = Span { start: 10, end: 13 };
        assert_eq!(
            shown(text, span),
            ("a = 1\nb = two\nc = 3\n".into(), "two".into())
        );
        let span = Span { start: 0, end: 1 };
        assert_eq!(shown(text, span), ("a = 1\nb = two\n".into(), "a".into()));
        let span = Span { start: 0, end: 0 };
        assert_eq!(shown("", span), (String::new(), String::new()));
    }

    #[test]
    fn of_long_lines_the_part_around_the_error_is_shown() {
        let line = format!(
            "a = [{} wrong, {}]",
            "1, ".repeat(50_000),
            "ß, ".repeat(50_000)
        );
        let start = line.find("wrong").unwrap();
        let (text, marked) = shown(
            &line,
            Span {
                start,
                end: start + 5,
            },
        );
        assert_eq!(marked, "wrong");
        assert!(
            text.len() < 180 && text.starts_with('…') && text.ends_with('…'),
            "{text}"
        );
        let (text, marked) = shown(
            &line,
            Span {
                start: 4,
                end: line.len(),
            },
        );
        assert!(text.len() < 180 && marked.starts_with("[1, 1"), "{text}");
        let many = "x = [\n".to_owned() + &"1,\n".repeat(10_000) + "]\n";
        let (text, marked) = shown(
            &many,
            Span {
                start: 4,
                end: many.len() - 1,
            },
        );
        assert!(
            text.lines().count() < 20 && marked.starts_with('['),
            "{text}"
        );
    }
}
