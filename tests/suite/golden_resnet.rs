//! ResNets against recorded outputs of torchvision.
//!
//! Data, oracle and tolerance: `tests/golden/resnet/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use repro::imaging::Image;
use repro::models::checkpoint::comparison::{self, Required};
use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{Images, TapRequest, Until};
use repro::models::kinds::resnet::config::Config;
use repro::models::kinds::resnet::layouts;
use repro::models::kinds::resnet::network::Network;
use repro::models::kinds::resnet::presets;
use repro::models::{self, Model, Precision, Reduce, TapShape, WeightsSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root};
use crate::hollow::whole;

/// Absolute, for every tap in f32.
const TOLERANCE: f64 = 2e-5;

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/resnet").join(name)
}

/// The f32 tensors of a file.
fn read(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let shape: Vec<i64> = view
            .shape()
            .iter()
            .map(|&size| i64::try_from(size).unwrap())
            .collect();
        (
            name,
            Tensor::from_data_size(view.data(), &shape, Kind::Float),
        )
    };
    tensors.tensors().into_iter().map(read).collect()
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
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

fn preset(name: &str) -> Arc<dyn Model> {
    models::preset(name).unwrap().model
}

/// Every tap and the output of a model for images.
fn run_all(model: &dyn Model, images: &[f32], precision: Precision) -> (Vec<Tensor>, Tensor) {
    let input = model.input();
    let size = (input.channels * input.side * input.side) as usize;
    let images = Images {
        pixels: images,
        count: images.len() / size,
        timestep: None,
        classes: None,
    };
    let network = model.load(root(), Device::Cpu, precision).unwrap();
    let taps: Vec<_> = model.blocks().iter().map(|block| block.index).collect();
    let mut outputs = Vec::new();
    let mut visit = |index: models::BlockIndex, output: &Tensor| {
        assert_eq!(index.0 as usize, outputs.len(), "in order");
        outputs.push(output.copy());
    };
    let output = network.forward(images, &taps, Until::Output, &mut visit);
    for (output, block) in outputs.iter().zip(model.blocks()) {
        let sizes = block.shape.sizes().into_iter().map(i64::from);
        assert_eq!(
            output.size()[1..],
            sizes.collect::<Vec<_>>(),
            "{}",
            block.index
        );
    }
    assert_eq!(outputs.len(), taps.len());
    (outputs, output.unwrap().unwrap())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).unwrap()
}

/// The names of the golden outputs of the tiny network, in the order of its taps.
fn tiny_names() -> Vec<String> {
    let first = std::iter::once("conv1_relu".to_owned());
    first
        .chain((1..=6).map(|block| format!("b{block:02}")))
        .chain(["avgpool".to_owned(), "logits".to_owned()])
        .collect()
}

#[test]
fn parameters_have_the_names_the_shapes_and_the_count_of_torchvision() {
    for (name, file) in [
        ("resnet-50", "resnet50.json"),
        ("resnet-tiny", "resnet-tiny.json"),
    ] {
        let (config, expected) = (presets::find(name).unwrap().network, json(file));
        let state_dict: Vec<(String, Vec<usize>)> =
            serde_json::from_value(expected["state_dict"].clone()).unwrap();
        let needed = state_dict
            .into_iter()
            .filter(|(name, _)| !name.ends_with("num_batches_tracked"));
        let needed: Vec<_> = needed.collect();
        assert_eq!(config.state_dict(), needed);
        let parameters = expected["parameters"].as_u64();
        assert_eq!(Some(config.parameter_count()), parameters);
        for block in &config.blocks()[1..=config.bottlenecks().len()] {
            let key = format!("b{:02}", block.index.0);
            assert_eq!(expected["blocks"][&key], block.path.as_str());
            let stats = &expected["stats"][&key]["shape"];
            let shape = if stats.is_null() {
                &expected["shapes"][&key]
            } else {
                stats
            };
            let sizes = serde_json::to_value(block.shape.sizes()).unwrap();
            assert_eq!(*shape, sizes, "{key}");
        }
    }
    let mut weights = WeightMap::synthetic(1);
    let config = presets::find("resnet-tiny").unwrap().network;
    Network::new(&config, &mut weights).unwrap();
    let mut taken = weights.requested().to_vec();
    let mut needed = config.state_dict();
    taken.sort();
    needed.sort();
    assert_eq!(taken, needed);
}

