//! The U-Net encoder with its four heads against recorded outputs of the reference code.
//!
//! Data, oracle and tolerances: `tests/golden/unet_encoder/README.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{ForwardError, Until};
use repro::models::kinds::unet_encoder::config::{Config, Pool};
use repro::models::kinds::unet_encoder::network::Network;
use repro::models::kinds::unet_encoder::presets;
use repro::models::{self, BlockIndex, Precision};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root};

const FULL_MAP: f64 = 1e-4;
const POOLED: f64 = 5e-5;
const LOGITS: f64 = 2e-5;
const SEED: u64 = 5;
const TIMESTEPS: [i64; 3] = [0, 90, 700];
/// The number of the pooled feature; the logits come after it.
const FEATURE: usize = 8;

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/unet_encoder").join(name)
}

fn golden() -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path("unet-encoder-tiny.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let shape = view
            .shape()
            .iter()
            .map(|&size| i64::try_from(size).unwrap());
        let shape: Vec<i64> = shape.collect();
        (
            name,
            Tensor::from_data_size(view.data(), &shape, Kind::Float),
        )
    };
    tensors.tensors().into_iter().map(read).collect()
}

fn json() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path("unet-encoder-tiny.json")).unwrap()).unwrap()
}

#[track_caller]
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found.to_kind(Kind::Float) - expected).abs().max();
    let difference = difference.double_value(&[]);
    assert!(
        difference <= tolerance,
        "{what} is {difference:e} off, more than {tolerance:e}"
    );
}

fn tiny(pool: Pool) -> Config {
    Config {
        pool,
        ..presets::find("unet-encoder-tiny").unwrap().network
    }
}

fn network(config: &Config, precision: Precision) -> Network {
    let mut weights = WeightMap::synthetic(SEED);
    weights.convolve_in(precision);
    Network::new(config, &mut weights).unwrap()
}

/// `x_t` by the reference's schedule, for one of its timesteps.
fn noisy(golden: &BTreeMap<String, Tensor>, timestep: i64) -> Tensor {
    let model = models::preset("unet-encoder-tiny").unwrap().model;
    let factors = model.coefficients(timestep.try_into().unwrap()).unwrap();
    &golden["x0"] * f64::from(factors.signal) + &golden["eps"] * f64::from(factors.noise)
}

/// Every tap, the logits last.
fn run_all(network: &Network, config: &Config, x_t: &Tensor, timestep: i64) -> Vec<Tensor> {
    let _guard = tch::no_grad_guard();
    let blocks = config.blocks();
    let taps: Vec<BlockIndex> = blocks.iter().map(|block| block.index).collect();
    let mut outputs = Vec::new();
    let timesteps = Tensor::from_slice(&[timestep]);
    let mut visit = |index: BlockIndex, output: &Tensor| {
        assert_eq!(index.0 as usize, outputs.len() + 1, "in order");
        outputs.push(output.copy());
    };
    let logits = network.forward_taps(x_t, &timesteps, &taps, Until::Output, &mut visit);
    let logits = logits.unwrap().unwrap();
    assert_eq!(outputs.len(), blocks.len());
    assert_eq!(outputs.last().unwrap(), &logits);
    for (output, block) in outputs.iter().zip(&blocks) {
        let sizes = block.shape.sizes().into_iter().map(i64::from);
        let sizes: Vec<i64> = sizes.collect();
        assert_eq!(output.size()[1..], sizes, "{}", block.path);
    }
    outputs
}

