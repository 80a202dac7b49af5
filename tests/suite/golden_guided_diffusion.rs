//! The guided-diffusion U-Net against recorded outputs of the reference code.
//!
//! Data, oracle and tolerances: `tests/golden/guided_diffusion/README.md`. The tolerances here are the ones written
//! there and are never widened.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repro::diffusion::{Diffusion, Schedule};
use repro::models::block::BlockIndex;
use repro::models::checkpoint::weights::{WeightError, WeightMap, WeightMismatch};
use repro::models::extractor::{ForwardError, Until};
use repro::models::kinds::guided_diffusion::config::Config;
use repro::models::kinds::guided_diffusion::network::Network;
use repro::models::kinds::guided_diffusion::presets;
use repro::models::nn::precision::Precision;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Device, Kind, Tensor};

use crate::fixture::nano_weights;
use crate::hollow::whole;

const X_T: f64 = 1e-6;
const FULL_MAP: f64 = 1e-4;
const POOLED: f64 = 5e-5;
/// In f16, against the reference's own f16.
const POOLED_F16: f64 = 1e-2;
const OUT_F16: f64 = 2e-2;
/// In bf16, against the reference's f32.
const POOLED_BF16: f64 = 4e-2;
const OUT_BF16: f64 = 8e-2;

/// The tolerance of the embedding grows with the timestep, because angles are rounded in f32.
fn embedding_tolerance(timestep: u32) -> f64 {
    if timestep == 999 { 1e-4 } else { 2e-5 }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/guided_diffusion")
        .join(name)
}

/// All tensors of a golden file.
struct Golden(BTreeMap<String, Tensor>);

impl Golden {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(path(name)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let read = |(name, view): (String, TensorView<'_>)| {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::F16 => Kind::Half,
                Dtype::I64 => Kind::Int64,
                other => panic!("{name} is {other:?}"),
            };
            let shape: Vec<i64> = view
                .shape()
                .iter()
                .map(|&size| i64::try_from(size).unwrap())
                .collect();
            (name, Tensor::from_data_size(view.data(), &shape, kind))
        };
        Self(tensors.tensors().into_iter().map(read).collect())
    }

    fn get(&self, key: &str) -> &Tensor {
        self.0
            .get(key)
            .unwrap_or_else(|| panic!("the golden file has no {key}"))
    }

    fn assert_close(&self, key: &str, found: &Tensor, tolerance: f64) {
        assert_close(key, found, self.get(key), tolerance);
    }
}

/// The largest absolute difference is at most `tolerance`; not-a-number is a failure.
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(
        difference <= tolerance,
        "{what} is {difference:e} off, more than {tolerance:e}"
    );
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

fn preset(name: &str) -> Config {
    presets::find(name).unwrap().network
}

fn network(config: &Config, mut weights: WeightMap) -> Network {
    let network = Network::new(config, &mut weights).unwrap();
    assert_eq!(
        weights.requested(),
        config.state_dict(),
        "names, shapes and order of the parameters"
    );
    network
}

fn all_blocks(config: &Config) -> Vec<BlockIndex> {
    config.blocks().iter().map(|block| block.index).collect()
}

/// Runs to the end and returns every block's output and the network's.
fn run_all(
    network: &Network,
    config: &Config,
    x_t: &Tensor,
    timesteps: &Tensor,
) -> (Vec<Tensor>, Tensor) {
    let mut maps = Vec::new();
    let mut visit = |index: BlockIndex, map: &Tensor| {
        assert_eq!(
            index.0 as usize,
            maps.len() + 1,
            "blocks are visited in order"
        );
        maps.push(map.copy());
    };
    let taps = all_blocks(config);
    let out = tch::no_grad(|| {
        network.forward_taps(x_t, timesteps, None, &taps, Until::Output, &mut visit)
    });
    for (map, block) in maps.iter().zip(config.blocks()) {
        assert_eq!(
            map.size()[1..],
            block
                .shape
                .sizes()
                .into_iter()
                .map(i64::from)
                .collect::<Vec<_>>(),
            "{}",
            block.index
        );
    }
    (maps, out.unwrap().unwrap())
}

