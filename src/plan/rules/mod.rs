//! The planner's rules, in the order in which they are applied. One file a rule.

mod fuse;
mod prune;
mod stack;
mod transfer;

use std::collections::BTreeMap;

use super::job::{JobKind, Pass};
use super::{Cost, Job, Plan, Shards, Step, Work};

/// One rule: rewrites the jobs, never what exists after the run.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name in `repro plan --steps`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Rewrites the plan in place.
    pub apply: fn(&mut Plan),
}

/// Every rule. `prune` comes first so that a pass is only as deep as its deepest missing tap.
pub const ALL: &[Rule] = &[prune::RULE, fuse::RULE, stack::RULE];

/// Makes one job of all jobs of a kind that have the same name, at the place of the first.
fn merge(plan: &mut Plan, kind: JobKind) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut merged: Vec<Job> = Vec::with_capacity(plan.jobs.len());
    for job in std::mem::take(&mut plan.jobs) {
        if job.kind != kind {
            merged.push(job);
            continue;
        }
        if let Some(&place) = places.get(&job.name) {
            let known: &mut Job = &mut merged[place];
            known.steps.extend(job.steps);
            known.cost.images += job.cost.images;
            known.cost.bytes += job.cost.bytes;
        } else {
            places.insert(job.name.clone(), merged.len());
            merged.push(job);
        }
    }
    plan.jobs = merged;
}

/// How samples are cut, and what they cost.
fn sampled(step: &Step) -> Option<(Shards, Cost)> {
    match &step.work {
        Work::Sample(work) => Some((work.shards, work.cost(&step.artifact))),
        _ => None,
    }
}

/// Once all rules are through: what each job needs, how it can be cut, and what it costs. Jobs are put into the order of their kinds,
/// which is also one in which each stands behind those that it needs.
pub(super) fn connect(plan: &mut Plan) {
    plan.jobs.sort_by_key(|job| job.kind);
    let mut made_by = BTreeMap::new();
    for (index, job) in plan.jobs.iter().enumerate() {
        for &step in &job.steps {
            made_by.insert(step, index);
        }
    }
    for index in 0..plan.jobs.len() {
        let job = &plan.jobs[index];
        let inputs = job.steps.iter().flat_map(|&id| &plan.step(id).inputs);
        let needs = inputs.filter_map(|input| made_by.get(input).copied());
        let needs = needs.filter(|&needed| needed != index).collect();
        let cut = match job.steps.as_slice() {
            [id] if job.kind == JobKind::Sample => sampled(plan.step(*id)),
            _ => Pass::of(plan, job).map(|pass| (pass.shards, pass.cost())),
        };
        let job = &mut plan.jobs[index];
        job.needs = needs;
        if let Some((shards, cost)) = cut {
            job.shards = Some(shards.count());
            job.cost = cost;
        }
    }
}
