//! Stable Diffusion in an experiment: its files, its texts, and a condition that is learned.

use std::collections::BTreeSet;

use repro::models::checkpoint::file_names::FileNames;
use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::kinds::stable_diffusion::{names, presets};
use repro::store::Store;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::fixture::{CliTest, root};

/// Tensors by the synthetic rule for the network's own names, under those of a file.
type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

fn tensors(parameters: &[(String, Vec<usize>)], names: FileNames, seed: u64) -> Tensors {
    let parameters = parameters.iter();
    parameters
        .map(|(name, shape)| {
            let values = synthetic::fill(name, shape, seed);
            let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
            (names.stored(name), shape.clone(), bytes)
        })
        .collect()
}

fn write(cli: &CliTest, file: &str, parts: &[Tensors]) {
    let views = parts.iter().flatten().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    cli.write(file, safetensors::serialize(views, None).unwrap());
}

fn behind(prefix: &'static str) -> FileNames {
    FileNames {
        prefix,
        ..FileNames::PLAIN
    }
}

/// The tiny network in the layouts that are published: a checkpoint of the whole system, and the folders of diffusers.
fn layouts(cli: &CliTest) {
    let config = presets::find("sd-tiny").unwrap().network;
    let (unet, text) = (config.state_dict(), config.text.state_dict());
    let whole = [
        tensors(&unet, behind("model.diffusion_model."), 7),
        tensors(&text, behind("cond_stage_model.transformer."), 7),
    ];
    write(cli, "whole.safetensors", &whole);
    let diffusers = FileNames {
        renames: names::DIFFUSERS,
        ..FileNames::PLAIN
    };
    write(cli, "unet.safetensors", &[tensors(&unet, diffusers, 7)]);
    write(
        cli,
        "text.safetensors",
        &[tensors(&text, FileNames::PLAIN, 7)],
    );
    let other = tensors(&text, FileNames::PLAIN, 8);
    write(cli, "other-text.safetensors", &[other]);
}

#[test]
fn what_lightning_keeps_beside_the_tensors_is_left_alone_and_not_executed() {
    let file = root().join("tests/golden/stable_diffusion/lightning.ckpt");
    let stored = StoredTensors::open(&file).unwrap();
    let names: Vec<&str> = stored.names().collect();
    let expected = [
        "callbacks.ModelCheckpoint.best_model_score",
        "state_dict.cond_stage_model.transformer.text_model.final_layer_norm.weight",
        "state_dict.model.diffusion_model.time_embed.0.weight",
    ];
    assert_eq!(names, expected);
    for (known, probe) in [
        (names::UNET, "time_embed.0.weight"),
        (names::TEXT, "text_model.final_layer_norm.weight"),
    ] {
        let found = FileNames::of(&stored, known, probe);
        assert_ne!(found, FileNames::PLAIN);
        assert!(names.contains(&found.stored(probe).as_str()));
    }
}

/// An experiment with a model of these keys.
fn experiment(cli: &CliTest, keys: &str, extraction: &str, head: &str) {
    cli.write(
        "sd.toml",
        format!(
            r#"
[experiment]
name = "sd"

[dataset.fashion]
kind = "fashion-mnist"
root = "fashion"

[model.vae]
kind    = "autoencoder"
preset  = "vae-tiny"
weights = {{ synthetic = 2 }}
size    = 64

[model.sd]
kind        = "stable-diffusion"
preset      = "sd-tiny"
autoencoder = "vae"
{keys}

[extraction.taps]
model    = "sd"
dataset  = "fashion"
timestep = 150
block    = 18
{extraction}

[head.probe]
kind     = "linear"
features = "taps"
epochs   = 2
batch_size = 8
{head}

[metric.accuracy]
kind = "accuracy"
of   = "probe"
"#
        ),
    );
}

const RUN: [&str; 4] = ["run", "sd.toml", "--device", "cpu"];

/// The features of the U-Net, by their fingerprints.
fn features(cli: &CliTest) -> Vec<(String, Vec<f32>)> {
    let manifests = cli.files(".repro/artifacts/features").into_iter();
    let manifests = manifests.filter(|(path, _)| path.ends_with("manifest.json"));
    let of_unet = manifests.filter_map(|(_, text)| {
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let is_of_unet = manifest["recipe"].to_string().contains("stable-diffusion");
        is_of_unet.then(|| manifest["fingerprint"].as_str().unwrap().to_owned())
    });
    let values = |fingerprint: String| {
        let store = Store::open(cli.path(".repro")).unwrap();
        let reader = store.features(&fingerprint.parse().unwrap()).unwrap();
        let values = reader.parts()[0].values_f32().unwrap().to_vec();
        assert_eq!(values.len(), 18 * 64);
        (fingerprint, values)
    };
    of_unet.map(values).collect()
}

