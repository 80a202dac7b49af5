//! The network and what stands around it, as benchmarks: `cargo bench`, or one group with `cargo bench -- taps`.
//!
//! `cargo bench -- --save-baseline before` keeps the figures, and `cargo bench -- --baseline before` compares with them.
//! docs/reference/performance.md says what the figures mean; `benches/against_reference.py` compares with the reference code.

#![expect(clippy::expect_used, reason = "a benchmark fails this way")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use repro::diffusion::noise::fill_noise;
use repro::imaging::preprocess::Draw;
use repro::imaging::{Image, Normalization, Preprocess};
use repro::models::extractor::{Images, Network, TapRequest};
use repro::models::{self, BlockIndex, Model, Precision, Reduce, WeightsSource};

/// A network with synthetic weights on the CPU.
fn network(preset: &str, precision: Precision) -> Box<dyn Network> {
    model(preset)
        .with_weights(WeightsSource::Synthetic(1))
        .load(Path::new("."), tch::Device::Cpu, precision)
        .expect("synthetic weights fit every network")
}

fn model(preset: &str) -> std::sync::Arc<dyn Model> {
    models::preset(preset).expect("the preset exists").model
}

/// Noise in place of images: the arithmetic is the same.
fn noise(preset: &str, count: usize) -> Vec<f32> {
    let input = model(preset).input();
    let mut values = vec![0.0; count * (input.channels * input.side * input.side) as usize];
    fill_noise(0, "benchmark", "center", 90, 0, &mut values);
    values
}

fn run(network: &dyn Network, x_t: &[f32], count: usize, taps: &[TapRequest]) {
    let images = Images {
        pixels: x_t,
        count,
        timestep: Some(90),
        classes: None,
    };
    black_box(
        network
            .features(images, taps)
            .expect("the taps exist")
            .read(),
    );
}

fn tap(block: u32, pool: u32) -> TapRequest {
    TapRequest {
        block: BlockIndex(block),
        reduce: Reduce::Pool(pool),
        tokens_before: 0,
    }
}

/// How deep, and in what precision. The floor is the arithmetic: `repro list models` prints the multiply-adds.
fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10);
    for (preset, count, blocks) in [
        ("adm-tiny", 64, &[7, 13][..]),
        ("adm-256-uncond", 1, &[24][..]),
    ] {
        let x_t = noise(preset, count);
        group.throughput(Throughput::Elements(count as u64));
        for precision in [Precision::F32, Precision::Bf16] {
            let network = network(preset, precision);
            for &block in blocks {
                let id = format!("{preset}/b{block}/{}", precision.name());
                group.bench_function(id, |bencher| {
                    bencher.iter(|| run(&*network, &x_t, count, &[tap(block, 1)]));
                });
            }
        }
    }
    group.finish();
}

/// What all blocks and three pools of each cost over one pool of the deepest block; at most 5 %.
fn taps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("taps");
    group.sample_size(10);
    for (preset, count, deepest) in [("adm-tiny", 64, 13), ("adm-256-uncond", 1, 24)] {
        let (network, x_t) = (network(preset, Precision::F32), noise(preset, count));
        let pools = [1, 2, 4].into_iter();
        let all: Vec<TapRequest> = pools
            .flat_map(|pool| (1..=deepest).map(move |block| tap(block, pool)))
            .collect();
        for (name, taps) in [("one", &[tap(deepest, 1)][..]), ("all", &all)] {
            group.bench_function(BenchmarkId::new(preset, name), |bencher| {
                bencher.iter(|| run(&*network, &x_t, count, taps));
            });
        }
    }
    group.finish();
}

/// What runs beside the network: a JPEG to a square, and its noise.
fn prepare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prepare");
    let picture = image::RgbImage::from_fn(500, 375, |x, y| {
        let shade = |value: u32| u8::try_from(value % 256).unwrap_or(u8::MAX);
        image::Rgb([shade(x / 2), shade(y / 2), shade(x * y / 97)])
    });
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode_image(&picture)
        .expect("a picture can be encoded");
    let decode = || Image::decode(&jpeg).expect("what was encoded decodes");
    group.bench_function("decode", |bencher| bencher.iter(|| black_box(decode())));
    let decoded = decode();
    let draw = Draw {
        seed: 0,
        sample: "a",
        view: "center",
        draw: 0,
    };
    let crop = |image: &Image, side| {
        let square = Preprocess::default().apply(image, side, draw);
        square.expect("photographs are small")
    };
    group.bench_function("crop", |bencher| {
        bencher.iter(|| black_box(crop(&decoded, 256)));
    });
    let square = crop(&decoded, 256);
    group.bench_function("planes", |bencher| {
        bencher.iter(|| black_box(square.to_planes(3, Normalization::default())));
    });
    let gray = Image::gray(28, 28, vec![7; 28 * 28]);
    group.bench_function("gray-28", |bencher| {
        bencher.iter(|| black_box(crop(&gray, 28).to_planes(1, Normalization::default())));
    });
    group.bench_function("noise", |bencher| {
        let mut values = vec![0.0; 3 * 256 * 256];
        bencher.iter(|| fill_noise(0, "a", "center", 90, 0, black_box(&mut values)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10));
    targets = prepare, taps, forward
}
criterion_main!(benches);
