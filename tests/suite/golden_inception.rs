//! Inception-v3 against recorded outputs of pytorch-fid.
//!
//! Data, oracle and tolerance: `tests/golden/generative/README.md`.

use std::path::PathBuf;

use repro::imaging::{Image, Normalization};
use repro::models::checkpoint::synthetic;
use repro::models::extractor::{Images, TapRequest, Until};
use repro::models::{self, Model, Precision, Reduce, TapShape, WeightsSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root};

/// Absolute, for every tap in f32.
const TOLERANCE: f64 = 1e-4;

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/generative").join(name)
}

#[track_caller]
fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference <= TOLERANCE, "{what} is {difference:e} off");
}

/// A file of the network's weights by the synthetic rule, kernels times a factor; `more` are written beside them.
fn written(cli: &CliTest, model: &dyn Model, factor: f32, more: &[(&str, &[usize])]) -> PathBuf {
    let required = model.required().unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in required.tensors {
        let factor = if name.ends_with("conv.weight") {
            factor
        } else {
            1.0
        };
        let values = synthetic::fill(&name, &shape, 61).into_iter();
        let bytes = values.flat_map(|value| (value * factor).to_le_bytes());
        tensors.push((name, shape, bytes.collect()));
    }
    for (name, shape) in more {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        tensors.push(((*name).to_owned(), shape.to_vec(), bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let path = cli.path("weights.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// Every tap and the output of a model for one image, `[1, ...]`.
fn run_all(model: &dyn Model, pixels: &[f32], precision: Precision) -> (Vec<Tensor>, Tensor) {
    let images = Images {
        pixels,
        count: 1,
        timestep: None,
        classes: None,
    };
    let network = model.load(root(), Device::Cpu, precision).unwrap();
    let taps: Vec<_> = model.blocks().iter().map(|block| block.index).collect();
    let mut outputs = Vec::new();
    let mut visit = |index: models::BlockIndex, output: &Tensor| {
        assert_eq!(index.0 as usize, outputs.len() + 1, "in order");
        outputs.push(output.to_kind(Kind::Float).contiguous());
    };
    let output = network.forward(images, &taps, Until::Output, &mut visit);
    let output = output.unwrap().unwrap();
    assert_eq!(outputs.len(), taps.len());
    for (output, block) in outputs.iter().zip(model.blocks()) {
        let sizes = block.shape.sizes().into_iter().map(i64::from);
        let sizes: Vec<i64> = sizes.collect();
        assert_eq!(output.size()[1..], sizes, "{}", block.path);
    }
    (outputs, output)
}

#[test]
fn every_stage_of_the_published_network_has_the_recorded_values() {
    let cli = CliTest::new();
    let model = models::preset("inception-fid").unwrap().model;
    assert_eq!(model.blocks().len(), 21);
    let file = written(&cli, &*model, 1.5, &[]);
    let model = model.with_weights(WeightsSource::File(file));
    let json = std::fs::read(path("inception.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let bytes = std::fs::read(path("inception.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let golden = |name: String| {
        let view = tensors.tensor(&name).unwrap();
        let shape = view.shape().iter();
        let shape: Vec<i64> = shape.map(|&size| i64::try_from(size).unwrap()).collect();
        Tensor::from_data_size(view.data(), &shape, Kind::Float)
    };
    for name in ["image1", "image2"] {
        let image = Image::decode(&std::fs::read(path(&format!("{name}.png"))).unwrap()).unwrap();
        let pixels = image.stretched(299, 3, Normalization::MinusOneToOne);
        let (outputs, logits) = run_all(&*model, &pixels, Precision::F32);
        let mut stages = 0;
        for (output, block) in outputs.iter().zip(model.blocks()) {
            let what = format!("{name}.{}", block.path);
            match (block.path.as_str(), block.shape) {
                ("spatial", _) => {
                    let expected = golden(format!("sfid.{name}.spatial"));
                    assert_close(&what, &output.squeeze_dim(0), &expected);
                }
                ("pool3", _) => {
                    assert_close(&what, output, &golden(format!("{name}.features2048")));
                }
                ("logits", _) => assert_eq!(output, &logits),
                (_, TapShape::Map { .. }) => {
                    let corner = output.narrow(1, 0, 4).narrow(2, 0, 2).narrow(3, 0, 2);
                    assert_close(&what, &corner, &golden(format!("{what}.corner")));
                    let pooled = output.adaptive_avg_pool2d([1; 2]);
                    let expected = match block.path.as_str() {
                        "Mixed_7c" => golden(format!("{name}.features2048")).view([1, 2048, 1, 1]),
                        _ => golden(format!("{what}.pool1")),
                    };
                    assert_close(&what, &pooled, &expected);
                    let sizes = json["shapes"][&block.path].as_array().unwrap();
                    assert_eq!(sizes.len(), 3);
                    let width = match block.path.as_str() {
                        "maxpool1" => 64,
                        "maxpool2" => 192,
                        "Mixed_6e" => 768,
                        _ => 0,
                    };
                    if width > 0 {
                        let expected = golden(format!("{name}.features{width}"));
                        assert_close(&what, &pooled.flatten(1, 3), &expected);
                    }
                    stages += 1;
                }
                (other, _) => panic!("{other}"),
            }
        }
        assert_eq!(stages, 18);
    }
    // Counts of batches are no parameters, and the oracle counts what it uses: its linear layer is left out.
    let classifier = 1008 * 2048 + 1008;
    let expected = json["parameters"].as_u64().unwrap();
    assert_eq!(model.parameter_count() - classifier, expected);
}

#[test]
fn files_of_torchvision_load_without_the_auxiliary_network() {
    let cli = CliTest::new();
    let model = models::preset("inception-tiny").unwrap().model;
    let beside: [(&str, &[usize]); 2] = [
        ("AuxLogits.fc.weight", &[63, 48]),
        ("Conv2d_1a_3x3.bn.num_batches_tracked", &[]),
    ];
    let file = written(&cli, &*model, 1.0, &beside);
    model.check_file(&file).unwrap();
    let loaded = model.with_weights(WeightsSource::File(file.clone()));
    let synthetic = model.with_weights(WeightsSource::Synthetic(61));
    let pixels: Vec<f32> = (0..3 * 299 * 299)
        .map(|place| (place % 251) as f32 / 125.0 - 1.0)
        .collect();
    let (expected, _) = run_all(&*synthetic, &pixels, Precision::F32);
    let (found, _) = run_all(&*loaded, &pixels, Precision::F32);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    let (rounded, _) = run_all(&*synthetic, &pixels, Precision::Bf16);
    for (found, expected) in rounded.iter().zip(&expected) {
        let difference = (found - expected).abs().max().double_value(&[]);
        assert!(difference < 0.1, "{difference}");
    }
    let shown = cli.run(&["models", "inspect", "weights.safetensors"]);
    let shown = shown.expect_code(0);
    assert!(shown.stdout.contains("inception-tiny"), "{shown}");
}

/// Features are what the forward pass gives: one that ends at a tap is the same up to there.
#[test]
fn a_pass_ends_at_the_deepest_tap() {
    let model = models::preset("inception-tiny").unwrap().model;
    let pixels = vec![0.25; 3 * 299 * 299];
    let (all, _) = run_all(&*model, &pixels, Precision::F32);
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let images = Images {
        pixels: &pixels,
        count: 1,
        timestep: None,
        classes: None,
    };
    for number in [1, 4, 14, 15, 20] {
        let block = &model.blocks()[number - 1];
        let tap = TapRequest::of(block, Reduce::Whole);
        let features = network.features(images, &[tap]).unwrap().read();
        let expected = Vec::<f32>::try_from(all[number - 1].flatten(0, -1)).unwrap();
        assert_eq!(features, [expected], "{}", block.path);
    }
}
