//! Result rows as tables, of this release and of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Int64Type, Schema};
use proptest::prelude::*;

use super::super::results::tests::example;
use super::*;

/// A table of one row as release 0.1 wrote it: every column a field of the row, none of them nullable.
pub(super) fn of_the_first_release() -> RecordBatch {
    let text =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text.to_owned()])) };
    let number = |value| -> ArrayRef { Arc::new(Float64Array::from_iter_values([value])) };
    let small = |value| -> ArrayRef { Arc::new(UInt32Array::from_iter_values([value])) };
    let large = |value| -> ArrayRef { Arc::new(UInt64Array::from_iter_values([value])) };
    let flag: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("metric", text("top1")),
        ("value", number(0.5)),
        ("low", number(0.25)),
        ("high", number(0.75)),
        ("correct", large(4)),
        ("count", large(8)),
        ("unit", text("fraction")),
        ("higher_is_better", flag),
        ("split", text("test")),
        ("head", text("linear")),
        ("timestep", small(90)),
        ("noise_seed", large(u64::MAX)),
        ("seed", large(1)),
        ("learning_rate", number(1e-3)),
        ("head_fingerprint", text(&"ab".repeat(32))),
        ("features_fingerprint", text(&"cd".repeat(32))),
    ];
    table(columns)
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field =
        |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), false);
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn tables_of_the_first_release_are_read_by_name() {
    let rows = ResultRow::from_batch(&of_the_first_release()).unwrap();
    let [row] = rows.as_slice() else { panic!() };
    assert_eq!(row.interval, Some([0.25, 0.75]));
    let counted = Counted {
        correct: 4,
        scored: 8,
    };
    assert_eq!(row.counted, Some(counted));
    assert_eq!(row.axis("timestep"), Some(90_u32.into()));
    assert_eq!(row.axis("seed"), Some(1_u32.into()));
    assert_eq!(row.axis("noise_seed"), Some(u64::MAX.into()));
    assert_eq!(row.axis("learning_rate"), Some(1e-3.into()));
    assert_eq!(row.axes.len(), 6);
    assert_eq!(row.sources["features"], "cd".repeat(32));
    assert_eq!(row.sources.len(), 2);
}

#[test]
fn columns_that_cannot_be_read_are_named_with_the_reason() {
    let batch = ResultRow::to_batch(&[example()]).unwrap();
    let names = batch.schema();
    let message = |batch: &RecordBatch| ResultRow::from_batch(batch).unwrap_err().to_string();
    let without = batch
        .project(&(1..batch.num_columns()).collect::<Vec<_>>())
        .unwrap();
    let missing = message(&without);
    assert!(
        missing.contains("column `metric` is missing: the table is of another version"),
        "{missing}"
    );
    let with = |position: usize, column: ArrayRef| {
        let mut columns = batch.columns().to_vec();
        columns[position] = column;
        let names = names.fields().iter().map(|field| field.name().as_str());
        table(names.zip(columns).collect())
    };
    let counts = with(1, Arc::clone(batch.column(4)));
    assert!(
        message(&counts).contains("column `value` is of type UInt64 instead of Float64"),
        "{}",
        message(&counts)
    );
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]);
    let of_lists = with(8, Arc::new(list));
    assert!(
        message(&of_lists).contains("another version"),
        "{}",
        message(&of_lists)
    );
}

#[test]
fn rows_without_counts_and_interval_are_kept_as_they_are() {
    let bare = ResultRow {
        interval: None,
        counted: None,
        axes: BTreeMap::from([("left_block".to_owned(), 3_u32.into())]),
        sources: BTreeMap::from([("left".to_owned(), "ef".repeat(32))]),
        ..example()
    };
    let rows = vec![bare, example()];
    let batch = ResultRow::to_batch(&rows).unwrap();
    assert_eq!(ResultRow::from_batch(&batch).unwrap(), rows);
    assert_eq!(ResultRow::to_batch(&[]).unwrap().num_columns(), 8);
}

#[test]
fn mixtures_widen_and_an_axis_cannot_take_the_name_of_a_column() {
    let with = |axis: &str, values: &[AxisValue]| -> Vec<ResultRow> {
        let row = |value: &AxisValue| ResultRow {
            axes: BTreeMap::from([(axis.to_owned(), value.clone())]),
            ..example()
        };
        values.iter().map(row).collect()
    };
    let read = |values: &[AxisValue]| -> Vec<AxisValue> {
        let batch = ResultRow::to_batch(&with("x", values)).unwrap();
        let rows = ResultRow::from_batch(&batch).unwrap();
        rows.iter().map(|row| row.axis("x").unwrap()).collect()
    };
    assert_eq!(read(&[1_u32.into(), 0.5.into()]), [1.0.into(), 0.5.into()]);
    assert_eq!(
        read(&[1_u32.into(), 0.5.into(), "a".into()]),
        ["1".into(), "0.5".into(), "a".into()]
    );
    let error = ResultRow::to_batch(&with("low", &["a".into()])).unwrap_err();
    assert!(error.to_string().contains("`low`"), "{error}");
}

#[test]
fn a_metric_without_a_direction_has_an_empty_cell_and_the_others_have_none() {
    let row = |better| ResultRow {
        better,
        ..example()
    };
    let all = [Better::Higher, Better::Lower, Better::Neither].map(row);
    let batch = ResultRow::to_batch(&all).unwrap();
    let column = batch.column_by_name("higher_is_better").unwrap();
    assert_eq!(
        column.as_boolean(),
        &BooleanArray::from(vec![Some(true), Some(false), None])
    );
    assert_eq!(ResultRow::from_batch(&batch).unwrap(), all);
    // As every table was before there were such metrics.
    let schema = ResultRow::to_batch(&all[..2]).unwrap().schema();
    assert!(
        !schema
            .field_with_name("higher_is_better")
            .unwrap()
            .is_nullable()
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
                interval: flag.then(|| [f64::from_bits(large), f64::from_bits(!bits)]),
                counted: flag.then_some(Counted { correct: large, scored: bits }),
                better: Better::of_flag((bits % 2 == 0).then_some(flag)),
                axes: BTreeMap::from([
                    ("block".to_owned(), small.into()),
                    ("weights".to_owned(), text.into()),
                    ("learning_rate".to_owned(), f64::from_bits(!large).into()),
                ]),
                ..example()
            })
            .collect();
        let read = ResultRow::from_batch(&ResultRow::to_batch(&rows).unwrap()).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (read, row) in read.iter().zip(&rows) {
            let bounds = |row: &ResultRow| row.interval.map(|bounds| bounds.map(f64::to_bits));
            prop_assert_eq!(read.value.to_bits(), row.value.to_bits());
            prop_assert_eq!(bounds(read), bounds(row));
            let bare = |row: &ResultRow| ResultRow { value: 0.0, interval: None, ..row.clone() };
            prop_assert_eq!(bare(read), bare(row));
        }
    }
}