#[test]
fn every_tap_of_the_tiny_network_is_the_golden_one() {
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let model = preset("resnet-tiny").with_weights(WeightsSource::Synthetic(32));
    let images = values(&golden["input"]);
    let (taps, output) = run_all(&*model, &images, Precision::F32);
    for (name, tap) in tiny_names().iter().zip(&taps) {
        assert_close(name, tap, &golden[name], TOLERANCE);
    }
    assert_close("output", &output, &golden["logits"], TOLERANCE);
}

#[test]
fn a_feature_is_the_same_whatever_else_is_tapped() {
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let model = preset("resnet-tiny").with_weights(WeightsSource::Synthetic(32));
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let pixels = values(&golden["input"]);
    let images = Images {
        pixels: &pixels,
        count: 2,
        timestep: None,
        classes: None,
    };
    let requests: Vec<TapRequest> = model
        .blocks()
        .iter()
        .map(|block| {
            let reduce = match block.shape {
                TapShape::Map { .. } => Reduce::Pool(1),
                _ => Reduce::Whole,
            };
            TapRequest::of(block, reduce)
        })
        .collect();
    let together = network.features(images, &requests).unwrap().read();
    for (request, together) in requests.iter().zip(&together) {
        let alone = network.features(images, &[*request]).unwrap().read();
        assert_eq!(alone[0], *together, "{}", request.block);
    }
    // The pooled feature is block 6 pooled to one position.
    assert_eq!(together[6], together[7]);
    let labeled = Images {
        classes: Some(&[0, 1]),
        ..images
    };
    assert!(network.features(labeled, &requests).is_err());
    let beyond = models::BlockIndex(9);
    let error = network.forward(images, &[beyond], Until::Output, &mut |_, _| {});
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("its last one is b8")
    );
}

#[test]
fn in_16_bits_taps_are_near_those_in_32() {
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let model = preset("resnet-tiny").with_weights(WeightsSource::Synthetic(32));
    let images = values(&golden["input"]);
    for (precision, tolerance) in [(Precision::Bf16, 8e-2), (Precision::F16, 1e-2)] {
        let (taps, output) = run_all(&*model, &images, precision);
        for (name, tap) in tiny_names().iter().zip(&taps) {
            let is_map = name.starts_with('b') || name == "conv1_relu";
            let kind = if is_map {
                precision.kind()
            } else {
                Kind::Float
            };
            assert_eq!(tap.kind(), kind, "{name}");
            assert_close(name, tap, &golden[name], tolerance);
        }
        assert_eq!(output.kind(), Kind::Float);
    }
}

/// The golden images as `repro models tap` reads them.
fn with_images() -> CliTest {
    let cli = CliTest::new();
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let images = values(&golden["input"]);
    let bytes: Vec<u8> = images.into_iter().flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, vec![2, 3, 64, 64], &bytes).unwrap();
    let file = safetensors::serialize([("x0", view)], None).unwrap();
    cli.write("images.safetensors", file);
    cli
}

/// The taps of the tiny network without its linear layer, from a file as it is.
fn tapped(cli: &CliTest, weights: &Path) -> BTreeMap<String, Tensor> {
    cli.write(
        "net.toml",
        format!(
            "[model.net]\nkind = \"resnet\"\nlayers = [1, 2, 2, 1]\nbase_width = 8\nimage_size = 64\nweights = {:?}\n",
            weights.to_str().unwrap()
        ),
    );
    let tap = ["models", "tap", "net.toml", "--input", "images.safetensors"];
    let rest = ["--output", "out.safetensors", "--device", "cpu"];
    cli.run(&[&tap[..], &rest].concat())
        .expect_code(0)
        .expect_in_stderr(&["2 images", "9 arrays"]);
    read(&cli.path("out.safetensors"))
}

