//! The table `results` of a query: the union of all tables of results by the names of their columns.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, IntoLazy, LazyFrame, PolarsResult};

use super::KnownColumn;
use crate::store::results::{AxisType, Counted, ResultRow};
use crate::store::results_table::{
    ResultColumn, axis_types, integers, numbers, roles, source_column, texts,
};

/// The rows as a table: the fixed columns, those in `known`, and one for every other axis and role that
/// some row has.
pub(super) fn table(rows: &[ResultRow], known: &[KnownColumn<'_>]) -> PolarsResult<LazyFrame> {
    let text = |name: &str, field: fn(&ResultRow) -> &str| {
        Column::new(name.into(), rows.iter().map(field).collect::<Vec<&str>>())
    };
    let bound = |name: &str, side: usize| {
        let bounds = rows.iter().map(|row| Some(row.interval?[side]));
        Column::new(name.into(), bounds.collect::<Vec<Option<f64>>>())
    };
    let count = |name: &str, field: fn(Counted) -> u64| {
        let counts = rows.iter().map(|row| row.counted.map(field));
        Column::new(name.into(), counts.collect::<Vec<Option<u64>>>())
    };
    let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
    let flags: Vec<Option<bool>> = rows.iter().map(|row| row.better.flag()).collect();
    let mut columns = vec![
        text("metric", |row| &row.metric),
        Column::new("value".into(), values),
        bound("low", 0),
        bound("high", 1),
        count("correct", |counted| counted.correct),
        count("count", |counted| counted.scored),
        text("unit", |row| &row.unit),
        Column::new("higher_is_better".into(), flags),
    ];
    let mut axes: BTreeMap<&str, AxisType> = axis_types(rows);
    let mut roles = roles(rows);
    let mut sources = Vec::new();
    for known in known {
        if let ResultColumn::Source(role) = ResultColumn::of(known.name) {
            roles.remove(role);
            sources.push(role);
        } else {
            let kind = axes.remove(known.name).unwrap_or(known.kind);
            columns.push(axis(rows, known.name, kind.widened(known.kind)));
        }
    }
    columns.extend(axes.into_iter().map(|(name, kind)| axis(rows, name, kind)));
    for role in sources.into_iter().chain(roles) {
        let sources = rows.iter().map(|row| row.sources.get(role).cloned());
        let sources: Vec<Option<String>> = sources.collect();
        columns.push(Column::new(source_column(role).into(), sources));
    }
    Ok(DataFrame::new(rows.len(), columns)?.lazy())
}

fn axis(rows: &[ResultRow], name: &str, kind: AxisType) -> Column {
    match kind {
        AxisType::Integer => Column::new(name.into(), integers(rows, name)),
        AxisType::Number => Column::new(name.into(), numbers(rows, name)),
        AxisType::Text => Column::new(name.into(), texts(rows, name)),
    }
}
