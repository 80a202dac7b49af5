//! The SQL that gives the rows behind a table or figure, for `repro query`.

use std::collections::BTreeSet;

use super::axes;
use super::selection::{Filter, Selection, value_of};
use crate::store::{AxisValue, ResultRow};

/// Up to this many heads are named one by one; that makes a query exact. Above, the axes' values have to do.
const MOST_HEADS: usize = 60;

/// The query for the rows of a selection.
pub fn of_selection(selection: &Selection<'_>) -> String {
    let metric = &selection.question.metric.value;
    sql(
        &[metric.as_str()],
        &selection.question.filters,
        &selection.rows,
    )
}

/// The query for some results of any metric.
pub fn of_rows(rows: &[&ResultRow]) -> String {
    let metrics: BTreeSet<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
    let metrics: Vec<&str> = metrics.into_iter().collect();
    sql(&metrics, &[], rows)
}

fn sql(metrics: &[&str], filters: &[Filter], rows: &[&ResultRow]) -> String {
    let metrics: Vec<String> = metrics.iter().map(|metric| quoted(metric)).collect();
    let mut conditions = vec![condition("metric", &metrics)];
    for filter in filters {
        let values: Vec<String> = filter.values.iter().map(literal).collect();
        conditions.push(condition(&filter.axis, &values));
    }
    let heads: BTreeSet<&str> = rows
        .iter()
        .map(|row| row.head_fingerprint.as_str())
        .collect();
    let varying = varying(rows);
    let mut head = String::new();
    if heads.len() <= MOST_HEADS {
        let heads: Vec<String> = heads.into_iter().map(quoted).collect();
        conditions.push(condition("head_fingerprint", &heads));
    } else {
        head.push_str("-- Heads of other experiments that agree on all of this are given too.\n");
        for axis in axes::all().filter(|axis| !filters.iter().any(|filter| filter.axis == *axis)) {
            let values: BTreeSet<AxisValue> = rows.iter().map(|row| value_of(row, axis)).collect();
            let values: Vec<String> = values.iter().map(literal).collect();
            conditions.push(condition(axis, &values));
        }
    }
    let order = if varying.is_empty() {
        "head_fingerprint".to_owned()
    } else {
        varying.join(", ")
    };
    format!(
        "{head}SELECT * FROM results\nWHERE {}\nORDER BY {order}",
        conditions.join("\n  AND ")
    )
}

/// The axes on which some rows differ, in their order.
pub fn varying(rows: &[&ResultRow]) -> Vec<&'static str> {
    let differs = |axis: &&'static str| {
        rows.iter()
            .map(|row| value_of(row, axis))
            .collect::<BTreeSet<_>>()
            .len()
            > 1
    };
    axes::all().filter(differs).collect()
}

fn condition(column: &str, values: &[String]) -> String {
    match values {
        [only] => format!("{column} = {only}"),
        several => format!("{column} IN ({})", several.join(", ")),
    }
}

fn literal(value: &AxisValue) -> String {
    match value {
        AxisValue::Text(text) => quoted(text),
        number => number.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, question, row};

    #[test]
    fn a_small_table_names_its_heads() {
        let input = input(vec![row(0, 0.5), row(1, 0.6)]);
        let question =
            question("metric = \"top1\"\nwhere = { split = \"test\", timestep = [90, 150] }");
        let selection = question.put("table", &input).unwrap();
        let (zero, one) = (format!("{:064x}", 0), format!("{:064x}", 1));
        assert_eq!(
            of_selection(&selection),
            format!(
                "SELECT * FROM results\nWHERE metric = 'top1'\n  AND split = 'test'\n  AND timestep IN (90, 150)\n  AND head_fingerprint IN ('{zero}', '{one}')\nORDER BY seed"
            )
        );
    }

    #[test]
    fn a_large_table_names_its_axes_and_quotes_are_doubled() {
        let rows: Vec<ResultRow> = (0..100)
            .map(|seed| ResultRow {
                model: "it's".to_owned(),
                ..row(seed, 0.5)
            })
            .collect();
        let text = of_rows(&rows.iter().collect::<Vec<_>>());
        assert!(text.contains("AND model = 'it''s'\n"), "{text}");
        assert!(text.contains("AND learning_rate = 0.001\n"), "{text}");
        assert!(!text.contains("head_fingerprint"), "{text}");
        assert!(text.starts_with("-- "));
    }
}
