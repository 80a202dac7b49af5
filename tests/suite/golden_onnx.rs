//! Networks of ONNX files against the outputs of the framework that exported them, and experiments with them.
//!
//! Data and tolerance: `tests/golden/onnx/README.md`.

use std::path::PathBuf;
use std::sync::Arc;

use repro::imaging::Normalization;
use repro::models::extractor::{Images, Until};
use repro::models::kinds::onnx::declared::Tap;
use repro::models::kinds::onnx::model;
use repro::models::{BlockIndex, InputSpec, Model, Precision, WeightsSource};
use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root, with_snapshots};

/// Absolute, in f32.
const TOLERANCE: f64 = 1e-5;

/// The outputs of both files, with their shapes for one image.
const TAPS: [(&str, &[u32]); 4] = [
    ("first", &[6, 8, 8]),
    ("second", &[8, 4, 4]),
    ("tokens", &[17, 8]),
    ("logits", &[5]),
];

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/onnx").join(name)
}

fn network(file: &str) -> Arc<dyn Model> {
    // `./test` sets it.
    assert!(
        std::env::var_os("ORT_DYLIB_PATH").is_some(),
        "ORT_DYLIB_PATH names the library of ONNX Runtime; ./test sets it"
    );
    let input = InputSpec {
        channels: 3,
        side: 16,
        normalization: Normalization::MinusOneToOne,
        noise: None,
    };
    let taps = TAPS.map(|(name, shape)| Tap {
        name: name.to_owned(),
        shape: shape.to_vec(),
        class_token: name == "tokens",
        registers: 0,
    });
    model(input, taps.to_vec(), WeightsSource::File(path(file)))
}

#[test]
fn outputs_are_those_of_pytorch_for_batches_of_any_and_of_one_size() {
    let bytes = std::fs::read(path("tiny.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let golden = |name: &str| {
        let view = golden.tensor(name).unwrap();
        let shape: Vec<i64> = view
            .shape()
            .iter()
            .map(|&size| i64::try_from(size).unwrap())
            .collect();
        Tensor::from_data_size(view.data(), &shape, Kind::Float)
    };
    let image: Vec<f32> = Vec::try_from(golden("image").flatten(0, -1)).unwrap();
    for file in ["tiny.onnx", "tiny-batch-2.onnx"] {
        let model = network(file);
        let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
        // Three images: two batches of two, the last of them filled up.
        let images = Images {
            pixels: &image,
            count: 3,
            timestep: None,
            classes: None,
        };
        let all: Vec<BlockIndex> = (1..=4).map(BlockIndex).collect();
        // All at once, and each by itself.
        for taps in [&all[..], &all[..1], &all[1..2], &all[2..3], &all[3..]] {
            let mut seen = Vec::new();
            let mut visit = |index: BlockIndex, output: &Tensor| {
                let (name, _) = TAPS[index.0 as usize - 1];
                let expected = golden(name);
                assert_eq!(output.size(), expected.size(), "{file} {name}");
                let difference = (output - expected).abs().max().double_value(&[]);
                assert!(difference <= TOLERANCE, "{file} {name}: {difference:e}");
                seen.push(index);
            };
            let none = network.forward(images, taps, Until::DeepestTap, &mut visit);
            assert!(none.unwrap().is_none());
            assert_eq!(seen, taps);
        }
    }
}

/// An experiment with the network of a file, whose map and tokens feed heads.
fn experiment(file: &str, map: &str) -> String {
    format!(
        r#"
[experiment]
name = "onnx"

[dataset.shades]
kind = "image-folder"
root = "photos"

[model.tiny]
kind       = "onnx"
weights    = "{file}"
image_size = 16
normalize  = "imagenet"
taps = [
  {{ name = "second", shape = {map} }},
  {{ name = "tokens", shape = [17, 8], class_token = true }},
]

[extraction.taps]
model   = "tiny"
dataset = "shades"
block   = "all"

[head.linear]
kind     = "linear"
features = "taps"
epochs   = 2

[metric.accuracy]
kind = "accuracy"
of   = "linear"
top  = 1
"#
    )
}

fn with_network() -> CliTest {
    let cli = CliTest::new();
    cli.image_folder("photos", 5);
    std::fs::copy(path("tiny.onnx"), cli.path("tiny.onnx")).unwrap();
    cli
}

#[test]
fn an_experiment_with_an_exported_network_runs() {
    let cli = with_network();
    cli.write("tiny.toml", experiment("tiny.onnx", "[8, 4, 4]"));
    cli.run(&["run", "tiny.toml", "--device", "cpu"])
        .expect_code(0);
    let rows = cli.query("SELECT block, value FROM results ORDER BY block");
    assert_eq!(rows.len(), 2, "{rows:?}");
    // Nothing is left to do, until the file is another one.
    let again = cli.run(&["plan", "tiny.toml"]).expect_code(0);
    assert!(again.stdout.contains("nothing to compute"), "{again}");
    std::fs::copy(path("tiny-batch-2.onnx"), cli.path("tiny.onnx")).unwrap();
    let other = cli.run(&["plan", "tiny.toml"]).expect_code(0);
    assert!(!other.stdout.contains("nothing to compute"), "{other}");
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_computed() {
    let cli = with_network();
    with_snapshots(&cli, || {
        cli.write("wrong.toml", experiment("tiny.onnx", "[8, 7, 7]"));
        let wrong = cli
            .run(&["run", "wrong.toml", "--device", "cpu"])
            .expect_code(3);
        insta::assert_snapshot!("onnx-wrong-shape", wrong);
        let text = experiment("tiny.onnx", "[8, 4, 4]");
        cli.write(
            "half.toml",
            text.replace("block   =", "precision = \"bf16\"\nblock   ="),
        );
        let half = cli.run(&["check", "half.toml"]).expect_code(2);
        insta::assert_snapshot!("onnx-precision", half);
        let inspected = cli.run(&["models", "inspect", "tiny.onnx"]).expect_code(0);
        insta::assert_snapshot!("onnx-inspect", inspected);
    });
    // What is printed for a file is what an experiment needs, but for what the file leaves open.
    let record = cli
        .run(&["models", "inspect", "tiny.onnx", "--json"])
        .json();
    let table = record["experiment"].as_str().unwrap();
    let filled = [
        ("\"?\"", "\"imagenet\""),
        ("[?, ?]", "[17, 8]"),
        ("NAME", "tiny"),
    ];
    let table = filled
        .iter()
        .fold(table.to_owned(), |table, (open, value)| {
            table.replace(open, value)
        });
    let rest = experiment("tiny.onnx", "[8, 4, 4]");
    let (before, after) = rest.split_once("[model.tiny]").unwrap();
    let after = after.split_once("[extraction.taps]").unwrap().1;
    cli.write(
        "printed.toml",
        format!("{before}{table}\n[extraction.taps]{after}"),
    );
    cli.run(&["plan", "printed.toml"]).expect_code(0);
}

#[test]
fn without_onnx_runtime_the_message_says_what_to_install() {
    let cli = with_network();
    cli.write("tiny.toml", experiment("tiny.onnx", "[8, 4, 4]"));
    let mut command = cli.command(&["run", "tiny.toml", "--device", "cpu"]);
    command.env("ORT_DYLIB_PATH", cli.path("nowhere.so"));
    let ended = crate::fixture::finish(command.output().unwrap()).expect_code(1);
    ended.expect_in_stderr(&["ONNX Runtime cannot be loaded", "pip install onnxruntime"]);
}
