//! Errors of TOML itself, in words that say what to type instead.
//!
//! The parser recovers from an error and reads on, so that one slip gives several errors. One is reported for each table.

use std::collections::HashMap;
use std::ops::Range;

use toml::de::Error;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::source::{Source, Span};

/// What the parser says of a key or table that is there twice.
const DUPLICATE: &str = "duplicate key";

/// Reports what the parser found, and marks the tables that hold it. Gives the tables that repeat another one: their keys are not read.
pub(super) fn report(
    source: &Source,
    errors: &[Error],
    diagnostics: &mut Diagnostics,
) -> Vec<Range<usize>> {
    let mut errors: Vec<(usize, &Error)> = errors
        .iter()
        .map(|error| (error.span().map_or(0, |span| span.start), error))
        .collect();
    errors.sort_by_key(|(place, _)| *place);
    let (repeated, malformed): (Vec<_>, Vec<_>) = errors
        .into_iter()
        .partition(|(_, error)| error.message().contains(DUPLICATE));
    let lines = Lines::of(&source.text);
    malformed_parts(source, &lines, &malformed, diagnostics);
    repetitions(source, &lines, &repeated, diagnostics)
}

/// Reports what is there twice; gives the tables that are.
fn repetitions(
    source: &Source,
    lines: &Lines<'_>,
    errors: &[(usize, &Error)],
    diagnostics: &mut Diagnostics,
) -> Vec<Range<usize>> {
    let mut tables: Vec<Range<usize>> = Vec::new();
    for (place, error) in errors {
        let span = error.span().map_or_else(Span::default, Span::from);
        // Where a whole table is repeated, the parser complains of each of its keys too: those are the same error.
        let is_told = tables.last().is_some_and(|table| table.contains(place));
        if is_told || diagnostics.follow_ups.is_broken(*place) {
            continue;
        }
        let table = lines.table_at(*place);
        let first = if lines.is_in_header(*place) {
            let header = lines.header(table.start);
            if let Some(section) = section_of(header) {
                diagnostics.follow_ups.lose_section(section);
            }
            tables.push(table.clone());
            lines.first.get(header).copied()
        } else {
            let before = source.text.get(table.start..*place).unwrap_or_default();
            first_key(before, source.slice(span)).map(|offset| table.start + offset)
        };
        let first = first.filter(|first| first < place);
        let first = first.map_or_else(String::new, |first| {
            format!(", first in line {}", lines.number(first))
        });
        diagnostics.push(
            Diagnostic::new(
                "spec::duplicate-name",
                span,
                format!("`{}` is defined twice{first}", source.slice(span)),
                "defined before",
            )
            .hint("two nodes of one section need two names, and a key stands once in a table"),
        );
    }
    tables
}

/// Reports the first error of each table.
fn malformed_parts(
    source: &Source,
    lines: &Lines<'_>,
    errors: &[(usize, &Error)],
    diagnostics: &mut Diagnostics,
) {
    // What is not closed takes in all that follows, of which nothing is known then.
    let is_unclosed = errors.iter().any(|(_, error)| {
        let message = error.message();
        message.contains("unclosed array") || message.contains("unclosed inline table")
    });
    let is_within = |error: &Error| {
        let message = error.message();
        message.contains("array") || message.contains("inline table")
    };
    let mut told: Option<Range<usize>> = None;
    for (place, error) in errors {
        if told.as_ref().is_some_and(|table| table.contains(place)) {
            continue;
        }
        let mut table = lines.table_at(*place);
        let is_in_header = lines.is_in_header(*place);
        let mut diagnostic = explained(source, *place, is_in_header, error);
        if is_in_header {
            diagnostics.follow_ups.lose_all();
        }
        if is_unclosed && is_within(error) {
            diagnostic = diagnostic.hint("a `[` or `{` above is not closed");
            let opened = lines.table_at(place.saturating_sub(1)).start;
            table = opened..source.text.len() + 1;
            diagnostics.follow_ups.lose_all();
        }
        diagnostics.push(diagnostic);
        diagnostics.follow_ups.break_off(table.clone().into());
        told = Some(table);
    }
}

