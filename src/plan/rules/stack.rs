//! `stack`: heads that read the same features, in the same batches, train in one scan of them. What a choice ends in reads the same
//! features with every seed.

use super::{Rule, merge};
use crate::plan::{JobKind, Plan};

pub(super) const RULE: Rule = Rule {
    name: "stack",
    summary: "heads that read the same features in the same batches become one scan",
    apply,
};

fn apply(plan: &mut Plan) {
    merge(plan, JobKind::Heads);
    merge(plan, JobKind::Refit);
}
