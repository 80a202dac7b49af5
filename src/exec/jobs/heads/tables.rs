//! The tables of a head: its curves, the logits of its predictions, and what it may be chosen by.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};

use crate::exec::NodeError;
use crate::metrics::{HeldOutLogits, Predictions};
use crate::trainer::heads::{Epoch, Outcome};

/// One row for each epoch: `epoch`, `learning_rate`, `train_loss`, `train_top1`, `holdout_loss`, `holdout_top1`. The last two
/// are null without a validation split.
pub(super) fn curves(epochs: &[Epoch]) -> Result<RecordBatch, NodeError> {
    let numbers = |pick: fn(&Epoch) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(epochs.iter().map(pick)))
    };
    let held = |pick: fn(&Epoch) -> Option<f64>| -> ArrayRef {
        Arc::new(epochs.iter().map(pick).collect::<Float64Array>())
    };
    let number = |name: &str, nullable| Field::new(name, DataType::Float64, nullable);
    let schema = Schema::new(vec![
        Field::new("epoch", DataType::Int64, false),
        number("learning_rate", false),
        number("train_loss", false),
        number("train_top1", false),
        number("holdout_loss", true),
        number("holdout_top1", true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            epochs.iter().map(|epoch| i64::from(epoch.epoch)),
        )),
        numbers(|epoch| epoch.learning_rate),
        numbers(|epoch| epoch.train_loss),
        numbers(|epoch| epoch.train_top1),
        held(|epoch| epoch.holdout_loss),
        held(|epoch| epoch.holdout_top1),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// One row for each iteration of a fit: `iteration`, from 0, and `objective`.
pub(super) fn objective(values: &[f64]) -> Result<RecordBatch, NodeError> {
    let schema = Schema::new(vec![
        Field::new("iteration", DataType::Int64, false),
        Field::new("objective", DataType::Float64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..).take(values.len()))),
        Arc::new(Float64Array::from(values.to_vec())),
    ];
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// One row for each sample: `id` and `logits`, a list of one number for each class.
pub(super) fn logits(
    predictions: &Predictions,
    logits: &[f32],
    classes: usize,
) -> Result<RecordBatch, NodeError> {
    let lists = lists(logits, classes)?;
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("logits", lists.data_type().clone(), false),
    ]);
    let ids = StringArray::from_iter_values(predictions.rows.iter().map(|row| &row.id));
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(ids), lists],
    )?)
}

/// One row for each sample of the validation split: `label` and `logits`.
pub(super) fn held_out_logits(held_out: &HeldOutLogits) -> Result<RecordBatch, NodeError> {
    let lists = lists(&held_out.logits.values, held_out.logits.classes)?;
    let schema = Schema::new(vec![
        Field::new("label", DataType::Int64, false),
        Field::new("logits", lists.data_type().clone(), false),
    ]);
    let labels = held_out.labels.iter().map(|&label| i64::from(label));
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![Arc::new(Int64Array::from_iter_values(labels)), lists],
    )?)
}

/// Logits as a column of lists, one number for each class.
fn lists(logits: &[f32], classes: usize) -> Result<ArrayRef, NodeError> {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let width = i32::try_from(classes).map_err(|_| {
        NodeError::Values(format!("logits of {classes} classes do not fit into a table").into())
    })?;
    let values = Arc::new(Float32Array::from(logits.to_vec()));
    Ok(Arc::new(FixedSizeListArray::try_new(
        item, width, values, None,
    )?))
}

/// One row with what a head may be chosen by: the `epoch` whose weights it has, and its `loss` and `top1` on the
/// validation split. `None` without one.
pub(super) fn held_out(outcome: &Outcome) -> Result<Option<RecordBatch>, NodeError> {
    let chosen = outcome
        .epochs
        .iter()
        .find(|epoch| epoch.epoch == outcome.epoch);
    let Some((epoch, loss, top1)) =
        chosen.and_then(|epoch| Some((epoch.epoch, epoch.holdout_loss?, epoch.holdout_top1?)))
    else {
        return Ok(None);
    };
    let schema = Schema::new(vec![
        Field::new("epoch", DataType::Int64, false),
        Field::new("loss", DataType::Float64, false),
        Field::new("top1", DataType::Float64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![i64::from(epoch)])),
        Arc::new(Float64Array::from(vec![loss])),
        Arc::new(Float64Array::from(vec![top1])),
    ];
    Ok(Some(RecordBatch::try_new(Arc::new(schema), columns)?))
}
