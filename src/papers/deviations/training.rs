//! How heads are trained: what the paper leaves open, and what differs.

use std::collections::BTreeSet;

use super::{Add, DECLARED, NOT_PRINTED};
use crate::graph::Experiment;
use crate::trainer::{Optimizer, Training, UpdateRule};

/// What a row of the table says of one training; nothing where it is as in the paper.
type Pick<'p> = &'p dyn Fn(&Training) -> Option<String>;

/// What the training of heads settles or changes. Values of a grid stand in one row.
pub(super) fn add(experiment: &Experiment, add: Add<'_>) {
    probes(experiment, add);
    scales(experiment, add);
    let trainings = experiment
        .heads
        .iter()
        .filter(|head| head.head.trains_in_steps());
    let trainings: Vec<&Training> = trainings.map(|head| &head.training).collect();
    let all = |pick: &dyn Fn(&Training) -> Option<String>| -> String {
        let mut values: Vec<String> = Vec::new();
        for value in trainings.iter().filter_map(|training| pick(training)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.join(", ")
    };
    let paper = Training::default();
    let rows: [(&str, &str, Pick<'_>, &str); 15] = [
        (
            "Optimizer",
            "Adam",
            &|training| {
                let Optimizer { kind, momentum, .. } = training.optimizer;
                let is_plain = momentum.is_some_and(|share| share <= 0.0);
                let title = if kind == UpdateRule::Sgd && is_plain {
                    "SGD without momentum"
                } else {
                    kind.title()
                };
                (kind != UpdateRule::Adam).then(|| title.to_owned())
            },
            DECLARED,
        ),
        (
            "Constants of the optimizer",
            "not stated",
            &|training| Some(constants(&training.optimizer)),
            NOT_PRINTED,
        ),
        (
            "Learning rate",
            "not stated",
            &|training| Some(format!("{}", training.optimizer.lr)),
            NOT_PRINTED,
        ),
        (
            "Learning rate of the network",
            "not stated",
            &|training| {
                let tuning = training.fine_tune?;
                let kind = match tuning.optimizer.kind {
                    UpdateRule::Adam => String::new(),
                    kind => format!(" with {}", kind.title()),
                };
                Some(format!("{}{kind}", tuning.optimizer.lr))
            },
            NOT_PRINTED,
        ),
        (
            "Batch size",
            "not stated",
            &|training| Some(format!("{}", training.batch_size)),
            NOT_PRINTED,
        ),
        (
            "Last batch of an epoch",
            "not stated; dropped where it is smaller in the authors' later code, in testing too",
            &|_| {
                Some(
                    "an epoch is cut into batches that are equal up to one image; none is dropped"
                        .to_owned(),
                )
            },
            NOT_PRINTED,
        ),
        (
            "Epochs",
            "28",
            &|training| (training.epochs != paper.epochs).then(|| format!("{}", training.epochs)),
            DECLARED,
        ),
        (
            "Learning rate schedule",
            "× 0.1 every 8 epochs",
            &|training| (training.schedule != paper.schedule).then(|| training.schedule.describe()),
            DECLARED,
        ),
        (
            "Weight decay",
            "none stated",
            &|training| {
                let decay = training.optimizer.weight_decay;
                (decay > 0.0).then(|| format!("{decay}"))
            },
            DECLARED,
        ),
        (
            "Label smoothing",
            "none stated",
            &|training| {
                let share = training.label_smoothing;
                (share > 0.0).then(|| format!("{share}"))
            },
            DECLARED,
        ),
        (
            "Class weights",
            "none stated",
            &|training| {
                (training.class_weights != paper.class_weights).then(|| "balanced".to_owned())
            },
            DECLARED,
        ),
        (
            "Gradient clipping",
            "none stated",
            &|training| training.clip.map(|longest| format!("{longest}")),
            DECLARED,
        ),
        (
            "Training samples",
            "all",
            &|training| {
                (training.holdout > 0.0).then(|| {
                    format!(
                        "{} % of each class is a validation split",
                        training.holdout * 100.0
                    )
                })
            },
            "candidates are chosen on the validation split",
        ),
        (
            "End of training",
            "after the last epoch",
            &|training| {
                training
                    .patience
                    .map(|epochs| format!("after {epochs} epochs that are no better"))
            },
            DECLARED,
        ),
        (
            "Arithmetic of heads",
            "not stated",
            &|training| {
                (training.precision != paper.precision)
                    .then(|| training.precision.name().to_owned())
            },
            DECLARED,
        ),
    ];
    for (topic, stated, pick, reason) in rows {
        let here = all(pick);
        if !here.is_empty() {
            add(topic, stated, here, reason);
        }
    }
}

/// What a probe on a frozen network has and the paper's lacks.
fn probes(experiment: &Experiment, add: Add<'_>) {
    let normalized = experiment
        .heads
        .iter()
        .any(|head| head.head.kind() == "batchnorm-linear" && head.training.fine_tune.is_none());
    if normalized {
        add(
            "Probe on a frozen network",
            "a linear layer, without batch norm",
            "batch norm, then a linear layer".to_owned(),
            DECLARED,
        );
    }
}

/// Which heads standardize what they read.
fn scales(experiment: &Experiment, add: Add<'_>) {
    let heads = experiment.heads.iter();
    let standardized = heads.filter(|head| head.head.standardizes());
    let kinds: BTreeSet<&str> = standardized.map(|head| head.head.kind()).collect();
    if !kinds.is_empty() {
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let here = format!("standardized for {}", kinds.join(", "));
        add(
            "Scale of features",
            "as the network gives them",
            here,
            DECLARED,
        );
    }
}

/// The numbers of an optimizer besides its learning rate and weight decay.
fn constants(optimizer: &Optimizer) -> String {
    let Optimizer {
        beta1,
        beta2,
        epsilon,
        ..
    } = optimizer;
    match (optimizer.kind, optimizer.momentum, optimizer.trust) {
        (UpdateRule::Adam | UpdateRule::AdamW, ..) => {
            format!("β₁ = {beta1}, β₂ = {beta2}, ε = {epsilon:e}")
        }
        (_, momentum, Some(trust)) => {
            format!("momentum {}, trust {trust}", momentum.unwrap_or(0.0))
        }
        (_, momentum, None) => format!("momentum {}", momentum.unwrap_or(0.0)),
    }
}
