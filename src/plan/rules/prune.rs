//! `prune`: what the store has is not made again, nor what a remote has, which `transfer.rs` brings.

use super::{Rule, transfer};
use crate::plan::Plan;

pub(super) const RULE: Rule = Rule {
    name: "prune",
    summary: "steps whose artifact the store or a remote already has are not run",
    apply,
};

fn apply(plan: &mut Plan) {
    let steps = &plan.steps;
    for job in &mut plan.jobs {
        job.steps
            .retain(|id| !steps[id.0].artifact.state.is_cached());
    }
    plan.jobs.retain(|job| !job.steps.is_empty());
    transfer::apply(plan);
}
