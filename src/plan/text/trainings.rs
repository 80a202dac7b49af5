//! The part of a plan's text about trainings: of networks, and of heads that send images through one.

use std::fmt::Write;

use crate::graph::Experiment;
use crate::plan::physical::{Plan, State};
use crate::text::{count, plural};

/// What goes through networks while heads are trained; nothing where all of them read cached features.
pub(super) fn render_fresh(plan: &Plan, experiment: &Experiment) -> String {
    let mut text = String::new();
    for (tunes, what) in [
        (true, "trained with the network"),
        (false, "on features that each epoch computes anew"),
    ] {
        let steps: Vec<_> = plan
            .heads
            .iter()
            .filter(|step| !step.artifact.state.is_cached() && step.forwards > 0)
            .filter(|step| experiment.heads[step.head].training.fine_tune.is_some() == tunes)
            .collect();
        if !steps.is_empty() {
            let _ = writeln!(
                text,
                "  {} {what}: {} images through it",
                plural(steps.len(), "head"),
                count(steps.iter().map(|step| step.forwards).sum::<u64>()),
            );
        }
    }
    text
}

/// Trainings and samples; nothing where there are none.
pub(super) fn render_trainings(plan: &Plan, experiment: &Experiment) -> String {
    let mut text = String::new();
    for step in &plan.pretrains {
        let node = &experiment.pretrains[step.pretrain];
        let state = match step.artifact.state {
            State::Cached => "cached",
            State::Partial { .. } | State::Missing { .. } => "to train",
        };
        let _ = writeln!(
            text,
            "\npretrain: {} ← {}  {} of {}  {state}",
            experiment.models[node.model].name,
            experiment.datasets[node.dataset].name,
            plural(node.training.steps as usize, "step"),
            plural(node.training.batch_size as usize, "image"),
        );
    }
    if !plan.samples.is_empty() {
        let cached = plan
            .samples
            .iter()
            .filter(|step| step.artifact.state.is_cached());
        let _ = writeln!(
            text,
            "\nsamples: {} wanted, {} cached",
            plural(plan.samples.len(), "sheet"),
            count(cached.count())
        );
    }
    text
}
