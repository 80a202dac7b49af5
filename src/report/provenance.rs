//! Where the numbers of a report come from, as a JSON file beside it: `REPORT.provenance.json`.
//!
//! The Markdown holds what a number is; this file holds what it was made of and how: for each cell of a table and each figure the lines of
//! the file of results, the query that gives them, and, under `run`, what differs from machine to machine: every artifact with its
//! fingerprint, how long it took and on what device, and the versions of what made it. So the Markdown changes where a number does.
//! [`trace`](super::trace) reads it. Of a fingerprint under `run` there are 16 digits; the file of results has all of them.
//!
//! Keys are sorted, and a list has an item a line, so that versions of the file can be compared.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::config::ReportConfig;
use super::error::ReportError;
use super::figures::RenderedFigure;
use super::input::{NodeRecord, ReportInput};
use super::results_csv;
use super::tables::RenderedTable;
use super::totals::totals;
use crate::store::Fingerprint;

/// The version of the file's form.
pub const FORMAT: u64 = 1;

/// The key of what differs from machine to machine.
const RUN: &str = "run";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance(Map<String, Value>);

impl Provenance {
    /// That of a report with these tables and figures.
    ///
    /// # Errors
    /// Input that JSON cannot hold.
    pub fn of(
        input: &ReportInput,
        config: &ReportConfig,
        tables: &[RenderedTable],
        figures: &[RenderedFigure],
    ) -> Result<Self, ReportError> {
        let lines = results_csv::lines(&input.results);
        let results = results_csv::write(&input.results);
        let specs = config.tables.iter().zip(tables).enumerate();
        let tables = specs.map(|(index, (spec, table))| {
            let cells = table.body.named();
            let cells = cells.map(|(name, cell)| (name, ranges(&cell.rows, &lines).into()));
            json!({
                "id": (index + 1).to_string(),
                "kind": spec.kind,
                "title": table.title,
                "fixed": table.fixed,
                "sql": table.sql,
                "cells": Value::Object(cells.collect()),
            })
        });
        let specs = config.figures.iter().zip(figures).enumerate();
        let figures = specs.map(|(index, (spec, figure))| {
            json!({
                "id": figure_id(index),
                "kind": spec.kind,
                "title": figure.title,
                "file": figure.file,
                "fixed": figure.fixed,
                "sql": figure.sql,
                "rows": ranges(&figure.rows, &lines),
                "artifact": figure.artifact.as_ref().map(|artifact| &artifact.fingerprint),
            })
        });
        let fields = json!({
            "format": FORMAT,
            "experiment": input.name,
            "command": input.command,
            "results": {
                "file": beside(&config.results_file()),
                "rows": input.results.len(),
                "blake3": Fingerprint::of(results.as_bytes()).to_string(),
            },
            "tables": tables.collect::<Value>(),
            "figures": figures.collect::<Value>(),
            RUN: {
                "artifacts": {
                    "columns": ["kind", "label", "fingerprint", "rows", "bytes", "wall_seconds", "device"],
                    "rows": input.nodes.iter().map(artifact).collect::<Value>(),
                },
                "kinds": serde_json::to_value(totals(&input.nodes))?,
                "versions": serde_json::to_value(&input.versions)?,
            },
        });
        match fields {
            Value::Object(fields) => Ok(Self(fields)),
            // What was written above has fields.
            _ => Ok(Self(Map::new())),
        }
    }

    /// The same with the run of an earlier file of the same experiment: of a report that is rendered from a file of results the run is not
    /// known, and stays as it was. Text that is no such file changes nothing.
    #[must_use]
    pub fn with_run_of(mut self, earlier: &str) -> Self {
        let Ok(Value::Object(mut earlier)) = serde_json::from_str(earlier) else {
            return self;
        };
        if earlier.get("experiment") == self.0.get("experiment")
            && let Some(run) = earlier.remove(RUN)
        {
            self.0.insert(RUN.to_owned(), run);
        }
        self
    }

    /// The same with the queries of the template, and how many rows each found.
    #[must_use]
    pub(super) fn with_queries(mut self, queries: &[(String, usize)]) -> Self {
        if !queries.is_empty() {
            let queries = queries.iter();
            let queries = queries.map(|(sql, rows)| json!({ "sql": sql, "rows": rows }));
            self.0.insert("queries".to_owned(), queries.collect());
        }
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        object(&mut text, &self.0, 0);
        text.push('\n');
        text
    }
}

/// Digits of an artifact's fingerprint: enough to be told from every other, and a quarter of what the file of results has of it.
pub(super) const DIGITS: usize = 16;

/// An artifact as a row; times to the millisecond.
fn artifact(node: &NodeRecord) -> Value {
    json!([
        node.kind,
        node.label,
        node.fingerprint.get(..DIGITS).unwrap_or(&node.fingerprint),
        node.rows,
        node.bytes,
        (node.wall_seconds * 1000.0).round() / 1000.0,
        node.device,
    ])
}

