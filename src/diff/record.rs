//! A comparison as `repro diff --format json` prints it: all cells, all digits.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Difference, Lone, Mean, Place, Summary, Test};
use crate::store::AxisValue;

/// One file of results.
#[derive(Debug, Serialize)]
pub struct FileRecord {
    /// The file, such as `reports/quickstart.results.csv`.
    pub file: String,
    /// How many cells are what.
    pub summary: Summary,
    /// Axes with one value in each set, and not the same.
    pub configuration: Vec<Value>,
    /// Changed cells, with all digits.
    pub changed: Vec<Value>,
    /// Cells with equal values and other intervals or counts.
    pub recounted: Vec<Value>,
    /// Cells with equal values of other artifacts.
    pub refitted: Vec<Value>,
    /// Cells of both under other names.
    pub renamed: Vec<Value>,
    /// Cells of the second set alone.
    pub new: Vec<Value>,
    /// Cells of the first set alone.
    pub lost: Vec<Value>,
    /// Why cells changed or rest on other artifacts.
    pub reasons: Vec<Value>,
}

impl FileRecord {
    /// Of a comparison.
    pub fn of(compared: &Difference<'_>) -> Self {
        let changed = compared.changed.iter().map(|cell| {
            let mut record = place(&cell.place);
            record.insert("before".to_owned(), mean(&cell.before));
            record.insert("after".to_owned(), mean(&cell.after));
            record.insert("difference".to_owned(), number(cell.difference()));
            record.insert("change".to_owned(), cell.direction.word().into());
            let chosen = cell.chosen.iter();
            let chosen = chosen.map(
                |(axis, before, after)| json!({ "axis": axis, "before": before, "after": after }),
            );
            record.insert("chosen".to_owned(), chosen.collect());
            let (test, why) = match &cell.test {
                Some(Ok(test)) => (of_test(test), Value::Null),
                Some(Err(why)) => (Value::Null, why.why().into()),
                None => (Value::Null, Value::Null),
            };
            record.insert("test".to_owned(), test);
            record.insert("not_tested".to_owned(), why);
            Value::Object(record)
        });
        let configuration = compared.configuration.iter().map(|change| {
            let of = change.of.as_ref();
            let of = of.map(|(axis, value)| json!({ "axis": axis, "value": axis_value(value) }));
            json!({
                "axis": change.axis,
                "of": of,
                "before": axis_value(&change.before),
                "after": axis_value(&change.after),
                "metrics": change.metrics,
            })
        });
        let reasons = compared.reasons.iter().map(
            |reason| json!({ "text": reason.text, "cells": reason.cells, "known": reason.is_known }),
        );
        let places = |places: &mut dyn Iterator<Item = &Place>| -> Vec<Value> {
            places.map(|one| Value::Object(place(one))).collect()
        };
        Self {
            file: compared.name.clone(),
            summary: Summary::of(compared),
            configuration: configuration.collect(),
            changed: changed.collect(),
            recounted: places(&mut compared.recounted.iter()),
            refitted: places(&mut compared.refitted.iter().map(|cell| &cell.place)),
            renamed: compared
                .renamed
                .iter()
                .map(|cell| {
                    let mut record = place(&cell.before);
                    record.insert("renamed".to_owned(), Value::Object(place(&cell.after)));
                    Value::Object(record)
                })
                .collect(),
            new: compared.new.iter().map(lone).collect(),
            lost: compared.lost.iter().map(lone).collect(),
            reasons: reasons.collect(),
        }
    }
}

fn place(place: &Place) -> Map<String, Value> {
    let axes = place.axes.iter();
    let axes: Map<String, Value> = axes
        .map(|(axis, value)| (axis.clone(), axis_value(value)))
        .collect();
    let mut record = Map::new();
    record.insert("metric".to_owned(), place.metric.as_str().into());
    record.insert("axes".to_owned(), axes.into());
    record
}

fn lone(cell: &Lone) -> Value {
    let mut record = place(&cell.place);
    record.insert("value".to_owned(), number(cell.value));
    record.insert("unit".to_owned(), cell.unit.as_str().into());
    Value::Object(record)
}

fn mean(mean: &Mean<'_>) -> Value {
    let values: Vec<Value> = mean.rows.iter().map(|row| number(row.value)).collect();
    json!({ "value": number(mean.value), "values": values })
}

fn of_test(test: &Test) -> Value {
    json!({
        "difference": number(test.difference),
        "low": number(test.interval[0]),
        "high": number(test.interval[1]),
        "p": number(test.p),
        "p_holm": number(test.adjusted),
        "samples": test.samples,
        "runs": test.runs,
    })
}

fn axis_value(value: &AxisValue) -> Value {
    match value {
        AxisValue::Integer(integer) => (*integer).into(),
        AxisValue::Number(value) => number(*value),
        AxisValue::Text(text) => text.as_str().into(),
    }
}

/// A number; what JSON has none for (NaN, infinities) is a text.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}
