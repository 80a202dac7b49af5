//! What looks like a slip, and is known only from the sizes of datasets.

use std::collections::BTreeSet;

use super::Plan;
use crate::graph::Experiment;
use crate::numbers::to_u32;
use crate::spec::Diagnostic;
use crate::text::count;

/// The warnings of an experiment that depend on its datasets, each node of the file once.
pub fn find(experiment: &Experiment, plan: &Plan) -> Vec<Diagnostic> {
    let mut found = one_step(experiment, plan);
    found.extend(always_right(experiment, plan));
    found
}

/// Heads whose epochs have one step: what a schedule by epochs, and many epochs, are meant for are steps.
fn one_step(experiment: &Experiment, plan: &Plan) -> Vec<Diagnostic> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for head in &experiment.heads {
        let training = &head.training;
        let dataset = experiment.extractions[head.features].dataset;
        let Some(images) = plan.datasets.get(dataset) else {
            continue;
        };
        let samples = images.samples_of(&training.train_split);
        let fits = samples > 0 && samples <= u64::from(training.batch_size);
        if !head.head.trains_in_steps() || !fits || !told.insert(head.name.as_str()) {
            continue;
        }
        let message = format!(
            "head `{}` makes one step in an epoch: split `{}` of dataset `{}` has {} samples, and `batch_size` is {}",
            head.name,
            training.train_split,
            images.name,
            count(samples),
            training.batch_size
        );
        found.push(
            Diagnostic::warning("run::one-step", head.place, message, "one step an epoch")
                .hint("a smaller `batch_size` makes more steps of an epoch"),
        );
    }
    found
}

/// Metrics that have the same value whatever is predicted, since there are so few classes.
fn always_right(experiment: &Experiment, plan: &Plan) -> Vec<Diagnostic> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for metric in &experiment.metrics {
        let Some(most) = metric.metric.most_classes() else {
            continue;
        };
        for &head in metric.inputs.heads() {
            let dataset = experiment.extractions[experiment.heads[head].features].dataset;
            let Some(images) = plan.datasets.get(dataset) else {
                continue;
            };
            let classes = to_u32(images.facts.classes.len());
            let is_few = (1..=most).contains(&classes);
            if !is_few || !told.insert((metric.name.as_str(), images.name.as_str())) {
                continue;
            }
            let message = format!(
                "`top{most}` of metric `{}` is 100 % whatever is predicted: dataset `{}` has {classes} classes",
                metric.name, images.name
            );
            found.push(
                Diagnostic::warning(
                    "run::always-right",
                    metric.place,
                    message,
                    "right by nature",
                )
                .hint("leave the number out of `top`, such as `top = [1]`"),
            );
        }
    }
    found
}
