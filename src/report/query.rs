//! The SQL that gives the rows behind a table or figure, for `repro query`.

use std::collections::{BTreeMap, BTreeSet};

use super::axes;
use super::number::listed;
use super::selection::{Filter, Selection, value_of};
use crate::store::{AxisValue, ResultRow, source_column};

/// Up to this many sources are named one by one; that makes a query exact. Above, the axes' values have to do.
const MOST_SOURCES: usize = 60;

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
    let mut conditions = vec![among("metric", &metrics)];
    for filter in filters {
        let values: BTreeSet<Option<AxisValue>> = filter.values.iter().flat_map(meant).collect();
        conditions.push(condition(&filter.axis, &values));
    }
    let varying = varying(rows);
    let mut head = String::new();
    if let Some(sources) = of_sources(rows) {
        conditions.push(sources);
    } else {
        head.push_str("-- Results of other experiments that agree on all of this are given too.\n");
        let filtered = |axis: &&str| filters.iter().any(|filter| filter.axis == **axis);
        for axis in axes::of(rows.iter().copied()) {
            if !filtered(&axis) {
                let values = rows.iter().map(|row| row.axis(axis)).collect();
                conditions.push(condition(axis, &values));
            }
        }
    }
    let order = if varying.is_empty() {
        let roles = rows.first().map_or_else(Vec::new, |row| roles(row));
        let columns = roles.iter().map(|role| source_column(role));
        columns.chain(["metric".to_owned()]).next()
    } else {
        let names: Vec<String> = varying.iter().map(|axis| name(axis)).collect();
        Some(names.join(", "))
    };
    format!(
        "{head}SELECT * FROM results\nWHERE {}\nORDER BY {}",
        conditions.join("\n  AND "),
        order.unwrap_or_default()
    )
}

/// The sources that name a row: its head where there is one, else all that it has.
pub fn roles(row: &ResultRow) -> Vec<&str> {
    match row.sources.get_key_value("head") {
        Some((head, _)) => vec![head.as_str()],
        None => row.sources.keys().map(String::as_str).collect(),
    }
}

/// The roles that some row has a source in, the head first.
pub fn all_roles<'a>(rows: impl IntoIterator<Item = &'a ResultRow>) -> Vec<&'a str> {
    let roles = rows.into_iter().flat_map(|row| row.sources.keys());
    let roles: BTreeSet<&str> = roles.map(String::as_str).collect();
    let mut roles: Vec<&str> = roles.into_iter().collect();
    roles.sort_by_key(|role| *role != "head");
    roles
}

/// What a row was computed from, in words: "head" and its fingerprint.
pub fn origin(row: &ResultRow) -> String {
    let named = |role: &&str| format!("{role} {}", row.sources[*role]);
    let sources: Vec<String> = roles(row).iter().map(named).collect();
    listed(&sources)
}

/// The condition that names the rows' sources; `None` where they are too many, or a row has none.
fn of_sources(rows: &[&ResultRow]) -> Option<String> {
    let mut groups: BTreeMap<Vec<&str>, Vec<BTreeSet<&str>>> = BTreeMap::new();
    for row in rows {
        let roles = roles(row);
        let none = vec![BTreeSet::new(); roles.len()];
        let sources = groups.entry(roles.clone()).or_insert(none);
        for (role, sources) in roles.iter().zip(sources) {
            sources.insert(row.sources[*role].as_str());
        }
    }
    let count: usize = groups.values().flatten().map(BTreeSet::len).sum();
    if count > MOST_SOURCES || groups.contains_key(&Vec::new()) {
        return None;
    }
    let group = |(roles, sources): (&Vec<&str>, &Vec<BTreeSet<&str>>)| {
        let of_role = |(role, sources): (&&str, &BTreeSet<&str>)| {
            let values: Vec<String> = sources.iter().map(|source| quoted(source)).collect();
            among(&name(&source_column(role)), &values)
        };
        let conditions: Vec<String> = roles.iter().zip(sources).map(of_role).collect();
        conditions.join(" AND ")
    };
    let groups: Vec<String> = groups.iter().map(group).collect();
    match groups.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(format!("({})", several.join(" OR "))),
    }
}

