//! Result rows as an Arrow record batch and back, bit by bit.
//!
//! | column | type | |
//! |---|---|---|
//! | `metric`, `unit` | text | |
//! | `value` | 64-bit float | |
//! | `low`, `high` | 64-bit float | null for metrics without an interval |
//! | `correct`, `count` | 64-bit unsigned integer | null for metrics that count nothing |
//! | `higher_is_better` | boolean | null where neither higher nor lower values are better |
//! | one a role: `head_fingerprint`, … | text | null where a row has no such source |
//! | one an axis: every other name | 64-bit integer or float, or text | null where a row does not have the axis |
//!
//! Tables are read by the names of their columns, so that those of other releases, with more or fewer columns or with narrower
//! integers, are read as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt64Type};

use super::error::StoreError;
use super::results::{AxisType, AxisValue, Better, Counted, ResultRow};

/// What the name of a column of sources ends in.
const FINGERPRINT: &str = "_fingerprint";

/// The columns that every table of results has, in their order.
pub const FIXED_COLUMNS: [&str; 8] = [
    "metric",
    "value",
    "low",
    "high",
    "correct",
    "count",
    "unit",
    "higher_is_better",
];

/// The column of a role's fingerprints: `head_fingerprint`.
pub fn source_column(role: &str) -> String {
    format!("{role}{FINGERPRINT}")
}

