//! Which networks are used, where their weights come from, and what they compute in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Add, DECLARED};
use crate::feature_type::FeatureType;
use crate::graph::{Experiment, ModelNode};
use crate::models::{ClassCondition, INITIALIZATION, Precision, SYNTHETIC, WeightsSource, preset};
use crate::text::plural;

const ADM: &str = "ADM U-Net, unconditional, 256 × 256 pixels, 553 M parameters";
const OPENAIS: &str = "pre-trained on ImageNet by OpenAI";
/// The weights of the networks that the paper compares with.
const AUTHORS: &str = "pre-trained by the authors of the network";
const UNTAUGHT: &str =
    "declared in the experiment; nothing here says anything about trained diffusion models";
const UNTAUGHT_OTHER: &str =
    "declared in the experiment; nothing here says anything about networks that were trained";

pub(super) fn add(experiment: &Experiment, add: Add<'_>) {
    for node in &experiment.models {
        if let Some(imported) = node.model.imported() {
            add(
                "Network",
                ADM,
                format!(
                    "{}: features that were computed elsewhere, from {}",
                    node.model.variant(),
                    imported.paths()
                ),
                DECLARED,
            );
            continue;
        }
        if !is_as_published(node) {
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
                counterpart(node).network,
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

/// What the paper has in the place of a network.
#[derive(Debug, Clone, Copy)]
struct Counterpart {
    network: &'static str,
    weights: &'static str,
}

/// What the paper has in the place of a model: networks of its comparisons stand for themselves, and everything else for the diffusion
/// network that it is about.
fn counterpart(node: &ModelNode) -> Counterpart {
    let of_authors = |network| Counterpart {
        network,
        weights: AUTHORS,
    };
    match node.model.kind() {
        "guided-diffusion" | "dit" | "pixels" | "onnx" => Counterpart {
            network: ADM,
            weights: OPENAIS,
        },
        "unet-encoder" => Counterpart {
            network: "U-Net Encoder: OpenAI's classifier of noisy images, 256 × 256 pixels",
            weights: OPENAIS,
        },
        "mage" => of_authors("MAGE, as its authors published it"),
        "resnet" => of_authors("a ResNet-50, as its authors published it"),
        "vit" => of_authors("a vision transformer, as its authors published it"),
        "stable-diffusion" | "autoencoder" => {
            of_authors("Stable Diffusion, as its authors published it")
        }
        "inception" => of_authors("Inception-v3 for FID, as its authors published it"),
        _ => of_authors("a network that the paper compares with, as its authors published it"),
    }
}

/// Whether the network itself is one that the paper has: of diffusion networks the one of 256 pixels, of others those that are published.
fn is_as_published(node: &ModelNode) -> bool {
    let variant = node.model.variant();
    match node.model.kind() {
        "guided-diffusion" => variant == "adm-256-uncond",
        "dit" | "pixels" | "onnx" => false,
        "unet-encoder" => variant == "adm-256-classifier",
        // No address of its files is known to be plain.
        "mage" => ["mage-base", "mage-large"].contains(&variant),
        _ => preset(variant).is_some_and(|preset| preset.checkpoint.is_some()),
    }
}

/// What the weights of one model are.
fn weights(node: &ModelNode, add: Add<'_>) {
    let here = match node.model.weights() {
        WeightsSource::File(path) if !is_as_published(node) => {
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
    add("Weights", counterpart(node).weights, here, DECLARED);
}

/// Weights that are drawn, one row for each rule and for each weights that the paper has in their place.
fn drawn(experiment: &Experiment, add: Add<'_>) {
    let rules = [
        ("synthetic rule", SYNTHETIC),
        ("the network's own initialization", INITIALIZATION),
    ];
    for (phrase, rule) in rules {
        let mut seeds: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for node in &experiment.models {
            if let Some((_, seed)) = node
                .model
                .weights()
                .rule_and_seed()
                .filter(|(own, _)| *own == rule)
            {
                let paper = counterpart(node).weights;
                seeds.entry(paper).or_default().insert(seed);
            }
        }
        for (paper, seeds) in seeds {
            let listed: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            let noun = if listed.len() == 1 { "seed" } else { "seeds" };
            let here = format!("random weights: {phrase}, {noun} {}", listed.join(", "));
            let why = match paper {
                OPENAIS => UNTAUGHT,
                _ => UNTAUGHT_OTHER,
            };
            add("Weights", paper, here, why);
        }
    }
}
