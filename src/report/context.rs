//! What a template sees: the report's input under its own names, and what was made of it.
//!
//! `docs/reference/report-templates.md` lists it all; a test holds the two together.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::axes;
use super::cells;
use super::choices::choices;
use super::config::ReportConfig;
use super::error::ReportError;
use super::figures::RenderedFigure;
use super::input::ReportInput;
use super::mermaid;
use super::provenance::beside;
use super::shown::{figure, headlines, table, trace};
use super::tables::RenderedTable;
use super::totals::{total, totals};
use crate::axes::PAIR;
use crate::store::{AxisValue, ResultColumn, ResultRow, source_column};

/// The names that a report can be summed up by.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// How many results there are.
    results: usize,
    /// Results that were asked for and are not there.
    missing: usize,
    /// Names of the metrics.
    metrics: BTreeSet<String>,
    /// Names of the heads.
    heads: BTreeSet<String>,
    /// Different sets of features that results were computed from.
    features: usize,
    /// Names of the models.
    models: BTreeSet<String>,
    /// Names of the datasets.
    datasets: BTreeSet<String>,
    /// Heads that were trained, seeds counted.
    trained: usize,
    /// Seeds of the trained heads.
    #[serde(serialize_with = "as_values")]
    seeds: BTreeSet<AxisValue>,
    /// Images that are in no number.
    skipped: usize,
}

/// The names that a template may use.
///
/// # Errors
/// A graph with an edge into nothing.
pub fn context(
    input: &ReportInput,
    config: &ReportConfig,
    tables: &[RenderedTable],
    figures: &[RenderedFigure],
) -> Result<Value, ReportError> {
    let mut names: BTreeMap<String, Value> = BTreeMap::new();
    if let serde_json::Value::Object(fields) = serde_json::to_value(input)? {
        names.extend(
            fields
                .into_iter()
                .map(|(name, value)| (name, json_value(value))),
        );
    }
    names.insert("results".to_owned(), results(&input.results));
    names.insert(
        "question".to_owned(),
        config
            .question
            .as_deref()
            .map_or(Value::from(()), Value::from),
    );
    names.insert(
        "results_csv".to_owned(),
        markup(beside(&config.results_file())),
    );
    let comparisons = input.comparisons.as_deref().unwrap_or_default();
    let comparisons_csv = config.comparisons_file();
    let comparisons_csv = (!comparisons.is_empty()).then(|| beside(&comparisons_csv));
    names.insert(
        "comparisons_csv".to_owned(),
        comparisons_csv.map_or(Value::from(()), markup),
    );
    names.insert(
        "provenance_json".to_owned(),
        markup(beside(&config.provenance_file())),
    );
    names.insert("claims".to_owned(), cells::claims(comparisons));
    let kinds = totals(&input.nodes);
    names.insert(
        "summary".to_owned(),
        json_value(serde_json::to_value(summary(input))?),
    );
    names.insert(
        "total".to_owned(),
        json_value(serde_json::to_value(total("all", &input.nodes))?),
    );
    let counts: Vec<(String, u64, u64)> = kinds
        .iter()
        .map(|kind| (kind.kind.clone(), kind.nodes, kind.rows))
        .collect();
    names.insert(
        "provenance".to_owned(),
        cells::called(
            Value::from_pairs([("seeds", input.seeds.iter().copied().collect::<Value>())]),
            cells::provenance(&input.seeds, &counts),
        ),
    );
    names.insert(
        "node_kinds".to_owned(),
        json_value(serde_json::to_value(kinds)?),
    );
    let (headline, of_figures) = headlines(config, figures);
    let shown = tables.iter().zip(&config.tables).enumerate();
    let shown = shown.map(|(index, (rendered, spec))| {
        let manual = input.manual.as_deref();
        let explained = manual.map(|manual| format!("{manual}#table-{}", spec.kind));
        table(
            rendered,
            (index, spec.kind),
            headline == Some(index),
            explained.as_deref(),
        )
    });
    names.insert("tables".to_owned(), shown.collect());
    let shown = figures.iter().zip(&config.figures).enumerate();
    let shown = shown.map(|(index, (rendered, spec))| {
        figure(rendered, (index, spec.kind), of_figures == Some(index))
    });
    names.insert("figures".to_owned(), shown.collect());
    let choices = choices(&input.results);
    names.insert(
        "choices".to_owned(),
        json_value(serde_json::to_value(choices)?),
    );
    names.insert("trace".to_owned(), trace(config, tables, figures));
    let drawing = mermaid::flowchart(&input.graph)?;
    for (name, markdown) in [
        ("graph", cells::graph(input, drawing.as_deref())),
        ("deviations", cells::deviations(&input.deviations)),
    ] {
        if let Some(value) = names.remove(name) {
            names.insert(name.to_owned(), cells::called(value, markdown));
        }
    }
    names.insert(
        "mermaid".to_owned(),
        drawing.map_or(Value::from(()), Value::from_safe_string),
    );
    Ok(Value::from_pairs(names))
}

/// The result rows under the names of the columns of SQL; what a row does not have is `none`.
fn results(rows: &[ResultRow]) -> Value {
    let known = crate::axes::columns();
    let sources = rows.iter().flat_map(|row| row.sources.keys());
    let sources: BTreeSet<String> = sources.map(|role| source_column(role)).collect();
    let mut names: BTreeSet<&str> = known.iter().map(|column| column.name).collect();
    names.extend(axes::of(rows));
    names.extend(sources.iter().map(String::as_str));
    rows.iter().map(|row| result(row, &names)).collect()
}

