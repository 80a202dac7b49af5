//! The progress of heads, which is reported over all their jobs.

use std::time::Instant;

use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::plan::{JobKind, StepId, Work};

/// How many heads are trained, of how many.
pub(super) struct HeadsProgress {
    wanted: usize,
    trained: usize,
    /// Jobs that are not through.
    jobs: usize,
    begun: Option<Instant>,
}

impl HeadsProgress {
    pub(super) fn of(run: &Run<'_>) -> Self {
        let jobs = run.plan.jobs.iter();
        let jobs = || jobs.clone().filter(|job| is_of_heads(job.kind));
        Self {
            wanted: jobs().map(|job| job.steps.len()).sum(),
            jobs: jobs().count(),
            trained: 0,
            begun: None,
        }
    }

    /// That of one job which runs by itself.
    pub(super) fn of_one(run: &Run<'_>, job: usize) -> Self {
        Self {
            wanted: run.plan.jobs[job].steps.len(),
            jobs: 1,
            trained: 0,
            begun: None,
        }
    }

    pub(super) fn begin(&mut self, run: &Run<'_>, job: usize) {
        if self.begun.is_none() && is_of_heads(run.plan.jobs[job].kind) {
            self.begun = Some(Instant::now());
            (run.emit)(Event::HeadsStarted { heads: self.wanted });
        }
    }

    pub(super) fn made(&mut self, run: &Run<'_>, job: usize, id: StepId) {
        if !is_of_heads(run.plan.jobs[job].kind) {
            return;
        }
        if let Work::Train(_) | Work::Refit(_) = run.plan.step(id).work {
            self.trained += 1;
        }
    }

    pub(super) fn finish(&mut self, run: &Run<'_>, job: usize) {
        if is_of_heads(run.plan.jobs[job].kind) {
            self.jobs -= 1;
            if self.jobs == 0 {
                self.tell(run);
            }
        }
    }

    /// Reports that they are done, or were stopped.
    pub(super) fn tell(&mut self, run: &Run<'_>) {
        if let Some(begun) = self.begun.take() {
            (run.emit)(Event::HeadsFinished {
                heads: self.trained,
                seconds: begun.elapsed().as_secs_f64(),
            });
        }
    }
}

fn is_of_heads(kind: JobKind) -> bool {
    matches!(kind, JobKind::Heads | JobKind::Tuning | JobKind::Refit)
}
