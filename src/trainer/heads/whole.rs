//! Heads that are fitted full-batch, on all samples at once: their two splits have to fit into memory.

use tch::{Kind, Tensor};

use super::rows::{Rows, load};
use super::scoring::{Ranked, rank_all, serialized};
use super::{Data, Job, Limits, Outcome, TrainError};
use crate::bug::Bug;
use crate::heads::{Fitting, Whole};
use crate::metrics::Predictions;
use crate::models::extractor::to_vec;

/// Fits one head.
pub(super) fn fit_whole(
    job: &Job<'_>,
    data: &Data<'_>,
    limits: &Limits<'_>,
) -> Result<Outcome, TrainError> {
    let width = data.shape.values() as u64;
    let numbers = (data.train.len() + data.test.len()) as u64 * width;
    // As they are stored, as 32-bit floats, and once more for what the fit makes of them.
    let needed = numbers * (data.train.feature_type().bytes() as u64 + 8);
    if needed > limits.memory {
        return Err(TrainError::Memory {
            needed: crate::text::bytes(needed),
            allowed: crate::text::bytes(limits.memory),
        });
    }
    let Fitting::Whole(head) = job.head.fitting() else {
        return Err(Bug::new("a head that is trained in steps was to be fitted at once").into());
    };
    let _guard = tch::no_grad_guard();
    let (train, test) = (read(data, data.train)?, read(data, data.test)?);
    let labels: Vec<i64> = (0..data.train.len())
        .map(|row| i64::from(data.train.label(row)))
        .collect();
    let labels = Tensor::from_slice(&labels).to_device(data.device);
    let whole = Whole {
        features: &train,
        labels: &labels,
        classes: data.classes,
    };
    let fitted = head.fit(whole, &test);
    let logits = to_vec(&fitted.logits);
    let mut ranked: Ranked = Ranked::default();
    let rows: Vec<usize> = (0..data.test.len()).collect();
    rank_all(&logits, (data.test, data.classes), &rows, &mut ranked.0);
    let weights = fitted.weights.iter().map(|(name, tensor)| (name, tensor));
    Ok(Outcome {
        epochs: Vec::new(),
        epoch: 0,
        objective: fitted.curve,
        predictions: Predictions::new(super::scoring::predictions(data.test, ranked.0)),
        logits: job.training.logits.then_some(logits),
        held_out_logits: None,
        weights: serialized(weights)?,
    })
}

/// All features of a split, `[N, D]`, f32.
fn read(data: &Data<'_>, rows: &dyn Rows) -> Result<Tensor, TrainError> {
    let which: Vec<_> = (0..rows.len()).map(|row| (0, row)).collect();
    Ok(load(rows, &which, data.shape.values(), data.device)?.to_kind(Kind::Float))
}