fn timesteps(timestep: u32, n: i64) -> Tensor {
    Tensor::full([n], i64::from(timestep), (Kind::Int64, Device::Cpu))
}

/// `x_t` by this crate's own schedule.
fn noisy(golden: &Golden, eps: &str, x_0: &Tensor, timestep: u32) -> Tensor {
    let coefficients = Diffusion::new(Schedule::Linear, 1000)
        .unwrap()
        .coefficients(timestep)
        .unwrap();
    let floats =
        |tensor: &Tensor| Vec::<f32>::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap();
    let mut image = floats(x_0);
    coefficients.add_noise(&mut image, &floats(golden.get(eps)));
    Tensor::from_slice(&image).view(&*x_0.size())
}

/// Everything that a features file holds for one timestep.
fn assert_timestep(golden: &Golden, network: &Network, config: &Config, timestep: u32) {
    let tag = format!("t{timestep}");
    let x_0 = golden.get("x0");
    let x_t = noisy(golden, "eps", x_0, timestep);
    golden.assert_close(&format!("{tag}.xt"), &x_t, X_T);

    let one = timesteps(timestep, 1);
    let tolerance = embedding_tolerance(timestep);
    golden.assert_close(
        &format!("{tag}.sinusoid"),
        &network.time_embed.sinusoid(&one),
        tolerance,
    );
    golden.assert_close(
        &format!("{tag}.emb"),
        &network.time_embed.forward(&one),
        tolerance,
    );

    let (maps, out) = run_all(
        network,
        config,
        golden.get(&format!("{tag}.xt")),
        &timesteps(timestep, x_0.size()[0]),
    );
    let mut compared = 0;
    for (number, map) in (1..).zip(&maps) {
        let full = format!("{tag}.b{number:02}");
        let pooled = format!("{full}.pool2");
        if golden.0.contains_key(&full) {
            golden.assert_close(&full, map, FULL_MAP);
            compared += 1;
        }
        if golden.0.contains_key(&pooled) {
            golden.assert_close(&pooled, &map.adaptive_avg_pool2d([2, 2]), POOLED);
            compared += 1;
        }
    }
    assert_eq!(
        compared,
        maps.len(),
        "{tag}: every block is in the golden file"
    );
    golden.assert_close(&format!("{tag}.out"), &out, FULL_MAP);
}

#[test]
fn adm_tiny_matches_golden_at_every_timestep() {
    let golden = Golden::read("adm-tiny-features.safetensors");
    let config = preset("adm-tiny");
    let network = network(&config, WeightMap::synthetic(1));
    for timestep in [0, 30, 90, 150, 500, 999] {
        assert_timestep(&golden, &network, &config, timestep);
    }
    assert!(
        golden.0.contains_key("t90.b08"),
        "full maps are compared at t = 90"
    );
}

#[test]
fn adm_nano_matches_golden_with_synthetic_and_with_stored_weights() {
    let golden = Golden::read("adm-nano-features.safetensors");
    let config = preset("adm-nano");
    let files = [
        nano_weights().to_owned(),
        whole("guided_diffusion", "adm-nano.zip.pt"),
        whole("guided_diffusion", "adm-nano.legacy.pt"),
    ];
    let stored = |file: &Path| WeightMap::from_file(file).unwrap();
    for network in [
        network(&config, WeightMap::synthetic(2)),
        network(&config, stored(&files[0])),
        network(&config, stored(&files[1])),
        network(&config, stored(&files[2])),
    ] {
        for timestep in [0, 150] {
            assert_timestep(&golden, &network, &config, timestep);
        }
    }
    // The files hold the same bits as the rule gives.
    for file in &files {
        let name = file.display();
        let (mut file, mut rule) = (stored(file), WeightMap::synthetic(2));
        for (name, shape) in config.state_dict() {
            assert_eq!(file.take(&name, &shape), rule.take(&name, &shape), "{name}");
        }
        assert!(file.finish().is_ok(), "{name}");
    }
}

