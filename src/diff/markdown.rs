//! A comparison as Markdown, for a pull request.

use std::fmt::Write as _;

use super::shown::{self, ChangedTable};
use super::{Difference, Summary};
use crate::report::markdown::{self, code, escape};
use crate::text::{count, plural};

/// Rows of a table and items of a list that are shown where not all are asked for.
pub const MOST: usize = 20;

/// All files of a comparison: a line on what is compared, then each file that differs. `most` bounds every table and list; `None` shows all.
pub fn render((base, head): (&str, &str), files: &[Difference<'_>], most: Option<usize>) -> String {
    let mut text = format!("Results of {} compared with {}.\n", code(head), code(base));
    let (differing, equal): (Vec<_>, Vec<_>) = files
        .iter()
        .partition(|compared| !Summary::of(compared).is_equal());
    for compared in differing {
        text.push('\n');
        text.push_str(&file(compared, most));
    }
    if !equal.is_empty() {
        let names: Vec<String> = equal.iter().map(|compared| code(&compared.name)).collect();
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "\nNo change in {}: {}.\n",
            plural(names.len(), "file"),
            some(&names, most).join(", ")
        );
    }
    if files.is_empty() {
        text.push_str("\nNeither has a file of results.\n");
    }
    text
}

/// One file of results.
pub fn file(compared: &Difference<'_>, most: Option<usize>) -> String {
    let sentence = Summary::of(compared).sentence();
    let mut text = format!("**{}**: {sentence}.\n", code(&compared.name));
    let configuration = compared.configuration.iter();
    let configuration: Vec<String> = configuration
        .map(|change| escape(&shown::configuration(change, compared)))
        .collect();
    listing(&mut text, "Changed configuration", &configuration, most);
    for table in shown::changed(compared) {
        text.push_str(&changed(&table, most));
    }
    let escaped =
        |texts: Vec<String>| -> Vec<String> { texts.iter().map(|text| escape(text)).collect() };
    listing(
        &mut text,
        "Not tested",
        &escaped(shown::untested(compared)),
        most,
    );
    listing(&mut text, "Why", &escaped(shown::reasons(compared)), most);
    let new = compared.new.iter().map(shown::lone).collect();
    folded(&mut text, "new", &escaped(new), most);
    let lost = compared.lost.iter().map(shown::lone).collect();
    folded(&mut text, "lost", &escaped(lost), most);
    let renamed = compared.renamed.iter().map(shown::renamed).collect();
    folded(&mut text, "renamed", &escaped(renamed), most);
    let recounted = compared.recounted.iter();
    let recounted = recounted.map(super::Place::phrase).collect();
    folded(
        &mut text,
        "with equal values and other intervals or counts",
        &escaped(recounted),
        most,
    );
    text
}

/// The changed cells of one metric.
fn changed(table: &ChangedTable, most: Option<usize>) -> String {
    let shown = most.unwrap_or(usize::MAX).min(table.rows.len());
    let rows: Vec<Vec<String>> = table.rows[..shown]
        .iter()
        .map(|row| row.iter().map(|cell| escape(cell)).collect())
        .collect();
    let mut text = format!(
        "\n{}:\n\n{}",
        escape(&table.title),
        markdown::table(&table.heads, &table.numeric, &rows)
    );
    if let Some(more @ 1..) = table.rows.len().checked_sub(shown) {
        let _ = writeln!(text, "\n… and {} more", count(more));
    }
    text
}

/// The first items of a list, and how many more there are; all of them are Markdown already.
fn some(items: &[String], most: Option<usize>) -> Vec<String> {
    let shown = most.unwrap_or(usize::MAX).min(items.len());
    let mut some = items[..shown].to_vec();
    if let Some(more @ 1..) = items.len().checked_sub(shown) {
        some.push(format!("… and {} more", count(more)));
    }
    some
}

/// A short list; nothing where it is empty.
fn listing(text: &mut String, title: &str, items: &[String], most: Option<usize>) {
    if !items.is_empty() {
        let _ = writeln!(text, "\n{title}:\n");
        for item in some(items, most) {
            let _ = writeln!(text, "- {item}");
        }
    }
}

/// A list that is folded; nothing where it is empty.
fn folded(text: &mut String, what: &str, items: &[String], most: Option<usize>) {
    if !items.is_empty() {
        let cells = plural(items.len(), "cell");
        let _ = writeln!(text, "\n<details><summary>{cells} {what}</summary>\n");
        for item in some(items, most) {
            let _ = writeln!(text, "- {item}");
        }
        text.push_str("\n</details>\n");
    }
}
