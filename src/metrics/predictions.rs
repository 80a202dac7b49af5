//! What a head predicted, sample by sample.

use std::sync::Arc;

use crate::numbers::to_u32;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

/// One sample's prediction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The sample's id.
    pub id: String,
    /// Its true class, from 0.
    pub label: u32,
    /// The class with the highest logit; the lowest such class among ties.
    pub predicted: u32,
    /// How many classes stand before the true one, from 0: a sample is right in top-k when its rank is below k.
    pub rank: u32,
}

/// The logits of some samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// How many there are of each sample: K.
    pub classes: usize,
    /// `[N, K]`, row-major.
    pub values: Vec<f32>,
}

/// The samples that `holdout` keeps out of training, with their logits.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOutLogits {
    /// Their true classes, from 0.
    pub labels: Vec<u32>,
    /// Their logits, in the same order.
    pub logits: Logits,
}

/// The predictions of one head on one split.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// One row for each sample of the split, none left out.
    pub rows: Vec<Prediction>,
    /// The logits of the rows, in their order, for a metric that reads them.
    pub logits: Option<Logits>,
    /// The validation split, for a metric that reads it.
    pub held_out: Option<HeldOutLogits>,
}

/// How many classes stand before the label when classes are ordered by falling logit, ties by class number.
///
/// A logit that is not a number stands behind every other, and so does a label that is not a class.
pub fn rank_of_label(logits: &[f32], label: u32) -> u32 {
    let index = label as usize;
    let Some(&own) = logits.get(index).filter(|own| !own.is_nan()) else {
        return to_u32(logits.len());
    };
    let before = logits
        .iter()
        .enumerate()
        .filter(|&(class, &logit)| logit > own || (logit >= own && class < index));
    to_u32(before.count())
}

impl Predictions {
    /// Predictions without logits.
    pub fn new(rows: Vec<Prediction>) -> Self {
        Self {
            rows,
            logits: None,
            held_out: None,
        }
    }

    /// The true class of each row.
    pub fn labels(&self) -> Vec<u32> {
        self.rows.iter().map(|row| row.label).collect()
    }

    /// The table that the store keeps: `id`, `label`, `predicted`, `rank`.
    ///
    /// # Errors
    /// None that a user can cause; columns of unequal length would be a bug.
    pub fn to_batch(&self) -> Result<RecordBatch, ArrowError> {
        let integers = |pick: fn(&Prediction) -> u32| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(
                self.rows.iter().map(|row| i64::from(pick(row))),
            ))
        };
        let schema = Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("label", DataType::Int64, false),
            Field::new("predicted", DataType::Int64, false),
            Field::new("rank", DataType::Int64, false),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(StringArray::from_iter_values(
                    self.rows.iter().map(|row| &row.id),
                )),
                integers(|row| row.label),
                integers(|row| row.predicted),
                integers(|row| row.rank),
            ],
        )
    }

    /// Reads the table back; `None` where a column is missing or of another type.
    pub fn from_batch(batch: &RecordBatch) -> Option<Self> {
        let integers = |name: &str| {
            batch
                .column_by_name(name)?
                .as_any()
                .downcast_ref::<Int64Array>()
        };
        let ids = batch
            .column_by_name("id")?
            .as_any()
            .downcast_ref::<StringArray>()?;
        let (labels, predicted, ranks) = (
            integers("label")?,
            integers("predicted")?,
            integers("rank")?,
        );
        let rows = (0..batch.num_rows()).map(|row| {
            Some(Prediction {
                id: ids.value(row).to_owned(),
                label: u32::try_from(labels.value(row)).ok()?,
                predicted: u32::try_from(predicted.value(row)).ok()?,
                rank: u32::try_from(ranks.value(row)).ok()?,
            })
        });
        Some(Self::new(rows.collect::<Option<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip() {
        let predictions = Predictions::new(vec![Prediction {
            id: "test/1".to_owned(),
            label: 3,
            predicted: 4,
            rank: 1,
        }]);
        let batch = predictions.to_batch().unwrap();
        assert_eq!(Predictions::from_batch(&batch), Some(predictions));
    }

    #[test]
    fn ties_go_to_the_lower_class_and_nan_never_wins() {
        assert_eq!(rank_of_label(&[1.0, 1.0, 0.0], 0), 0);
        assert_eq!(rank_of_label(&[1.0, 1.0, 0.0], 1), 1);
        assert_eq!(rank_of_label(&[f32::NAN, 1.0], 0), 2);
        assert_eq!(rank_of_label(&[f32::NAN, 1.0], 1), 0);
        assert_eq!(rank_of_label(&[0.0, -0.0], 1), 1);
        assert_eq!(rank_of_label(&[0.0], 9), 1);
    }
}
