//! Networks from the command line: `repro models tap`, `repro bench`, precisions; and what a batch may not change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use repro::diffusion::noise::fill_noise;
use repro::models::extractor::{Images, Network, TapRequest};
use repro::models::{self, BlockIndex, Precision, WeightsSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::fixture::{CliTest, nano_weights, root};
use crate::small::{SMALL, run, small};

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden/guided_diffusion").join(name)
}

/// Shape and values.
type Array = (Vec<usize>, Vec<f32>);

/// The arrays of a file.
type Arrays = BTreeMap<String, Array>;

fn read(path: &Path) -> Arrays {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut arrays = Arrays::new();
    for (name, view) in file.tensors() {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let words = view.data().chunks_exact(4);
        let values = words.map(|word| f32::from_le_bytes(word.try_into().unwrap()));
        arrays.insert(name, (view.shape().to_vec(), values.collect()));
    }
    arrays
}

fn write(cli: &CliTest, name: &str, arrays: &[(&str, &Array)]) {
    let bytes: Vec<Vec<u8>> = arrays
        .iter()
        .map(|(_, (_, values))| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = arrays
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| {
            (
                *name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
    cli.write(name, safetensors::serialize(views, None).unwrap());
}

fn difference(found: &Array, expected: &Array) -> f32 {
    assert_eq!(found.0, expected.0);
    found
        .1
        .iter()
        .zip(&expected.1)
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f32::max)
}

/// A folder with the golden images of adm-nano: `x0` and `eps` in one file, `x_t` of t = 150 in another.
fn nano() -> (CliTest, Arrays) {
    let (cli, arrays) = (
        CliTest::new(),
        read(&golden("adm-nano-features.safetensors")),
    );
    write(
        &cli,
        "clean.safetensors",
        &[("x0", &arrays["x0"]), ("eps", &arrays["eps"])],
    );
    write(&cli, "noisy.safetensors", &[("x_t", &arrays["t150.xt"])]);
    (cli, arrays)
}

#[test]
fn tapped_maps_are_the_golden_ones() {
    let (cli, expected) = nano();
    for input in ["clean.safetensors", "noisy.safetensors"] {
        let weights = nano_weights();
        let output = cli
            .run(&[
                "models",
                "tap",
                "adm-nano",
                "--weights",
                weights.to_str().unwrap(),
                "--input",
                input,
                "--output",
                "out.safetensors",
                "--timestep",
                "150",
                "--pool",
                "2",
                "--device",
                "cpu",
            ])
            .expect_code(0)
            .expect_in_stderr(&["2 images", "6 arrays written to out.safetensors"]);
        assert_eq!(output.stdout, "");
        let found = read(&cli.path("out.safetensors"));
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["b01", "b02", "b03", "b04", "b05", "out"]);
        for block in 1..=5 {
            let key = format!("b{block:02}");
            let off = difference(&found[&key], &expected[&format!("t150.{key}.pool2")]);
            assert!(off <= 5e-5, "{key} is {off:e} off with {input}");
        }
    }
}

#[test]
fn a_model_can_be_tapped_by_its_toml_file_and_for_whole_maps() {
    let (cli, expected) = nano();
    cli.write(
        "nano.toml",
        "[model.nano]\nkind = \"guided-diffusion\"\npreset = \"adm-nano\"\nweights = { synthetic = 2 }\n",
    );
    cli.run(&[
        "models",
        "tap",
        "nano.toml",
        "--input",
        "clean.safetensors",
        "--output",
        "out.safetensors",
        "--timestep",
        "150",
        "--blocks",
        "2-3,out",
        "--device",
        "cpu",
    ])
    .expect_code(0);
    let found = read(&cli.path("out.safetensors"));
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["b02", "b03", "out"]);
    assert_eq!(found["b02"].0, [2, 32, 32, 32]);
    let off = difference(&found["out"], &expected["t150.out"]);
    assert!(off <= 1e-4, "out is {off:e} off");
}

