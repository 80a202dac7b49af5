//! What a table holds, cell by cell, before it becomes Markdown or LaTeX.
//!
//! Each cell knows the results that it was made of, so that a reader can be led from it to them. A cell is called by its place:
//! `r2c3` is the third cell of the second line below the headings, the column of names counted, and `d1c2` is one of the second block of
//! a table that has two (the differences of a `comparison`).

use crate::report::input::ReportInput;
use crate::report::markdown;
use crate::store::ResultRow;

/// The letters that the lines of the first and of the second block are called by.
const LETTERS: [char; 2] = ['r', 'd'];

/// One cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCell {
    /// Markdown, safe within a table.
    pub text: String,
    /// The positions of the results behind it in [`ReportInput::results`]; empty for a name, and for a cell that has no value.
    pub rows: Vec<usize>,
}

impl TableCell {
    /// A cell made of some results of the input.
    pub fn of(text: String, input: &ReportInput, rows: &[&ResultRow]) -> Self {
        Self {
            text,
            rows: input.positions(rows),
        }
    }

    /// A line of cells that were all made of the same results.
    pub fn line(texts: Vec<String>, input: &ReportInput, rows: &[&ResultRow]) -> Vec<Self> {
        let rows = input.positions(rows);
        let cell = |text| Self {
            text,
            rows: rows.clone(),
        };
        texts.into_iter().map(cell).collect()
    }
}

impl From<String> for TableCell {
    fn from(text: String) -> Self {
        Self {
            text,
            rows: Vec::new(),
        }
    }
}

/// Headings and lines of equal lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// Markdown, safe within a table.
    pub heads: Vec<String>,
    /// Which columns hold numbers, and so are aligned to the right.
    pub numeric: Vec<bool>,
    /// The lines, from the top.
    pub lines: Vec<Vec<TableCell>>,
}

/// The blocks of a table, one or two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// In the order in which they are shown.
    pub blocks: Vec<Block>,
}

impl Body {
    /// A body of one block.
    pub fn of(heads: Vec<String>, numeric: Vec<bool>, lines: Vec<Vec<TableCell>>) -> Self {
        Self::default().and(heads, numeric, lines)
    }

    /// The same with another block below; nothing changes where it has no lines and is not the first.
    #[must_use]
    pub fn and(
        mut self,
        heads: Vec<String>,
        numeric: Vec<bool>,
        lines: Vec<Vec<TableCell>>,
    ) -> Self {
        if self.blocks.is_empty() || !lines.is_empty() {
            self.blocks.push(Block {
                heads,
                numeric,
                lines,
            });
        }
        self
    }

    /// The blocks as tables in Markdown, with an empty line between them.
    pub fn markdown(&self) -> String {
        let block = |block: &Block| {
            let texts = |line: &Vec<TableCell>| line.iter().map(|cell| cell.text.clone()).collect();
            let lines: Vec<Vec<String>> = block.lines.iter().map(texts).collect();
            markdown::table(&block.heads, &block.numeric, &lines)
        };
        let blocks: Vec<String> = self.blocks.iter().map(block).collect();
        blocks.join("\n")
    }

    /// Every cell that was made of results, with its name; a line whose cells were all made of the same stands for them, as `r2`.
    pub fn named(&self) -> impl Iterator<Item = (String, &TableCell)> {
        let blocks = self.blocks.iter().zip(LETTERS);
        let lines = blocks.flat_map(|(block, letter)| {
            let lines = block.lines.iter().enumerate();
            lines.map(move |(number, line)| (format!("{letter}{}", number + 1), line))
        });
        lines.flat_map(|(line, cells)| {
            let are_alike = cells.len() > 1 && cells.iter().all(|cell| cell.rows == cells[0].rows);
            let shown = if are_alike { &cells[..1] } else { cells };
            let named = shown.iter().enumerate().map(move |(number, cell)| {
                let name = if are_alike {
                    line.clone()
                } else {
                    format!("{line}c{}", number + 1)
                };
                (name, cell)
            });
            named.filter(|(_, cell)| !cell.rows.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_called_by_block_line_and_column() {
        let cell = |text: &str, rows: &[usize]| TableCell {
            text: text.to_owned(),
            rows: rows.to_vec(),
        };
        let heads = || vec!["a".to_owned(), "b".to_owned()];
        let body = Body::of(
            heads(),
            vec![false, true],
            vec![
                vec![cell("x", &[]), cell("1", &[0])],
                vec![cell("y", &[]), cell("2", &[1, 2])],
            ],
        )
        .and(
            heads(),
            vec![false, true],
            vec![vec![cell("x − y", &[0, 1]), cell("-1", &[0, 1])]],
        )
        .and(heads(), Vec::new(), Vec::new());
        let names: Vec<String> = body.named().map(|(name, _)| name).collect();
        assert_eq!(names, ["r1c2", "r2c2", "d1"]);
        assert_eq!(
            body.markdown(),
            "| a | b |\n| :--- | ---: |\n| x | 1 |\n| y | 2 |\n\n| a | b |\n| :--- | ---: |\n| x − y | -1 |\n"
        );
    }
}
