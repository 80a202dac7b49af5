//! Tables for people, in Markdown so that they can be pasted where people talk.
//!
//! On a terminal a table is as wide as that: texts fold between words within their columns, and where the columns cannot become narrow
//! enough, each row is a block of lines. In a file or a pipe nothing is folded.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Stream, Style};
use crate::text::count;

/// A column of words is not made narrower than its longest word, unless that is longer than this.
const WORD: usize = 14;
/// Rows that a terminal gets of a long table.
const MOST_ROWS: usize = 40;
/// Lines that a terminal gets where each row is a block.
const MOST_LINES: usize = 120;

/// A table as stdout shows it; columns that hold only numbers stand to the right.
pub(super) fn render<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>]) -> String {
    match Style::of(Stream::Out).width {
        Some(width) => fitted(heads, rows, width),
        None => full(heads, rows),
    }
}

/// A table of which a terminal gets the first rows alone, unless `all` are asked for, and a word on how many more there are.
pub(super) fn render_some<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>], all: bool) -> String {
    match Style::of(Stream::Out).width {
        Some(width) if !all => cut(heads, rows, width),
        _ => render(heads, rows),
    }
}

fn cut<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>], width: usize) -> String {
    let most = if widths(heads, rows, width).is_some() {
        MOST_ROWS
    } else {
        (MOST_LINES / (heads.len() + 1)).max(1)
    };
    let shown = rows.get(..most).unwrap_or(rows);
    let mut text = fitted(heads, shown, width);
    if let Some(more @ 1..) = rows.len().checked_sub(most) {
        text.extend(["\n… and ", &count(more), " more (`--all`)"]);
    }
    text
}

/// A table at its full width.
pub(super) fn full<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(heads.iter().map(AsRef::as_ref));
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if is_of_numbers(rows, index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// A table in at most so many columns of a terminal.
fn fitted<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>], width: usize) -> String {
    let whole = full(heads, rows);
    if whole.lines().all(|line| line.width() <= width) {
        return whole;
    }
    let Some(widths) = widths(heads, rows, width) else {
        return blocks(heads, rows);
    };
    let fold = |cells: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        let folded = cells.zip(&widths).map(|(cell, width)| folded(cell, *width));
        folded.collect()
    };
    let heads = fold(&mut heads.iter().map(AsRef::as_ref));
    let folded_rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| fold(&mut row.iter().map(String::as_str)))
        .collect();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(heads);
    for row in &folded_rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if is_of_numbers(rows, index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Whether all cells of a column that are not empty are numbers.
fn is_of_numbers(rows: &[Vec<String>], column: usize) -> bool {
    let is_number = |cell: &String| {
        cell.trim_end_matches(['%', 'M', 'G', 'k', 'T', ' '])
            .replace(',', "")
            .parse::<f64>()
            .is_ok()
    };
    let mut cells = rows
        .iter()
        .filter_map(|row| row.get(column))
        .filter(|cell| !cell.is_empty())
        .peekable();
    cells.peek().is_some() && cells.all(is_number)
}

/// How wide the columns of a table may be, without their frames; `None` where they cannot be narrow enough.
fn widths<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let room = width.checked_sub(3 * heads.len() + 1)?;
    let mut widths = Vec::new();
    let mut least = Vec::new();
    for (column, head) in heads.iter().enumerate() {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let cells = || cells.clone().map(String::as_str).chain([head.as_ref()]);
        let longest = |width: &dyn Fn(&str) -> usize| cells().map(width).max().unwrap_or(0);
        let lines = |cell: &str| cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
        let words = |cell: &str| {
            let words = cell.split_whitespace();
            words.map(UnicodeWidthStr::width).max().unwrap_or(0)
        };
        let natural = longest(&lines);
        widths.push(natural);
        least.push(if is_of_numbers(rows, column) {
            natural
        } else {
            longest(&words).min(WORD)
        });
    }
    // What is widest gives way first.
    while widths.iter().sum::<usize>() > room {
        let widest = (0..widths.len())
            .filter(|&column| widths[column] > least[column])
            .max_by_key(|&column| widths[column])?;
        widths[widest] -= 1;
    }
    Some(widths)
}

/// A text in lines of at most so many columns, folded between words; a word that is longer is cut.
fn folded(text: &str, width: usize) -> String {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && current.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            for letter in word.chars() {
                if current.width() + letter.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut current));
                }
                current.push(letter);
            }
        }
        lines.push(current);
    }
    lines.join("\n")
}

/// Each row as a block of lines: the column and the value.
fn blocks<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>]) -> String {
    let wide = heads.iter().map(|head| head.as_ref().width()).max();
    let wide = wide.unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        for (head, cell) in heads.iter().zip(row) {
            let head = head.as_ref();
            let gap = " ".repeat(wide - head.width().min(wide));
            text.extend([head, gap.as_str(), "  ", cell.as_str(), "\n"]);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&[&str]]) -> Vec<Vec<String>> {
        let row = |row: &&[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
        texts.iter().map(row).collect()
    }

    #[test]
    fn cells_fold_between_words_and_numbers_stay_whole() {
        let rows = rows(&[
            &["linear", "1,234", "a linear layer on the features"],
            &["knn", "5", "the nearest neighbors"],
        ]);
        let heads = ["kind", "rows", "what it is"];
        let text = fitted(&heads, &rows, 40);
        assert_eq!(
            text,
            "| kind   |  rows | what it is        |\n\
             |--------|-------|-------------------|\n\
             | linear | 1,234 | a linear layer on |\n\
             |        |       | the features      |\n\
             | knn    |     5 | the nearest       |\n\
             |        |       | neighbors         |"
        );
        assert_eq!(fitted(&heads, &rows, 200), full(&heads, &rows));
    }

    #[test]
    fn too_many_columns_become_blocks() {
        let heads: Vec<String> = (0..20).map(|column| format!("column_{column}")).collect();
        let row: Vec<String> = (0..20).map(|column| column.to_string()).collect();
        let text = fitted(&heads, &[row.clone(), row.clone()], 60);
        assert!(text.starts_with("column_0   0\ncolumn_1   1\n"), "{text}");
        assert_eq!(text.matches("column_19  19").count(), 2, "{text}");
        let many = vec![row; 100];
        let text = cut(&heads, &many, 60);
        assert!(text.ends_with("\n… and 95 more (`--all`)"), "{text}");
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let rows: Vec<Vec<String>> = (0..1234).map(|row| vec![row.to_string()]).collect();
        let text = cut(&["n"], &rows, 80);
        assert!(text.ends_with("\n… and 1,194 more (`--all`)"), "{text}");
        assert_eq!(text.lines().count(), 2 + MOST_ROWS + 1);
        assert_eq!(
            cut(&["n"], &rows[..MOST_ROWS], 80),
            full(&["n"], &rows[..MOST_ROWS])
        );
    }
}