/// How a figure is called: `f1` is the first.
pub fn figure_id(index: usize) -> String {
    format!("f{}", index + 1)
}

/// The name of a file without its folder.
pub fn beside(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// The lines of the file of results that some rows stand in, in order, the heading being line 1: "2-4,9".
fn ranges(rows: &[usize], lines: &[usize]) -> String {
    let mut numbers: Vec<usize> = rows
        .iter()
        .filter_map(|&row| lines.get(row).copied())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut text = String::new();
    let mut rest = numbers.as_slice();
    while let Some((&first, _)) = rest.split_first() {
        let length = rest
            .iter()
            .zip(first..)
            .take_while(|(number, expected)| *number == expected)
            .count();
        let comma = if text.is_empty() { "" } else { "," };
        // Writing into a string cannot fail.
        let _ = match length {
            1 => write!(text, "{comma}{first}"),
            _ => write!(text, "{comma}{first}-{}", first + length - 1),
        };
        rest = &rest[length..];
    }
    text
}

/// The lines that [`ranges`] says; `None` for other text.
pub(super) fn in_ranges(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        match range.split_once('-') {
            None => numbers.push(range.parse().ok()?),
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
                // What a file of results can hold at most bounds what is made of a few characters.
                if last < first || last - first > MOST_LINES {
                    return None;
                }
                numbers.extend(first..=last);
            }
        }
    }
    Some(numbers)
}

/// A range of more lines than this is of no file of results.
const MOST_LINES: usize = 10_000_000;

/// Fields a line each; of deeper ones the lists an item a line, and what is within an item on that line.
fn object(text: &mut String, fields: &Map<String, Value>, depth: usize) {
    let indent = "  ".repeat(depth + 1);
    text.push('{');
    for (number, (key, value)) in fields.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n{indent}{}: ", Value::from(key.as_str()));
        match value {
            Value::Object(fields) if !fields.is_empty() && depth < 3 => {
                object(text, fields, depth + 1);
            }
            Value::Array(items) if !items.is_empty() => list(text, items, depth + 1),
            other => {
                let _ = write!(text, "{other}");
            }
        }
    }
    let _ = write!(text, "\n{}}}", "  ".repeat(depth));
}

/// A list, an item a line.
fn list(text: &mut String, items: &[Value], depth: usize) {
    let indent = "  ".repeat(depth + 1);
    for (number, item) in items.iter().enumerate() {
        let begin = if number == 0 { "[" } else { "," };
        let _ = write!(text, "{begin}\n{indent}{item}");
    }
    let _ = write!(text, "\n{}]", "  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::testing::{input, row};

    fn plain() -> ReportConfig {
        ReportConfig::plain("example")
    }

    #[test]
    fn keys_are_sorted_and_lists_have_an_item_a_line() {
        let provenance = Provenance::of(&input(vec![row(0, 0.5)]), &plain(), &[], &[]).unwrap();
        let text = provenance.text();
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(value["results"]["file"], "example.results.csv");
        assert_eq!(value["results"]["rows"], 1);
        assert_eq!(
            text,
            Provenance::of(&input(vec![row(0, 0.5)]), &plain(), &[], &[])
                .unwrap()
                .text()
        );
    }

    #[test]
    fn the_run_of_an_earlier_file_stays_where_the_experiment_is_the_same() {
        let mut of_run = input(vec![row(0, 0.5)]);
        of_run.versions.insert("repro".to_owned(), "9".to_owned());
        let earlier = Provenance::of(&of_run, &plain(), &[], &[]).unwrap();
        let later = || Provenance::of(&input(vec![row(0, 0.5)]), &plain(), &[], &[]).unwrap();
        assert_eq!(later().with_run_of(&earlier.text()), earlier);
        assert_eq!(later().with_run_of("{"), later());
        of_run.name = "other".to_owned();
        let other = Provenance::of(&of_run, &plain(), &[], &[]).unwrap();
        assert_eq!(later().with_run_of(&other.text()), later());
    }

    proptest! {
        #[test]
        fn ranges_are_read_as_they_were_written(rows in proptest::collection::btree_set(0..60_usize, 0..40)) {
            let rows: Vec<usize> = rows.into_iter().collect();
            let lines: Vec<usize> = (2..62).collect();
            let text = ranges(&rows, &lines);
            let expected: Vec<usize> = rows.iter().map(|row| row + 2).collect();
            prop_assert_eq!(in_ranges(&text), Some(expected));
        }
    }

    #[test]
    fn other_text_is_no_range() {
        for text in ["a", "3-", "5-2", "1-99999999999", "-"] {
            assert_eq!(in_ranges(text), None, "{text}");
        }
        assert_eq!(in_ranges(""), Some(Vec::new()));
    }
}
