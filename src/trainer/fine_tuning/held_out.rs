//! Logits of the validation split by a finished head and its network, for what is fitted to them, such as a temperature.

use super::{Loop, TrainError, Watch};
use crate::metrics::{HeldOutLogits, Logits};
use crate::models::extractor::to_vec;

impl Loop<'_> {
    /// The validation split with its logits, where they are kept and there is one.
    pub(super) fn held_out_logits(
        &self,
        watch: &Watch<'_>,
    ) -> Result<Option<HeldOutLogits>, TrainError> {
        let (task, stack) = (self.task, &self.state.stack);
        if !task.job.training.logits || self.held_out.is_empty() {
            return Ok(None);
        }
        let mut values = Vec::new();
        self.each_feature(task.train, &self.held_out, &mut |features, _| {
            if !(watch.keep_going)() {
                return Err(TrainError::Stopped);
            }
            values.extend(to_vec(&stack.predict(features).select(1, 0).contiguous()));
            Ok(())
        })?;
        let labels = self.held_out.iter().map(|&row| task.train.label(row));
        Ok(Some(HeldOutLogits {
            labels: labels.collect(),
            logits: Logits {
                classes: task.classes,
                values,
            },
        }))
    }
}
