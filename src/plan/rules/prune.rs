//! `prune`: what the store has is not made again.

use super::Rule;
use crate::plan::Plan;

pub(super) const RULE: Rule = Rule {
    name: "prune",
    summary: "steps whose artifact the store already has are not run",
    apply,
};

fn apply(plan: &mut Plan) {
    let steps = &plan.steps;
    for job in &mut plan.jobs {
        job.steps.retain(|id| steps[id.0].is_missing());
    }
    plan.jobs.retain(|job| !job.steps.is_empty());
}
