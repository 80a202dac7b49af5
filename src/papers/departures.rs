//! Where an experiment departs from the paper, read off its configuration. Reports print it as a table.

use std::collections::BTreeSet;

use crate::graph::{Experiment, HeadNode};
use crate::imaging::Preprocess;
use crate::models::WeightsSource;
use crate::report::Departure;
use crate::text::plural;
use crate::trainer::{Training, UpdateRule};

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
    let is_cached = |head: &&HeadNode| !head.training.online && head.training.fine_tune.is_none();
    let cached: Vec<&HeadNode> = experiment.heads.iter().filter(is_cached).collect();
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
            format!("{here}; fresh noise for heads that are `online` or train the network")
        } else {
            here
        };
        add(
            "Noise and views",
            "fresh noise and a random flip in every epoch",
            here,
            "features are computed once and cached",
        );
    }
    for extraction in &experiment.extractions {
        if extraction.preprocess != Preprocess::default() {
            add(
                "Preprocessing",
                "resize and center crop of guided-diffusion",
                extraction.preprocess.name(),
                "declared in the experiment",
            );
        }
        let own = experiment.models[extraction.model].model.input();
        if extraction.normalization != own.normalization {
            add(
                "Normalization",
                "pixels between -1 and 1",
                extraction.normalization.name().to_owned(),
                "declared in the experiment",
            );
        }
    }
    for question in experiment
        .heads
        .iter()
        .flat_map(|head| head.head.open_questions())
    {
        let here = question.here.to_owned();
        add(question.topic, "not stated", here, question.reason);
    }
    let standardized = experiment
        .heads
        .iter()
        .filter(|head| head.head.standardizes());
    let kinds: BTreeSet<&str> = standardized.map(|head| head.head.kind()).collect();
    if !kinds.is_empty() {
        let kinds: Vec<&str> = kinds.into_iter().collect();
        add(
            "Scale of features",
            "as the network gives them",
            format!("standardized for {}", kinds.join(", ")),
            "declared in the experiment",
        );
    }
    training_of_heads(experiment, &mut add);
    departures
}

/// What a row of the table says of one training; nothing where it is as in the paper.
type Pick<'p> = &'p dyn Fn(&Training) -> Option<String>;

/// What the training of heads settles or changes. Values of a grid stand in one row.
fn training_of_heads(experiment: &Experiment, add: &mut dyn FnMut(&str, &str, String, &str)) {
    const DECLARED: &str = "declared in the experiment";
    const NOT_PRINTED: &str = "the paper does not print it";
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
    let rows: [(&str, &str, Pick<'_>, &str); 14] = [
        (
            "Optimizer",
            "Adam",
            &|training| {
                let kind = training.optimizer.kind;
                (kind != UpdateRule::Adam).then(|| kind.title().to_owned())
            },
            DECLARED,
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
            "Remainder of an epoch",
            "not stated; dropped in the later code",
            &|_| Some("none: an epoch is cut into equal batches".to_owned()),
            "a few samples would move the weights as far as a whole batch",
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
            "Bound on gradients",
            "none stated",
            &|training| training.clip.map(|longest| format!("{longest}")),
            DECLARED,
        ),
        (
            "Training samples",
            "all",
            &|training| {
                (training.holdout > 0.0)
                    .then(|| format!("{} % of each class held out", training.holdout * 100.0))
            },
            "candidates are chosen on what is held out",
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