#[test]
fn parameters_have_the_names_the_shapes_and_the_counts_of_the_reference() {
    let expected = json();
    let listed = |value: &serde_json::Value| -> Vec<(String, Vec<usize>)> {
        serde_json::from_value(value.clone()).unwrap()
    };
    let blocks = listed(&expected["variants"]["attention"]["state_dict"]);
    for (name, pool) in Pool::CHOICES {
        let config = tiny(*pool);
        let of = &expected["variants"][name];
        assert_eq!(
            Some(config.parameter_count()),
            of["parameters"].as_u64(),
            "{name}"
        );
        let own = blocks.iter().filter(|(name, _)| !name.starts_with("out."));
        let wanted: Vec<_> = own.cloned().chain(listed(&of["state_dict_out"])).collect();
        assert_eq!(config.state_dict(), wanted, "{name}");
        let mut weights = WeightMap::synthetic(SEED);
        Network::new(&config, &mut weights).unwrap();
        let mut taken = weights.requested().to_vec();
        let mut wanted = wanted;
        taken.sort();
        wanted.sort();
        assert_eq!(taken, wanted, "{name}");
        for block in &config.blocks()[..7] {
            let shape = &expected["block_shapes"][format!("b{:02}", block.index.0)];
            assert_eq!(*shape, serde_json::json!(block.shape.sizes()), "{name}");
        }
    }
}

#[test]
fn every_block_and_the_logits_of_every_head_are_the_golden_ones() {
    let golden = golden();
    for (name, pool) in Pool::CHOICES {
        let config = tiny(*pool);
        let network = network(&config, Precision::F32);
        for timestep in TIMESTEPS {
            let outputs = run_all(&network, &config, &noisy(&golden, timestep), timestep);
            let mut compared = 0;
            for (block, output) in (1..).zip(&outputs[..7]) {
                let key = format!("t{timestep}.b{block:02}");
                let pooled = output.adaptive_avg_pool2d([2, 2]);
                let corner = output.narrow(1, 0, 4).narrow(2, 0, 2).narrow(3, 0, 2);
                for (key, found) in [
                    (format!("{key}.pool2"), &pooled),
                    (format!("{key}.corner"), &corner),
                    (key.clone(), if timestep == 90 { output } else { &pooled }),
                ] {
                    if let Some(expected) = golden.get(&key) {
                        let is_pooled = found.size()[2..] == [2, 2] && !key.ends_with("corner");
                        let tolerance = if is_pooled { POOLED } else { FULL_MAP };
                        assert_close(&format!("{name} {key}"), found, expected, tolerance);
                        compared += 1;
                    }
                }
            }
            assert_eq!(compared, if timestep == 90 { 13 } else { 7 });
            let key = format!("{name}.t{timestep}.logits");
            assert_close(&key, &outputs[FEATURE], &golden[&key], LOGITS);
        }
    }
}

/// The pooled feature is what the last layer reads: its parameters make the golden logits of it.
#[test]
fn the_last_layer_makes_the_golden_logits_of_the_pooled_feature() {
    let golden = golden();
    for (name, pool) in Pool::CHOICES {
        let config = tiny(*pool);
        let feature = &run_all(
            &network(&config, Precision::F32),
            &config,
            &noisy(&golden, 90),
            90,
        )[FEATURE - 1];
        let state_dict = config.state_dict();
        let [.., (weight, weight_shape), (bias, bias_shape)] = state_dict.as_slice() else {
            panic!("a network has parameters");
        };
        let values = |name: &str, shape: &[usize]| {
            Tensor::from_slice(&synthetic::fill(name, shape, SEED))
                .view([i64::try_from(shape[0]).unwrap(), -1])
        };
        let (weight, bias) = (values(weight, weight_shape), values(bias, bias_shape));
        let logits = feature.linear(&weight, Some(&bias.flatten(0, 1)));
        let key = format!("{name}.t90.logits");
        assert_close(&key, &logits, &golden[&key], LOGITS);
    }
}