/// Without a linear layer, the pooled feature is the last block, and the output.
fn assert_golden(what: &str, found: &BTreeMap<String, Tensor>) {
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let mut expected: Vec<(String, String)> = (1..=6)
        .map(|block| format!("b{block:02}"))
        .map(|name| (name.clone(), name))
        .collect();
    for (key, name) in [
        ("b00", "conv1_relu"),
        ("b07", "avgpool"),
        ("out", "avgpool"),
    ] {
        expected.push((key.to_owned(), name.to_owned()));
    }
    assert_eq!(found.len(), expected.len(), "{what}");
    for (key, name) in expected {
        let what = format!("{what} {key}");
        assert_close(&what, &found[&key], &golden[&name], TOLERANCE);
    }
}

#[test]
fn files_of_swav_and_vissl_are_read_as_they_are_published() {
    let cli = with_images();
    for (file, ignored) in [
        ("resnet-tiny.swav.pth.tar", "module.projection_head"),
        (
            "resnet-tiny.vissl.torch",
            "classy_state_dict.base_model.model.heads",
        ),
    ] {
        let path = whole("resnet", file);
        assert_golden(file, &tapped(&cli, &path));
        let tensors = StoredTensors::open(&path).unwrap();
        let headless = Config {
            classes: None,
            ..presets::find("resnet-tiny").unwrap().network
        };
        assert!(headless.fits(&tensors), "{file}");
        let required = Required {
            tensors: headless.state_dict(),
            known: layouts::FILE_NAMES,
            skipped: |_| false,
            prefix: "",
        };
        let names = comparison::ignored(&tensors, &required);
        assert!(
            names.iter().any(|name| name.starts_with(ignored)),
            "{names:?}"
        );
        assert!(
            names.iter().all(|name| !name.contains("layer")),
            "{names:?}"
        );
    }
}

/// What a run leaves alone of a file of weights is a warning, once however many extractions read the network.
#[test]
fn tensors_of_other_networks_are_said_once() {
    let cli = CliTest::new();
    cli.image_folder("photos", 2);
    let weights = whole("resnet", "resnet-tiny.swav.pth.tar");
    cli.write(
        "tiny.toml",
        format!(
            "[experiment]\nname = \"tiny\"\n\n[dataset.photos]\nkind = \"image-folder\"\nroot = \"photos\"\n\n\
             [model.net]\nkind = \"resnet\"\nlayers = [1, 2, 2, 1]\nbase_width = 8\nimage_size = 64\nweights = {:?}\n\n\
             [extraction.taps]\nmodel = \"net\"\ndataset = \"photos\"\nblock = [1, 7]\n",
            weights.to_str().unwrap()
        ),
    );
    let plan = cli.run(&["plan", "tiny.toml"]).expect_code(0);
    let warnings = plan.stderr.matches("data::tensors-ignored").count();
    assert_eq!(warnings, 1, "{plan}");
    plan.expect_in_stderr(&[
        "model `net`: ",
        "2 tensors of the weights ",
        "are not of this network: module.projection_head.0.weight, module.prototypes.weight",
    ]);
}

#[test]
fn names_of_every_publisher_are_read() {
    let cli = with_images();
    // What is under other names than the network's is not the network's. Nested dicts have names that the reader joins.
    for (prefix, other) in [
        ("", None),
        ("module.", Some("module.prototypes.weight")),
        (
            "classy_state_dict.base_model.model.trunk._feature_blocks.",
            Some("classy_state_dict.base_model.model.heads.0.clf.0.weight"),
        ),
        (
            "state_dict.module.base_encoder.",
            Some("state_dict.module.base_encoder.fc.0.weight"),
        ),
        (
            "state_dict.module.base_encoder.",
            Some("state_dict.module.momentum_encoder.conv1.weight"),
        ),
        ("state_dict.", Some("optimizer.state.0.momentum_buffer")),
        (
            "state_dict.module.",
            Some("state_dict.module.projection_head.0.weight"),
        ),
        (
            "teacher.backbone.",
            Some("teacher.head.last_layer.weight_g"),
        ),
        (
            "teacher.module.backbone.",
            Some("student.module.backbone.conv1.weight"),
        ),
    ] {
        let weights = torchvision_file(&cli, prefix, |tensors| {
            let head = tensors.remove(&format!("{prefix}fc.weight"));
            tensors.remove(&format!("{prefix}fc.bias"));
            if let Some(other) = other {
                tensors.insert(other.to_owned(), head.unwrap());
            }
        });
        assert_golden(prefix, &tapped(&cli, &weights));
    }
    // Only feature maps can be pooled.
    let tap = ["models", "tap", "resnet-tiny", "--weights", "synthetic:32"];
    let input = ["--input", "images.safetensors", "--pool", "2"];
    let output = ["--output", "pooled.safetensors", "--device", "cpu"];
    cli.run(&[&tap[..], &input, &output].concat())
        .expect_code(0);
    let pooled = read(&cli.path("pooled.safetensors"));
    assert_eq!(pooled["b01"].size(), [2, 32, 2, 2]);
    let golden = read(&path("resnet-tiny-features.safetensors"));
    assert_close("b08", &pooled["b08"], &golden["logits"], TOLERANCE);
}

