//! The planner's rules, in the order in which they are applied.

use std::collections::{BTreeMap, BTreeSet};

use super::physical::{Pass, PassKey, Plan};

/// One rule: rewrites the passes, never what exists after the run.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name in `repro plan --steps`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The rewriting.
    pub apply: fn(&mut Plan),
}

/// Every rule. `deduplicate` comes first so that no later rule meets an artifact twice; `prune` comes before `fuse` so that a
/// pass is only as deep as its deepest missing tap.
pub const ALL: &[Rule] = &[
    Rule {
        name: "deduplicate",
        summary: "extractions with equal fingerprints become one tap",
        apply: deduplicate,
    },
    Rule {
        name: "prune",
        summary: "taps that the store already has are not run",
        apply: prune,
    },
    Rule {
        name: "fuse",
        summary: "passes that differ only in their taps become one",
        apply: fuse,
    },
];

fn deduplicate(plan: &mut Plan) {
    let mut seen = BTreeSet::new();
    for pass in &mut plan.passes {
        pass.taps
            .retain(|tap| seen.insert(tap.artifact.fingerprint));
    }
    plan.passes.retain(|pass| !pass.taps.is_empty());
}

fn prune(plan: &mut Plan) {
    for pass in &mut plan.passes {
        let (cached, missing) = std::mem::take(&mut pass.taps)
            .into_iter()
            .partition(|tap| tap.artifact.state.is_cached());
        pass.taps = missing;
        let cached: Vec<super::physical::Tap> = cached;
        for tap in cached {
            plan.cached_features
                .insert(tap.artifact.fingerprint, tap.artifact);
        }
    }
    plan.passes.retain(|pass| !pass.taps.is_empty());
}

fn fuse(plan: &mut Plan) {
    let mut order: Vec<PassKey> = Vec::new();
    let mut fused: BTreeMap<PassKey, Pass> = BTreeMap::new();
    for pass in std::mem::take(&mut plan.passes) {
        if let Some(group) = fused.get_mut(&pass.key) {
            // One pass has one depth, one batch size and one way with bad images: the strictest of what was asked for.
            group.multiply_adds = group.multiply_adds.max(pass.multiply_adds);
            group.batch_size = group.batch_size.into_iter().chain(pass.batch_size).min();
            group.skip_bad_images &= pass.skip_bad_images;
            group.taps.extend(pass.taps);
        } else {
            order.push(pass.key.clone());
            fused.insert(pass.key.clone(), pass);
        }
    }
    for key in order {
        if let Some(mut pass) = fused.remove(&key) {
            pass.taps
                .sort_by_key(|tap| (tap.block, tap.reduce, tap.storage, tap.artifact.fingerprint));
            plan.passes.push(pass);
        }
    }
}
