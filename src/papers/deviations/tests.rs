//! Tests of the deviations.

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
        let stated = of(&experiment, &|_, _| None);
        let notice = stated
            .iter()
            .find(|deviation| deviation.topic.contains("FGVC-Aircraft"))
            .unwrap();
        assert_eq!(
            (notice.paper.as_str(), notice.here.as_str()),
            ("not stated", here)
        );
    }
}

/// The deviations of a small experiment.
fn rows(models: &str, extraction: &str, head: &str) -> Vec<Deviation> {
    let text = format!(
        "[experiment]\nname = \"case\"\n\n[dataset.garments]\nkind = \"fashion-mnist\"\nroot = \"data\"\n\n\
         [dataset.few]\nkind = \"subset\"\nof = \"garments\"\nlimit = {{ train = 2000, test = 1000 }}\n\n{models}\n\
         [extraction.taps]\nmodel = \"unet\"\ndataset = \"few\"\nblock = 1\npool = 2\n{extraction}\n\n\
         [head.probe]\nfeatures = \"taps\"\n{head}\n\n[metric.top1]\nkind = \"accuracy\"\nof = \"probe\"\n"
    );
    let experiment = crate::graph::build(&Source::new("case.toml", text)).unwrap();
    let samples = |dataset: usize, split: &str| match (dataset, split) {
        (1, "train") => Some(2000),
        (1, "test") => Some(1000),
        _ => None,
    };
    of(&experiment, &samples)
}

const RANDOM: &str = "[model.unet]\nkind = \"guided-diffusion\"\npreset = \"adm-nano\"\nweights = { synthetic = 7 }\n";

/// What is done here, by topic.
fn here(deviations: &[Deviation], topic: &str) -> Vec<String> {
    let of_topic = deviations.iter().filter(|row| row.topic == topic);
    of_topic.map(|row| row.here.clone()).collect()
}

#[test]
fn datasets_are_listed_with_what_is_trained_on() {
    let stated = rows(RANDOM, "timestep = 10", "kind = \"linear\"");
    assert_eq!(
        here(&stated, "Images"),
        [
            "few, a part of garments (fashion-mnist): trained on 2,000 of split train, tested on 1,000 of split test"
        ]
    );
}

#[test]
fn weights_say_what_they_are() {
    let model = |weights: &str| {
        format!(
            "[model.unet]\nkind = \"guided-diffusion\"\npreset = \"fashion-28\"\nweights = {weights}\n"
        )
    };
    for (weights, expected) in [
        (
            "{ synthetic = 7 }",
            "random weights: synthetic rule, seed 7",
        ),
        (
            "{ initialization = 2 }",
            "random weights: the network's own initialization, seed 2",
        ),
        (
            "\"a.safetensors\"",
            "a.safetensors, weights of the network fashion-28: Fashion-MNIST 28x28, gray, all 60,000 training images",
        ),
    ] {
        let stated = rows(&model(weights), "timestep = 10", "kind = \"linear\"");
        let weights = here(&stated, "Weights");
        assert!(
            weights.len() == 1 && weights[0].starts_with(expected),
            "{weights:?}"
        );
    }
}

#[test]
fn sixteen_bits_are_stated() {
    let plain = rows(RANDOM, "timestep = 10", "kind = \"linear\"");
    assert!(here(&plain, "Arithmetic of the network").is_empty());
    assert!(here(&plain, "Number type of cached features").is_empty());
    let bits = "timestep = 10\nprecision = \"bf16\"\nstorage = \"f16\"";
    let stated = rows(RANDOM, bits, "kind = \"linear\"");
    assert_eq!(here(&stated, "Arithmetic of the network"), ["bf16"]);
    assert_eq!(here(&stated, "Number type of cached features"), ["f16"]);
}

#[test]
fn batch_norm_departs_under_a_frozen_network_alone() {
    const TOPIC: &str = "Probe on a frozen network";
    let frozen = rows(RANDOM, "timestep = 10", "kind = \"batchnorm-linear\"");
    assert_eq!(here(&frozen, TOPIC), ["batch norm, then a linear layer"]);
    let tuned = "kind = \"batchnorm-linear\"\nfine_tune = { lr = 1e-4 }";
    assert!(here(&rows(RANDOM, "timestep = 10", tuned), TOPIC).is_empty());
    assert!(here(&rows(RANDOM, "timestep = 10", "kind = \"linear\""), TOPIC).is_empty());
}