fn result(row: &ResultRow, names: &BTreeSet<&str>) -> Value {
    let number = |number: Option<f64>| number.map_or(Value::from(()), Value::from);
    let count = |count: Option<u64>| count.map_or(Value::from(()), Value::from);
    let mut columns: Vec<(&str, Value)> = vec![
        ("metric", Value::from(row.metric.as_str())),
        ("value", Value::from(row.value)),
        ("low", number(row.interval.map(|[low, _]| low))),
        ("high", number(row.interval.map(|[_, high]| high))),
        ("correct", count(row.counted.map(|counted| counted.correct))),
        ("count", count(row.counted.map(|counted| counted.scored))),
        ("unit", Value::from(row.unit.as_str())),
        (
            "higher_is_better",
            row.better.flag().map_or(Value::from(()), Value::from),
        ),
    ];
    let value = |name: &str| match ResultColumn::of(name) {
        ResultColumn::Source(role) => {
            let source = row.sources.get(role);
            source.map_or(Value::from(()), |source| Value::from(source.as_str()))
        }
        ResultColumn::Axis(_) | ResultColumn::Fixed => match row.axis(name) {
            None => Value::from(()),
            Some(AxisValue::Integer(integer)) => Value::from(integer),
            Some(AxisValue::Number(number)) => Value::from(number),
            Some(AxisValue::Text(text)) => Value::from(text),
        },
    };
    columns.extend(names.iter().map(|name| (*name, value(name))));
    Value::from_pairs(columns)
}

pub(super) fn object<const N: usize>(pairs: [(&'static str, Value); N]) -> Value {
    Value::from_pairs(pairs)
}

/// Markdown that was made here and is printed as it is.
pub(super) fn markup(text: &str) -> Value {
    Value::from_safe_string(text.to_owned())
}

fn summary(input: &ReportInput) -> Summary {
    let mut summary = Summary {
        results: input.results.len(),
        missing: input.missing.len(),
        skipped: input
            .datasets
            .iter()
            .map(|dataset| dataset.skipped.len())
            .sum(),
        ..Summary::default()
    };
    let mut features = BTreeSet::new();
    let mut trained = BTreeSet::new();
    for row in &input.results {
        let values = |axis: &'static str| {
            let inputs = PAIR.iter().map(move |prefix| format!("{prefix}{axis}"));
            let names = std::iter::once(axis.to_owned()).chain(inputs);
            names.filter_map(|name| Some(row.axis(&name)?.to_string()))
        };
        summary.metrics.insert(row.metric.clone());
        summary.heads.extend(values("head"));
        summary.models.extend(values("model"));
        summary.datasets.extend(values("dataset"));
        summary.seeds.extend(row.axis("seed"));
        for (role, source) in &row.sources {
            if role == "head" {
                trained.insert(source.as_str());
            } else {
                features.insert(source.as_str());
            }
        }
    }
    summary.features = features.len();
    summary.trained = trained.len();
    summary
}

/// Values of an axis as what they are.
fn as_values<S: Serializer>(
    values: &BTreeSet<AxisValue>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        match value {
            AxisValue::Integer(integer) => list.serialize_element(integer)?,
            AxisValue::Number(number) => list.serialize_element(number)?,
            AxisValue::Text(text) => list.serialize_element(text)?,
        }
    }
    list.end()
}

/// JSON as a template's value. What is not a finite number in Rust is `null` in JSON and `none` here.
pub(crate) fn json_value(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(boolean) => Value::from(boolean),
        serde_json::Value::Number(number) => {
            match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(unsigned), _, _) => Value::from(unsigned),
                (_, Some(signed), _) => Value::from(signed),
                (_, _, float) => float.map_or(Value::from(()), Value::from),
            }
        }
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(items) => items.into_iter().map(json_value).collect(),
        serde_json::Value::Object(fields) => Value::from_pairs(
            fields
                .into_iter()
                .map(|(name, field)| (name, json_value(field))),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, pair, row};

    #[test]
    fn a_template_sees_every_column_and_none_where_a_row_has_nothing() {
        let rows = [row(0, 0.5), pair(1, 2, 0.25)];
        let values = results(&rows);
        let of = |index: usize, name: &str| {
            let row = values.get_item(&Value::from(index)).unwrap();
            row.get_attr(name).unwrap()
        };
        assert_eq!(of(0, "seed"), Value::from(0));
        assert_eq!(of(0, "count"), Value::from(1000));
        assert_eq!(of(1, "left_block"), Value::from(1));
        for (index, name) in [
            (0, "left_block"),
            (0, "token"),
            (0, "left_fingerprint"),
            (1, "low"),
            (1, "seed"),
            (1, "head_fingerprint"),
        ] {
            assert!(of(index, name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_documentation_lists_every_name() {
        let manual = include_str!("../../docs/reference/report-templates.md");
        let context = context(
            &input(vec![row(0, 0.5)]),
            &ReportConfig::plain("x"),
            &[],
            &[],
        )
        .unwrap();
        for name in context.try_iter().unwrap() {
            assert!(
                manual.contains(&format!("| `{name}` |")),
                "`{name}` is not documented"
            );
        }
    }
}
