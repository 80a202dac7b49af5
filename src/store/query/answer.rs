//! What a query found, row by row.

use polars::prelude::{AnyValue, DataFrame, DataType, ParquetWriter, PolarsError, Series};

use super::order::Order;
use crate::store::query_result::{Cell, QueryError};

/// The rows that a query found, in memory.
#[derive(Debug)]
pub struct Answer {
    frame: DataFrame,
    is_ordered: bool,
}

impl Answer {
    pub(super) fn new(frame: DataFrame, order: Order) -> Self {
        let is_ordered = match order {
            Order::Stated => true,
            Order::Open => frame.height() <= 1,
            Order::CutAnywhere => frame.height() == 0,
        };
        Self { frame, is_ordered }
    }

    /// Whether the rows, and which of them are there, follow from the query: it has an `ORDER BY`, or there is one row at most.
    pub fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        let names = self.frame.get_column_names().into_iter();
        names.map(ToString::to_string).collect()
    }

    /// What the columns hold, such as `integer`, in their order.
    pub fn types(&self) -> Vec<String> {
        let columns = self.frame.columns().iter();
        columns.map(|column| in_words(column.dtype())).collect()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// One row, from 0: a cell a column.
    ///
    /// # Errors
    /// A row that is not there.
    pub fn row(&self, row: usize) -> Result<Vec<Cell>, QueryError> {
        let columns = self.frame.columns().iter();
        let cells = columns.map(|column| column.get(row).map(|value| cell(&value)));
        cells
            .collect::<Result<_, _>>()
            .map_err(|error| failed(&error))
    }

    /// All rows as a Parquet file.
    ///
    /// # Errors
    /// Columns of a type that Parquet does not have.
    pub fn to_parquet(&self) -> Result<Vec<u8>, QueryError> {
        let mut bytes = Vec::new();
        // Columns are shared, so that the copy which the engine wants for itself costs nothing.
        ParquetWriter::new(&mut bytes)
            .finish(&mut self.frame.clone())
            .map_err(|error| failed(&error))?;
        Ok(bytes)
    }
}

fn failed(error: &PolarsError) -> QueryError {
    QueryError::Sql {
        message: error.to_string(),
        hint: "`--format csv` writes every column as text".to_owned(),
    }
}

/// A type of columns as people call it.
fn in_words(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "true or false".to_owned(),
        DataType::String => "text".to_owned(),
        kind if kind.is_integer() => "integer".to_owned(),
        kind if kind.is_float() => "number".to_owned(),
        DataType::Array(_, width) => format!("vector of {width}"),
        DataType::List(_) => "vector".to_owned(),
        other => other.to_string(),
    }
}

fn cell(value: &AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Null,
        AnyValue::Boolean(value) => Cell::Boolean(*value),
        AnyValue::String(text) => Cell::Text((*text).to_owned()),
        AnyValue::StringOwned(text) => Cell::Text(text.to_string()),
        AnyValue::UInt8(value) => Cell::Integer((*value).into()),
        AnyValue::UInt16(value) => Cell::Integer((*value).into()),
        AnyValue::UInt32(value) => Cell::Integer((*value).into()),
        AnyValue::UInt64(value) => Cell::Integer((*value).into()),
        AnyValue::Int8(value) => Cell::Integer((*value).into()),
        AnyValue::Int16(value) => Cell::Integer((*value).into()),
        AnyValue::Int32(value) => Cell::Integer((*value).into()),
        AnyValue::Int64(value) => Cell::Integer((*value).into()),
        AnyValue::Int128(value) => Cell::Integer(*value),
        AnyValue::Float16(value) => short_number(f32::from(*value)),
        AnyValue::Float32(value) => short_number(*value),
        AnyValue::Float64(value) => Cell::Number(*value),
        AnyValue::Array(values, _) | AnyValue::List(values) => Cell::Vector(vector(values)),
        // What no table of the store holds, but a query may compute.
        other => Cell::Text(other.to_string()),
    }
}

/// The double that is written with the same few digits as the float: 0.1, not 0.10000000149011612.
fn short_number(value: f32) -> Cell {
    Cell::Number(value.to_string().parse().unwrap_or_else(|_| value.into()))
}

fn vector(values: &Series) -> Vec<Cell> {
    values.iter().map(|value| cell(&value)).collect()
}
