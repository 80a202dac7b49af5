//! One transfer: artifacts that a remote has, brought into the store.
//!
//! One that cannot be brought fails like any other step; unless the remote is required, another plan makes it here then.

use std::time::Instant;

use crate::exec::NodeError;
use crate::exec::context::{Run, StepResult};
use crate::exec::event::Event;
use crate::plan::StepId;
use crate::store::Fingerprint;

/// Brings the artifacts of some steps.
pub(super) fn run_transfer(
    run: &Run<'_>,
    job: &str,
    steps: &[StepId],
) -> Vec<(StepId, StepResult)> {
    let started = Instant::now();
    let fingerprint = |id: StepId| run.plan.step(id).artifact.fingerprint;
    let Some(from) = run.remote else {
        let bug = || NodeError::bug("a transfer without a remote");
        let failed = steps.iter().map(|&id| (id, StepResult::Failed(bug())));
        return failed.collect();
    };
    let wanted: Vec<Fingerprint> = steps.iter().map(|&id| fingerprint(id)).collect();
    let stop = || run.stop.is_given();
    let mut brought = from.remote.bring(run.store, &wanted, &|_| {}, &stop);
    (run.emit)(Event::Transferred {
        job: job.to_owned(),
        remote: from.remote.shown().to_owned(),
        artifacts: brought.artifacts,
        bytes: brought.bytes,
        seconds: started.elapsed().as_secs_f64(),
    });
    let fates = steps.iter().map(|&id| {
        let fate = match brought.failed.remove(&fingerprint(id)) {
            None => StepResult::Made,
            Some(error) => StepResult::Failed(error.into()),
        };
        (id, fate)
    });
    fates.collect()
}