#[test]
fn published_layouts_give_the_same_features_and_the_text_encoder_is_part_of_them() {
    let cli = CliTest::with_fashion(12, 6);
    layouts(&cli);
    let mut seen: Vec<Vec<f32>> = Vec::new();
    let mut count = 0;
    for (keys, is_new, is_same) in [
        ("weights = 'whole.safetensors'", true, true),
        (
            "weights = 'unet.safetensors'\ntext_encoder = 'text.safetensors'",
            true,
            true,
        ),
        ("weights = { synthetic = 7 }", true, true),
        (
            "weights = { synthetic = 7 }\nprompt_ids = [49406, 49407]",
            false,
            true,
        ),
        (
            "weights = { synthetic = 7 }\nprompt_ids = [49406, 320, 49407]",
            true,
            false,
        ),
        (
            "weights = 'unet.safetensors'\ntext_encoder = 'other-text.safetensors'",
            true,
            false,
        ),
    ] {
        experiment(&cli, keys, "", "");
        let before: BTreeSet<String> = features(&cli).into_iter().map(|(path, _)| path).collect();
        cli.run(&RUN).expect_code(0);
        let after = features(&cli);
        let made: Vec<_> = after
            .iter()
            .filter(|(path, _)| !before.contains(path))
            .collect();
        assert_eq!(!made.is_empty(), is_new, "{keys}");
        for (_, values) in made {
            assert_eq!(seen.is_empty() || seen.contains(values), is_same, "{keys}");
            seen.push(values.clone());
            count += 1;
        }
    }
    assert_eq!(count, 5);
}

#[test]
fn a_file_without_text_encoder_and_one_that_is_missing_are_errors_before_anything_runs() {
    let cli = CliTest::with_fashion(12, 6);
    layouts(&cli);
    for (keys, said) in [
        (
            "weights = 'unet.safetensors'",
            &["it has no text encoder", "`text_encoder`"][..],
        ),
        (
            "weights = 'unet.safetensors'\ntext_encoder = 'unet.safetensors'",
            &["text_model.final_layer_norm.weight"],
        ),
        (
            "weights = 'unet.safetensors'\ntext_encoder = 'nowhere.safetensors'",
            &["nowhere.safetensors"],
        ),
        (
            "weights = { synthetic = 7 }\nprompt = 'a cat'\ntokenizer = 'nowhere'",
            &["nowhere/vocab.json"],
        ),
    ] {
        experiment(&cli, keys, "", "");
        let output = cli.run(&RUN);
        assert_ne!(output.code, Some(0), "{output}");
        output.expect_in_stderr(said);
    }
    assert!(features(&cli).is_empty());
}

#[test]
fn a_text_in_words_is_read_by_a_vocabulary() {
    let cli = CliTest::with_fashion(12, 6);
    let folder = root().join("tests/golden/stable_diffusion/tokenizer");
    for file in ["vocab.json", "merges.txt"] {
        cli.write(
            &format!("tokenizer/{file}"),
            std::fs::read(folder.join(file)).unwrap(),
        );
    }
    let keys = "weights = { synthetic = 7 }\ntokenizer = 'tokenizer'\nprompt = 'a photo of a cat'";
    experiment(&cli, keys, "", "");
    cli.run(&RUN).expect_code(0);
    // As tests/golden/stable_diffusion/tokenizer/ids.json has it.
    let ids = "[602, 320, 532, 516, 320, 66, 549";
    let ends = ", 603".repeat(70);
    let keys = format!("weights = {{ synthetic = 7 }}\nprompt_ids = {ids}{ends}]");
    experiment(&cli, &keys, "", "");
    cli.run(&RUN).expect_code(0);
    let found = features(&cli);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].1, found[1].1);
    let long = format!("prompt = '{}'", "cat ".repeat(80));
    experiment(
        &cli,
        &format!("weights = {{ synthetic = 7 }}\ntokenizer = 'tokenizer'\n{long}"),
        "",
        "",
    );
    let output = cli.run(&RUN);
    assert_ne!(output.code, Some(0), "{output}");
    output.expect_in_stderr(&["at most 75"]);
}

#[test]
fn a_learned_condition_is_all_that_a_head_trains_below_it() {
    let cli = CliTest::with_fashion(12, 6);
    experiment(
        &cli,
        "weights = { synthetic = 7 }\ncondition = 'learned'",
        "",
        "fine_tune = { lr = 1e-2 }",
    );
    cli.run(&RUN).expect_code(0);
    let heads = cli.files(".repro/artifacts/head").into_keys();
    let network: Vec<String> = heads
        .filter(|path| path.ends_with("network.safetensors"))
        .collect();
    assert_eq!(network.len(), 1);
    let file = cli.path(".repro/artifacts/head").join(&network[0]);
    let stored = StoredTensors::open(&file).unwrap();
    let all: Vec<_> = stored.descriptions().collect();
    assert_eq!(all, [("condition", Dtype::F32, &[1, 77, 32][..])]);
    // Latents are kept, features of a network that learns are not.
    assert!(features(&cli).is_empty());
    assert_eq!(
        cli.query("select value from results where metric = 'top1'")
            .len(),
        1
    );
}
