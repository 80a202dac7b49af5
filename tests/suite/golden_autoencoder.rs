//! An autoencoder against recorded outputs of the reference, and its files under the names of every publisher.
//!
//! Data, oracle and tolerances: `tests/golden/autoencoder/README.md`.

use std::path::PathBuf;
use std::sync::Arc;

use repro::models::autoencoding::AutoencodingModel;
use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{Images, Until};
use repro::models::kinds::autoencoder::{network, presets};
use repro::models::{self, BlockIndex, Model, Precision, WeightsSource};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tch::{Device, Tensor};

use crate::fixture::{CliTest, root};
use crate::golden_arrays::{assert_close, every, golden, numbers};

/// Absolute, for feature maps and decoded images.
const TOLERANCE: f64 = 3e-5;
/// For the moments.
const OF_MOMENTS: f64 = 1.5e-5;
/// For latents.
const OF_LATENTS: f64 = 3e-6;
/// Of the weights.
const SEED: u64 = 52;
const FILE: &str = "autoencoder/vae-tiny.safetensors";

fn tiny() -> Arc<dyn Model> {
    let preset = models::preset("vae-tiny").unwrap().model;
    preset.with_weights(WeightsSource::Synthetic(SEED))
}

fn autoencoding(model: &dyn Model) -> &dyn AutoencodingModel {
    model.autoencoding().unwrap()
}

/// Every tap of the golden image, and the output.
fn run_all(model: &dyn Model, precision: Precision) -> (Vec<Tensor>, Tensor) {
    let network = model.load(root(), Device::Cpu, precision).unwrap();
    let taps: Vec<BlockIndex> = model.blocks().iter().map(|block| block.index).collect();
    let pixels = numbers(&golden(FILE)["input"]);
    let images = Images {
        pixels: &pixels,
        count: 1,
        timestep: None,
        classes: None,
    };
    let mut found = Vec::new();
    let output = network.forward(images, &taps, Until::Output, &mut |tap, output| {
        assert_eq!(tap, taps[found.len()]);
        found.push(output.copy());
    });
    let output = output.unwrap().unwrap();
    assert_eq!(found.len(), taps.len());
    (found, output)
}

#[test]
fn every_tap_of_the_tiny_encoder_is_the_golden_one() {
    let golden = golden(FILE);
    let model = tiny();
    let (taps, output) = run_all(&*model, Precision::F32);
    for (block, tap) in model.blocks().iter().zip(&taps) {
        let sizes: Vec<i64> = block.shape.sizes().into_iter().map(i64::from).collect();
        assert_eq!(tap.size()[1..], sizes, "{}", block.path);
    }
    let mut names = vec!["conv_in".to_owned()];
    for level in 0..4 {
        names.extend((0..2).map(|place| format!("down{level}.res{place}")));
        if level < 3 {
            names.push(format!("down{level}.downsample"));
        }
    }
    names.extend(["mid.res0", "mid.attn", "mid.res1", "encoder_out", "moments"].map(String::from));
    for (name, tap) in names.iter().zip(&taps) {
        let tolerance = if name == "moments" {
            OF_MOMENTS
        } else {
            TOLERANCE
        };
        if let Some(corner) = golden.get(&format!("{name}.corner")) {
            let eight = tap.narrow(1, 0, 8);
            let side = tap.size()[3];
            let found = eight.narrow(2, 0, 4).narrow(3, 0, 4);
            assert_close(name, &found, corner, tolerance);
            let found = eight.narrow(2, side - 4, 4).narrow(3, side - 4, 4);
            let far = &golden[&format!("{name}.far_corner")];
            assert_close(name, &found, far, tolerance);
            let pooled = every(&tap.adaptive_avg_pool2d([4, 4]), 1, 8);
            assert_close(name, &pooled, &golden[&format!("{name}.pool4")], tolerance);
            continue;
        }
        let whole = name == "moments" || name == "encoder_out";
        let found = if whole { tap.copy() } else { every(tap, 1, 8) };
        assert_close(name, &found, &golden[name], tolerance);
    }
    assert_eq!(names.len() + 1, taps.len());
    assert_close("latent", &output, &golden["latent_mode"], OF_LATENTS);
    assert_eq!(&output, taps.last().unwrap());
}

#[test]
fn the_decoder_gives_the_golden_image() {
    let golden = golden(FILE);
    let model = tiny();
    let decoder = autoencoding(&*model)
        .load_decoder(root(), Device::Cpu, Precision::F32)
        .unwrap();
    let decoded = decoder.decode(&golden["latent_sample"]);
    assert_eq!(decoded.size(), [1, 3, 64, 64]);
    assert_close(
        "decoded",
        &every(&decoded, 2, 4),
        &golden["decoded"],
        TOLERANCE,
    );
}

