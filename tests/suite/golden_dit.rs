//! DiT against recorded outputs of the reference.
//!
//! Data, oracle and tolerances: `tests/golden/dit/README.md`.

use std::collections::BTreeMap;

use repro::diffusion::respacing::Respacing;
use repro::diffusion::reverse::Variance;
use repro::diffusion::sampling::{Method, Sampling, Step};
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{ForwardError, Images, Until};
use repro::models::guidance::Guidance;
use repro::models::kinds::dit::config::{Config, POSITIONS};
use repro::models::kinds::dit::network::Network;
use repro::models::kinds::dit::presets;
use repro::models::{self, BlockIndex, Precision, Reduce, WeightsSource, find_block};
use tch::{Device, Kind, Tensor};

use crate::fixture::root;
use crate::golden_arrays::{assert_close, every, golden, numbers};

const OF_SINUSOIDS: f64 = 2e-5;
/// At the last timestep, whose angles lose digits in f32.
const OF_LAST_SINUSOID: f64 = 1e-4;
const OF_CONDITIONS: f64 = 5e-5;
const OF_BLOCKS: f64 = 1e-4;
const WITHIN_BLOCKS: f64 = 5e-5;
const FULL_SIZE: f64 = 5e-5;
/// Of the largest magnitude of the tensor.
const OF_SAMPLES: f64 = 5e-5;
/// Tokens and rows that were kept.
const TOKENS: i64 = 9;
const INNER_TOKENS: i64 = 13;
const ROWS: i64 = 4;
const SEED: u64 = 71;

fn tiny() -> Config {
    presets::find("dit-tiny").unwrap().network
}

fn network() -> Network {
    built(&tiny(), SEED)
}

fn built(config: &Config, seed: u64) -> Network {
    let weights = WeightMap::synthetic(seed);
    let mut weights = weights.with_computed(POSITIONS, config.positions());
    Network::new(config, &mut weights).unwrap()
}

fn integers(values: &[i64]) -> Tensor {
    Tensor::from_slice(values)
}

/// The noisy latents at a timestep.
fn x_t(golden: &BTreeMap<String, Tensor>, timestep: u32) -> Tensor {
    let model = models::preset("dit-tiny").unwrap().model;
    let mut values = numbers(&golden["x0"]);
    let coefficients = model.coefficients(timestep).unwrap();
    coefficients.add_noise(&mut values, &numbers(&golden["eps"]));
    Tensor::from_slice(&values).view_as(&golden["x0"])
}

#[test]
fn positions_are_the_golden_ones() {
    let positions = Tensor::from_slice(&tiny().positions()).view([1, 64, 64]);
    let expected = &golden("dit/dit-tiny.safetensors")["pos_embed"];
    assert_close("pos_embed", &every(&positions, 1, TOKENS), expected, 1e-6);
}

#[test]
fn conditions_are_the_golden_ones() {
    let golden = golden("dit/dit-tiny.safetensors");
    let network = network();
    for timestep in [0, 250, 999] {
        let at = integers(&[timestep]);
        let tolerance = if timestep == 999 {
            OF_LAST_SINUSOID
        } else {
            OF_SINUSOIDS
        };
        let key = |name: &str| format!("t{timestep}.{name}");
        let sinusoid = &golden[&key("sinusoid")];
        assert_close("sinusoid", &network.sinusoid(&at), sinusoid, tolerance);
        let embedded = network.timestep(&at);
        assert_close("t_emb", &embedded, &golden[&key("t_emb")], OF_CONDITIONS);
        for (name, classes) in [("label", [3, 7]), ("null", [10, 10])] {
            let condition = &embedded + network.class(&integers(&classes));
            let expected = &golden[&key(&format!("{name}.c"))];
            assert_close("c", &condition, expected, OF_CONDITIONS);
        }
    }
    let label = network.class(&integers(&[3, 7]));
    assert_close("y_emb", &label, &golden["y_emb.label"], 0.0);
    assert_close(
        "y_emb",
        &network.class(&integers(&[10])),
        &golden["y_emb.null"],
        0.0,
    );
}