#[test]
fn constants_of_optimizers_are_stated() {
    const TOPIC: &str = "Constants of the optimizer";
    let adam = rows(RANDOM, "timestep = 10", "kind = \"linear\"");
    assert_eq!(here(&adam, TOPIC), ["β₁ = 0.9, β₂ = 0.999, ε = 1e-8"]);
    let sgd = "kind = \"linear\"\noptimizer = { kind = \"sgd\", lr = 1e-2, momentum = 0.5 }";
    assert_eq!(
        here(&rows(RANDOM, "timestep = 10", sgd), TOPIC),
        ["momentum 0.5"]
    );
}

#[test]
fn noise_is_stated_apart_for_training_and_testing() {
    let stated = rows(RANDOM, "timestep = 10", "kind = \"linear\"");
    let training = stated
        .iter()
        .find(|row| row.topic == "Noise and views in training")
        .unwrap();
    assert_eq!(
        training.paper,
        "a random flip; whether an epoch draws fresh noise is not stated (the authors' later code does)"
    );
    assert_eq!(
        here(&stated, "Noise of test images"),
        ["one draw of each image, fixed by seed and sample id"]
    );
    assert_eq!(here(&stated, "Last batch of an epoch").len(), 1);
}

#[test]
fn test_images_that_are_shown_otherwise_are_stated() {
    const TOPIC: &str = "Preprocessing of test images";
    let random = "timestep = 10\npreprocess = [{ random-resized-crop = 32 }]";
    let stated = rows(RANDOM, random, "kind = \"linear\"");
    assert_eq!(here(&stated, "Preprocessing").len(), 1);
    assert!(here(&stated, TOPIC).is_empty());
    let told = format!("{random}\ntest_preprocess = \"resize-center-crop\"");
    let stated = rows(RANDOM, &told, "kind = \"linear\"");
    assert_eq!(here(&stated, TOPIC), ["resize-center-crop"]);
}

/// A network that the paper compares with is held against itself, not against the diffusion network that the paper is about.
#[test]
fn networks_of_comparisons_are_held_against_themselves() {
    let model = |kind: &str, preset: &str, weights: &str| {
        format!("[model.unet]\nkind = \"{kind}\"\npreset = \"{preset}\"\nweights = {weights}\n")
    };
    let of = |kind: &str, preset: &str, weights: &str, extraction: &str| {
        let stated = rows(
            &model(kind, preset, weights),
            extraction,
            "kind = \"linear\"",
        );
        let papers = |topic: &str| -> Vec<String> {
            let of_topic = stated.iter().filter(|row| row.topic == topic);
            of_topic.map(|row| row.paper.clone()).collect()
        };
        (papers("Network"), papers("Weights"))
    };
    let none = || (Vec::<String>::new(), Vec::<String>::new());
    let file = "\"a.pth\"";
    assert_eq!(of("resnet", "resnet-50", file, ""), none());
    assert_eq!(
        of("unet-encoder", "adm-256-classifier", file, "timestep = 90"),
        none()
    );
    let (network, weights) = of("resnet", "resnet-tiny", "{ synthetic = 1 }", "");
    assert_eq!(network, ["a ResNet-50, as its authors published it"]);
    assert_eq!(weights, [AUTHORS_OF_NETWORKS]);
    let (network, weights) = of("unet-encoder", "adm-64-classifier", file, "timestep = 90");
    assert!(network[0].starts_with("U-Net Encoder"), "{network:?}");
    assert_eq!(weights, ["pre-trained on ImageNet by OpenAI"]);
    let (network, _) = of("guided-diffusion", "adm-nano", file, "timestep = 90");
    assert!(network[0].starts_with("ADM U-Net"), "{network:?}");
}

const AUTHORS_OF_NETWORKS: &str = "pre-trained by the authors of the network";
