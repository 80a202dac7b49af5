//! Result rows as an Arrow record batch and back, bit by bit.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Schema, UInt32Type, UInt64Type,
};

use super::error::StoreError;
use super::results::ResultRow;

impl ResultRow {
    /// The rows as a table with a column for every field, named and ordered as the fields are.
    ///
    /// # Errors
    ///
    /// None that the rows could cause.
    pub fn to_batch(rows: &[Self]) -> Result<RecordBatch, StoreError> {
        let text = |field: fn(&Self) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(field)))
        };
        let number = |field: fn(&Self) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(field)))
        };
        let small = |field: fn(&Self) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(field)))
        };
        let large = |field: fn(&Self) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(field)))
        };
        let flag: ArrayRef = Arc::new(
            rows.iter()
                .map(|row| Some(row.higher_is_better))
                .collect::<BooleanArray>(),
        );
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("metric", text(|row| &row.metric)),
            ("value", number(|row| row.value)),
            ("low", number(|row| row.low)),
            ("high", number(|row| row.high)),
            ("correct", large(|row| row.correct)),
            ("count", large(|row| row.count)),
            ("unit", text(|row| &row.unit)),
            ("higher_is_better", flag),
            ("split", text(|row| &row.split)),
            ("head", text(|row| &row.head)),
            ("head_kind", text(|row| &row.head_kind)),
            ("extraction", text(|row| &row.extraction)),
            ("model", text(|row| &row.model)),
            ("weights", text(|row| &row.weights)),
            ("dataset", text(|row| &row.dataset)),
            ("timestep", small(|row| row.timestep)),
            ("block", small(|row| row.block)),
            ("pool", small(|row| row.pool)),
            ("precision", text(|row| &row.precision)),
            ("view", text(|row| &row.view)),
            ("draw", small(|row| row.draw)),
            ("noise_seed", large(|row| row.noise_seed)),
            ("seed", large(|row| row.seed)),
            ("learning_rate", number(|row| row.learning_rate)),
            (
                "network_learning_rate",
                number(|row| row.network_learning_rate),
            ),
            ("epochs", small(|row| row.epochs)),
            ("head_fingerprint", text(|row| &row.head_fingerprint)),
            (
                "features_fingerprint",
                text(|row| &row.features_fingerprint),
            ),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
            .collect();
        RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns.into_iter().map(|(_, column)| column).collect(),
        )
        .map_err(|error| StoreError::BadTable {
            reason: error.to_string(),
        })
    }

    /// The rows of a table that has the columns of [`ResultRow::to_batch`]; other columns are ignored.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadTable`] when a column is missing, has another type, or has nulls.
    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>, StoreError> {
        let table = Table(batch);
        let mut metric = table.text("metric")?;
        let mut value = table.numbers::<Float64Type>("value")?;
        let mut low = table.numbers::<Float64Type>("low")?;
        let mut high = table.numbers::<Float64Type>("high")?;
        let mut correct = table.numbers::<UInt64Type>("correct")?;
        let mut count = table.numbers::<UInt64Type>("count")?;
        let mut unit = table.text("unit")?;
        let mut higher_is_better = table.flags("higher_is_better")?;
        let mut split = table.text("split")?;
        let mut head = table.text("head")?;
        let mut head_kind = table.text("head_kind")?;
        let mut extraction = table.text("extraction")?;
        let mut model = table.text("model")?;
        let mut weights = table.text("weights")?;
        let mut dataset = table.text("dataset")?;
        let mut timestep = table.numbers::<UInt32Type>("timestep")?;
        let mut block = table.numbers::<UInt32Type>("block")?;
        let mut pool = table.numbers::<UInt32Type>("pool")?;
        let mut precision = table.text("precision")?;
        let mut view = table.text("view")?;
        let mut draw = table.numbers::<UInt32Type>("draw")?;
        let mut noise_seed = table.numbers::<UInt64Type>("noise_seed")?;
        let mut seed = table.numbers::<UInt64Type>("seed")?;
        let mut learning_rate = table.numbers::<Float64Type>("learning_rate")?;
        let mut network_learning_rate = table.numbers::<Float64Type>("network_learning_rate")?;
        let mut epochs = table.numbers::<UInt32Type>("epochs")?;
        let mut head_fingerprint = table.text("head_fingerprint")?;
        let mut features_fingerprint = table.text("features_fingerprint")?;
        let mut next = || {
            Some(Self {
                metric: metric.next()?,
                value: value.next()?,
                low: low.next()?,
                high: high.next()?,
                correct: correct.next()?,
                count: count.next()?,
                unit: unit.next()?,
                higher_is_better: higher_is_better.next()?,
                split: split.next()?,
                head: head.next()?,
                head_kind: head_kind.next()?,
                extraction: extraction.next()?,
                model: model.next()?,
                weights: weights.next()?,
                dataset: dataset.next()?,
                timestep: timestep.next()?,
                block: block.next()?,
                pool: pool.next()?,
                precision: precision.next()?,
                view: view.next()?,
                draw: draw.next()?,
                noise_seed: noise_seed.next()?,
                seed: seed.next()?,
                learning_rate: learning_rate.next()?,
                network_learning_rate: network_learning_rate.next()?,
                epochs: epochs.next()?,
                head_fingerprint: head_fingerprint.next()?,
                features_fingerprint: features_fingerprint.next()?,
            })
        };
        Ok(std::iter::from_fn(&mut next).collect())
    }
}

