//! Comma-separated values as the files beside a report have them: how cells are written and read.
//!
//! RFC 4180 with line feeds, UTF-8. Numbers have the digits that read back to the same bits. An empty cell is null; a text is in quotation
//! marks where it would read as a number or as null, or holds a comma, a quotation mark or a line end.

use crate::store::AxisValue;

/// The lines that records begin in, and their cells.
pub(super) type Records = Vec<(usize, Vec<Cell>)>;

/// The shortest digits that read back to the same bits; a point or an exponent tells them from an integer.
pub(in crate::report) fn digits(number: f64) -> String {
    format!("{number:?}")
}

/// The text of an axis as a cell that does not read as a number or as null.
pub(in crate::report) fn text(text: &str) -> String {
    if text.is_empty() || text.parse::<f64>().is_ok() {
        format!("\"{text}\"")
    } else {
        quoted(text)
    }
}

/// A text as a cell, in quotation marks where it needs them.
pub(in crate::report) fn quoted(text: &str) -> String {
    let needs_quotes = |character: char| matches!(character, ',' | '"' | '\n' | '\r');
    if text.contains(needs_quotes) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// One cell.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// Its text, without quotation marks.
    pub(super) text: String,
    /// Whether it is in quotation marks, and so a text.
    pub(super) quoted: bool,
}

impl Cell {
    /// What it holds; `None` where it is null.
    pub(super) fn value(&self) -> Option<AxisValue> {
        if self.quoted {
            return Some(AxisValue::Text(self.text.clone()));
        }
        if self.text.is_empty() {
            return None;
        }
        let integer = self.text.parse().map(AxisValue::Integer).ok();
        let number = || self.text.parse().map(AxisValue::Number).ok();
        let text = || AxisValue::Text(self.text.clone());
        Some(integer.or_else(number).unwrap_or_else(text))
    }
}

/// The records of a file with the lines that they begin in; an error is the line of a quotation mark that is never closed.
pub(super) fn records(text: &str) -> Result<Records, usize> {
    let mut records = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    let mut cell = Cell::default();
    let (mut line, mut begin, mut opened) = (1, 1, None);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_end = character == '\n'
            || (character == '\r' && characters.peek() == Some(&'\n') && opened.is_none());
        if character == '\n' {
            line += 1;
        }
        match (opened, character) {
            (Some(_), '"') if characters.peek() == Some(&'"') => {
                characters.next();
                cell.text.push('"');
            }
            (Some(_), '"') => opened = None,
            (None, '"') if cell.text.is_empty() && !cell.quoted => {
                cell.quoted = true;
                opened = Some(line);
            }
            (None, ',') => cells.push(std::mem::take(&mut cell)),
            (None, '\r') if is_end => {}
            (None, '\n') => {
                let is_blank = cells.is_empty() && cell.text.is_empty() && !cell.quoted;
                if !is_blank {
                    cells.push(std::mem::take(&mut cell));
                    records.push((begin, std::mem::take(&mut cells)));
                }
                begin = line;
            }
            (_, other) => cell.text.push(other),
        }
    }
    if let Some(line) = opened {
        return Err(line);
    }
    if !cells.is_empty() || !cell.text.is_empty() || cell.quoted {
        cells.push(cell);
        records.push((begin, cells));
    }
    Ok(records)
}

/// The value of a cell of the file; `None` where it is null.
pub(super) fn parsed<T: std::str::FromStr>(
    column: &str,
    cell: &str,
    wanted: &str,
) -> Result<Option<T>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let value = cell.parse().map(Some);
    value.map_err(|_| format!("`{column}` is `{cell}`, expected {wanted}"))
}
