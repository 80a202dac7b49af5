//! Logits of the validation split by the finished heads, for what is fitted to them, such as a temperature.

use super::TrainError;
use super::scan::{Scan, shaped};
use crate::metrics::{HeldOutLogits, Logits};
use crate::models::extractor::to_vec;
use crate::numbers::to_i64;

impl Scan<'_> {
    /// For each head of each stack, in their order: the validation split, where its logits are kept and there is one.
    pub(super) fn held_out_logits(&self) -> Result<Vec<Option<HeldOutLogits>>, TrainError> {
        let _guard = tch::no_grad_guard();
        let labels: Vec<u32> = self
            .held_out
            .iter()
            .map(|&row| self.data.train.label(row))
            .collect();
        let empty = || HeldOutLogits {
            labels: labels.clone(),
            logits: Logits {
                classes: self.data.classes,
                values: Vec::new(),
            },
        };
        let mut all: Vec<Vec<Option<HeldOutLogits>>> = self
            .stacks
            .iter()
            .map(|stack| {
                let kept = stack.training.logits && !labels.is_empty();
                stack.jobs.iter().map(|_| kept.then(empty)).collect()
            })
            .collect();
        if all.iter().flatten().all(Option::is_none) {
            return Ok(all.into_iter().flatten().collect());
        }
        let at_once = self.predicted_at_once(self.data.train.feature_type().bytes());
        for rows in self.held_out.chunks(at_once) {
            if !(self.limits.keep_going)() {
                return Err(TrainError::Stopped);
            }
            let (stored, _) = self.read(rows)?;
            for (stack, heads) in self.stacks.iter().zip(&mut all) {
                if !stack.training.logits {
                    continue;
                }
                let logits = stack.predict(&shaped(&stored, self.data, stack.training.precision));
                for (position, held_out) in heads.iter_mut().enumerate() {
                    if let Some(held_out) = held_out {
                        let own = logits.select(1, to_i64(position)).contiguous();
                        held_out.logits.values.extend(to_vec(&own));
                    }
                }
            }
        }
        Ok(all.into_iter().flatten().collect())
    }
}