/// A record batch, read column by column.
struct Table<'a>(&'a RecordBatch);

impl<'a> Table<'a> {
    fn column(&self, name: &str, wanted: &DataType) -> Result<&'a dyn Array, StoreError> {
        let bad = |reason: String| StoreError::BadTable {
            reason: format!("column `{name}` {reason}"),
        };
        let column = self
            .0
            .column_by_name(name)
            .ok_or_else(|| bad("is missing".to_owned()))?;
        if column.data_type() != wanted {
            return Err(bad(format!(
                "is of type {} instead of {wanted}",
                column.data_type()
            )));
        }
        if column.null_count() > 0 {
            return Err(bad("has empty cells".to_owned()));
        }
        Ok(column.as_ref())
    }

    fn text(&self, name: &str) -> Result<impl Iterator<Item = String> + use<'a>, StoreError> {
        let column: &StringArray = self.column(name, &DataType::Utf8)?.as_string();
        Ok(column.iter().flatten().map(str::to_owned))
    }

    fn flags(&self, name: &str) -> Result<impl Iterator<Item = bool> + use<'a>, StoreError> {
        Ok(self
            .column(name, &DataType::Boolean)?
            .as_boolean()
            .iter()
            .flatten())
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<impl Iterator<Item = T::Native> + use<'a, T>, StoreError> {
        Ok(self
            .column(name, &T::DATA_TYPE)?
            .as_primitive::<T>()
            .values()
            .iter()
            .copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::results::tests::example;
    use super::*;

    #[test]
    fn a_table_with_another_type_is_refused_by_name() {
        let batch = ResultRow::to_batch(&[example()]).unwrap();
        let without = batch
            .project(&(1..batch.num_columns()).collect::<Vec<_>>())
            .unwrap();
        let message = ResultRow::from_batch(&without).unwrap_err().to_string();
        assert!(message.contains("column `metric` is missing"), "{message}");

        let mut columns = batch.columns().to_vec();
        columns[1] = columns[4].clone();
        let schema: Vec<Field> = batch
            .schema()
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), false))
            .collect();
        let other = RecordBatch::try_new(Arc::new(Schema::new(schema)), columns).unwrap();
        let message = ResultRow::from_batch(&other).unwrap_err().to_string();
        assert!(
            message.contains("column `value` is of type UInt64 instead of Float64"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn rows_survive_bit_by_bit(
            rows in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u32>(), ".{0,8}", any::<bool>()), 0..20),
        ) {
            let rows: Vec<ResultRow> = rows
                .into_iter()
                .map(|(bits, large, small, text, flag)| ResultRow {
                    value: f64::from_bits(bits),
                    low: f64::from_bits(large),
                    high: f64::from_bits(!bits),
                    correct: large,
                    block: small,
                    weights: text,
                    higher_is_better: flag,
                    ..example()
                })
                .collect();
            let read = ResultRow::from_batch(&ResultRow::to_batch(&rows).unwrap()).unwrap();
            prop_assert_eq!(read.len(), rows.len());
            for (read, row) in read.iter().zip(&rows) {
                let numbers = |row: &ResultRow| [row.value, row.low, row.high].map(f64::to_bits);
                prop_assert_eq!(numbers(read), numbers(row));
                let (value, low, high) = (0.0, 0.0, 0.0);
                prop_assert_eq!(
                    ResultRow { value, low, high, ..read.clone() },
                    ResultRow { value, low, high, ..row.clone() }
                );
            }
        }
    }
}
