//! From a cell to its results: what an id such as `quickstart:3:r2c1` leads to.
//!
//! An id has the name of a report, the number of a table (or `f1`, the first figure), and a cell: `r2c1` is the first cell of the second line
//! below the headings, `d1c2` one of the second block of a table that has two. A line alone, `r2`, is all of its cells, and a table alone all
//! of its lines. The file of provenance says which lines of the file of results these are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::error::ReportError;
use super::provenance::{DIGITS, FORMAT, in_ranges};
use super::results_csv;
use crate::store::{Fingerprint, ResultRow};
use crate::text::plural;

/// Hexadecimal digits of a fingerprint that a reader sees.
const SHORT: usize = 12;

/// The beginning of a fingerprint, behind what says of what it is, as in `samples:0123…`; other text stays as it is.
pub fn short(text: &str) -> &str {
    let digits = text.rfind(':').map_or(0, |colon| colon + 1);
    let is_digest =
        |digits: &str| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    match text.get(digits..) {
        Some(rest) if is_digest(rest) => text.get(..digits + SHORT).unwrap_or(text),
        _ => text,
    }
}

/// An id as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId {
    /// The report: its name, or a path.
    pub report: String,
    /// The table or figure; `None` for the whole report.
    pub item: Option<String>,
    /// The cell, or the line; `None` for the whole table.
    pub cell: Option<String>,
}

impl TraceId {
    /// Takes an id apart; `None` for one with more than three parts, or an empty one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':').map(str::to_owned);
        let id = Self {
            report: parts.next()?,
            item: parts.next(),
            cell: parts.next(),
        };
        let all = [Some(&id.report), id.item.as_ref(), id.cell.as_ref()];
        let is_whole = all.into_iter().flatten().all(|part| !part.is_empty());
        (is_whole && parts.next().is_none()).then_some(id)
    }
}

/// What an id leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// What the id is of: `title`, `kind`, `fixed`, `sql` and, of a figure, `file` and `artifact`.
    pub item: Item,
    /// The results, each with its line in the file of results.
    pub rows: Vec<(usize, ResultRow)>,
    /// What the results were computed from, each once.
    pub artifacts: Vec<TracedArtifact>,
    /// The command that makes them.
    pub command: String,
    /// Whether the file of results is another than the one that the report was made from, so that its lines may be others.
    pub is_other: bool,
}

/// A table or figure as the file of provenance has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The number of a table, or `f1` and so on.
    pub id: String,
    /// The name of the kind.
    pub kind: String,
    /// The title.
    pub title: String,
    /// The query for its rows; empty where it shows no results.
    pub sql: String,
    /// The artifact that a figure shows; empty where it shows results.
    pub artifact: String,
}

/// An artifact that results were computed from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TracedArtifact {
    /// What it is to the results, such as `head`.
    pub role: String,
    /// Its fingerprint, as the results have it.
    pub fingerprint: String,
    /// What the run called it; empty where the file of provenance does not list it.
    pub label: String,
}

/// The tables and figures of a report, for who has its name alone.
///
/// # Errors
/// Text that is no file of provenance.
pub fn items(file: &str, text: &str) -> Result<Vec<Item>, ReportError> {
    let fields = fields(file, text)?;
    Ok(of_all(&fields).map(|(item, _)| item).collect())
}

/// The file of results beside a file of provenance, as that names it.
///
/// # Errors
/// Text that is no file of provenance.
pub fn results_file(file: &str, text: &str) -> Result<String, ReportError> {
    let fields = fields(file, text)?;
    let name = fields["results"]["file"].as_str();
    name.filter(|name| !name.contains('/') && !name.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| not_one(file))
}

