//! Auditing cached features: rows at random, computed again from the images.

use super::NodeError;
use super::context::Run;
pub use super::jobs::pass::audit::Audited;
use super::jobs::{self, Lane};
use crate::plan::{JobKind, Pass, Plan};
use crate::random::Stream;
use crate::store::Listing;

/// Computes rows of every set of features again that a plan has and the store holds complete, and compares them. Features of one pass
/// share their rows and one run of the network.
///
/// - `run.plan`: the plan as if the store were empty, so that it has every pass
/// - `listing`: what the store has
/// - `rows`: how many of each pass; all where it has fewer
/// - `seed`: which rows are drawn
/// - `told`: takes the outcome of each pass as it comes
///
/// # Errors
/// Images, networks and features that cannot be read; the wish to stop.
pub fn audit(
    run: &Run<'_>,
    listing: &Listing,
    (rows, seed): (usize, u64),
    told: &mut dyn FnMut(&Pass, Vec<Audited>),
) -> Result<(), NodeError> {
    let mut lane = Lane::new();
    for mut pass in kept_passes(run.plan, listing) {
        let mut drawn =
            Stream::new(seed, &format!("audit/{}", pass.name)).permutation(pass.images());
        drawn.truncate(rows);
        drawn.sort_unstable();
        // An image that was left out is to be left out again, and not to end the audit.
        pass.skip_bad_images = true;
        let audited = jobs::audit(run, &pass, &drawn, &mut lane)?;
        told(&pass, audited);
    }
    Ok(())
}

/// The passes of a plan, with the taps whose features are complete; none without any.
fn kept_passes(plan: &Plan, listing: &Listing) -> Vec<Pass> {
    let jobs = plan.jobs.iter().filter(|job| job.kind == JobKind::Pass);
    let passes = jobs.filter_map(|job| {
        let mut pass = Pass::of(plan, job)?;
        pass.taps
            .retain(|tap| listing.artifacts.contains_key(&tap.artifact.fingerprint));
        (!pass.taps.is_empty()).then_some(pass)
    });
    passes.collect()
}
