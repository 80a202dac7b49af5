//! Tables and figures as templates see them, and which of them stand on the first screen of the built-in one.

use minijinja::value::Value;

use super::cells;
use super::config::ReportConfig;
use super::context::{markup, object};
use super::figures::{RenderedFigure, ShownArtifact};
use super::provenance;
use super::tables::RenderedTable;

/// The table and the figure that stand on the first screen, by their positions: the first that has the paper's numbers, or
/// else the first comparison, or else the first that is not of claims; and the first figure of results, or else the first.
pub(super) fn headlines(
    config: &ReportConfig,
    figures: &[RenderedFigure],
) -> (Option<usize>, Option<usize>) {
    let kinds = || config.tables.iter().map(|spec| spec.kind);
    let table = kinds()
        .position(|kind| kind == "paper")
        .or_else(|| kinds().position(|kind| kind == "comparison"))
        .or_else(|| kinds().position(|kind| kind != "claims"));
    let figure = figures.iter().position(|figure| figure.sql.is_some());
    (table, figure.or((!figures.is_empty()).then_some(0)))
}

/// How a reader gets from a number to its results: `report` is what the ids begin with, `example` one of them.
pub(super) fn trace(
    config: &ReportConfig,
    tables: &[RenderedTable],
    figures: &[RenderedFigure],
) -> Value {
    let report = config.trace_name();
    let cell = tables.iter().enumerate().find_map(|(index, table)| {
        let (cell, _) = table.body.named().next()?;
        Some(format!("{report}:{}:{cell}", index + 1))
    });
    let figure = || {
        let index = figures.iter().position(|figure| !figure.rows.is_empty())?;
        Some(format!("{report}:{}", provenance::figure_id(index)))
    };
    let example = cell.or_else(figure);
    object([
        ("report", Value::from(report)),
        ("example", example.map_or(Value::from(()), Value::from)),
    ])
}

/// A table; `explained` is the address of what is true of every table of its kind.
pub(super) fn table(
    table: &RenderedTable,
    (index, kind): (usize, &str),
    is_headline: bool,
    explained: Option<&str>,
) -> Value {
    object([
        ("id", Value::from((index + 1).to_string())),
        ("kind", Value::from(kind)),
        ("is_headline", Value::from(is_headline)),
        ("shown", markup(&cells::table(table, explained))),
        ("title", Value::from(table.title.as_str())),
        ("caption", markup(&table.caption)),
        ("body", markup(&table.body.markdown())),
        (
            "notes",
            table.notes.iter().map(|note| markup(note)).collect(),
        ),
        ("fixed", table.fixed.iter().map(String::as_str).collect()),
        ("sql", Value::from(table.sql.as_str())),
    ])
}

/// A figure.
pub(super) fn figure(
    figure: &RenderedFigure,
    (index, kind): (usize, &str),
    is_headline: bool,
) -> Value {
    object([
        ("id", Value::from(provenance::figure_id(index))),
        ("number", Value::from(index + 1)),
        ("kind", Value::from(kind)),
        ("is_headline", Value::from(is_headline)),
        ("shown", markup(&cells::figure(figure))),
        ("title", Value::from(figure.title.as_str())),
        ("file", markup(&figure.file)),
        ("alternative", Value::from(figure.alternative.as_str())),
        ("caption", markup(&figure.caption)),
        (
            "notes",
            figure.notes.iter().map(|note| markup(note)).collect(),
        ),
        ("fixed", figure.fixed.iter().map(String::as_str).collect()),
        (
            "sql",
            figure.sql.as_deref().map_or(Value::from(()), Value::from),
        ),
        (
            "artifact",
            figure.artifact.as_ref().map_or(Value::from(()), artifact),
        ),
    ])
}

fn artifact(artifact: &ShownArtifact) -> Value {
    object([
        ("fingerprint", Value::from(artifact.fingerprint.as_str())),
        ("file", Value::from(artifact.file.as_str())),
    ])
}