/// One error with its remedy.
fn explained(source: &Source, place: usize, is_in_header: bool, error: &Error) -> Diagnostic {
    let text: &str = &source.text;
    let message = error.message().trim();
    let span = error.span().map_or_else(Span::default, Span::from);
    let whole = word_at(text, place);
    let word = text.get(whole.clone()).unwrap_or_default();
    let is_value = text
        .get(..whole.start)
        .and_then(|before| before.trim_end().chars().next_back())
        .is_some_and(|before| "=[,".contains(before));
    let as_value = |message: String, hint: String| {
        Diagnostic::new("toml::syntax", whole.clone().into(), message, "here").hint(hint)
    };
    let is_beside = ["unexpected key or value", "missing comma", "extra `=`"]
        .iter()
        .any(|what| message.contains(what));
    if is_value && !word.is_empty() && !is_beside && !is_in_header {
        let is_numeric =
            word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        if is_numeric {
            let hint = repaired(word).map_or_else(
                || "numbers are written like `28`, `0.001` or `1e-3`".to_owned(),
                |number| format!("write `{number}`"),
            );
            return as_value(format!("`{word}` is not a number"), hint);
        }
        let hint = match word.to_lowercase().as_str() {
            "true" | "yes" | "on" => "write `true`".to_owned(),
            "false" | "no" | "off" => "write `false`".to_owned(),
            "none" | "null" | "nil" => {
                "leave the key out, or write `\"none\"` where it takes that word".to_owned()
            }
            _ => format!("put it into quotation marks: `\"{word}\"`"),
        };
        return as_value(format!("`{word}` is not a value"), hint);
    }
    let hint = if message.contains("escape") {
        Some("write `/` instead of `\\`, or put the text into single quotation marks: `'…'`")
    } else if message.contains("cannot extend value") {
        Some("a value above has this name; give one of the two another")
    } else if message.contains("missing comma") {
        Some("the values of a list are separated by commas")
    } else if message.contains("key with no value") || message.contains("unquoted key") {
        Some("a key and its value are written `key = value`")
    } else if message.contains("string, expected `\"`") || message.contains("string, expected `'`")
    {
        Some("a quotation mark is missing")
    } else if message.contains("string values must be quoted") {
        Some("a value belongs behind `=`; texts stand in quotation marks: `\"…\"`")
    } else if message.contains("unexpected key or value") {
        Some("each key stands in a line of its own, and several values in a list: `[1, 2]`")
    } else if message.contains("extra `=`") {
        Some("write one `=`")
    } else {
        None
    };
    Diagnostic::new(
        "toml::syntax",
        span,
        format!("not valid TOML: {message}"),
        "here",
    )
    .maybe_hint(hint.map(str::to_owned))
}

/// The word around a place: letters, digits and what stands in numbers and paths.
fn word_at(text: &str, place: usize) -> Range<usize> {
    let is_part = |character: char| character.is_alphanumeric() || "_+-./".contains(character);
    let before = text.get(..place).unwrap_or_default();
    let start = before.trim_end_matches(is_part).len();
    let behind = text.get(place..).unwrap_or_default();
    let end = text.len() - behind.trim_start_matches(is_part).len();
    start..end.max(start)
}

/// A number as TOML has it that means what another language's does: `0.5` of `.5`, `1.0e-3` of `1.E-3`.
fn repaired(word: &str) -> Option<String> {
    let (sign, digits) = match word.strip_prefix(['+', '-']) {
        Some(digits) => (&word[..1], digits),
        None => ("", word),
    };
    let lowered = digits.to_lowercase().replace('_', "");
    let (mantissa, exponent) = match lowered.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, format!("e{exponent}")),
        None => (lowered.as_str(), String::new()),
    };
    let mantissa = match mantissa.split_once('.') {
        Some((whole, part)) => {
            let or_zero = |digits: &str| {
                if digits.is_empty() {
                    "0".to_owned()
                } else {
                    digits.to_owned()
                }
            };
            format!(
                "{}.{}",
                or_zero(whole.trim_start_matches('0')),
                or_zero(part)
            )
        }
        None => match mantissa.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        },
    };
    let number = format!("{sign}{mantissa}{exponent}");
    let is_number = number.parse::<f64>().is_ok_and(f64::is_finite);
    is_number.then_some(number)
}

