//! The text of a query: where its syntax is wrong, and numbers that the engine does not read.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::message::Message;

/// Characters of a line that are shown on either side of a place.
const AROUND: usize = 30;

/// The parser's message about a text, with its place shown: "sql parser error: Expected: an expression, found: EOF at Line: 1, Column: 7".
pub(super) fn explain(sql: &str, message: &str) -> Message {
    let message = message
        .strip_prefix("sql parser error: ")
        .unwrap_or(message);
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, read_place(place)),
        None => (message, None),
    };
    let what = what
        .replace("Expected: ", "expected ")
        .replace("found: EOF", "found the end");
    let what = what.replace("found: ", "found ");
    let mut letters = what.chars();
    let what: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_lowercase)
        .chain(letters)
        .collect();
    let (line, column) = place.unwrap_or_else(|| end_of(sql));
    let text = format!("syntax error at line {line}, column {column}: {what}");
    let shown = shown(sql, line, column);
    Message::new(format!("{text}{shown}")).hint(
        "a query is one `SELECT …`; docs/querying.md has examples, `repro query --tables` lists the tables",
    )
}

/// `1, Column: 7`.
fn read_place(text: &str) -> Option<(usize, usize)> {
    let (line, column) = text.split_once(", Column: ")?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

/// The line and column behind the last character that is not blank.
fn end_of(sql: &str) -> (usize, usize) {
    let text = sql.trim_end();
    let last = text.lines().last().unwrap_or_default();
    (text.lines().count().max(1), last.chars().count() + 1)
}

/// The line below a message, with a mark below the place; nothing where there is no such place.
fn shown(sql: &str, line: usize, column: usize) -> String {
    let Some(text) = sql.lines().nth(line.wrapping_sub(1)) else {
        return String::new();
    };
    let letters: Vec<char> = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let Some(at) = column.checked_sub(1).filter(|at| *at <= letters.len()) else {
        return String::new();
    };
    let first = at.saturating_sub(AROUND);
    let end = (at + AROUND).min(letters.len());
    let piece: String = letters[first..end].iter().collect();
    let mark = " ".repeat(at - first);
    format!("\n  | {piece}\n  | {mark}^")
}

/// A query with its numbers in powers of ten, such as `1e6`, written out: the engine does not read them. Everything else stays as it is.
pub(super) fn without_exponents(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = 0;
    let tokens = Tokenizer::new(&GenericDialect, sql).tokenize_with_location();
    for token in tokens.into_iter().flatten() {
        let Token::Number(digits, _) = &token.token else {
            continue;
        };
        let is_power = digits.contains(['e', 'E']) && !digits.starts_with("0x");
        let number = digits.parse::<f64>().ok();
        let Some(number) = number.filter(|number| is_power && number.is_finite()) else {
            continue;
        };
        let (start, end) = (offset(sql, token.span.start), offset(sql, token.span.end));
        let (Some(start), Some(end)) = (start, end) else {
            continue;
        };
        // Only what stands there as it was understood is replaced.
        if sql.get(start..end) != Some(digits.as_str()) || start < rest {
            continue;
        }
        out.push_str(&sql[rest..start]);
        let mut decimal = number.to_string();
        if !decimal.contains('.') {
            decimal.push_str(".0");
        }
        out.push_str(&decimal);
        rest = end;
    }
    out.push_str(&sql[rest..]);
    out
}

/// The byte at which a place is. Columns count characters.
fn offset(sql: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let start = match line {
        0 => 0,
        lines => sql.match_indices('\n').nth(lines - 1)?.0 + 1,
    };
    let behind = sql.get(start..)?;
    let within = behind.char_indices().map(|(at, _)| at);
    let within = within.chain([behind.len()]).nth(column)?;
    Some(start + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_shows_its_place() {
        let at_end = explain(
            "SELECT f.id FROM results WHERE",
            "sql parser error: Expected: an expression, found: EOF",
        );
        assert_eq!(
            at_end.text,
            "syntax error at line 1, column 31: expected an expression, found the end\n  \
             | SELECT f.id FROM results WHERE\n  |                               ^"
        );
        let quoted = explain(
            "SELECT\n'abc",
            "sql parser error: Unterminated string literal at Line: 2, Column: 1",
        );
        assert_eq!(
            quoted.text,
            "syntax error at line 2, column 1: unterminated string literal\n  | 'abc\n  | ^"
        );
    }

    #[test]
    fn powers_of_ten_are_written_out_and_nothing_else() {
        for (sql, plain) in [
            ("SELECT 1e6", "SELECT 1000000.0"),
            (
                "WHERE é < 1.5E-3 AND x > 2e2",
                "WHERE é < 0.0015 AND x > 200.0",
            ),
            ("a\n, 1e1,\n2", "a\n, 10.0,\n2"),
            (
                "SELECT '1e6', \"1e6\", e1 -- 1e6",
                "SELECT '1e6', \"1e6\", e1 -- 1e6",
            ),
            ("SELECT 15, 0.5", "SELECT 15, 0.5"),
        ] {
            assert_eq!(without_exponents(sql), plain);
        }
    }
}
