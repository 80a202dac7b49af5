//! `repro trace`: from a cell of a report to its results, the artifacts behind them, and the command that makes them.
//!
//! Reads the files beside the report; the cache is asked, where there is one, which of the artifacts it holds.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::Failure;
use super::{printed, table};
use crate::limits;
use crate::message::{Hint, Message};
use crate::report::files::PROVENANCE;
use crate::report::trace::{self, TraceId, Traced, short};
use crate::report::{ReportError, axes, query};
use crate::store::{Fingerprint, ResultRow, Store};
use crate::text::plural;

/// Arguments of `repro trace`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro trace quickstart              the tables and figures of a report\n  repro trace quickstart:1            the results behind its first table\n  repro trace quickstart:1:r2c2       those behind a cell: row 2, column 2\n  repro trace quickstart:1:d1c2       those behind one of the second block\n  repro trace quickstart:f2           those behind its second figure\n  repro trace out/mine.md:1:r1c2      of a report that is not in `reports`"
)]
pub struct Arguments {
    /// The report, the table or figure, and the cell.
    #[arg(value_name = "REPORT[:TABLE[:CELL]]")]
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print all results, also on a terminal.
    #[arg(long)]
    all: bool,
}

/// Follows an id.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let id = TraceId::parse(&arguments.id).ok_or_else(|| {
        Failure::Usage(
            Message::new(format!("invalid id `{}`", arguments.id))
                .hint("an id is REPORT:TABLE:CELL, such as `quickstart:1:r2c2`"),
        )
    })?;
    let file = file_of(context, &id.report);
    // Without a `./` that nobody typed.
    let file = file.strip_prefix(".").map_or(file.clone(), Path::to_owned);
    let name = file.display().to_string();
    let text = read(&file)?;
    if id.item.is_none() {
        return list(
            arguments,
            &id,
            &trace::items(&name, &text).map_err(|error| wrong(&error))?,
        );
    }
    let results = trace::results_file(&name, &text).map_err(|error| wrong(&error))?;
    let results = file.with_file_name(results);
    let results_name = results.display().to_string();
    let rows = read(&results)?;
    let traced = trace::resolve(&id, (&name, &text), (&results_name, &rows))
        .map_err(|error| wrong(&error))?;
    if traced.is_other {
        say!(
            "warning: {results_name} has changed since the report was written, and its lines may be others; `repro report` writes them again"
        );
    }
    let held = held(context, &traced)?;
    if arguments.json {
        print_json(&id, &results_name, &traced, held.as_deref())
    } else {
        print(arguments, &results_name, &traced, held.as_deref())
    }
}

/// The file of provenance of a report: of its name, its path, or the path of the file itself.
fn file_of(context: &Context, report: &str) -> PathBuf {
    let has_ending = |ending: &str| report.ends_with(ending);
    if has_ending(PROVENANCE) {
        return PathBuf::from(report);
    }
    if has_ending(".md") {
        let stem = report.strip_suffix(".md").unwrap_or(report);
        return PathBuf::from(format!("{stem}{PROVENANCE}"));
    }
    let folder = if report.contains('/') {
        context.base.clone()
    } else {
        context.base.join("reports")
    };
    folder.join(format!("{report}{PROVENANCE}"))
}

fn read(file: &Path) -> Result<String, Failure> {
    limits::read_text(file, limits::WHOLE_FILE).map_err(|error| {
        Failure::Input(
            Message::new(format!("cannot read {}: {error}", file.display())).hint(
                "name a report that `repro run` or `repro report` wrote, such as `quickstart` for `reports/quickstart.md`",
            ),
        )
    })
}

/// An id of nothing is a wrong argument; a damaged file is a wrong input.
fn wrong(error: &ReportError) -> Failure {
    match error {
        ReportError::Trace { .. } => Failure::Usage(error.explain()),
        other => Failure::Input(other.explain()),
    }
}

/// Which of the artifacts the cache holds; `None` where there is no cache.
fn held(context: &Context, traced: &Traced) -> Result<Option<Vec<bool>>, Failure> {
    if !context.cache.is_dir() {
        return Ok(None);
    }
    let store = Store::open_read_only(&context.cache)?;
    let is_held = |fingerprint: &str| -> Result<bool, Failure> {
        let digits = fingerprint.rsplit(':').next().unwrap_or(fingerprint);
        match digits.parse::<Fingerprint>() {
            Ok(fingerprint) => Ok(store.manifest(&fingerprint)?.is_some()),
            Err(_) => Ok(false),
        }
    };
    let artifacts = traced.artifacts.iter();
    let held: Result<Vec<bool>, Failure> = artifacts.map(|one| is_held(&one.fingerprint)).collect();
    held.map(Some)
}