/// adm-tiny in 16 bits at t = 90: the largest differences of the feature maps averaged to 2 × 2, block by block, and of `out`.
fn differences_in(precision: Precision, expected: &Golden, prefix: &str) -> (Vec<f64>, f64) {
    let golden = Golden::read("adm-tiny-features.safetensors");
    let config = preset("adm-tiny");
    let mut weights = WeightMap::synthetic(1);
    weights.convolve_in(precision);
    let network = network(&config, weights);
    let (maps, out) = run_all(&network, &config, golden.get("t90.xt"), &timesteps(90, 2));
    let difference = |found: &Tensor, expected: &Tensor| {
        let found = found.to_kind(Kind::Float);
        assert_eq!(found.size(), expected.size());
        (found - expected).abs().max().double_value(&[])
    };
    let blocks = (1..).zip(&maps).map(|(number, map): (usize, _)| {
        assert_eq!(
            map.kind(),
            precision.kind(),
            "b{number} is computed in {precision:?}"
        );
        let pool = |map: &Tensor| map.to_kind(Kind::Float).adaptive_avg_pool2d([2, 2]);
        let key = format!("{prefix}b{number:02}");
        let expected = expected.0.get(&format!("{key}.pool2"));
        let expected = expected.map_or_else(|| pool(golden.get(&key)), Tensor::shallow_clone);
        difference(&pool(map), &expected)
    });
    assert_eq!(out.kind(), Kind::Float, "`out` runs in f32");
    let of_out = difference(&out, expected.get(&format!("{prefix}out")));
    let blocks: Vec<f64> = blocks.collect();
    println!("{precision:?}: maps {blocks:?}, out {of_out}");
    (blocks, of_out)
}

#[test]
fn adm_tiny_in_f16_matches_the_reference_in_f16() {
    let expected = Golden::read("adm-tiny-fp16.safetensors");
    let (blocks, out) = differences_in(Precision::F16, &expected, "t90.");
    assert_eq!(blocks.len(), 13);
    for (block, difference) in (1..).zip(blocks) {
        assert!(difference <= POOLED_F16, "b{block}: {difference:e}");
    }
    assert!(out <= OUT_F16, "out: {out:e}");
}

#[test]
fn adm_tiny_in_bf16_is_near_the_reference_in_f32() {
    let expected = Golden::read("adm-tiny-features.safetensors");
    let (blocks, out) = differences_in(Precision::Bf16, &expected, "t90.");
    assert!(
        blocks.iter().all(|&difference| difference > 1e-6),
        "it was not computed in bf16: {blocks:?}"
    );
    for (block, difference) in (1..).zip(blocks) {
        assert!(difference <= POOLED_BF16, "b{block}: {difference:e}");
    }
    assert!(out <= OUT_BF16, "out: {out:e}");
}

/// The options that the unconditional published network does not use: the other attention order, classes, plain and
/// averaging resampling, an added timestep, heads by number, fractional widths, different timesteps in a batch.
#[test]
fn variants_match_golden() {
    let golden = Golden::read("variants.safetensors");
    let described = json("variants.json");
    assert_eq!(described.as_object().unwrap().len(), 3);
    for (name, description) in described.as_object().unwrap() {
        let config: Config = serde_json::from_value(description["config"].clone()).unwrap();
        assert_eq!(config.validate(), Vec::<String>::new(), "{name}");
        assert_eq!(
            Some(config.parameter_count()),
            description["parameters"].as_u64(),
            "{name}"
        );
        let network = network(
            &config,
            WeightMap::synthetic(description["weight_seed"].as_u64().unwrap()),
        );
        let labels = config.num_classes.map(|_| golden.get("class_labels"));
        let mut visited = 0;
        let mut visit = |index: BlockIndex, map: &Tensor| {
            visited += 1;
            let key = format!("{name}.b{:02}.pool4", index.0);
            golden.assert_close(&key, &map.adaptive_avg_pool2d([4, 4]), POOLED);
        };
        let (x_t, timesteps) = (golden.get("xt"), golden.get("timesteps"));
        let out = tch::no_grad(|| {
            network.forward_taps(
                x_t,
                timesteps,
                labels,
                &all_blocks(&config),
                Until::Output,
                &mut visit,
            )
        });
        golden.assert_close(&format!("{name}.out"), &out.unwrap().unwrap(), FULL_MAP);
        assert_eq!(Some(visited), description["blocks"].as_u64(), "{name}");
    }
}

