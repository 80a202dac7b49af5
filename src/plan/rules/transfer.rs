//! Part of `prune`: what a remote has is brought and not made, and only where something that is made, or the report, reads it.

use std::collections::BTreeSet;

use super::merge;
use crate::plan::{Cost, Job, JobKind, Plan, StepId, Work, transfer_name};

/// Turns the jobs of what a remote has into transfers, and drops those of what nothing needs.
pub(super) fn apply(plan: &mut Plan) {
    let needed = needed(plan);
    let mut jobs = Vec::with_capacity(plan.jobs.len());
    // No rule before this one merges anything.
    for job in std::mem::take(&mut plan.jobs) {
        let Some(&id) = job.steps.first() else {
            continue;
        };
        match plan.step(id).remote_bytes() {
            None => jobs.push(job),
            Some(bytes) if needed.contains(&id) => jobs.push(brought(job, bytes)),
            Some(_) => {}
        }
    }
    plan.jobs = jobs;
    merge(plan, JobKind::Transfer);
}

/// The job that brings what another would make.
fn brought(job: Job, bytes: u64) -> Job {
    // What runs as one is brought as one, under the same digits.
    Job {
        name: transfer_name(&job.name),
        kind: JobKind::Transfer,
        shards: None,
        cost: Cost {
            bytes,
            ..Cost::default()
        },
        ..job
    }
}

/// The steps whose artifacts something needs: those that are read for what is made, those that the report reads, and those that nothing
/// reads, which somebody wanted for themselves.
fn needed(plan: &Plan) -> BTreeSet<StepId> {
    let made = plan.steps.iter().filter(|step| step.is_missing());
    let mut needed: BTreeSet<StepId> = made.flat_map(|step| step.inputs.iter().copied()).collect();
    let read: BTreeSet<StepId> = plan
        .steps
        .iter()
        .flat_map(|step| step.inputs.iter().copied())
        .collect();
    for (index, step) in plan.steps.iter().enumerate() {
        let id = StepId(index);
        // Features are not read for a report; results, predictions, curves and images are.
        let is_reported = plan.report.is_some() && !matches!(step.work, Work::Extract(_));
        if is_reported || !read.contains(&id) {
            needed.insert(id);
        }
    }
    needed
}