/// Where lines and tables of a file begin.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Offsets of all lines.
    starts: Vec<usize>,
    /// Offsets of the lines that begin with `[`.
    headers: Vec<usize>,
    /// Where each header stands first.
    first: HashMap<&'a str, usize>,
}

impl<'a> Lines<'a> {
    /// Looks at all lines of a text.
    pub(super) fn of(text: &'a str) -> Self {
        let mut lines = Self {
            text,
            starts: Vec::new(),
            headers: Vec::new(),
            first: HashMap::new(),
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            lines.starts.push(start);
            if line.trim_start().starts_with('[') {
                lines.headers.push(start);
                lines.first.entry(header_of(line)).or_insert(start);
            }
            start += line.len();
        }
        lines
    }

    /// The number of the line of a place, from 1.
    fn number(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place).max(1)
    }

    /// From the last header up to a place to the next one; from the begin of the file where there is none.
    pub(super) fn table_at(&self, place: usize) -> Range<usize> {
        let next = self.headers.partition_point(|start| *start <= place);
        let start = next.checked_sub(1).map_or(0, |own| self.headers[own]);
        let end = self.headers.get(next).copied();
        start..end.unwrap_or(self.text.len() + 1)
    }

    /// Whether a place stands in a line that begins with `[`.
    pub(super) fn is_in_header(&self, place: usize) -> bool {
        let line = self.starts.get(self.number(place) - 1);
        line.is_some_and(|line| self.headers.binary_search(line).is_ok())
    }

    /// The header that begins at a place, without its last brackets.
    fn header(&self, start: usize) -> &'a str {
        self.text.get(start..).map_or("", header_of)
    }
}

/// The header that a text begins with, without its last brackets and what follows.
fn header_of(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim();
    line.split_once(']').map_or(line, |(header, _)| header)
}

/// The section that a header stands for a table of.
fn section_of(header: &str) -> Option<&str> {
    header
        .trim_start_matches('[')
        .split('.')
        .next()
        .map(str::trim)
}

/// Where a key stands first in a text.
fn first_key(text: &str, key: &str) -> Option<usize> {
    let mut found = text.match_indices(key).map(|(offset, _)| offset);
    found.find(|&place| {
        let is_part = |character: char| character.is_alphanumeric() || "_-.\"".contains(character);
        let opens = text[..place].chars().next_back();
        let behind = text[place + key.len()..].trim_start();
        behind.starts_with('=') && !opens.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_other_languages_are_repaired() {
        for (typed, expected) in [
            (".001", Some("0.001")),
            ("1.", Some("1.0")),
            ("1.E-3", Some("1.0e-3")),
            ("-.5", Some("-0.5")),
            ("01", Some("1")),
            ("1e-3x", None),
            ("1e", None),
        ] {
            assert_eq!(repaired(typed).as_deref(), expected, "{typed}");
        }
    }

    #[test]
    fn tables_run_from_header_to_header() {
        let text = "a = 1\n[b]\nc = [\n1]\n[d]\n";
        let lines = Lines::of(text);
        assert_eq!(lines.table_at(2), 0..6);
        assert_eq!(lines.table_at(7), 6..19);
        assert!(lines.is_in_header(7) && !lines.is_in_header(11));
        assert_eq!(lines.number(7), 2);
        assert_eq!(section_of(lines.header(6)), Some("b"));
        assert_eq!(first_key("[b]\nkc = 1\nc = 2\n", "c"), Some(11));
        assert_eq!(Lines::of("").table_at(0), 0..1);
        assert!(!Lines::of("").is_in_header(0));
    }
}