#[test]
fn an_early_stop_gives_the_bits_of_the_full_run() {
    let golden = Golden::read("adm-tiny-features.safetensors");
    let config = preset("adm-tiny");
    let network = network(&config, WeightMap::synthetic(1));
    let (x_t, t) = (golden.get("t90.xt"), timesteps(90, 2));
    let (maps, _) = run_all(&network, &config, x_t, &t);
    for deepest in all_blocks(&config) {
        let mut seen = Vec::new();
        // Out of order and twice: visited in order and once.
        let taps = [deepest, BlockIndex(1), deepest];
        let out = tch::no_grad(|| {
            network.forward_taps(
                x_t,
                &t,
                None,
                &taps,
                Until::DeepestTap,
                &mut |index, map| {
                    assert_eq!(
                        *map,
                        maps[index.0 as usize - 1],
                        "{index} on the way to {deepest}"
                    );
                    seen.push(index);
                },
            )
        });
        assert_eq!(out.unwrap(), None);
        let expected = if deepest == BlockIndex(1) {
            vec![deepest]
        } else {
            vec![BlockIndex(1), deepest]
        };
        assert_eq!(seen, expected);
    }
}

#[test]
fn float_and_integer_timesteps_are_equal() {
    let golden = Golden::read("adm-nano-features.safetensors");
    let network = network(&preset("adm-nano"), WeightMap::synthetic(2));
    let (integers, x_t) = (timesteps(150, 2), golden.get("t150.xt"));
    let output = |t: &Tensor| {
        network
            .forward_taps(x_t, t, None, &[], Until::Output, &mut |_, _| {})
            .unwrap()
    };
    assert_eq!(output(&integers), output(&integers.to_kind(Kind::Float)));
}

#[test]
fn impossible_requests_are_errors() {
    let mut config = preset("adm-nano");
    let x_t = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    let (t, labels) = (timesteps(0, 1), timesteps(0, 1));
    let ask = |network: &Network, labels: Option<&Tensor>, tap: u32| {
        let taps = [BlockIndex(tap)];
        network
            .forward_taps(&x_t, &t, labels, &taps, Until::DeepestTap, &mut |_, _| {})
            .unwrap_err()
    };
    let unconditional = network(&config, WeightMap::synthetic(2));
    for tap in [0, 6, u32::MAX] {
        let expected = ForwardError::UnknownTap {
            tap: BlockIndex(tap),
            last: BlockIndex(5),
        };
        assert_eq!(ask(&unconditional, None, tap), expected);
    }
    assert_eq!(
        ask(&unconditional, Some(&labels), 1),
        ForwardError::ClassLabelsUnexpected
    );
    config.num_classes = Some(10);
    let conditional = network(&config, WeightMap::synthetic(2));
    assert_eq!(ask(&conditional, None, 1), ForwardError::ClassLabelsMissing);
}