#[test]
fn the_latent_has_an_eighth_of_the_side_and_its_own_precision() {
    let model = tiny();
    let latent = autoencoding(&*model).latent();
    assert_eq!((latent.channels, latent.side), (4, 8));
    assert_eq!(autoencoding(&*model).latent_precision(), Precision::F32);
    let last = model.blocks().last().unwrap();
    assert_eq!(autoencoding(&*model).latent_block(), last.index);
}

#[test]
fn in_16_bits_latents_are_near() {
    let model = tiny();
    let (_, exact) = run_all(&*model, Precision::F32);
    let (taps, latent) = run_all(&*model, Precision::Bf16);
    assert_eq!(taps[3].kind(), Precision::Bf16.kind());
    assert_close("latent", &latent, &exact, 0.05);
}

#[test]
fn the_network_runs_no_deeper_than_the_deepest_tap() {
    let network = tiny().load(root(), Device::Cpu, Precision::F32).unwrap();
    let pixels = vec![0.0; 3 * 64 * 64];
    let images = Images {
        pixels: &pixels,
        count: 1,
        timestep: None,
        classes: None,
    };
    let mut visited = Vec::new();
    let taps = [BlockIndex(2), BlockIndex(4)];
    let output = network.forward(images, &taps, Until::DeepestTap, &mut |tap, _| {
        visited.push(tap.0);
    });
    assert!(output.unwrap().is_none());
    assert_eq!(visited, [2, 4]);
    let beyond = [BlockIndex(19)];
    let error = network.forward(images, &beyond, Until::Output, &mut |_, _| {});
    let error = error.unwrap_err().to_string();
    assert!(error.contains("its last one is b18"), "{error}");
}

/// The names of each layer: the network's own, those of earlier releases of diffusers, those of CompVis.
fn names() -> Vec<[String; 3]> {
    let text = std::fs::read_to_string(root().join("tests/golden/autoencoder/names.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let names: Vec<String> = line.split(' ').map(str::to_owned).collect();
            names.try_into().unwrap()
        })
        .collect()
}

/// A file of the tiny network as a publisher names its tensors.
fn file(cli: &CliTest, publisher: usize, prefix: &str) -> PathBuf {
    let config = presets::find("vae-tiny").unwrap().network;
    let layers = names();
    let tensors = config.state_dict().into_iter().map(|(name, mut shape)| {
        let values = synthetic::fill(&name, &shape, SEED);
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let (path, part) = name.rsplit_once('.').unwrap();
        let layer = layers.iter().find(|layer| layer[0] == path).unwrap();
        let of_attention = path.contains("attentions") && shape.len() == 2;
        if publisher == 2 && of_attention {
            shape.extend([1, 1]);
        }
        (format!("{prefix}{}.{part}", layer[publisher]), shape, bytes)
    });
    let mut tensors: Vec<_> = tensors.collect();
    if !prefix.is_empty() {
        // What a checkpoint of Stable Diffusion has beside it.
        let other = "model.diffusion_model.out.2.bias".to_owned();
        tensors.push((other, vec![1], vec![0; 4]));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let name = format!("vae-{publisher}-{}.safetensors", prefix.len());
    cli.write(&name, safetensors::serialize(views, None).unwrap());
    cli.path(&name)
}

#[test]
fn files_of_every_publisher_are_recognized_and_give_the_same_latents() {
    let cli = CliTest::new();
    let (_, expected) = run_all(&*tiny(), Precision::F32);
    for (publisher, prefix) in [
        (0, ""),
        (1, ""),
        (2, "first_stage_model."),
        (2, "state_dict.first_stage_model."),
        (2, ""),
    ] {
        let path = file(&cli, publisher, prefix);
        let stored = StoredTensors::open(&path).unwrap();
        let kinds = models::ALL.iter();
        let fitting: Vec<String> = kinds
            .flat_map(|kind| (kind.more.fitting)(&stored))
            .collect();
        assert_eq!(fitting, ["vae-tiny"], "{publisher} {prefix}");
        let model = tiny().with_weights(WeightsSource::File(path.clone()));
        model.check_file(&path).unwrap();
        let (_, latent) = run_all(&*model, Precision::F32);
        assert_close("latent", &latent, &expected, 0.0);
        let decoder = autoencoding(&*model);
        let decoder = decoder.load_decoder(root(), Device::Cpu, Precision::F32);
        assert_eq!(decoder.unwrap().decode(&latent).size(), [1, 3, 64, 64]);
    }
}

#[test]
fn what_is_taken_is_what_the_state_dict_has() {
    let config = presets::find("vae-tiny").unwrap().network;
    let mut taken = Vec::new();
    let mut weights = WeightMap::synthetic(1);
    network::Encoder::new(&config, &mut weights).unwrap();
    taken.extend_from_slice(weights.requested());
    let mut weights = WeightMap::synthetic(1);
    network::Decoder::new(&config, &mut weights).unwrap();
    taken.extend_from_slice(weights.requested());
    let mut needed = config.state_dict();
    taken.sort();
    needed.sort();
    assert_eq!(taken, needed);
}