/// The axes on which some rows differ, in their order.
pub fn varying<'a>(rows: &[&'a ResultRow]) -> Vec<&'a str> {
    let differs = |axis: &&str| {
        let values: BTreeSet<AxisValue> = rows.iter().map(|row| value_of(row, axis)).collect();
        values.len() > 1
    };
    let mut axes = axes::of(rows.iter().copied());
    axes.retain(differs);
    axes
}

/// What a value of a filter may be in a table: the word for what is not there is null as well.
fn meant(value: &AxisValue) -> Vec<Option<AxisValue>> {
    let absent = *value == AxisValue::from(axes::ABSENT);
    let null = absent.then_some(None);
    std::iter::once(Some(value.clone())).chain(null).collect()
}

fn condition(axis: &str, values: &BTreeSet<Option<AxisValue>>) -> String {
    let axis = name(axis);
    let has_null = values.contains(&None);
    let literals: Vec<String> = values.iter().flatten().map(literal).collect();
    match (has_null, literals.is_empty()) {
        (true, true) => format!("{axis} IS NULL"),
        (true, false) => format!("({} OR {axis} IS NULL)", among(&axis, &literals)),
        (false, _) => among(&axis, &literals),
    }
}

fn among(column: &str, values: &[String]) -> String {
    match values {
        [only] => format!("{column} = {only}"),
        several => format!("{column} IN ({})", several.join(", ")),
    }
}

/// A column, in quotes where its name needs them.
fn name(column: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if column.chars().all(plain) {
        column.to_owned()
    } else {
        format!("\"{}\"", column.replace('"', "\"\""))
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
    use crate::report::testing::{input, pair, question, row, with};

    #[test]
    fn a_small_table_names_its_heads() {
        let late = with(row(1, 0.6), [("timestep", 150_u32.into())]);
        let input = input(vec![row(0, 0.5), late]);
        let question =
            question("metric = \"top1\"\nwhere = { split = \"test\", timestep = [90, 150] }");
        let selection = question.put("table", &input).unwrap();
        let (zero, one) = (format!("{:064x}", 0), format!("{:064x}", 1));
        assert_eq!(
            of_selection(&selection),
            format!(
                "SELECT * FROM results\nWHERE metric = 'top1'\n  AND split = 'test'\n  AND timestep IN (90, 150)\n  AND head_fingerprint IN ('{zero}', '{one}')\nORDER BY timestep, seed"
            )
        );
    }

    #[test]
    fn a_large_table_names_its_axes_and_quotes_are_doubled() {
        let rows: Vec<ResultRow> = (0..100)
            .map(|seed| with(row(seed, 0.5), [("model", "it's".into())]))
            .collect();
        let text = of_rows(&rows.iter().collect::<Vec<_>>());
        assert!(text.contains("AND model = 'it''s'\n"), "{text}");
        assert!(text.contains("AND learning_rate = 0.001\n"), "{text}");
        assert!(!text.contains("head_fingerprint"), "{text}");
        assert!(text.starts_with("-- "));
    }

    #[test]
    fn rows_without_a_head_are_named_by_what_they_have_and_null_is_null() {
        let (left, right) = ("1".repeat(64), "2".repeat(64));
        let of_pair = pair(1, 2, 0.5);
        let text = of_rows(&[&of_pair]);
        let named = format!("left_fingerprint = '{left}' AND right_fingerprint = '{right}'");
        assert!(text.contains(&named), "{text}");
        let head = row(0, 0.5);
        let both = of_rows(&[&of_pair, &head]);
        assert!(
            both.contains(&format!("(head_fingerprint = '{:064x}' OR left_", 0)),
            "{both}"
        );

        let of_token = with(row(1, 0.5), [("token", "class".into())]);
        let input = input(vec![head, of_token]);
        let asked = question("metric = \"top1\"\nwhere = { token = [\"none\", \"class\"] }");
        let text = of_selection(&asked.put("table", &input).unwrap());
        assert!(
            text.contains("(token IN ('class', 'none') OR token IS NULL)"),
            "{text}"
        );
    }
}