#[test]
fn errors_of_a_tap_name_the_remedy() {
    let (cli, arrays) = nano();
    write(&cli, "half.safetensors", &[("x0", &arrays["x0"])]);
    write(
        &cli,
        "flat.safetensors",
        &[("x_t", &(vec![2, 3], vec![0.0; 6]))],
    );
    cli.write("two.toml", "[model.a]\nkind = \"guided-diffusion\"\npreset = [\"adm-nano\", \"adm-tiny\"]\nweights = { synthetic = 1 }\n");
    cli.write("wrong.toml", "[model.a]\nkind = \"guided-diffusion\"\npreset = \"adm-nana\"\nweights = { synthetic = 1 }\n");
    let noisy = ["--input", "noisy.safetensors", "--weights", "synthetic:2"];
    for (model, arguments, code, expected) in [
        ("adm-nan", &noisy[..], 2, "did you mean `adm-nano`"),
        ("adm-nano", &noisy[..2], 2, "--weights"),
        ("two.toml", &noisy[..2], 2, "one is needed"),
        ("wrong.toml", &noisy[..2], 2, "spec::unknown-preset"),
        (
            "adm-nano",
            &[&noisy[..], &["--blocks", "6"]].concat(),
            2,
            "the blocks 1 to 5",
        ),
        (
            "adm-nano",
            &[&noisy[..], &["--blocks", "3-2"]].concat(),
            2,
            "`3-2`",
        ),
        (
            "adm-nano",
            &[&noisy[..], &["--pool", "33"]].concat(),
            2,
            "cannot be pooled to 33 × 33",
        ),
        (
            "adm-nano",
            &[&noisy[..], &["--pool", "0"]].concat(),
            2,
            "invalid pool `0`",
        ),
        (
            "adm-nano",
            &[&noisy[..], &["--precision", "f64"]].concat(),
            2,
            "invalid precision `f64`",
        ),
        (
            "adm-nano",
            &["--input", "half.safetensors", "--weights", "synthetic:2"],
            3,
            "it holds x0",
        ),
        (
            "adm-nano",
            &["--input", "flat.safetensors", "--weights", "synthetic:2"],
            3,
            "`x_t` is F32 [2, 3]",
        ),
        (
            "adm-tiny",
            &["--input", "no.safetensors", "--weights", "synthetic:2"],
            3,
            "no.safetensors",
        ),
        ("adm-64-cond", &noisy, 3, "[3, 64, 64]"),
    ] {
        let fixed = [
            "--output",
            "out.safetensors",
            "--timestep",
            "90",
            "--device",
            "cpu",
        ];
        let output = cli.run(&[&["models", "tap", model][..], arguments, &fixed[..]].concat());
        assert_eq!(output.code, Some(code), "{output}");
        assert!(
            output.stderr.contains(expected),
            "no `{expected}` in\n{output}"
        );
        assert!(!cli.path("out.safetensors").exists());
    }
    let late = ["--output", "out.safetensors", "--timestep", "1000"];
    cli.run(&[&["models", "tap", "adm-nano"][..], &noisy, &late].concat())
        .expect_code(2)
        .expect_in_stderr(&["no timestep 1000; its last one is 999"]);
}

#[test]
fn the_benchmark_says_how_fast_each_stage_is() {
    let cli = CliTest::new();
    let arguments = [
        "bench",
        "extraction",
        "--model",
        "adm-nano",
        "--block",
        "3",
        "--images",
        "9",
        "--batch-size",
        "4",
    ];
    let text = cli
        .run(&[&arguments[..], &["--device", "cpu"]].concat())
        .expect_code(0)
        .stdout;
    for word in [
        "images/s",
        "TFLOP/s",
        "decode",
        "forward",
        "write",
        "wall",
        "in memory",
    ] {
        assert!(text.contains(word), "no `{word}` in\n{text}");
    }
    let measured = cli
        .run(
            &[
                &arguments[..],
                &["--device", "cpu", "--json", "--precision", "bf16"],
            ]
            .concat(),
        )
        .expect_code(0)
        .json();
    assert_eq!(
        (&measured["images"], &measured["batch_size"]),
        (&9.into(), &4.into())
    );
    assert_eq!(measured["precision"], "bf16");
    let number = |key: &str| measured[key].as_f64().unwrap();
    assert!(number("forward_seconds") > 0.0);
    assert!(number("forward_seconds") <= number("wall_seconds"));
    assert!((number("images_per_second") * number("wall_seconds") - 9.0).abs() < 1e-6);
    cli.run(&["bench", "extraction", "--model", "adm-nan"])
        .expect_code(2)
        .expect_in_stderr(&["did you mean `adm-nano`"]);
    cli.run(&["bench", "extraction", "--model", "adm-nano", "--block", "9"])
        .expect_code(2)
        .expect_in_stderr(&["graph::block-out-of-range"]);
}

