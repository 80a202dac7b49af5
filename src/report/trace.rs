//! From a number to its bytes: every result with the fingerprints of the head and the features that it comes from.

use serde::Serialize;

use super::axes;
use super::input::ReportInput;
use super::markdown;
use super::number::Unit;
use super::query;
use super::selection::value_of;
use crate::store::ResultRow;
use crate::text::count;

/// More results than this make a page that nobody opens; the query gives them all.
pub const MOST_ROWS: usize = 400;

/// Hexadecimal digits of a fingerprint that a reader sees.
pub const SHORT: usize = 12;

/// What stands in an empty cell.
const NOTHING: &str = "–";

/// Where the numbers of a report come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// How many results the report has.
    pub count: usize,
    /// The results as a Markdown table; `None` where they are too many, or none.
    pub table: Option<String>,
    /// The axes that all results agree on, in words.
    pub fixed: Vec<String>,
    /// The query for all results; `None` where there are none.
    pub sql: Option<String>,
}

/// Traces all results of a report.
pub fn trace(input: &ReportInput) -> Trace {
    let mut rows: Vec<&ResultRow> = input.results.iter().collect();
    let all = axes::of(&input.results);
    rows.sort_by_cached_key(|row| {
        let values: Vec<_> = all.iter().map(|axis| value_of(row, axis)).collect();
        (row.metric.clone(), values, row.sources.clone())
    });
    let varying = query::varying(&rows);
    let fixed = rows.first().map_or_else(Vec::new, |row| {
        let agreed = all.iter().filter(|axis| !varying.contains(axis));
        agreed
            .map(|axis| format!("{} {}", axes::label(axis), value_of(row, axis)))
            .collect()
    });
    let fits = !rows.is_empty() && rows.len() <= MOST_ROWS;
    Trace {
        count: rows.len(),
        table: fits.then(|| table(&rows, &varying)),
        fixed,
        sql: (!rows.is_empty()).then(|| query::of_rows(&rows)),
    }
}

fn table(rows: &[&ResultRow], varying: &[&str]) -> String {
    let roles = query::all_roles(rows.iter().copied());
    let mut heads = vec!["metric".to_owned()];
    let mut numeric = vec![false];
    for axis in varying {
        heads.push(axes::label(axis));
        numeric.push(
            rows.iter()
                .all(|row| axes::number(&value_of(row, axis)).is_some()),
        );
    }
    heads.extend(["value", "scored"].map(str::to_owned));
    heads.extend(roles.iter().map(|role| (*role).to_owned()));
    numeric.extend([true, true]);
    numeric.extend(roles.iter().map(|_| false));
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells = vec![markdown::escape(&row.metric)];
            cells.extend(
                varying
                    .iter()
                    .map(|axis| markdown::escape(&value_of(row, axis).to_string())),
            );
            let unit = Unit::of(&row.unit);
            cells.push(format!("{}{}", unit.show(row.value, 2), unit.suffix()));
            let absent = || NOTHING.to_owned();
            cells.push(
                row.counted
                    .map_or_else(absent, |counted| count(counted.scored)),
            );
            cells.extend(roles.iter().map(|role| {
                let source = row.sources.get(*role);
                source.map_or_else(absent, |source| markdown::code(short(source)))
            }));
            cells
        })
        .collect();
    markdown::table(&heads, &numeric, &lines)
}

/// The beginning of a fingerprint, behind what says of what it is, as in `samples:0123…`.
pub fn short(fingerprint: &str) -> &str {
    let digits = fingerprint.rfind(':').map_or(0, |colon| colon + 1);
    fingerprint.get(..digits + SHORT).unwrap_or(fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, pair, row};

    #[test]
    fn fingerprints_are_short_behind_their_prefix() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(short(&digits), "0123456789ab");
        assert_eq!(short(&format!("samples:{digits}")), "samples:0123456789ab");
        assert_eq!(short("none"), "none");
    }

    #[test]
    fn every_result_leads_to_its_fingerprints() {
        let trace = trace(&input(vec![row(1, 0.8123), row(0, 0.5)]));
        let table = trace.table.unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "| metric | seed | value | scored | head | features |"
        );
        assert_eq!(
            lines[2],
            "| top1 | 0 | 50.00% | 1,000 | `000000000000` | `abababababab` |"
        );
        assert!(lines[3].starts_with("| top1 | 1 | 81.23% |"));
        assert!(trace.fixed.contains(&"learning rate 0.001".to_owned()));
    }

    #[test]
    fn results_without_counts_lead_to_what_they_have() {
        let trace = trace(&input(vec![pair(1, 2, 0.5), row(0, 0.5)]));
        let table = trace.table.unwrap();
        assert!(
            table.contains("| value | scored | head | features | left | right |"),
            "{table}"
        );
        assert!(
            table.contains("| 0.50 | – | – | – | `111111111111` | `222222222222` |"),
            "{table}"
        );
    }

    #[test]
    fn too_many_results_give_the_query_instead() {
        let trace = trace(&input((0..401).map(|seed| row(seed, 0.5)).collect()));
        assert_eq!((trace.count, trace.table), (401, None));
        assert!(trace.sql.unwrap().contains("FROM results"));
    }

    #[test]
    fn no_results_have_no_trace() {
        let trace = trace(&input(Vec::new()));
        assert_eq!((trace.count, trace.table, trace.sql), (0, None, None));
    }
}