/// What a column holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultColumn<'a> {
    /// One of [`FIXED_COLUMNS`].
    Fixed,
    /// The fingerprints of this role.
    Source(&'a str),
    /// The values of the axis of this name.
    Axis(&'a str),
}

impl<'a> ResultColumn<'a> {
    /// What the column of this name holds.
    pub fn of(name: &'a str) -> Self {
        if FIXED_COLUMNS.contains(&name) {
            return Self::Fixed;
        }
        match name.strip_suffix(FINGERPRINT) {
            Some(role) => Self::Source(role),
            None => Self::Axis(name),
        }
    }
}

/// The axes that some rows have, each with the narrowest type that holds its values.
pub(super) fn axis_types(rows: &[ResultRow]) -> BTreeMap<&str, AxisType> {
    let mut types = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(|row| &row.axes) {
        types
            .entry(name.as_str())
            .and_modify(|known: &mut AxisType| *known = known.widened(value.kind()))
            .or_insert(value.kind());
    }
    types
}

/// The roles that some rows have sources in.
pub(super) fn roles(rows: &[ResultRow]) -> BTreeSet<&str> {
    let roles = rows.iter().flat_map(|row| row.sources.keys());
    roles.map(String::as_str).collect()
}

/// The values of an axis as integers; others are null.
pub(super) fn integers(rows: &[ResultRow], axis: &str) -> Vec<Option<i64>> {
    let value = |row: &ResultRow| match row.axes.get(axis)? {
        AxisValue::Integer(integer) => Some(*integer),
        AxisValue::Number(_) | AxisValue::Text(_) => None,
    };
    rows.iter().map(value).collect()
}

/// The values of an axis as floats, integers included; others are null.
pub(super) fn numbers(rows: &[ResultRow], axis: &str) -> Vec<Option<f64>> {
    let value = |row: &ResultRow| match row.axes.get(axis)? {
        #[expect(clippy::cast_precision_loss, reason = "a mixture of both is a number")]
        AxisValue::Integer(integer) => Some(*integer as f64),
        AxisValue::Number(number) => Some(*number),
        AxisValue::Text(_) => None,
    };
    rows.iter().map(value).collect()
}

/// The values of an axis as texts.
pub(super) fn texts(rows: &[ResultRow], axis: &str) -> Vec<Option<String>> {
    let value = |row: &ResultRow| row.axes.get(axis).map(ToString::to_string);
    rows.iter().map(value).collect()
}

impl ResultRow {
    /// The rows as a table: the fixed columns, one column for each axis that some row has, and one for each role.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadTable`] when an axis bears the name of another column.
    pub fn to_batch(rows: &[Self]) -> Result<RecordBatch, StoreError> {
        let text = |field: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(field)))
        };
        let bound = |side: usize| -> ArrayRef {
            let bounds = rows.iter().map(|row| Some(row.interval?[side]));
            Arc::new(bounds.collect::<Float64Array>())
        };
        let count = |field: fn(Counted) -> u64| -> ArrayRef {
            let counts = rows.iter().map(|row| row.counted.map(field));
            Arc::new(counts.collect::<UInt64Array>())
        };
        let flags = rows.iter().map(|row| row.better.flag());
        let values = rows.iter().map(|row| row.value);
        let columns: [ArrayRef; 8] = [
            text(|row| &row.metric),
            Arc::new(Float64Array::from_iter_values(values)),
            bound(0),
            bound(1),
            count(|counted| counted.correct),
            count(|counted| counted.scored),
            text(|row| &row.unit),
            Arc::new(flags.collect::<BooleanArray>()),
        ];
        let nullable = ["low", "high", "correct", "count"];
        let mut fields: Vec<(Field, ArrayRef)> = Vec::new();
        for (name, column) in FIXED_COLUMNS.into_iter().zip(columns) {
            // Tables of metrics that say which values are better stay as they were before any metric did not.
            let is_nullable = nullable.contains(&name) || column.null_count() > 0;
            let field = Field::new(name, column.data_type().clone(), is_nullable);
            fields.push((field, column));
        }
        for (axis, kind) in axis_types(rows) {
            if ResultColumn::of(axis) != ResultColumn::Axis(axis) {
                return Err(bad(axis, "cannot be an axis: the name is taken"));
            }
            let column: ArrayRef = match kind {
                AxisType::Integer => Arc::new(Int64Array::from(integers(rows, axis))),
                AxisType::Number => Arc::new(Float64Array::from(numbers(rows, axis))),
                AxisType::Text => Arc::new(StringArray::from(texts(rows, axis))),
            };
            fields.push((Field::new(axis, column.data_type().clone(), true), column));
        }
        for role in roles(rows) {
            let sources = rows.iter().map(|row| row.sources.get(role));
            let column: ArrayRef = Arc::new(sources.collect::<StringArray>());
            fields.push((
                Field::new(source_column(role), DataType::Utf8, true),
                column,
            ));
        }
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = fields.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| {
            StoreError::BadTable {
                reason: error.to_string(),
            }
        })
    }

    /// The rows of a table, of this release or another one: a column that is not one of [`FIXED_COLUMNS`] holds an axis, or a role's
    /// fingerprints where its name ends in `_fingerprint`.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadTable`] when a fixed column is missing, or a column has a type or nulls that this release does not read.
    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, StoreError> {
        let table = ResultsTable(batch);
        let mut rows = vec![Self::default(); batch.num_rows()];
        for (row, metric) in rows.iter_mut().zip(table.required("metric")?.texts()) {
            metric.unwrap_or_default().clone_into(&mut row.metric);
        }
        for (row, value) in rows.iter_mut().zip(table.required("value")?.floats()) {
            row.value = value.unwrap_or(f64::NAN);
        }
        for (row, unit) in rows.iter_mut().zip(table.required("unit")?.texts()) {
            unit.unwrap_or_default().clone_into(&mut row.unit);
        }
        let flags = table.optional("higher_is_better")?;
        let flags = flags.ok_or_else(|| missing("higher_is_better"))?;
        for (row, flag) in rows.iter_mut().zip(flags.flags()) {
            row.better = Better::of_flag(flag);
        }
        if let Some((low, high)) = table.optional("low")?.zip(table.optional("high")?) {
            for ((row, low), high) in rows.iter_mut().zip(low.floats()).zip(high.floats()) {
                row.interval = low.zip(high).map(|(low, high)| [low, high]);
            }
        }
        if let Some((correct, count)) = table.optional("correct")?.zip(table.optional("count")?) {
            for ((row, correct), count) in rows.iter_mut().zip(correct.counts()).zip(count.counts())
            {
                row.counted = correct
                    .zip(count)
                    .map(|(correct, scored)| Counted { correct, scored });
            }
        }
        for field in batch.schema().fields() {
            match ResultColumn::of(field.name()) {
                ResultColumn::Fixed => {}
                ResultColumn::Source(role) => {
                    let column = table.column(field.name(), &DataType::Utf8)?;
                    for (row, source) in rows.iter_mut().zip(column.texts()) {
                        let source = source.map(|source| (role.to_owned(), source.to_owned()));
                        row.sources.extend(source);
                    }
                }
                ResultColumn::Axis(axis) => {
                    for (row, value) in rows.iter_mut().zip(table.axis(axis)?) {
                        row.axes.extend(value.map(|value| (axis.to_owned(), value)));
                    }
                }
            }
        }
        Ok(rows)
    }
}