#[test]
fn a_pass_stops_at_the_deepest_tap_and_refuses_what_is_beyond_the_last() {
    let golden = golden();
    for (name, pool) in Pool::CHOICES {
        let config = tiny(*pool);
        let network = network(&config, Precision::F32);
        let x_t = noisy(&golden, 90);
        let all = run_all(&network, &config, &x_t, 90);
        let timesteps = Tensor::from_slice(&[90_i64]);
        let _guard = tch::no_grad_guard();
        for number in [1, 5, 7, 8, 9] {
            let mut found = None;
            let mut visit = |index: BlockIndex, output: &Tensor| {
                assert_eq!(index.0, number);
                found = Some(output.copy());
            };
            let taps = [BlockIndex(number)];
            let until = Until::DeepestTap;
            let output = network.forward_taps(&x_t, &timesteps, &taps, until, &mut visit);
            assert!(output.unwrap().is_none());
            assert_eq!(found.unwrap(), all[number as usize - 1], "{name} b{number}");
        }
        for number in [0, 10] {
            let tap = BlockIndex(number);
            let until = Until::Output;
            let output = network.forward_taps(&x_t, &timesteps, &[tap], until, &mut |_, _| {});
            let last = BlockIndex(9);
            assert_eq!(output.unwrap_err(), ForwardError::UnknownTap { tap, last });
        }
    }
}

#[test]
fn in_16_bits_outputs_are_near_those_in_32() {
    let golden = golden();
    for (name, pool) in Pool::CHOICES {
        let config = tiny(*pool);
        for (precision, tolerance) in [(Precision::Bf16, 4e-2), (Precision::F16, 1e-2)] {
            let network = network(&config, precision);
            let outputs = run_all(&network, &config, &noisy(&golden, 90), 90);
            for (number, output) in (1..).zip(&outputs) {
                let is_map = number <= 7;
                let kind = if is_map {
                    precision.kind()
                } else {
                    Kind::Float
                };
                assert_eq!(output.kind(), kind, "{name} b{number}");
            }
            let pooled = outputs[6].to_kind(Kind::Float).adaptive_avg_pool2d([2, 2]);
            let expected = golden["t90.b07"].adaptive_avg_pool2d([2, 2]);
            assert_close(name, &pooled, &expected, tolerance);
            let key = format!("{name}.t90.logits");
            assert_close(&key, &outputs[FEATURE], &golden[&key], tolerance);
        }
    }
}

/// A network's own initialization zeroes the last layers of residual and attention blocks, so that block 2 is block 1.
#[test]
fn an_experiment_file_states_any_shape_and_head() {
    let cli = CliTest::new();
    let golden = std::fs::read(path("unet-encoder-tiny.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let views = ["x0", "eps"].map(|name| (name, golden.tensor(name).unwrap()));
    cli.write(
        "images.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
    let run = |weights: &str, pool: &str| {
        cli.write(
            "net.toml",
            format!(
                "[model.net]\nkind = \"unet-encoder\"\nimage_size = 32\nmodel_channels = 32\nout_channels = 10\nnum_res_blocks = 1\nchannel_mult = [1, 2, 2]\nattention_resolutions = [16, 8]\nnum_head_channels = 32\npool = \"{pool}\"\nweights = {{ {weights} }}\n"
            ),
        );
        let tap = ["models", "tap", "net.toml", "--input", "images.safetensors"];
        let rest = [
            "--timestep",
            "90",
            "--output",
            "out.safetensors",
            "--device",
            "cpu",
        ];
        cli.run(&[&tap[..], &rest].concat())
            .expect_code(0)
            .expect_in_stderr(&["2 images", "10 arrays"]);
        let bytes = std::fs::read(cli.path("out.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            let shape = view
                .shape()
                .iter()
                .map(|&size| i64::try_from(size).unwrap());
            let shape: Vec<i64> = shape.collect();
            let tensor = Tensor::from_data_size(view.data(), &shape, Kind::Float);
            (name, tensor.to_device(Device::Cpu))
        };
        let outputs: BTreeMap<String, Tensor> = tensors.tensors().into_iter().map(read).collect();
        outputs
    };
    let expected = self::golden();
    for (name, _) in Pool::CHOICES {
        let outputs = run("synthetic = 5", name);
        let key = format!("{name}.t90.logits");
        assert_close(&key, &outputs["b09"], &expected[&key], LOGITS);
        assert_eq!(outputs["out"], outputs["b09"]);
        let begun = run("initialization = 1", name);
        assert_eq!(begun["b02"], begun["b01"], "{name}");
        let logits = begun["b09"].abs().max().double_value(&[]);
        assert_eq!(logits > 0.0, *name != "adaptive", "{name}");
    }
}