/// The tables and figures of a report.
fn list(arguments: &Arguments, id: &TraceId, items: &[trace::Item]) -> Result<(), Failure> {
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        return Ok(writeln!(out, "{}", json!(items))?);
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            let id = format!("{}:{}", id.report, item.id);
            vec![id, item.kind.clone(), item.title.clone()]
        })
        .collect();
    Ok(writeln!(
        out,
        "{}",
        table::render(&["id", "kind", "title"], &rows)
    )?)
}

fn print(
    arguments: &Arguments,
    results: &str,
    traced: &Traced,
    held: Option<&[bool]>,
) -> Result<(), Failure> {
    let mut out = printed::stdout(false);
    writeln!(out, "{} ({})", traced.item.title, traced.item.kind)?;
    writeln!(out, "made by: {}", traced.command)?;
    if !traced.rows.is_empty() {
        let count = plural(traced.rows.len(), "result");
        writeln!(out, "{count} in {results}\n")?;
        let rows: Vec<&ResultRow> = traced.rows.iter().map(|(_, row)| row).collect();
        let varying = query::varying(&rows);
        let roles = query::all_roles(rows.iter().copied());
        let mut heads = vec!["line", "metric"];
        heads.extend(&varying);
        heads.push("value");
        heads.extend(&roles);
        let lines: Vec<Vec<String>> = traced
            .rows
            .iter()
            .map(|(number, row)| {
                let mut line = vec![number.to_string(), row.metric.clone()];
                line.extend(varying.iter().map(|axis| {
                    let value = row.axis(axis);
                    value.map_or_else(|| axes::ABSENT.to_owned(), |value| value.to_string())
                }));
                line.push(format!("{:?}", row.value));
                line.extend(roles.iter().map(|role| {
                    let source = row.sources.get(*role);
                    source.map_or_else(String::new, |source| short(source).to_owned())
                }));
                line
            })
            .collect();
        writeln!(out, "{}", table::render_some(&heads, &lines, arguments.all))?;
    }
    if !traced.artifacts.is_empty() {
        let heads = ["artifact", "fingerprint", "what it is", "in the cache"];
        let lines: Vec<Vec<String>> = traced
            .artifacts
            .iter()
            .enumerate()
            .map(|(index, one)| {
                let is_held = match held.and_then(|held| held.get(index)) {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "no cache",
                };
                let label = if one.label.is_empty() {
                    "not listed beside the report"
                } else {
                    &one.label
                };
                [&one.role, &one.fingerprint, label, is_held]
                    .map(str::to_owned)
                    .into()
            })
            .collect();
        writeln!(
            out,
            "\n{}",
            table::render_some(&heads, &lines, arguments.all)
        )?;
    }
    if arguments.id.matches(':').count() == 1 && !traced.item.sql.is_empty() {
        writeln!(out, "\nfor `repro query`:\n\n{}", traced.item.sql)?;
    }
    Ok(())
}

fn print_json(
    id: &TraceId,
    results: &str,
    traced: &Traced,
    held: Option<&[bool]>,
) -> Result<(), Failure> {
    let rows = traced.rows.iter().map(|(line, row)| {
        let axes = row.axes.keys().map(|axis| {
            let value = match row.axis(axis) {
                None => serde_json::Value::Null,
                Some(crate::store::AxisValue::Integer(integer)) => integer.into(),
                Some(crate::store::AxisValue::Number(number)) => number.into(),
                Some(crate::store::AxisValue::Text(text)) => text.into(),
            };
            (axis.clone(), value)
        });
        json!({
            "line": line,
            "metric": row.metric,
            "value": row.value,
            "axes": axes.collect::<serde_json::Map<_, _>>(),
            "sources": row.sources,
        })
    });
    let artifacts = traced.artifacts.iter().enumerate().map(|(index, one)| {
        json!({
            "role": one.role,
            "fingerprint": one.fingerprint,
            "label": one.label,
            "in_cache": held.and_then(|held| held.get(index)),
        })
    });
    let answer = json!({
        "report": id.report,
        "item": traced.item,
        "cell": id.cell,
        "command": traced.command,
        "results_file": results,
        "results_changed": traced.is_other,
        "results": rows.collect::<serde_json::Value>(),
        "artifacts": artifacts.collect::<serde_json::Value>(),
    });
    let mut out = printed::stdout(true);
    Ok(writeln!(out, "{answer}")?)
}