/// A file of the tiny network, as torchvision or a wrapper would have written it, after `change`.
fn torchvision_file(
    cli: &CliTest,
    prefix: &str,
    change: impl Fn(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>),
) -> PathBuf {
    let state_dict: Vec<(String, Vec<usize>)> =
        serde_json::from_value(json("resnet-tiny.json")["state_dict"].clone()).unwrap();
    let mut tensors = BTreeMap::new();
    for (name, shape) in state_dict {
        let tensor = if name.ends_with("num_batches_tracked") {
            (Dtype::I64, shape, vec![7, 0, 0, 0, 0, 0, 0, 0])
        } else {
            let values = synthetic::fill(&name, &shape, 32).into_iter();
            let bytes = values.flat_map(f32::to_le_bytes).collect();
            (Dtype::F32, shape, bytes)
        };
        tensors.insert(format!("{prefix}{name}"), tensor);
    }
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    cli.write(
        "net.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
    cli.path("net.safetensors")
}

#[test]
fn names_of_torchvision_are_read_with_and_without_counts_of_batches() {
    let golden = read(&path("resnet-tiny-features.safetensors"));
    let images = values(&golden["input"]);
    let cli = CliTest::new();
    for prefix in ["", "module."] {
        for has_counts in [true, false] {
            let file = torchvision_file(&cli, prefix, |tensors| {
                tensors.retain(|name, _| has_counts || !name.ends_with("num_batches_tracked"));
            });
            let stored = StoredTensors::open(&file).unwrap();
            let kinds = models::ALL.iter();
            let fitting: Vec<String> = kinds
                .flat_map(|kind| (kind.more.fitting)(&stored))
                .collect();
            assert_eq!(fitting, ["resnet-tiny"]);
            let model = preset("resnet-tiny").with_weights(WeightsSource::File(file));
            let (taps, _) = run_all(&*model, &images, Precision::F32);
            assert_close("logits", &taps[8], &golden["logits"], TOLERANCE);
        }
    }
}

#[test]
fn a_file_is_of_the_presets_that_are_published_in_its_layout() {
    let config = presets::find("resnet-50-simclr").unwrap().network;
    let fitting = |prefix: &str, other: &str| {
        // Only the header is read, so a file with a hole has all that is looked at.
        let mut header = serde_json::Map::new();
        let mut offset = 0;
        let names = config.state_dict().into_iter();
        let names = names.map(|(name, shape)| (format!("{prefix}{name}"), shape));
        for (name, shape) in names.chain([(other.to_owned(), vec![2])]) {
            let end = offset + 4 * shape.iter().product::<usize>();
            let entry = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [offset, end] });
            header.insert(name, entry);
            offset = end;
        }
        let header = serde_json::to_vec(&header).unwrap();
        let cli = CliTest::new();
        cli.write(
            "net.safetensors",
            [&(header.len() as u64).to_le_bytes()[..], &header].concat(),
        );
        let file = cli.path("net.safetensors");
        let length = (8 + header.len() + offset) as u64;
        let hole = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        hole.set_len(length).unwrap();
        let inspect = ["models", "inspect", "net.safetensors"];
        let out = cli.run(&inspect).expect_code(0).stdout;
        let lines = out
            .lines()
            .filter(|line| line.starts_with("fits") || line.starts_with("ignored"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let vissl = "classy_state_dict.base_model.model.";
    assert_eq!(
        fitting(
            &format!("{vissl}trunk._feature_blocks."),
            &format!("{vissl}heads.0.bias")
        ),
        [
            "fits resnet-50-simclr, resnet-50-simclr-800, resnet-50-simclr-400, resnet-50-simclr-200, resnet-50-simclr-100 by names and shapes (kind resnet)",
            "ignored, not of this network: 1 tensor: classy_state_dict.base_model.model.heads.0.bias"
        ]
    );
    let moco = fitting(
        "state_dict.module.base_encoder.",
        "state_dict.module.base_encoder.fc.1.bias",
    );
    assert_eq!(
        moco,
        [
            "fits resnet-50-moco-v3, resnet-50-moco-v3-300, resnet-50-moco-v3-100 by names and shapes (kind resnet)",
            "ignored, not of this network: 1 tensor: state_dict.module.base_encoder.fc.1.bias"
        ]
    );
    let swav = fitting("module.", "module.prototypes.weight");
    assert!(
        swav[0].starts_with("fits resnet-50-swav, resnet-50-swav-400, "),
        "{swav:?}"
    );
    assert!(!swav[0].contains("simclr"), "{swav:?}");
    // Nobody publishes in this way, so that it may be any of them.
    let trained = fitting("state_dict.module.", "optimizer.x");
    assert!(trained[0].contains("resnet-50-dino") && trained[0].contains("resnet-50-swav"));
}

#[test]
fn what_does_not_fit_is_listed_by_the_names_of_the_file() {
    let cli = CliTest::new();
    let refusal = |config: &Config, file: &Path| {
        let weights = WeightMap::from_file(file).unwrap();
        let mut weights = weights.named_as_in(layouts::FILE_NAMES, layouts::PROBE);
        Network::new(config, &mut weights).unwrap_err().to_string()
    };
    let tiny = presets::find("resnet-tiny").unwrap().network;
    let headless = Config {
        classes: None,
        ..tiny.clone()
    };
    // The network has a linear layer, the file has none.
    let headless_file = torchvision_file(&cli, "module.", |tensors| {
        tensors.retain(|name, _| !name.contains(".fc."));
    });
    let text = refusal(&tiny, &headless_file);
    for fragment in ["2 missing", "`module.fc.weight` [10, 256]"] {
        assert!(text.contains(fragment), "no {fragment:?} in\n{text}");
    }
    assert!(!text.contains("unused"), "{text}");
    let file = torchvision_file(&cli, "module.", |tensors| {
        let (dtype, shape, bytes) = tensors["module.fc.bias"].clone();
        tensors.insert("module.extra".to_owned(), (dtype, shape, bytes));
        tensors.remove("module.layer3.1.bn2.running_var");
    });
    let text = refusal(&headless, &file);
    for fragment in [
        "1 missing",
        "`module.layer3.1.bn2.running_var` [32]",
        "3 unused",
        "`module.extra`",
        "`module.fc.bias`",
    ] {
        assert!(text.contains(fragment), "no {fragment:?} in\n{text}");
    }
}

#[test]
fn taps_of_vissl_have_the_sizes_of_its_linear_layers() {
    let cli = CliTest::new();
    let part = root().join("experiments/parts/vissl-taps.toml");
    cli.write("vissl-taps.toml", std::fs::read(part).unwrap());
    cli.fashion("fashion", 8, 8);
    cli.write(
        "taps.toml",
        r#"
include = ["vissl-taps.toml"]

[experiment]
name = "taps"

[dataset.images]
kind = "fashion-mnist"
root = "fashion"

[model.backbone]
kind    = "resnet"
preset  = "resnet-50-simclr"
weights = { synthetic = 1 }
"#,
    );
    let plan = cli.run(&["plan", "taps.toml"]).expect_code(0).stdout;
    assert!(plan.contains("blocks 0,3,7,13,16"), "{plan}");
    // Of each: block, pool, and what VISSL's linear layer reads.
    let blocks = presets::find("resnet-50-simclr").unwrap().network.blocks();
    for (block, pool, width) in [
        (0, 12, 9216),
        (3, 6, 9216),
        (7, 4, 8192),
        (13, 3, 9216),
        (16, 2, 8192),
    ] {
        let shape = blocks[block].shape.reduced(Reduce::Pool(pool)).unwrap();
        assert_eq!(shape.channels * shape.height * shape.width, width);
    }
}

/// The two golden photographs, normalized as the model says by itself.
fn photographs(model: &dyn Model) -> Vec<f32> {
    let input = model.input();
    let photograph = |name: &str| {
        let image = Image::decode(&std::fs::read(path(name)).unwrap()).unwrap();
        image.to_planes(input.channels as usize, input.normalization)
    };
    [photograph("input0.png"), photograph("input1.png")].concat()
}

#[test]
fn photographs_are_normalized_by_the_model() {
    let golden = read(&path("resnet50-features.safetensors"));
    let pixels = photographs(&*preset("resnet-50"));
    let images = Tensor::from_slice(&pixels).view([2, 3, 224, 224]);
    let corner = images.narrow(2, 0, 4).narrow(3, 0, 4);
    assert_close("input", &corner, &golden["input.corner"], 1e-6);
}

#[test]
#[ignore = "full-size network: some seconds"]
fn every_tap_of_resnet_50_is_the_golden_one() {
    let golden = read(&path("resnet50-features.safetensors"));
    let model = preset("resnet-50").with_weights(WeightsSource::Synthetic(31));
    let (taps, output) = run_all(&*model, &photographs(&*model), Precision::F32);
    let blocks = (1..=16).map(|block| format!("b{block:02}"));
    let names = std::iter::once("conv1_relu".to_owned()).chain(blocks);
    for (name, map) in names.zip(&taps) {
        // The last block of each layer has both.
        let sides = match name.as_str() {
            "b03" | "b07" | "b13" | "b16" => &[1, 2][..],
            _ => &[1],
        };
        for &side in sides {
            let key = format!("{name}.pool{side}");
            let pooled = map.adaptive_avg_pool2d([side, side]);
            assert_close(&key, &pooled, &golden[&key], TOLERANCE);
        }
        let key = format!("{name}.corner");
        let corner = map.narrow(1, 0, 4).narrow(2, 0, 2).narrow(3, 0, 2);
        assert_close(&key, &corner, &golden[&key], TOLERANCE);
    }
    assert_close("avgpool", &taps[17], &golden["avgpool"], TOLERANCE);
    assert_close("logits", &taps[18], &golden["logits"], TOLERANCE);
    assert_close("output", &output, &golden["logits"], TOLERANCE);
}

#[test]
#[ignore = "full-size network, through the program"]
fn an_experiment_has_the_golden_features_without_saying_how_to_normalize() {
    let cli = CliTest::new();
    for (class, name) in ["input0.png", "input1.png"].iter().enumerate() {
        let bytes = std::fs::read(path(name)).unwrap();
        cli.write(&format!("photos/train/{class}/{name}"), bytes);
    }
    cli.write(
        "photos.toml",
        r#"
[experiment]
name = "photos"

[dataset.photos]
kind = "image-folder"
root = "photos"

[model.resnet]
kind    = "resnet"
preset  = "resnet-50"
weights = { synthetic = 31 }

[extraction.pooled]
model   = "resnet"
dataset = "photos"
block   = 17
preprocess = "adm-center-crop"
"#,
    );
    crate::small::run(&cli, "photos.toml");
    let artifacts = cli.run(&["list", "artifacts", "--json"]).expect_code(0);
    let artifacts = artifacts.json();
    let fingerprint = artifacts[0]["fingerprint"].as_str().unwrap();
    let store = repro::store::Store::open_read_only(cli.path(".repro")).unwrap();
    let reader = store.features(&fingerprint.parse().unwrap()).unwrap();
    let [part] = reader.parts() else {
        panic!("two images are one part");
    };
    let golden = read(&path("resnet50-features.safetensors"));
    let values = part.values_f32().unwrap().chunks_exact(2048);
    assert_eq!(values.len(), 2);
    for (id, values) in part.ids().zip(values) {
        let image = i64::from(id.contains("input1"));
        let expected = golden["avgpool"].select(0, image);
        assert_close(id, &Tensor::from_slice(values), &expected, TOLERANCE);
    }
}
