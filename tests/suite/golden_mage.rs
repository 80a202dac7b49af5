//! MAGE's encoder against recorded outputs of the reference.
//!
//! Data, oracle and tolerance: `tests/golden/mage/README.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{Images, Until};
use repro::models::kinds::mage::network::Network;
use repro::models::kinds::mage::{config, presets};
use repro::models::{self, BlockIndex, Model, Precision, WeightsSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root};

/// Absolute, for every tap in f32.
const TOLERANCE: f64 = 2e-5;
/// Of the weights.
const SEED: u64 = 81;
/// The token embedding's taps begin here: behind the first convolution, five levels and the latent.
const EMBEDDING: usize = 7;

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/mage").join(name)
}

fn golden() -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path("mage-tiny.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::I64 => Kind::Int64,
            _ => Kind::Float,
        };
        let shape = view.shape().iter();
        let shape: Vec<i64> = shape.map(|&size| i64::try_from(size).unwrap()).collect();
        (name, Tensor::from_data_size(view.data(), &shape, kind))
    };
    tensors.tensors().into_iter().map(read).collect()
}

#[track_caller]
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found.to_kind(Kind::Float) - expected).abs().max();
    let difference = difference.double_value(&[]);
    assert!(difference <= tolerance, "{what}: {difference:e}");
}

/// numpy's `default_rng(seed).random()`, which the input was drawn with.
///
/// numpy/numpy v2.4.0: numpy/random/bit_generator.pyx (`SeedSequence`), numpy/random/src/pcg64.
struct NumpyDraws {
    state: u128,
    increment: u128,
}

impl NumpyDraws {
    const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

    fn new(seed: u32) -> Self {
        let hash = |value: u32, constant: &mut u32, multiplier: u32| {
            let mut value = value ^ *constant;
            *constant = constant.wrapping_mul(multiplier);
            value = value.wrapping_mul(*constant);
            value ^ value >> 16
        };
        let mut constant = 0x43b0_d7e5_u32;
        let mut pool = [seed, 0, 0, 0].map(|entropy| hash(entropy, &mut constant, 0x931e_8875));
        for source in 0..4 {
            for target in 0..4 {
                if source != target {
                    let mixed = hash(pool[source], &mut constant, 0x931e_8875);
                    let sum = pool[target]
                        .wrapping_mul(0xca01_f9dd)
                        .wrapping_sub(mixed.wrapping_mul(0x4973_f715));
                    pool[target] = sum ^ sum >> 16;
                }
            }
        }
        let mut constant = 0x8b51_f9dd_u32;
        let words: Vec<u64> = (0..8)
            .map(|place: usize| u64::from(hash(pool[place % 4], &mut constant, 0x58f3_8ded)))
            .collect();
        let word = |place: usize| u128::from(words[2 * place] | words[2 * place + 1] << 32);
        let mut draws = Self {
            state: 0,
            increment: (word(2) << 64 | word(3)) << 1 | 1,
        };
        draws.step();
        draws.state = draws.state.wrapping_add(word(0) << 64 | word(1));
        draws.step();
        draws
    }

    fn step(&mut self) {
        self.state = self
            .state
            .wrapping_mul(Self::MULTIPLIER)
            .wrapping_add(self.increment);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the generator takes halves of its state"
    )]
    fn next(&mut self) -> f64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let bits = folded.rotate_right((self.state >> 122) as u32);
        (bits >> 11) as f64 / 9_007_199_254_740_992.0
    }
}

/// The golden input: two images.
#[expect(
    clippy::cast_possible_truncation,
    reason = "NumPy's numbers were rounded to 32 bits"
)]
fn images() -> Vec<f32> {
    let mut draws = NumpyDraws::new(8101);
    (0..2 * 3 * 256 * 256)
        .map(|_| draws.next() as f32)
        .collect()
}

fn images_of(pixels: &[f32]) -> Images<'_> {
    Images {
        pixels,
        count: 2,
        timestep: None,
        classes: None,
    }
}

