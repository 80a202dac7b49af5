//! What a run says first: what it is about to do.

use crate::cli::experiment;
use crate::exec::event::Event;
use crate::plan::{JobKind, Plan, Work};
use crate::store::Listing;

/// The first event of a run on `device`; `listing` is what the store had.
pub(super) fn started(plan: &Plan, listing: &Listing, device: String) -> Event {
    let passes = plan
        .jobs
        .iter()
        .filter(|job| job.kind == JobKind::Pass)
        .count();
    let images = plan.passes().iter().map(|pass| pass.images() as u64).sum();
    let heads = plan
        .jobs
        .iter()
        .filter(|job| job.kind != JobKind::Transfer)
        .flat_map(|job| &job.steps)
        .filter(|&&id| matches!(plan.step(id).work, Work::Train(_) | Work::Refit(_)));
    let samples = || {
        let missing = plan.steps.iter().filter(|step| step.is_missing());
        missing.filter_map(|step| match &step.work {
            Work::Sample(work) => Some((work, &step.artifact)),
            _ => None,
        })
    };
    let forecast = experiment::forecast(plan, listing);
    Event::RunStarted {
        experiment: plan.name.clone(),
        device,
        passes,
        images,
        heads: heads.count(),
        sampled_images: samples()
            .map(|(work, made)| work.missing_images(made) as u64)
            .sum(),
        sampling_operations: samples()
            .map(|(work, made)| 2.0 * work.all_multiply_adds(made) as f64)
            .sum(),
        expected_sampling_seconds: forecast.samples.map(|samples| samples.seconds),
    }
}