/// Follows an id through the text of a file of provenance and that of the file of results, each with its path.
///
/// # Errors
/// Text that is no such file, and an id of nothing that the report has.
pub fn resolve(
    id: &TraceId,
    (file, text): (&str, &str),
    (results_file, results_text): (&str, &str),
) -> Result<Traced, ReportError> {
    let fields = fields(file, text)?;
    let wanted = id.item.as_deref().unwrap_or_default();
    let found = of_all(&fields).find(|(item, _)| item.id == wanted);
    let Some((item, value)) = found else {
        let known: Vec<String> = of_all(&fields)
            .map(|(item, _)| format!("`{}`", item.id))
            .collect();
        return Err(unknown(
            format!("report `{}` has no table or figure `{wanted}`", id.report),
            match known.as_slice() {
                [] => "it has neither tables nor figures".to_owned(),
                known => format!("it has {}", known.join(", ")),
            },
        ));
    };
    let lines = lines(id, value).map_err(|error| error.unwrap_or_else(|| not_one(file)))?;
    let rows = results_csv::read(results_file, results_text)?;
    // The heading is line 1.
    let rows: Vec<(usize, ResultRow)> = lines
        .into_iter()
        .filter_map(|line| Some((line, rows.get(line.checked_sub(2)?)?.clone())))
        .collect();
    let artifacts = &fields["run"]["artifacts"];
    let column = |name: &str| list(&artifacts["columns"]).position(|column| column == name);
    let columns = column("fingerprint").zip(column("label"));
    let labels: BTreeMap<&str, &str> = list(&artifacts["rows"])
        .filter_map(|row| {
            let (fingerprint, label) = columns?;
            Some((row.get(fingerprint)?.as_str()?, row.get(label)?.as_str()?))
        })
        .collect();
    let traced = |role: &str, fingerprint: &str| {
        let digits = fingerprint.rsplit(':').next().unwrap_or(fingerprint);
        let label = digits.get(..DIGITS).and_then(|digits| labels.get(digits));
        TracedArtifact {
            role: role.to_owned(),
            fingerprint: fingerprint.to_owned(),
            label: label.copied().unwrap_or_default().to_owned(),
        }
    };
    let sources = rows.iter().flat_map(|(_, row)| &row.sources);
    let artifacts: BTreeSet<TracedArtifact> = sources
        .map(|(role, fingerprint)| traced(role, fingerprint))
        .chain((!item.artifact.is_empty()).then(|| traced("shown", &item.artifact)))
        .collect();
    let digest = Fingerprint::of(results_text.as_bytes()).to_string();
    Ok(Traced {
        rows,
        artifacts: artifacts.into_iter().collect(),
        command: fields["command"].as_str().unwrap_or_default().to_owned(),
        is_other: fields["results"]["blake3"].as_str() != Some(digest.as_str()),
        item,
    })
}

/// The lines of the file of results that an id is about; the error is `None` where the file of provenance is damaged.
fn lines(id: &TraceId, value: &Value) -> Result<Vec<usize>, Option<ReportError>> {
    let read = |text: &Value| text.as_str().and_then(in_ranges).ok_or(None);
    if let Some(rows) = value.get("rows") {
        return match &id.cell {
            None => read(rows),
            Some(cell) => Err(Some(unknown(
                format!("a figure has no cell `{cell}`"),
                "leave the cell out: a figure is traced as a whole".to_owned(),
            ))),
        };
    }
    let cells = value["cells"].as_object().ok_or(None)?;
    let is_meant = |name: &str| match &id.cell {
        None => true,
        Some(cell) => {
            // A line that is meant has its cells, and a cell the line that stands for all of its cells.
            let is_within = |part: &str, whole: &str| {
                part == whole
                    || part
                        .strip_prefix(whole)
                        .is_some_and(|rest| rest.starts_with('c'))
            };
            is_within(name, cell) || is_within(cell, name)
        }
    };
    let mut numbers = BTreeSet::new();
    let mut is_known = id.cell.is_none();
    for (_, text) in cells.iter().filter(|(name, _)| is_meant(name)) {
        is_known = true;
        numbers.extend(read(text)?);
    }
    if is_known {
        return Ok(numbers.into_iter().collect());
    }
    let cell = id.cell.as_deref().unwrap_or_default();
    Err(Some(unknown(
        format!(
            "table {} has no results behind a cell `{cell}`",
            id.item.as_deref().unwrap_or_default()
        ),
        format!(
            "`r2c3` is the third cell of the second line below the headings; the table has {} with results, from `{}` to `{}`",
            plural(cells.len(), "cell"),
            cells.keys().next().map_or("", String::as_str),
            cells.keys().next_back().map_or("", String::as_str),
        ),
    )))
}

/// The fields of a file of provenance.
fn fields(file: &str, text: &str) -> Result<Value, ReportError> {
    let value: Value = serde_json::from_str(text).map_err(|_| not_one(file))?;
    match value["format"].as_u64() {
        Some(FORMAT) => Ok(value),
        Some(other) => Err(unknown(
            format!("{file} has the format {other}; this program reads {FORMAT}"),
            "`repro report` writes it again".to_owned(),
        )),
        None => Err(not_one(file)),
    }
}

