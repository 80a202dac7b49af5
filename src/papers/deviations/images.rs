//! Which images are trained on and predicted, and how they are shown.

use std::collections::BTreeSet;

use super::{Add, DECLARED, SamplesOf};
use crate::graph::{Experiment, HeadNode};
use crate::imaging::Preprocess;
use crate::text::count;
use crate::trainer::TestAverage;

pub(super) fn add(experiment: &Experiment, samples: SamplesOf<'_>, add: Add<'_>) {
    trained_on(experiment, samples, add);
    for node in &experiment.datasets {
        for question in node.dataset.open_questions() {
            let here = question.here.to_owned();
            add(question.topic, "not stated", here, question.reason);
        }
    }
    views(experiment, add);
    for extraction in &experiment.extractions {
        let model = &experiment.models[extraction.model].model;
        let (own, input) = (model.preprocess(), model.input());
        let paper = if own == Preprocess::default() {
            "resize and center crop of guided-diffusion".to_owned()
        } else {
            format!("not stated; the network's authors: {}", own.name())
        };
        if extraction.preprocess != own {
            add(
                "Preprocessing",
                &paper,
                extraction.preprocess.name(),
                DECLARED,
            );
        }
        if extraction.test_preprocess != own && extraction.test_preprocess != extraction.preprocess
        {
            add(
                "Preprocessing of test images",
                &paper,
                extraction.test_preprocess.name(),
                DECLARED,
            );
        }
        if extraction.normalization != input.normalization {
            add(
                "Normalization",
                "pixels between -1 and 1",
                extraction.normalization.name().to_owned(),
                DECLARED,
            );
        }
    }
}

/// Each dataset with the number of images that heads are trained on and that they predict.
fn trained_on(experiment: &Experiment, samples: SamplesOf<'_>, add: Add<'_>) {
    let mut seen = BTreeSet::new();
    for head in &experiment.heads {
        let dataset = experiment.extractions[head.features].dataset;
        let (train, test) = (&head.training.train_split, &head.training.test_split);
        if !seen.insert((dataset, train, test)) {
            continue;
        }
        let of_split = |split: &str| match samples(dataset, split) {
            Some(images) => format!("{} of split {split}", count(images)),
            None => format!("split {split}"),
        };
        let node = &experiment.datasets[dataset];
        let mut origin = node;
        while let Some(upstream) = origin.upstream {
            origin = &experiment.datasets[upstream];
        }
        let part = if origin.name == node.name {
            String::new()
        } else {
            format!(", a part of {}", origin.name)
        };
        add(
            "Images",
            "ImageNet (1,281,167 to train on), ImageNet-50 (64,274), or one of six fine-grained datasets, whole",
            format!(
                "{}{part} ({}): trained on {}, tested on {}",
                node.name,
                origin.dataset.kind(),
                of_split(train),
                of_split(test)
            ),
            DECLARED,
        );
    }
}

/// How often an image is shown otherwise, and its noise.
fn views(experiment: &Experiment, add: Add<'_>) {
    let is_cached = |head: &&HeadNode| !head.training.online && head.training.fine_tune.is_none();
    let cached: Vec<&HeadNode> = experiment.heads.iter().filter(is_cached).collect();
    let is_noisy = |index: usize| experiment.extractions[index].timestep.is_some();
    let has_noise = (0..experiment.extractions.len()).any(is_noisy);
    if !experiment.extractions.is_empty() && (!cached.is_empty() || experiment.heads.is_empty()) {
        let most = cached.iter().map(|head| head.more_views.len() + 1);
        let here = match most.max() {
            Some(views) if views > 1 => {
                format!("one of {views} cached views and draws of each image in an epoch")
            }
            _ => {
                "one noise draw and one view of each image, fixed by seed and sample id".to_owned()
            }
        };
        let here = if cached.len() < experiment.heads.len() {
            format!("{here}; fresh noise for heads that are online or train the network")
        } else {
            here
        };
        add(
            "Noise and views in training",
            "a random flip; whether an epoch draws fresh noise is not stated (the authors' later code does)",
            here,
            "features are computed once and cached",
        );
    }
    if has_noise && experiment.heads.iter().any(|head| is_noisy(head.features)) {
        let heads = experiment.heads.iter();
        let draws: BTreeSet<(u32, &str)> = heads
            .filter(|head| is_noisy(head.features))
            .map(|head| {
                let of = match head.training.test_average {
                    TestAverage::Logits => "logits",
                    TestAverage::Features => "features",
                };
                (head.training.test_draws, of)
            })
            .collect();
        for (draws, of) in draws {
            let here = match draws {
                1 => "one draw of each image, fixed by seed and sample id".to_owned(),
                several => format!(
                    "{several} draws of each image, fixed by seed and sample id; the mean of their {of}"
                ),
            };
            add(
                "Noise of test images",
                "not stated; fresh at every test in the authors' later code",
                here,
                "the same head then predicts the same",
            );
        }
    }
}