fn bad(column: &str, problem: &str) -> StoreError {
    StoreError::BadTable {
        reason: format!("column `{column}` {problem}"),
    }
}

/// What is reported of a table that this release cannot read.
const OTHER_VERSION: &str =
    "the table is of another version of repro; remove the artifact, and run the experiment again";

fn missing(column: &str) -> StoreError {
    bad(column, &format!("is missing: {OTHER_VERSION}"))
}

/// A record batch, read column by column.
struct ResultsTable<'a>(&'a RecordBatch);

/// A column of one of the types that results are kept in.
struct Column(ArrayRef);

impl ResultsTable<'_> {
    /// A fixed column, which has no nulls.
    fn required(&self, name: &str) -> Result<Column, StoreError> {
        let column = self.optional(name)?.ok_or_else(|| missing(name))?;
        if column.0.null_count() > 0 {
            return Err(bad(name, &format!("has empty cells: {OTHER_VERSION}")));
        }
        Ok(column)
    }

    /// A fixed column, which tables of other releases need not have.
    fn optional(&self, name: &str) -> Result<Option<Column>, StoreError> {
        if self.0.column_by_name(name).is_none() {
            return Ok(None);
        }
        let wanted = match name {
            "value" | "low" | "high" => DataType::Float64,
            "correct" | "count" => DataType::UInt64,
            "higher_is_better" => DataType::Boolean,
            _ => DataType::Utf8,
        };
        self.column(name, &wanted).map(Some)
    }

    fn column(&self, name: &str, wanted: &DataType) -> Result<Column, StoreError> {
        match self.0.column_by_name(name) {
            Some(column) if column.data_type() == wanted => Ok(Column(Arc::clone(column))),
            Some(column) => {
                let found = column.data_type();
                let problem = format!("is of type {found} instead of {wanted}: {OTHER_VERSION}");
                Err(bad(name, &problem))
            }
            None => Err(missing(name)),
        }
    }

    /// The values of an axis, whatever type of integer, float or text its column has.
    fn axis(&self, name: &str) -> Result<Vec<Option<AxisValue>>, StoreError> {
        let unreadable = |found: &DataType| {
            let problem = format!("is of type {found}, which holds no axis: {OTHER_VERSION}");
            bad(name, &problem)
        };
        let Some(column) = self.0.column_by_name(name) else {
            return Ok(Vec::new());
        };
        let found = column.data_type();
        let wide = match found {
            DataType::Null => return Ok(vec![None; column.len()]),
            DataType::UInt64 => DataType::UInt64,
            integer if integer.is_integer() => DataType::Int64,
            float if float.is_floating() => DataType::Float64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => {
                DataType::Utf8
            }
            other => return Err(unreadable(other)),
        };
        let column = Column(cast(column, &wide).map_err(|_| unreadable(found))?);
        Ok(match wide {
            DataType::UInt64 => column.counts().map(|value| value.map(Into::into)).collect(),
            DataType::Int64 => {
                let values = column.0.as_primitive::<Int64Type>().iter();
                values.map(|value| value.map(AxisValue::Integer)).collect()
            }
            DataType::Float64 => column.floats().map(|value| value.map(Into::into)).collect(),
            _ => column.texts().map(|value| value.map(Into::into)).collect(),
        })
    }
}

impl Column {
    fn texts(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.as_string::<i32>().iter()
    }

    fn flags(&self) -> impl Iterator<Item = Option<bool>> {
        self.0.as_boolean().iter()
    }

    fn floats(&self) -> impl Iterator<Item = Option<f64>> {
        self.0.as_primitive::<Float64Type>().iter()
    }

    fn counts(&self) -> impl Iterator<Item = Option<u64>> {
        self.0.as_primitive::<UInt64Type>().iter()
    }
}
