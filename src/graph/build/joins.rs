//! `concat` of a head: which features stand behind those that it reads, and whether they can.

use crate::graph::{Experiment, ExtractionNode, OnBadImage};
use crate::spec::Fields;
use crate::trainer::config::CONCAT;
use crate::trainer::{Training, Views};

/// Of the features that a head names by `concat`, those of the same images as its own.
pub(super) fn of(experiment: &Experiment, features: usize, joined: &[usize]) -> Vec<usize> {
    let dataset = experiment.extractions[features].dataset;
    let of_dataset = joined
        .iter()
        .filter(|&&index| experiment.extractions[index].dataset == dataset);
    of_dataset.copied().collect()
}

/// Whether the features that a head names by `concat` can stand behind its own; reports the first reason that they cannot.
pub(super) fn check(
    experiment: &Experiment,
    training: &Training,
    (features, joined): (&[usize], &[usize]),
    fields: &Fields<'_>,
) -> bool {
    let Some((message, hint)) = misfit(experiment, training, (features, joined), fields) else {
        // What is not there was reported where it was looked for.
        return !joined.is_empty() || fields.is_sound();
    };
    fields.invalid(
        CONCAT.name,
        "graph::concat-misfit",
        message,
        Some(hint.to_owned()),
    );
    false
}

/// What is wrong, and what to do about it.
fn misfit(
    experiment: &Experiment,
    training: &Training,
    (features, joined): (&[usize], &[usize]),
    fields: &Fields<'_>,
) -> Option<(String, &'static str)> {
    let context = fields.context();
    if joined.is_empty() {
        return None;
    }
    if training.online || training.fine_tune.is_some() {
        return Some((
            format!(
                "`concat` of {context} joins cached features, and this head has its images computed as it trains"
            ),
            "leave `concat`, or `online` and `fine_tune`, out",
        ));
    }
    if training.views != Views::Apart {
        return Some((
            format!(
                "`concat` of {context} takes views and draws as further features, and `views` one of them at a time"
            ),
            "leave one of the two keys out",
        ));
    }
    if training.test_draws > 1 {
        return Some((
            format!(
                "`concat` of {context} joins one draw of each extraction, and `test_draws` asks for more"
            ),
            "leave one of the two keys out",
        ));
    }
    for &own in features {
        let node = &experiment.extractions[own];
        let behind = of(experiment, own, joined);
        if behind.is_empty() {
            let dataset = &experiment.datasets[node.dataset].name;
            return Some((
                format!(
                    "no features that {context} joins are of dataset `{dataset}`, which its own are of"
                ),
                "join extractions of one dataset",
            ));
        }
        for index in behind {
            let other = &experiment.extractions[index];
            if index == own {
                return Some((
                    format!(
                        "{context} joins features of extraction `{}` with themselves",
                        node.name
                    ),
                    "name another extraction; to join those of one sweep, put one of them into an extraction of its own",
                ));
            }
            let differs = |what: &str| {
                format!(
                    "{context} joins extractions `{}` and `{}`, which differ in `{what}`",
                    node.name, other.name
                )
            };
            if node.storage != other.storage {
                return Some((differs("storage"), "store both in one number type"));
            }
            let skips = |one: &ExtractionNode| one.on_bad_image == OnBadImage::Skip;
            if skips(node) != skips(other) {
                return Some((
                    differs("on_bad_image"),
                    "treat images that do not decode alike in both",
                ));
            }
        }
    }
    None
}