/// The tables, then the figures.
fn of_all(fields: &Value) -> impl Iterator<Item = (Item, &Value)> {
    let all = ["tables", "figures"].into_iter();
    all.flat_map(|name| list(&fields[name])).map(|value| {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let item = Item {
            id: text("id"),
            kind: text("kind"),
            title: text("title"),
            sql: text("sql"),
            artifact: text("artifact"),
        };
        (item, value)
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn not_one(file: &str) -> ReportError {
    unknown(
        format!("{file} is not a file of provenance"),
        "`repro run` and `repro report` write it beside a report; name the report".to_owned(),
    )
}

fn unknown(problem: String, hint: String) -> ReportError {
    ReportError::Trace { problem, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;
    use crate::report::axes::KnownAxes;
    use crate::report::config::ReportConfig;
    use crate::report::input::{NodeRecord, ReportInput};
    use crate::report::rendering::render;
    use crate::report::testing::{input, of_head, parsed, row, with};
    use std::path::Path;

    /// A report with a grid of two blocks and two seeds, and the texts of its files.
    fn report() -> (String, String) {
        let at = |block: u32, seed: u64, value| {
            let row = with(row(seed, value), [("block", block.into())]);
            of_head(row, format!("{block:08x}{seed:08x}{:048x}", 0))
        };
        let input = ReportInput {
            nodes: vec![NodeRecord {
                label: "linear on block 2, seed 1".to_owned(),
                fingerprint: format!("{:08x}{:08x}{:048x}", 2, 1, 0),
                ..NodeRecord::default()
            }],
            // Not in the order of the file.
            ..input(vec![
                at(2, 1, 0.4),
                at(1, 0, 0.1),
                at(2, 0, 0.3),
                at(1, 1, 0.2),
            ])
        };
        let text = "[[table]]\nkind = \"grid\"\nmetric = \"top1\"\nrows = \"block\"\ncolumns = \"timestep\"\n\n[[figure]]\nkind = \"lines\"\nfile = \"a.svg\"\nmetric = \"top1\"\nx = \"block\"\n";
        let (config, errors) = parsed(text, |fields| {
            ReportConfig::parse(fields, "example", &KnownAxes::default())
        });
        assert!(errors.is_empty(), "{errors:?}");
        let rendered = render(&input, &config.unwrap(), Path::new("."), None).unwrap();
        (
            rendered.provenance.text(),
            results_csv::write(&input.results),
        )
    }

    fn traced(id: &str) -> Result<Traced, String> {
        let (provenance, results) = report();
        let id = TraceId::parse(id).unwrap();
        resolve(&id, ("a.json", &provenance), ("a.csv", &results))
            .map_err(|error| error.explain().to_string())
    }

    #[test]
    fn a_cell_leads_to_its_rows_and_these_to_their_artifacts() {
        let values = |id: &str| -> Vec<f64> {
            let rows = traced(id).unwrap().rows.into_iter();
            rows.map(|(_, row)| row.value).collect()
        };
        assert_eq!(values("example:1:r2c2"), [0.3, 0.4]);
        assert_eq!(values("example:1:r1"), [0.1, 0.2]);
        assert_eq!(values("example:1").len(), 4);
        assert_eq!(values("example:f1").len(), 4);
        let traced = traced("example:1:r2c2").unwrap();
        assert!(!traced.is_other);
        assert_eq!(traced.command, "./repro run experiments/example.toml");
        let labels: Vec<&str> = traced
            .artifacts
            .iter()
            .map(|one| one.label.as_str())
            .collect();
        assert!(labels.contains(&"linear on block 2, seed 1"), "{labels:?}");
        assert_eq!(traced.rows[0].0, 4);
    }

    #[test]
    fn what_the_report_does_not_have_is_said() {
        for (id, says) in [
            ("example:9", "no table or figure `9`"),
            ("example:1:r9c2", "no results behind a cell `r9c2`"),
            ("example:1:r1c1", "no results behind a cell `r1c1`"),
            ("example:f1:r1c1", "a figure has no cell"),
        ] {
            let error = traced(id).unwrap_err();
            assert!(error.contains(says), "{id}: {error}");
        }
        for text in ["", "a:", "a:1:r1c1:x", ":1"] {
            assert_eq!(TraceId::parse(text), None, "{text}");
        }
        let id = TraceId::parse("a:1").unwrap();
        for text in ["", "{}", "[]", "{\"format\":1}"] {
            assert!(resolve(&id, ("a.json", text), ("a.csv", "")).is_err());
        }
    }

    #[test]
    fn another_file_of_results_is_noticed() {
        let (provenance, results) = report();
        let id = TraceId::parse("example:1").unwrap();
        let changed = results.replace("0.4", "0.5");
        let traced = resolve(&id, ("a.json", &provenance), ("a.csv", &changed)).unwrap();
        assert!(traced.is_other);
    }

    #[test]
    fn fingerprints_are_short_behind_their_prefix() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(short(&digits), "0123456789ab");
        assert_eq!(short(&format!("samples:{digits}")), "samples:0123456789ab");
        assert_eq!(
            short("synthetic-7 with a long name"),
            "synthetic-7 with a long name"
        );
    }
}