/// Builds adm-nano from its golden file after `change` had its way with the tensors, and expects a refusal.
fn mismatch_after(change: impl Fn(&mut BTreeMap<String, TensorView<'_>>)) -> WeightMismatch {
    let bytes = std::fs::read(nano_weights()).unwrap();
    let mut tensors: BTreeMap<String, _> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .collect();
    change(&mut tensors);
    let directory = tempfile::tempdir().unwrap();
    let changed = directory.path().join("changed.safetensors");
    safetensors::serialize_to_file(tensors, None, &changed).unwrap();
    let mut weights = WeightMap::from_file(&changed).unwrap();
    match Network::new(&preset("adm-nano"), &mut weights) {
        Err(WeightError::Mismatch(mismatch)) => *mismatch,
        other => panic!("expected a mismatch, got {other:?}"),
    }
}

#[test]
fn missing_and_unused_parameters_are_both_listed() {
    let mismatch = mismatch_after(|tensors| {
        for name in ["middle_block.1.qkv.bias", "out.2.weight"] {
            let tensor = tensors.remove(name).unwrap();
            tensors.insert(format!("model.{name}"), tensor);
        }
    });
    let missing: Vec<&str> = mismatch
        .missing
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(missing, ["middle_block.1.qkv.bias", "out.2.weight"]);
    assert_eq!(
        mismatch.unused,
        ["model.middle_block.1.qkv.bias", "model.out.2.weight"]
    );
    let text = mismatch.to_string();
    for name in missing
        .iter()
        .copied()
        .chain(mismatch.unused.iter().map(String::as_str))
    {
        assert!(text.contains(&format!("`{name}`")), "{text}");
    }
}

#[test]
fn a_wrong_shape_is_named() {
    let mismatch = mismatch_after(|tensors| {
        let tensor = tensors["time_embed.0.weight"].clone();
        let transposed = TensorView::new(tensor.dtype(), vec![32, 128], tensor.data()).unwrap();
        tensors.insert("time_embed.0.weight".into(), transposed);
    });
    assert!(mismatch.missing.is_empty() && mismatch.unused.is_empty());
    assert!(
        mismatch
            .to_string()
            .contains("`time_embed.0.weight` is [32, 128], the network needs [128, 32]")
    );
}

/// The paper's network at full size: 552,814,086 parameters, one photograph, all 37 blocks.
#[test]
#[ignore = "full-size network: 20 s to minutes and 4 GiB; run with --ignored"]
fn adm_256_matches_golden() {
    // As many as the oracle had: they decide in which order a convolution sums. With one, a value of block 11 is 5.3e-5 off.
    tch::set_num_threads(2);
    let golden = Golden::read("adm-256-features.safetensors");
    let config = preset("adm-256-uncond");
    let network = network(&config, WeightMap::synthetic(7));

    let image = image::open(path("x0.png")).unwrap().to_rgb8();
    let x_0 = Tensor::from_slice(image.as_raw())
        .view([1, 256, 256, 3])
        .permute([0, 3, 1, 2])
        .contiguous();
    let x_0 = x_0.to_kind(Kind::Float) / 127.5 - 1.0;
    let x_t = noisy(&golden, "eps_f16", &x_0, 90);
    let t = timesteps(90, 1);
    golden.assert_close("emb", &network.time_embed.forward(&t), 2e-5);

    let stats = &json("adm-256.json")["stats"];
    let mut visited = 0;
    let mut visit = |index: BlockIndex, map: &Tensor| {
        visited += 1;
        let block = format!("b{:02}", index.0);
        let side = if matches!(index.0, 19 | 24) { 4 } else { 1 };
        let pooled = map.adaptive_avg_pool2d([side, side]);
        golden.assert_close(&format!("{block}.pool{side}"), &pooled, POOLED);
        let corner = map.get(0).narrow(0, 0, 4).narrow(1, 0, 2).narrow(2, 0, 2);
        golden.assert_close(&format!("{block}.corner"), &corner, POOLED);

        let expected = |statistic: &str| stats[&block][statistic].as_f64().unwrap();
        let exact = map.to_kind(Kind::Double);
        let mean = exact.mean(Kind::Double).double_value(&[]);
        assert!(
            (mean - expected("mean")).abs() <= 1e-5,
            "{block}: mean {mean}"
        );
        for (statistic, found) in [("std", exact.std(false)), ("absmax", exact.abs().max())] {
            let (found, expected) = (found.double_value(&[]), expected(statistic));
            assert!(
                (found / expected - 1.0).abs() <= 1e-4,
                "{block}: {statistic} {found}, not {expected}"
            );
        }
    };
    let taps = all_blocks(&config);
    let out =
        tch::no_grad(|| network.forward_taps(&x_t, &t, None, &taps, Until::Output, &mut visit));
    golden.assert_close(
        "out.pool4",
        &out.unwrap().unwrap().adaptive_avg_pool2d([4, 4]),
        POOLED,
    );
    assert_eq!(visited, 37);
}
