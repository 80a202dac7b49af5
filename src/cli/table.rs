//! Tables for people, in Markdown so that they can be pasted where people talk.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// A table; columns that hold only numbers stand to the right.
pub(super) fn render<S: AsRef<str>>(heads: &[S], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(heads.iter().map(AsRef::as_ref));
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_number = |cell: &String| {
            cell.trim_end_matches(['%', 'M', 'G', 'k', 'T', ' '])
                .replace(',', "")
                .parse::<f64>()
                .is_ok()
        };
        let mut cells = rows
            .iter()
            .filter_map(|row| row.get(index))
            .filter(|cell| !cell.is_empty())
            .peekable();
        if cells.peek().is_some() && cells.all(is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}