#[test]
fn every_block_and_the_output_of_the_tiny_network_are_the_golden_ones() {
    let golden = golden("dit/dit-tiny.safetensors");
    let network = network();
    let taps: Vec<BlockIndex> = (0..=4).map(BlockIndex).collect();
    assert_close("xt", &x_t(&golden, 250), &golden["t250.xt"], 1e-6);
    for timestep in [0_u32, 250, 999] {
        let x = x_t(&golden, timestep);
        let at = integers(&[timestep.into()]);
        for (name, classes) in [("label", [3, 7]), ("null", [10, 10])] {
            let classes = integers(&classes);
            let mut tokens = Vec::new();
            let output = network.forward_taps(
                &x,
                (&at, &classes),
                &taps,
                Until::Output,
                &mut |tap, output| {
                    assert_eq!(tap, taps[tokens.len()]);
                    tokens.push(output.copy());
                },
            );
            let output = output.unwrap().unwrap();
            assert_eq!(tokens.len(), 5);
            if let Some(expected) = golden.get(&format!("t{timestep}.embed")) {
                assert_close("embed", &every(&tokens[0], 1, TOKENS), expected, OF_BLOCKS);
            }
            let mut compared = 0;
            for (place, tokens) in tokens.iter().enumerate() {
                let key = format!("t{timestep}.{name}.b{place:02}");
                if let Some(expected) = golden.get(&key) {
                    assert_close(&key, &every(tokens, 1, TOKENS), expected, OF_BLOCKS);
                    compared += 1;
                }
            }
            assert_eq!(compared, if timestep == 250 { 4 } else { 2 });
            let condition = network.timestep(&at) + network.class(&classes);
            let last = network.last(&tokens[4], &condition);
            let key = format!("t{timestep}.{name}.final");
            assert_close(&key, &every(&last, 1, TOKENS), &golden[&key], OF_BLOCKS);
            let key = format!("t{timestep}.{name}.out");
            let found = if timestep == 250 {
                output
            } else {
                every(&output, 2, ROWS)
            };
            assert_close(&key, &found, &golden[&key], OF_BLOCKS);
        }
    }
}

#[test]
fn what_is_computed_within_a_block_is_the_golden() {
    let golden = golden("dit/dit-tiny.safetensors");
    let network = network();
    let x = x_t(&golden, 250);
    let (at, classes) = (integers(&[250]), integers(&[3, 7]));
    let condition = network.timestep(&at) + network.class(&classes);
    let positions = Tensor::from_slice(&tiny().positions()).view([1, 64, 64]);
    let patches = network.patches(&x);
    let key = "t250.patch_embed";
    assert_close(
        key,
        &every(&patches, 1, TOKENS),
        &golden[key],
        WITHIN_BLOCKS,
    );
    let mut tokens = patches + positions;
    let mut compared = 0;
    for (number, block) in (1..).zip(network.blocks()) {
        let key = |name: &str| format!("t250.label.b{number:02}.{name}");
        let modulation = block.modulation(&condition);
        let (after, inner) = block.inner(&tokens, &condition);
        if let Some(expected) = golden.get(&key("modulation")) {
            assert_close("modulation", &modulation, expected, WITHIN_BLOCKS);
            for (name, found) in [
                ("attn_in", &inner.attention_input),
                ("attn_out", &inner.attention_output),
                ("mlp_in", &inner.mlp_input),
                ("mlp_out", &inner.mlp_output),
            ] {
                let found = every(found, 1, INNER_TOKENS);
                assert_close(name, &found, &golden[&key(name)], WITHIN_BLOCKS);
                compared += 1;
            }
        }
        tokens = after;
    }
    assert_eq!(compared, 8);
}

#[test]
fn guidance_is_the_golden_one() {
    let golden = golden("dit/dit-tiny.safetensors");
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(SEED));
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    // The reference gives both halves the first half of what it is given; the second half of what it gives is never used.
    let x = golden["cfg.x"].narrow(0, 0, 2);
    for (name, scale) in [("cfg.4.0.out", 4.0), ("cfg.1.5.out", 1.5)] {
        let guidance = Guidance { scale, null: 10 };
        let guided = network.guided(&x, 250, &[3, 7], guidance).unwrap();
        let expected = golden[name].narrow(0, 0, 2);
        assert_close(name, &every(&guided, 2, ROWS), &expected, OF_BLOCKS);
    }
}

#[test]
fn samples_with_guidance_are_the_golden_ones() {
    let golden = golden("dit/dit-tiny.safetensors");
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(SEED));
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let denoising = model.denoising().unwrap();
    assert!(denoising.learns_variance());
    let sampling = Sampling {
        diffusion: denoising.process(&Respacing::Sections(vec![5])).unwrap(),
        method: Method::Ancestral,
        variance: Variance::Learned,
        clip: denoising.clips(),
    };
    let guidance = Guidance {
        scale: 4.0,
        null: 10,
    };
    let mut denoise = |x: &Tensor, timestep: u32| -> Result<Tensor, ForwardError> {
        network.guided(x, timestep, &[3, 7], guidance)
    };
    // The last step draws nothing.
    let mut noise = |step: Step| match golden["sample.noise"].size()[0] {
        steps if i64::from(step.number) < steps => {
            golden["sample.noise"].select(0, step.number.into())
        }
        _ => Tensor::zeros([2, 4, 16, 16], (Kind::Float, Device::Cpu)),
    };
    let mut seen = 0;
    let start = &golden["sample.start"];
    let made = sampling.run(start, &mut denoise, &mut noise, &mut |step, stepped| {
        let key = format!("sample.step{:02}.sample", step.number);
        let largest = golden[&key].abs().max().double_value(&[]);
        let found = every(&stepped.sample, 2, ROWS);
        assert_close(&key, &found, &golden[&key], OF_SAMPLES * largest);
        seen += 1;
    });
    assert_eq!(seen, 5);
    let last = &golden["sample.final"];
    let largest = last.abs().max().double_value(&[]);
    let found = every(&made.unwrap(), 2, ROWS);
    assert_close("final", &found, last, OF_SAMPLES * largest);
}

