//! The part of a plan's text about trainings: of networks, and of heads that send images through one.

use std::fmt::Write;

use crate::plan::{Plan, PlannedArtifact, Sample, StepState, Train, Work};
use crate::text::{count, operations, plural};

/// What goes through networks while heads are trained; nothing where all of them read cached features.
pub(super) fn render_fresh(plan: &Plan) -> String {
    let mut text = String::new();
    let missing = plan.steps.iter().filter(|step| step.is_missing());
    let trains: Vec<(&Train, u64)> = missing
        .filter_map(|step| match &step.work {
            Work::Train(train) => Some((&**train, train.forwards)),
            // All that compete are trained alike.
            Work::Refit(refit) => {
                let first = refit.choice.heads.first()?;
                Some((&*first.train, refit.most_forwards()))
            }
            _ => None,
        })
        .filter(|(_, forwards)| *forwards > 0)
        .collect();
    for (tunes, what) in [
        (true, "trained with the network"),
        (false, "on features that are recomputed every epoch"),
    ] {
        let these: Vec<u64> = trains
            .iter()
            .filter(|(train, _)| train.node.training.fine_tune.is_some() == tunes)
            .map(|(_, forwards)| *forwards)
            .collect();
        if !these.is_empty() {
            let _ = writeln!(
                text,
                "  {} {what}: {} images through it",
                plural(these.len(), "head"),
                count(these.iter().sum::<u64>()),
            );
        }
    }
    text
}

/// Trainings and samples; nothing where there are none.
pub(super) fn render_trainings(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let Work::Pretrain(training) = &step.work else {
            continue;
        };
        let state = match step.artifact.state {
            StepState::Cached => "cached",
            StepState::Remote { .. } => "in the remote",
            StepState::Partial { .. } | StepState::Missing { .. } => "to train",
        };
        let config = &training.node.training;
        let _ = writeln!(
            text,
            "\npretrain: {} ← {}  {} of {}  {state}",
            training.model_name,
            training.images.name,
            plural(config.steps as usize, "step"),
            plural(config.batch_size as usize, "image"),
        );
    }
    if plan.steps.iter().any(|step| step.work.kind() == "samples") {
        let _ = writeln!(text, "\nsamples: {}", super::counts(plan, "samples"));
    }
    for step in plan.steps.iter().filter(|step| step.is_missing()) {
        if let Work::Sample(work) = &step.work {
            let _ = writeln!(text, "  {}", samples_line(&step.artifact, work));
        }
    }
    text
}

/// A number of multiply-adds in 10^12, with decimals where they say something.
fn in_trillions(multiply_adds: u128) -> String {
    const TRILLION: u128 = 1_000_000_000_000;
    if multiply_adds < 100_000 * TRILLION {
        format!("{:.3}", multiply_adds as f64 / 1e12)
    } else {
        let whole = u64::try_from(multiply_adds / TRILLION);
        whole.map_or_else(|_| "more than 2^64".to_owned(), count)
    }
}

/// What is to be done for one set of samples.
fn samples_line(artifact: &PlannedArtifact, work: &Sample) -> String {
    let cost = work.cost(artifact);
    let multiply_adds = work.all_multiply_adds(artifact);
    let mut line = format!(
        "{}  {}: {} forwards, {} T multiply-adds ({})",
        artifact.label,
        plural(work.missing_images(artifact), "image"),
        count(cost.images),
        in_trillions(multiply_adds),
        operations(2.0 * multiply_adds as f64),
    );
    let all = work.shards.count();
    let committed = all - work.shards.lacking([artifact]).len();
    if committed > 0 {
        let _ = write!(line, "  resumes: {committed} of {all} shards are committed");
    }
    line
}
