//! `fuse`: extractions that differ only in their taps become one pass through the network.

use super::{Rule, merge};
use crate::plan::{JobKind, Plan};

pub(super) const RULE: Rule = Rule {
    name: "fuse",
    summary: "passes that differ only in their taps become one",
    apply,
};

fn apply(plan: &mut Plan) {
    merge(plan, JobKind::Pass);
    merge(plan, JobKind::Import);
}
