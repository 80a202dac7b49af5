//! Which networks are used, where their weights come from, and what they compute in.

use std::collections::BTreeSet;

use super::{Add, DECLARED};
use crate::feature_type::FeatureType;
use crate::graph::{Experiment, ModelNode};
use crate::models::{ClassCondition, Precision, WeightsSource, preset};
use crate::text::plural;

const OPENAIS: &str = "pre-trained on ImageNet by OpenAI";
const UNTAUGHT: &str =
    "declared in the experiment; nothing here says anything about trained diffusion models";

pub(super) fn add(experiment: &Experiment, add: Add<'_>) {
    for node in &experiment.models {
        if let Some(imported) = node.model.imported() {
            add(
                "Network",
                "ADM U-Net, unconditional, 256 × 256 pixels, 553 M parameters",
                format!(
                    "{}: features that were computed elsewhere, from {}",
                    node.model.variant(),
                    imported.paths()
                ),
                DECLARED,
            );
            continue;
        }
        if node.model.variant() != "adm-256-uncond" {
            let network = match node.model.weights() {
                WeightsSource::None => "none, a baseline: the image itself",
                _ => node.model.variant(),
            };
            let reader = node
                .autoencoder
                .and_then(|index| experiment.models.get(index));
            let side = reader.unwrap_or(node).model.input().side;
            add(
                "Network",
                "ADM U-Net, unconditional, 256 × 256 pixels, 553 M parameters",
                format!("{network}, {side} × {side} pixels"),
                DECLARED,
            );
        }
        weights(node, add);
    }
    drawn(experiment, add);
    for node in &experiment.pretrains {
        let training = &node.training;
        add(
            "Weights",
            OPENAIS,
            format!(
                "trained by this experiment on {}: {} of {}, seed {}",
                experiment.datasets[node.dataset].name,
                plural(training.steps as usize, "step"),
                plural(training.batch_size as usize, "image"),
                training.seed
            ),
            DECLARED,
        );
    }
    let extractions = || experiment.extractions.iter();
    classes(experiment, add);
    let precisions: BTreeSet<Precision> = extractions().map(|node| node.precision).collect();
    for precision in precisions {
        if precision != Precision::F32 {
            add(
                "Arithmetic of the network",
                "not stated; 16 bits (f16) in the authors' later code",
                precision.name().to_owned(),
                DECLARED,
            );
        }
    }
    if extractions().any(|node| node.storage == FeatureType::F16) {
        add(
            "Number type of cached features",
            "not stated",
            "f16".to_owned(),
            DECLARED,
        );
    }
}

/// What networks are given besides images and timesteps.
fn classes(experiment: &Experiment, add: Add<'_>) {
    for node in &experiment.extractions {
        let Some(condition) = node.class else {
            continue;
        };
        let model = &experiment.models[node.model].name;
        let here = match condition {
            ClassCondition::Label => format!(
                "{model} is given the label of each image: its features hold the answer, and scores on them do not measure what it sees"
            ),
            ClassCondition::Fixed(class) => {
                format!("{model} is given class {class} with every image, whatever it shows")
            }
            ClassCondition::Null => {
                format!("{model} is given the class that stands for none with every image")
            }
        };
        add(
            "Class given to the network",
            "none: the network is unconditional",
            here,
            DECLARED,
        );
    }
}

/// What the weights of one model are.
fn weights(node: &ModelNode, add: Add<'_>) {
    let here = match node.model.weights() {
        WeightsSource::File(path) if node.model.variant() != "adm-256-uncond" => {
            let known = preset(node.model.variant());
            let trained_on = known.map_or_else(
                || "what they were trained on is not recorded".to_owned(),
                |preset| format!("weights of the network {}: {}", preset.name, preset.title),
            );
            format!("{}, {trained_on}", path.display())
        }
        // Drawn ones, those of the paper, of a training of this experiment, or none.
        _ => return,
    };
    add("Weights", OPENAIS, here, DECLARED);
}

/// Weights that are drawn, one row for each rule.
fn drawn(experiment: &Experiment, add: Add<'_>) {
    let (mut synthetic, mut initial) = (BTreeSet::new(), BTreeSet::new());
    for node in &experiment.models {
        match node.model.weights() {
            WeightsSource::Synthetic(seed) => synthetic.insert(*seed),
            WeightsSource::Initialization(seed) => initial.insert(*seed),
            _ => false,
        };
    }
    let rules = [
        ("synthetic rule", synthetic),
        ("the network's own initialization", initial),
    ];
    for (rule, seeds) in rules {
        let listed: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        let seeds = match listed.len() {
            0 => continue,
            1 => "seed",
            _ => "seeds",
        };
        let here = format!("random weights: {rule}, {seeds} {}", listed.join(", "));
        add("Weights", OPENAIS, here, UNTAUGHT);
    }
}