#[test]
fn the_model_runs_without_a_class_unless_it_is_given_one() {
    let golden = golden("dit/dit-tiny.safetensors");
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(SEED));
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let pixels = numbers(&x_t(&golden, 250));
    for (name, classes) in [("null", None), ("label", Some([3_i64, 7]))] {
        let images = Images {
            pixels: &pixels,
            count: 2,
            timestep: Some(250),
            classes: classes.as_ref().map(|classes| &classes[..]),
        };
        let output = network.forward(images, &[], Until::Output, &mut |_, _| {});
        let expected = &golden[&format!("t250.{name}.out")];
        assert_close(name, &output.unwrap().unwrap(), expected, OF_BLOCKS);
    }
    let block = find_block(&*model, BlockIndex(4)).unwrap();
    let map = block.shape.reduced(Reduce::PatchMap).unwrap();
    assert_eq!((map.channels, map.height, map.width), (64, 8, 8));
}

#[test]
fn in_16_bits_tokens_are_near() {
    let golden = golden("dit/dit-tiny.safetensors");
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(SEED));
    let pixels = numbers(&x_t(&golden, 250));
    for (precision, tolerance) in [(Precision::Bf16, 0.2), (Precision::F16, 0.03)] {
        let network = model.load(root(), Device::Cpu, precision).unwrap();
        let images = Images {
            pixels: &pixels,
            count: 2,
            timestep: Some(250),
            classes: None,
        };
        let output = network.forward(images, &[], Until::Output, &mut |_, _| {});
        let output = output.unwrap().unwrap();
        assert_close(
            precision.name(),
            &output,
            &golden["t250.null.out"],
            tolerance,
        );
    }
}

#[test]
fn the_network_runs_no_deeper_than_the_deepest_tap() {
    let network = network();
    let x = Tensor::zeros([1, 4, 16, 16], (Kind::Float, Device::Cpu));
    let condition = (&integers(&[0]), &integers(&[10]));
    let mut visited = Vec::new();
    let taps = [BlockIndex(0), BlockIndex(2)];
    let output = network.forward_taps(&x, condition, &taps, Until::DeepestTap, &mut |tap, _| {
        visited.push(tap.0);
    });
    assert!(output.unwrap().is_none());
    assert_eq!(visited, [0, 2]);
    let taps = [BlockIndex(5)];
    let error = network.forward_taps(&x, condition, &taps, Until::Output, &mut |_, _| {});
    let error = error.unwrap_err().to_string();
    assert!(error.contains("its last one is b4"), "{error}");
}

#[test]
#[ignore = "675 million parameters take a minute and 3 GB"]
fn corners_of_the_published_size_are_the_golden_ones() {
    let golden = golden("dit/dit-xl2.safetensors");
    let network = built(&presets::find("dit-xl2-256").unwrap().network, 72);
    let model = models::preset("dit-xl2-256").unwrap().model;
    let mut values = numbers(&golden["x0"]);
    let coefficients = model.coefficients(90).unwrap();
    coefficients.add_noise(&mut values, &numbers(&golden["eps"]));
    let x = Tensor::from_slice(&values).view_as(&golden["x0"]);
    let (at, classes) = (integers(&[90]), integers(&[207]));
    let condition = network.timestep(&at) + network.class(&classes);
    assert_close("c", &condition, &golden["c"], FULL_SIZE);
    let taps: Vec<BlockIndex> = (0..=28).map(BlockIndex).collect();
    let _guard = tch::no_grad_guard();
    let output = network.forward_taps(
        &x,
        (&at, &classes),
        &taps,
        Until::Output,
        &mut |tap, tokens| {
            let name = match tap.0 {
                0 => "embed".to_owned(),
                number => format!("b{number:02}"),
            };
            let corner = tokens.index_select(1, &integers(&[0, 1, 16, 255]));
            let corner = corner.narrow(2, 0, 8);
            let expected = &golden[&format!("{name}.corner")];
            assert_close(&name, &corner, expected, FULL_SIZE);
            if let Some(expected) = golden.get(&format!("{name}.mean")) {
                let mean = tokens.mean_dim([1_i64].as_slice(), false, Kind::Float);
                assert_close(&name, &mean, expected, FULL_SIZE);
            }
        },
    );
    let output = every(&output.unwrap().unwrap(), 2, ROWS);
    assert_close("out", &output, &golden["out"], FULL_SIZE);
}