#[test]
fn precisions_are_features_of_their_own_and_an_axis_of_the_report() {
    let cli = small();
    let mut text = SMALL.replace("[10, 90]", "10\nprecision = [\"f32\", \"bf16\"]");
    for axis in ["columns = ", "series = "] {
        let timestep = format!("{axis}\"timestep\"");
        assert!(text.contains(&timestep));
        text = text.replace(&timestep, &format!("{axis}\"precision\""));
    }
    cli.write("small.toml", text);
    run(&cli, "small.toml").expect_in_stderr(&["2 passes", "t=10  bf16"]);
    let counts = cli.query(
        "SELECT precision, count(*) AS rows FROM results GROUP BY precision ORDER BY precision",
    );
    let rows: Vec<(&str, u64)> = counts
        .iter()
        .map(|row| {
            (
                row["precision"].as_str().unwrap(),
                row["rows"].as_u64().unwrap(),
            )
        })
        .collect();
    // Two metrics, two blocks, two seeds.
    assert_eq!(rows, [("bf16", 8), ("f32", 8)]);
    assert!(cli.read("reports/small.md").contains("bf16"));
}

#[test]
fn one_extraction_runs_over_networks_with_and_without_noise() {
    let cli = small();
    let resnet = "[model.resnet]\nkind = \"resnet\"\npreset = \"resnet-tiny\"\nweights = { synthetic = 1 }\n\n[extraction.taps]";
    let (nodes, _) = SMALL.split_once("[report]").unwrap();
    let text = nodes.replace("[extraction.taps]", resnet);
    let text = text.replace("model    = \"unet\"", "model    = [\"unet\", \"resnet\"]");
    cli.write("small.toml", text);
    run(&cli, "small.toml").expect_in_stderr(&["3 passes"]);
    let counts =
        cli.query("SELECT model, count(*) AS rows FROM results GROUP BY model ORDER BY model");
    let rows: Vec<(&str, u64)> = counts
        .iter()
        .map(|row| {
            (
                row["model"].as_str().unwrap(),
                row["rows"].as_u64().unwrap(),
            )
        })
        .collect();
    // Two metrics, two blocks, two seeds; and two timesteps where there is noise.
    assert_eq!(rows, [("resnet", 8), ("unet", 16)]);
}

/// How far features may move when other images are in the batch: the kernels for other sizes sum in another order.
/// Features of adm-tiny have magnitudes of about one.
const REBATCHED_F32: f32 = 2e-5;
/// The same in bf16, where a sum that rounds the other way is off by 2^-8 of its size, and later layers spread it.
const REBATCHED_BF16: f32 = 5e-2;

#[test]
fn features_do_not_depend_on_batch_size_order_or_neighbors() {
    const IMAGES: usize = 6;
    const SIZE: usize = 3 * 32 * 32;
    let mut x_t = vec![0.0; IMAGES * SIZE];
    for (index, image) in x_t.chunks_mut(SIZE).enumerate() {
        fill_noise(5, &format!("image {index}"), "center", 90, 0, image);
    }
    let taps: Vec<TapRequest> = (1..=13)
        .map(|block| TapRequest {
            block: BlockIndex(block),
            reduce: repro::models::Reduce::Pool(2),
            tokens_before: 0,
        })
        .collect();
    let model = models::preset("adm-tiny").unwrap().model;
    for (precision, tolerance) in [
        (Precision::F32, REBATCHED_F32),
        (Precision::Bf16, REBATCHED_BF16),
    ] {
        let network = model
            .with_weights(WeightsSource::Synthetic(1))
            .load(Path::new("."), tch::Device::Cpu, precision)
            .unwrap();
        let whole = features(&*network, &x_t, IMAGES, &taps);
        let mut furthest: f32 = 0.0;
        let mut compare = |found: &[Vec<f32>], position: usize, image: usize| {
            for (found, whole) in found.iter().zip(&whole) {
                let width = whole.len() / IMAGES;
                let found = &found[position * width..(position + 1) * width];
                let expected = &whole[image * width..(image + 1) * width];
                for (found, expected) in found.iter().zip(expected) {
                    furthest = furthest.max((found - expected).abs());
                }
            }
        };
        for batch in [1, 4] {
            for first in (0..IMAGES).step_by(batch) {
                let count = batch.min(IMAGES - first);
                let piece = &x_t[first * SIZE..(first + count) * SIZE];
                let found = features(&*network, piece, count, &taps);
                for position in 0..count {
                    compare(&found, position, first + position);
                }
            }
        }
        let reversed: Vec<f32> = x_t.chunks(SIZE).rev().flatten().copied().collect();
        let found = features(&*network, &reversed, IMAGES, &taps);
        for position in 0..IMAGES {
            compare(&found, position, IMAGES - 1 - position);
        }
        println!("{precision:?}: features move by at most {furthest:e}");
        assert!(furthest <= tolerance, "{precision:?}: {furthest:e}");
    }
}

fn features(
    network: &dyn Network,
    x_t: &[f32],
    count: usize,
    taps: &[TapRequest],
) -> Vec<Vec<f32>> {
    let images = Images {
        pixels: x_t,
        count,
        timestep: Some(90),
        classes: None,
    };
    network.features(images, taps).unwrap().read()
}