/// A file of the tiny network, as a checkpoint names its tensors, with everything that the state dict has beside those of the network.
fn file(cli: &CliTest, prefix: &str) -> PathBuf {
    let text = std::fs::read(path("mage-tiny.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let state_dict: Vec<(String, Vec<usize>)> =
        serde_json::from_value(json["state_dict"].clone()).unwrap();
    let tensors = state_dict.into_iter().map(|(name, shape)| {
        let mut values = synthetic::fill(&name, &shape, SEED);
        if name == "vqgan.quantize.embedding.weight" {
            for value in &mut values {
                *value *= 0.5;
            }
        }
        let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        (format!("{prefix}{name}"), shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    cli.write(
        "mage.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
    cli.path("mage.safetensors")
}

fn tiny(cli: &CliTest, prefix: &str) -> Arc<dyn Model> {
    let preset = models::preset("mage-tiny").unwrap().model;
    preset.with_weights(WeightsSource::File(file(cli, prefix)))
}

/// Every tap, and the output.
fn run_all(model: &dyn Model, precision: Precision) -> (Vec<Tensor>, Tensor) {
    let network = model.load(root(), Device::Cpu, precision).unwrap();
    let taps: Vec<BlockIndex> = model.blocks().iter().map(|block| block.index).collect();
    let pixels = images();
    let mut found = Vec::new();
    let output = network.forward(
        images_of(&pixels),
        &taps,
        Until::Output,
        &mut |tap, output| {
            assert_eq!(tap, taps[found.len()]);
            found.push(output.copy());
        },
    );
    let output = output.unwrap().unwrap();
    assert_eq!(found.len(), taps.len());
    (found, output)
}

#[test]
fn the_input_is_drawn_as_numpy_draws_it() {
    let images = Tensor::from_slice(&images()).view([2, 3, 256, 256]);
    let corner = images.narrow(2, 0, 2).narrow(3, 0, 4);
    assert_eq!(corner, golden()["input.corner"]);
}

#[test]
fn every_tap_of_the_tiny_network_is_the_golden_one() {
    let cli = CliTest::new();
    let golden = golden();
    let model = tiny(&cli, "");
    let (taps, output) = run_all(&*model, Precision::F32);
    for (block, tap) in model.blocks().iter().zip(&taps) {
        let sizes: Vec<i64> = block.shape.sizes().into_iter().map(i64::from).collect();
        assert_eq!(tap.size()[1..], sizes, "{}", block.path);
    }
    let maps = [
        "conv_in",
        "down0",
        "down1",
        "down2",
        "down3",
        "down4.last_block",
    ];
    for (name, map) in maps.iter().zip(&taps) {
        let pooled = map.adaptive_avg_pool2d([4, 4]);
        let key = format!("vqgan.{name}.pool4");
        assert_close(&key, &pooled, &golden[&key], TOLERANCE);
        let corner = map.narrow(1, 0, 8).narrow(2, 0, 4).narrow(3, 0, 4);
        let key = format!("vqgan.{name}.corner");
        assert_close(&key, &corner, &golden[&key], TOLERANCE);
    }
    let latent = taps[EMBEDDING - 1].narrow(1, 0, 8);
    assert_close("latent", &latent, &golden["vqgan.z"], TOLERANCE);
    for (name, tap) in ["token_emb", "b01", "b02", "b03"]
        .iter()
        .zip(&taps[EMBEDDING..])
    {
        assert_close(name, &tap.narrow(1, 0, 17), &golden[*name], TOLERANCE);
    }
    let class = taps[EMBEDDING + 4].select(1, 0);
    assert_close("class", &class, &golden["cls.feature"], TOLERANCE);
    // The golden mean has parameters of its own behind the normalization.
    let part = |name: &str| Tensor::from_slice(&synthetic::fill(name, &[48], SEED));
    let mean = &taps[EMBEDDING + 5] * part("fc_norm.weight") + part("fc_norm.bias");
    assert_close("mean", &mean, &golden["gap.feature"], TOLERANCE);
    assert_eq!(output, taps[EMBEDDING + 5]);
}

#[test]
fn words_are_the_golden_ones() {
    let cli = CliTest::new();
    let model = tiny(&cli, "");
    let (taps, _) = run_all(&*model, Precision::F32);
    let WeightsSource::File(file) = model.weights() else {
        panic!("weights are in a file");
    };
    let weights = WeightMap::from_file(file).unwrap();
    let mut weights = weights.named_as_in(config::FILE_NAMES, config::PROBE);
    let network = Network::new(&presets::find("mage-tiny").unwrap().network, &mut weights);
    let words = network.unwrap().words_of(&taps[EMBEDDING - 1]);
    assert_eq!(words, golden()["token_indices"]);
}

#[test]
fn what_is_needed_is_what_the_state_dict_has_beside_known_others() {
    let cli = CliTest::new();
    for prefix in ["", "model."] {
        let stored = StoredTensors::open(&file(&cli, prefix)).unwrap();
        let kinds = models::ALL.iter();
        let fitting: Vec<String> = kinds
            .flat_map(|kind| (kind.more.fitting)(&stored))
            .collect();
        assert_eq!(fitting, ["mage-tiny"]);
    }
    let model = tiny(&cli, "model.");
    assert_close(
        "output",
        &run_all(&*model, Precision::F32).1,
        &run_all(&*tiny(&cli, ""), Precision::F32).1,
        0.0,
    );
    let mut weights = WeightMap::synthetic(1);
    let config = presets::find("mage-tiny").unwrap().network;
    Network::new(&config, &mut weights).unwrap();
    let mut taken = weights.requested().to_vec();
    let mut needed = config.state_dict();
    taken.sort();
    needed.sort();
    assert_eq!(taken, needed);
}

#[test]
fn in_16_bits_the_words_are_the_same_and_tokens_are_near() {
    let cli = CliTest::new();
    let model = tiny(&cli, "");
    let (exact, _) = run_all(&*model, Precision::F32);
    for (precision, tolerance) in [(Precision::Bf16, 1e-1), (Precision::F16, 2e-2)] {
        let (taps, _) = run_all(&*model, precision);
        for place in 0..EMBEDDING {
            assert_eq!(taps[place], exact[place], "{place}");
        }
        for place in EMBEDDING..EMBEDDING + 4 {
            assert_eq!(taps[place].kind(), precision.kind());
            assert_close("tokens", &taps[place], &exact[place], tolerance);
        }
    }
}

#[test]
fn the_network_runs_no_deeper_than_the_deepest_tap() {
    let cli = CliTest::new();
    let model = tiny(&cli, "");
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let pixels = images();
    let mut visited = Vec::new();
    let output = network
        .forward(
            images_of(&pixels),
            &[BlockIndex(2), BlockIndex(8)],
            Until::DeepestTap,
            &mut |tap, _| visited.push(tap.0),
        )
        .unwrap();
    assert!(output.is_none());
    assert_eq!(visited, [2, 8]);
    let beyond = network.forward(
        images_of(&pixels),
        &[BlockIndex(14)],
        Until::Output,
        &mut |_, _| {},
    );
    assert!(
        beyond
            .unwrap_err()
            .to_string()
            .contains("its last one is b13")
    );
}
