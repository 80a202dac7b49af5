//! A comparison for a terminal.

use std::fmt::Write as _;

use crate::cli::style::{Stream, Style};
use crate::cli::table;
use crate::diff::{Difference, Place, Summary, shown};
use crate::text::{count, plural};

/// Items that a terminal gets of a long list.
const MOST: usize = 20;

/// All files of a comparison.
pub(in crate::cli) fn render(
    (base, head): (&str, &str),
    files: &[Difference<'_>],
    all: bool,
) -> String {
    let mut text = format!("base: {base}\nhead: {head}\n");
    let mut equal = Vec::new();
    for compared in files {
        let summary = Summary::of(compared);
        if summary.is_equal() {
            equal.push(format!(
                "{} ({})",
                compared.name,
                plural(summary.common, "cell")
            ));
        } else {
            text.push('\n');
            file(&mut text, compared, all);
        }
    }
    list(&mut text, "no change in", &equal, all);
    if files.is_empty() {
        text.push_str("\nneither has a file of results\n");
    }
    text
}

/// One file that differs.
fn file(text: &mut String, compared: &Difference<'_>, all: bool) {
    let sentence = Summary::of(compared).sentence();
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{}: {sentence}", compared.name);
    let configuration = compared.configuration.iter();
    let configuration: Vec<String> = configuration
        .map(|change| shown::configuration(change, compared))
        .collect();
    list(text, "changed configuration", &configuration, all);
    for table in shown::changed(compared) {
        let shown = table::render_some(&table.heads, &table.rows, all);
        let _ = writeln!(text, "\n{}:\n{shown}", table.title);
    }
    list(text, "not tested", &shown::untested(compared), all);
    list(text, "why", &shown::reasons(compared), all);
    let lone =
        |cells: &[crate::diff::Lone]| -> Vec<String> { cells.iter().map(shown::lone).collect() };
    list(text, "new", &lone(&compared.new), all);
    list(text, "lost", &lone(&compared.lost), all);
    let renamed: Vec<String> = compared.renamed.iter().map(shown::renamed).collect();
    list(text, "renamed", &renamed, all);
    let recounted: Vec<String> = compared.recounted.iter().map(Place::phrase).collect();
    let title = "equal values with other intervals or counts";
    list(text, title, &recounted, all);
}

/// A list under its title; nothing where it is empty. A terminal gets the first items of a long one.
fn list(text: &mut String, title: &str, items: &[String], all: bool) {
    if items.is_empty() {
        return;
    }
    let is_cut = !all && Style::of(Stream::Out).width.is_some();
    let most = if is_cut { MOST } else { items.len() };
    let _ = writeln!(text, "\n{title}:");
    for item in items.iter().take(most) {
        let _ = writeln!(text, "  {item}");
    }
    if let Some(more @ 1..) = items.len().checked_sub(most) {
        let _ = writeln!(text, "  … and {} more (`--all`)", count(more));
    }
}
