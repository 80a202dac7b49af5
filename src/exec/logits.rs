//! Logits of a head from the store, for the metrics that read them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};

use super::NodeError;
use crate::metrics::{HeldOutLogits, Logits, Predictions, Reads};
use crate::store::names::{HELD_OUT_LOGITS, LOGITS};
use crate::store::{Fingerprint, Store};

/// Adds to a head's predictions what a metric reads besides.
///
/// # Errors
/// The store cannot be read, or a table is not of the form that heads write, or of other samples than the predictions.
pub(crate) fn attach(
    predictions: &mut Predictions,
    store: &Store,
    fingerprint: &Fingerprint,
    reads: Reads,
) -> Result<(), NodeError> {
    let held_out = match reads {
        Reads::Predictions
        | Reads::Features
        | Reads::FeaturePairs
        | Reads::Distributions
        | Reads::DistributionsOrMoments
        | Reads::Networks => {
            return Ok(());
        }
        Reads::Logits => false,
        Reads::HeldOutLogits => true,
    };
    let malformed = |what: &str| {
        let short = fingerprint.short();
        NodeError::Values(
            format!("the {what} of head {short} lack a column or do not belong to its predictions")
                .into(),
        )
    };
    let table = store.table(fingerprint, LOGITS)?;
    let ids = table
        .column_by_name("id")
        .and_then(|column| column.as_string_opt::<i32>());
    let same = ids.is_some_and(|ids| {
        let predicted = predictions.rows.iter().map(|row| Some(row.id.as_str()));
        ids.len() == predictions.rows.len() && ids.iter().eq(predicted)
    });
    let kept = logits(&table).filter(|_| same);
    predictions.logits = Some(kept.ok_or_else(|| malformed("logits"))?);
    if held_out {
        let table = store.table(fingerprint, HELD_OUT_LOGITS)?;
        let found = labels(&table).zip(logits(&table));
        let (labels, logits) = found.ok_or_else(|| malformed("logits of the validation split"))?;
        predictions.held_out = Some(HeldOutLogits { labels, logits });
    }
    Ok(())
}

/// The column `logits`, a list of equal length in each row.
fn logits(table: &RecordBatch) -> Option<Logits> {
    let lists = table.column_by_name("logits")?.as_fixed_size_list_opt()?;
    let values = lists.values().as_primitive_opt::<Float32Type>()?;
    Some(Logits {
        classes: usize::try_from(lists.value_length()).ok()?,
        values: values.values().to_vec(),
    })
}

/// The column `label`.
fn labels(table: &RecordBatch) -> Option<Vec<u32>> {
    let labels = table
        .column_by_name("label")?
        .as_primitive_opt::<Int64Type>()?;
    let labels = labels.values().iter();
    labels.map(|&label| u32::try_from(label).ok()).collect()
}
