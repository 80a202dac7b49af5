//! Where an experiment departs from the paper, read off its configuration. Reports print it as a table.

use crate::graph::Experiment;
use crate::imaging::Preprocess;
use crate::models::WeightsSource;
use crate::report::Departure;
use crate::text::plural;
use crate::trainer::{Optimiser, Schedule, UpdateRule};

/// The departures of an experiment from the protocol of arXiv 2307.08702, in a fixed order.
pub fn of(experiment: &Experiment) -> Vec<Departure> {
    let mut departures = Vec::new();
    let mut add = |topic: &str, paper: &str, here: String, reason: &str| {
        let departure = Departure {
            topic: topic.to_owned(),
            paper: paper.to_owned(),
            here,
            reason: reason.to_owned(),
        };
        if !departures.contains(&departure) {
            departures.push(departure);
        }
    };
    for node in &experiment.models {
        if node.model.variant() != "adm-256-uncond" {
            let network = match node.model.weights() {
                WeightsSource::None => "none, a baseline: the image itself",
                _ => node.model.variant(),
            };
            add(
                "Network",
                "ADM U-Net, unconditional, 256 × 256 pixels, 553 M parameters",
                format!(
                    "{network}, {} × {} pixels",
                    node.model.input().side,
                    node.model.input().side
                ),
                "declared in the experiment",
            );
        }
        if let WeightsSource::Synthetic(seed) = node.model.weights() {
            add(
                "Weights",
                "pre-trained on ImageNet by OpenAI",
                format!("untrained: synthetic, seed {seed}"),
                "declared in the experiment; nothing here says anything about trained diffusion models",
            );
        }
    }
    for node in &experiment.pretrains {
        let training = &node.training;
        add(
            "Weights",
            "pre-trained on ImageNet by OpenAI",
            format!(
                "trained by this experiment on {}: {} of {}, seed {}",
                experiment.datasets[node.dataset].name,
                plural(training.steps as usize, "step"),
                plural(training.batch_size as usize, "image"),
                training.seed
            ),
            "declared in the experiment",
        );
    }
    for node in &experiment.datasets {
        for question in node.dataset.open_questions() {
            add(
                question.topic,
                "not stated",
                question.here.to_owned(),
                question.reason,
            );
        }
    }
    if !experiment.extractions.is_empty() {
        add(
            "Noise and views",
            "fresh noise and a random flip in every epoch",
            "one noise draw and one view of each image, fixed by seed and sample id".to_owned(),
            "features are computed once and cached",
        );
    }
    for extraction in &experiment.extractions {
        if extraction.preprocess != Preprocess::default() {
            add(
                "Preprocessing",
                "resize and centre crop of guided-diffusion",
                extraction.preprocess.name(),
                "declared in the experiment",
            );
        }
        if !extraction.normalization.is_default() {
            add(
                "Normalisation",
                "pixels between -1 and 1",
                extraction.normalization.name().to_owned(),
                "declared in the experiment",
            );
        }
    }
    for head in &experiment.heads {
        let training = &head.training;
        let Optimiser {
            kind,
            lr,
            weight_decay,
            ..
        } = training.optimiser;
        if kind == UpdateRule::AdamW {
            add(
                "Optimiser",
                "Adam",
                "AdamW".to_owned(),
                "declared in the experiment",
            );
        }
        add(
            "Learning rate",
            "not stated",
            format!("{lr}"),
            "the paper does not print it",
        );
        add(
            "Batch size",
            "not stated",
            format!("{}", training.batch_size),
            "the paper does not print it",
        );
        if training.epochs != 28 {
            add(
                "Epochs",
                "28",
                format!("{}", training.epochs),
                "declared in the experiment",
            );
        }
        if training.schedule
            != (Schedule::Step {
                every: 8,
                gamma: 0.1,
            })
        {
            let here = match training.schedule {
                Schedule::Step { every, gamma } => format!("× {gamma} every {every} epochs"),
                Schedule::Constant => "constant".to_owned(),
            };
            add(
                "Learning rate schedule",
                "× 0.1 every 8 epochs",
                here,
                "declared in the experiment",
            );
        }
        if weight_decay > 0.0 {
            add(
                "Weight decay",
                "none stated",
                format!("{weight_decay}"),
                "declared in the experiment",
            );
        }
    }
    departures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Source;

    #[test]
    fn what_becomes_of_the_notice_of_copyright_is_stated() {
        for (banner, here) in [("", "cut off"), ("banner = \"keep\"", "kept")] {
            let text = format!(
                "[experiment]\nname = \"case\"\n\n[dataset.planes]\nkind = \"aircraft\"\nroot = \"data\"\n{banner}\n\n\
                 [dataset.few]\nkind = \"subset\"\nof = \"planes\"\nlimit = {{ train = 9 }}\n\n\
                 [model.raw]\nkind = \"pixels\"\nimage_size = 32\nin_channels = 3\n\n\
                 [extraction.taps]\nmodel = \"raw\"\ndataset = \"few\"\ntimestep = 0\nblock = 1\npool = 4\n"
            );
            let experiment = crate::graph::build(&Source::new("case.toml", text)).unwrap();
            let stated = of(&experiment);
            let notice = stated
                .iter()
                .find(|departure| departure.topic.contains("FGVC-Aircraft"))
                .unwrap();
            assert_eq!(
                (notice.paper.as_str(), notice.here.as_str()),
                ("not stated", here)
            );
        }
    }
}
