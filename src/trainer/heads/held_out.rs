//! Logits of the validation split by the finished heads, for what is fitted to them, such as a temperature.

use super::rows::load;
use super::scan::Scan;
use super::{Data, TrainError};
use crate::metrics::{HeldOutLogits, Logits};
use crate::models::extractor::to_vec;
use crate::numbers::to_i64;

/// The logits of some rows of the training split, which are still to be filled in.
pub(super) fn empty(data: &Data<'_>, rows: &[usize]) -> HeldOutLogits {
    HeldOutLogits {
        labels: rows.iter().map(|&row| data.train.label(row)).collect(),
        logits: Logits {
            classes: data.classes,
            values: Vec::new(),
        },
    }
}

impl Scan<'_> {
    /// For each head of each stack, in their order: the validation split, where its logits are kept and there is one.
    pub(super) fn held_out_logits(&self) -> Result<Vec<Option<HeldOutLogits>>, TrainError> {
        let _guard = tch::no_grad_guard();
        let judged = self.data.judged();
        let at_once = self.predicted_at_once(judged.feature_type().bytes());
        let mut all = Vec::new();
        for (course, stack) in &self.stacks {
            let course = &self.courses[*course];
            let rows = course.held_out.as_slice();
            let kept = stack.training.logits && !rows.is_empty();
            let heads = stack.jobs.iter();
            let mut heads: Vec<_> = heads
                .map(|_| kept.then(|| empty(self.data, rows)))
                .collect();
            for rows in rows.chunks(at_once).filter(|_| kept) {
                if !(self.limits.keep_going)() {
                    return Err(TrainError::Stopped);
                }
                let which: Vec<_> = rows.iter().map(|&row| (0, row)).collect();
                let (width, device) = (self.data.shape.values(), self.data.device);
                let stored = load(judged, &which, width, device)?;
                let features = stack.features(&stored, course.standard.as_ref(), self.data);
                let logits = stack.predict(&features);
                for (position, held_out) in heads.iter_mut().flatten().enumerate() {
                    let own = logits.select(1, to_i64(position)).contiguous();
                    held_out.logits.values.extend(to_vec(&own));
                }
            }
            all.extend(heads);
        }
        Ok(all)
    }
}
