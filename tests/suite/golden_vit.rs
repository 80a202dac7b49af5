//! Vision transformers against recorded outputs of timm, DINO, MAE, MoCo v3 and DINOv2.
//!
//! Data, oracles and tolerances: `tests/golden/vit/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use repro::imaging::{Image, Normalization};
use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{Images, TapRequest, Until};
use repro::models::kinds::vit::config::{
    Config, FeedForward, FinalNorm, PositionResize, Positions,
};
use repro::models::kinds::vit::network::Network;
use repro::models::kinds::vit::{custom, positions, presets};
use repro::models::{self, BlockIndex, Model, Precision, Reduce, TapShape, WeightsSource};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::fixture::{CliTest, root};

/// Absolute, for every tap of a tiny network of timm's form.
const TINY: f64 = 2e-5;
/// Absolute, for features of a tiny network of DINOv2's form.
const DINOV2_FEATURES: f64 = 2e-5;
/// Absolute, for tokens and positions of those, and for full-size networks.
const WIDE: f64 = 5e-5;

fn path(name: &str) -> PathBuf {
    root().join("tests/golden/vit").join(name)
}

/// The f32 tensors of a file.
fn read(path: &Path) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let shape = view.shape().iter();
        let shape: Vec<i64> = shape.map(|&size| i64::try_from(size).unwrap()).collect();
        let tensor = Tensor::from_data_size(view.data(), &shape, Kind::Float);
        (name, tensor)
    };
    tensors.tensors().into_iter().map(read).collect()
}

fn tiny() -> BTreeMap<String, Tensor> {
    read(&path("vit-tiny-features.safetensors"))
}

fn dinov2() -> BTreeMap<String, Tensor> {
    read(&path("dinov2-tiny-features.safetensors"))
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

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.contiguous().flatten(0, -1)).unwrap()
}

fn network(preset: &str) -> Config {
    presets::find(preset).unwrap().network
}

/// Every tap of a model for images, by its name, and the output.
fn run_all(
    model: &dyn Model,
    images: &[f32],
    precision: Precision,
) -> (BTreeMap<String, Tensor>, Tensor) {
    let input = model.input();
    let size = (input.channels * input.side * input.side) as usize;
    let images = Images {
        pixels: images,
        count: images.len() / size,
        timestep: None,
        classes: None,
    };
    let network = model.load(root(), Device::Cpu, precision).unwrap();
    let blocks = model.blocks();
    let taps: Vec<BlockIndex> = blocks.iter().map(|block| block.index).collect();
    let mut outputs = Vec::new();
    let mut visit = |index: BlockIndex, output: &Tensor| {
        assert_eq!(index.0 as usize, outputs.len(), "in order");
        outputs.push(output.copy());
    };
    let output = network.forward(images, &taps, Until::Output, &mut visit);
    assert_eq!(outputs.len(), taps.len());
    let named = blocks.iter().zip(outputs).map(|(block, output)| {
        let sizes: Vec<i64> = block.shape.sizes().into_iter().map(i64::from).collect();
        assert_eq!(output.size()[1..], sizes, "{}", block.path);
        (block.path.clone(), output)
    });
    (named.collect(), output.unwrap().unwrap())
}

/// The name that the golden files have for a tap.
fn golden_name(path: &str) -> String {
    if let Some(block) = path.strip_prefix("blocks.") {
        return format!("b{:02}", block.parse::<u32>().unwrap() + 1);
    }
    match path {
        "embedding" => "embed",
        "class" | "fc_norm" => "feature",
        "head" => "logits",
        other => other,
    }
    .to_owned()
}

#[test]
fn parameters_have_the_names_the_shapes_and_the_count_of_the_references() {
    let bytes = std::fs::read(path("state-dicts.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let vit_tiny = network("vit-tiny");
    let pooled = Config {
        final_norm: FinalNorm::FcNorm,
        ..vit_tiny.clone()
    };
    let dinov2 = network("dinov2-tiny");
    let plain = Config {
        registers: 0,
        ..dinov2.clone()
    };
    let swiglu = Config {
        ffn: FeedForward::SwiGlu,
        ..dinov2
    };
    for (config, listed) in [
        (&vit_tiny, &golden["tiny"]["timm"]["state_dict"]),
        (&pooled, &golden["tiny"]["mae_gap"]["state_dict"]),
        (&plain, &golden["dinov2"]["state_dicts"]["mlp"]),
        (&swiglu, &golden["dinov2"]["state_dicts"]["swiglu_reg"]),
    ] {
        let mut listed: Vec<(String, Vec<usize>)> = serde_json::from_value(listed.clone()).unwrap();
        listed.retain(|(name, _)| name != "mask_token");
        listed.sort();
        let mut needed = config.state_dict();
        needed.sort();
        assert_eq!(needed, listed);
        let mut weights = WeightMap::synthetic(1);
        Network::new(config, &mut weights).unwrap();
        let mut taken = weights.requested().to_vec();
        taken.sort();
        assert_eq!(taken, needed);
    }
    for (tag, preset) in [
        ("vitb16_timm", "vit-b16"),
        ("vitb16_mocov3", "vit-b16-mocov3"),
        ("vitl16_mae", "vit-l16-mae"),
        ("vitl16_timm", "vit-l16"),
    ] {
        let with_classes = Config {
            classes: Some(1000),
            ..network(preset)
        };
        let count = golden["full"][tag]["parameters"].as_u64();
        assert_eq!(Some(with_classes.parameter_count()), count, "{tag}");
    }
    let published = golden["dinov2"]["published"].as_object().unwrap();
    assert_eq!(published.len(), 8);
    for (name, about) in published {
        let preset = name.replace("vit", "vit-").replace("14", "14-dinov2");
        let config = network(&preset.replace('_', "-"));
        let count = config.parameter_count() + u64::from(config.embed_dim);
        assert_eq!(about["parameters"].as_u64(), Some(count), "{name}");
        assert_eq!(about["num_heads"], config.num_heads, "{name}");
        assert_eq!(about["ffn_hidden"], config.hidden(), "{name}");
    }
}

#[test]
fn every_tap_of_the_tiny_networks_is_the_golden_one() {
    let golden = tiny();
    let images = values(&golden["input"]);
    let base = network("vit-tiny");
    for (tag, positions, final_norm) in [
        ("timm", Positions::Learned, FinalNorm::Norm),
        ("mae_cls", Positions::SincosMae, FinalNorm::Norm),
        ("mae_gap", Positions::SincosMae, FinalNorm::FcNorm),
        ("mocov3", Positions::SincosMoco, FinalNorm::Norm),
    ] {
        let config = Config {
            positions,
            final_norm,
            ..base.clone()
        };
        let model = custom(config).with_weights(WeightsSource::Synthetic(45));
        let (taps, output) = run_all(&*model, &images, Precision::F32);
        let mut compared = 0;
        for (path, tap) in &taps {
            let name = format!("{tag}.{}", golden_name(path));
            if let Some(expected) = golden.get(&name) {
                assert_close(&name, tap, expected, TINY);
                compared += 1;
            }
        }
        // The embedding, three blocks, the feature and the logits; the norm where there is one.
        let count = if final_norm == FinalNorm::Norm { 7 } else { 6 };
        assert_eq!(compared, count, "{tag}");
        assert_close("output", &output, &golden[&format!("{tag}.logits")], TINY);
    }
}

#[test]
fn sines_and_cosines_are_those_of_mae_and_moco() {
    let golden = tiny();
    for (tag, found) in [
        ("mae_cls", positions::sincos_mae(4, 48)),
        ("mocov3", positions::sincos_moco(4, 48)),
    ] {
        let found = Tensor::from_slice(&found).view([1, 17, 48]);
        assert_close(tag, &found, &golden[&format!("{tag}.pos_embed")], 1e-6);
    }
}

#[test]
fn positions_are_resized_as_each_publisher_does_it() {
    let golden = tiny();
    let native = &golden["interp.pos_embed_native"];
    for (tag, rule) in [
        ("mae", PositionResize::Bicubic),
        ("timm", PositionResize::BicubicAntialias),
        ("dino", PositionResize::BicubicOffset),
    ] {
        let found = positions::resized(native, [6, 6], rule);
        let expected = &golden[&format!("interp.{tag}.pos_embed")];
        assert_close(tag, &found, expected, 1e-5);
        let same = positions::resized(native, [4, 4], rule);
        assert_eq!(values(&same), values(native));
    }
    // DINOv2 has two rules; positions of its networks are made for 37 × 37 patches.
    let golden = dinov2();
    let native = &golden["interp37.pos_embed_native"];
    for (tag, rule) in [
        ("dinov2", PositionResize::BicubicOffset),
        ("dinov2_reg", PositionResize::BicubicAntialias),
    ] {
        let found = positions::resized(native, [16, 16], rule);
        assert_close(tag, &found, &golden[&format!("interp37.16x16.{tag}")], WIDE);
    }
    for (tag, seed, rule) in [
        ("mlp", 73, PositionResize::BicubicOffset),
        ("mlp_reg", 74, PositionResize::BicubicAntialias),
    ] {
        let stored = synthetic::fill("pos_embed", &[26 * 48], seed);
        let stored = Tensor::from_slice(&stored).view([1, 26, 48]) * 16.0;
        for (size, grid) in [("112x112", [8, 8]), ("56x98", [4, 7])] {
            let name = format!("{tag}.{size}.pos_embed");
            let found = positions::resized(&stored, grid, rule);
            assert_close(&name, &found, &golden[&name], WIDE);
        }
    }
}

#[test]
fn a_network_reads_images_of_another_size() {
    let golden = tiny();
    let config = Config {
        image_size: 48,
        position_resize: PositionResize::BicubicOffset,
        classes: None,
        ..network("vit-tiny")
    };
    let native = values(&golden["interp.pos_embed_native"]);
    let mut weights = WeightMap::synthetic(45).with_computed("pos_embed", native);
    let network = Network::new(&config, &mut weights).unwrap();
    let input = &golden["interp.input"];
    let output = tch::no_grad(|| network.forward_taps(input, &[], Until::Output, &mut |_, _| {}));
    let feature = output.unwrap().unwrap();
    assert_close("feature", &feature, &golden["interp.dino.feature"], TINY);
}

#[test]
fn every_tap_of_tiny_networks_of_dinov2_is_the_golden_one() {
    let golden = dinov2();
    let images = values(&golden["input.native"]);
    let base = network("dinov2-tiny");
    for (tag, seed, ffn, registers) in [
        ("mlp", 73, FeedForward::Mlp, 0),
        ("mlp_reg", 74, FeedForward::Mlp, 4),
        ("swiglu", 75, FeedForward::SwiGlu, 0),
        ("swiglu_reg", 76, FeedForward::SwiGlu, 4),
    ] {
        let config = Config {
            ffn,
            registers,
            ..base.clone()
        };
        let model = custom(config).with_weights(WeightsSource::Synthetic(seed));
        let (taps, output) = run_all(&*model, &images, Precision::F32);
        let mut compared = 0;
        for (path, tap) in &taps {
            let (name, tolerance) = match path.as_str() {
                "class-mean" => ("feature.last1".to_owned(), DINOV2_FEATURES),
                "class-last4-mean" => ("feature.last4".to_owned(), DINOV2_FEATURES),
                other => (golden_name(other), WIDE),
            };
            let name = format!("{tag}.native.{name}");
            if let Some(expected) = golden.get(&name) {
                assert_close(&name, tap, expected, tolerance);
                compared += 1;
            }
        }
        // Of one variant all blocks, the embedding and the norm are kept, of the others the last block.
        assert_eq!(compared, if tag == "mlp_reg" { 9 } else { 3 }, "{tag}");
        // What the linear evaluations read without the mean is the beginning of what they read with it.
        for (without, with) in [("class", "class-mean"), ("class-last4", "class-last4-mean")] {
            let without = &taps[without];
            let beginning = taps[with].narrow(1, 0, without.size()[1]);
            assert_eq!(values(without), values(&beginning));
        }
        assert_eq!(values(&output), values(&taps["class"]));
    }
}

#[test]
fn a_feature_is_the_same_whatever_else_is_tapped() {
    let golden = dinov2();
    let model = custom(network("dinov2-tiny")).with_weights(WeightsSource::Synthetic(74));
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let pixels = values(&golden["input.native"]);
    let images = Images {
        pixels: &pixels,
        count: 2,
        timestep: None,
        classes: None,
    };
    let mut requests = Vec::new();
    for block in model.blocks() {
        let reduces: &[Reduce] = match block.shape {
            TapShape::Tokens { .. } => &[Reduce::ClassToken, Reduce::MeanToken, Reduce::Whole],
            _ => &[Reduce::Whole],
        };
        requests.extend(reduces.iter().map(|&reduce| TapRequest::of(block, reduce)));
    }
    let together = network.features(images, &requests).unwrap().read();
    for (request, together) in requests.iter().zip(&together) {
        let alone = network.features(images, &[*request]).unwrap().read();
        assert_eq!(
            alone[0], *together,
            "{} {:?}",
            request.block, request.reduce
        );
    }
    // A mean of tokens leaves the class token and the registers out.
    let norm = &golden["mlp_reg.native.norm"];
    let mean = norm
        .narrow(1, 5, 25)
        .mean_dim([1_i64].as_slice(), false, Kind::Float);
    let place = |path: &str, reduce| {
        let block = model.blocks().iter().find(|block| block.path == path);
        let request = TapRequest::of(block.unwrap(), reduce);
        requests.iter().position(|one| *one == request).unwrap()
    };
    let found = &together[place("norm", Reduce::MeanToken)];
    let found = Tensor::from_slice(found).view([2, 48]);
    assert_close("mean", &found, &mean, WIDE);
    let class = &together[place("norm", Reduce::ClassToken)];
    assert_eq!(*class, together[place("class", Reduce::Whole)]);
    let labeled = Images {
        classes: Some(&[0, 1]),
        ..images
    };
    assert!(network.features(labeled, &requests).is_err());
    let error = network.forward(images, &[BlockIndex(11)], Until::Output, &mut |_, _| {});
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("its last one is b10")
    );
}

#[test]
fn in_16_bits_taps_are_near_those_in_32() {
    let golden = tiny();
    let images = values(&golden["input"]);
    let model = custom(network("vit-tiny")).with_weights(WeightsSource::Synthetic(45));
    let (exact, _) = run_all(&*model, &images, Precision::F32);
    for (precision, tolerance) in [(Precision::Bf16, 8e-2), (Precision::F16, 1e-2)] {
        let (taps, output) = run_all(&*model, &images, precision);
        for (path, tap) in &taps {
            assert_eq!(tap.kind(), Kind::Float, "{path}");
            assert_close(path, tap, &exact[path], tolerance);
        }
        let difference = (&taps["blocks.2"] - &exact["blocks.2"]).abs().max();
        assert!(difference.double_value(&[]) > 1e-5, "{precision:?}");
        assert_eq!(output.kind(), Kind::Float);
    }
}

/// A file of a network's synthetic weights under other names, with `others` beside them.
fn file_of(
    cli: &CliTest,
    config: &Config,
    seed: u64,
    name: impl Fn(&str) -> String,
    others: &[&str],
) -> PathBuf {
    let mut tensors = BTreeMap::new();
    for (own, shape) in config.state_dict() {
        let values = synthetic::fill(&own, &shape, seed).into_iter();
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        tensors.insert(name(&own), (shape, bytes));
    }
    for other in others {
        tensors.insert((*other).to_owned(), (vec![1], vec![0; 4]));
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    cli.write("net.safetensors", file);
    cli.path("net.safetensors")
}

fn fitting(file: &Path) -> Vec<String> {
    let stored = StoredTensors::open(file).unwrap();
    let kinds = models::ALL.iter();
    kinds
        .flat_map(|kind| (kind.more.fitting)(&stored))
        .collect()
}

#[test]
fn names_of_every_publisher_are_read_beside_what_belongs_to_their_trainings() {
    let cli = CliTest::new();
    let golden = tiny();
    let images = values(&golden["input"]);
    let config = network("vit-tiny");
    for (prefix, others) in [
        ("", &[][..]),
        (
            "model.",
            &["model.mask_token", "model.decoder_blocks.0.norm1.weight"],
        ),
        (
            "state_dict.module.base_encoder.",
            &[
                "state_dict.module.base_encoder.head.0.weight",
                "state_dict.module.momentum_encoder.cls_token",
                "state_dict.module.predictor.0.weight",
                "optimizer.state.0.step",
            ],
        ),
        (
            "teacher.backbone.",
            &["teacher.head.last_layer.weight_v", "student.x"],
        ),
        (
            "teacher.module.backbone.",
            &["teacher.module.head.mlp.0.weight"],
        ),
    ] {
        let file = file_of(&cli, &config, 45, |own| format!("{prefix}{own}"), others);
        assert_eq!(fitting(&file), ["vit-tiny"], "{prefix}");
        let model = custom(config.clone()).with_weights(WeightsSource::File(file));
        let (taps, _) = run_all(&*model, &images, Precision::F32);
        assert_close(prefix, &taps["head"], &golden["timm.logits"], TINY);
    }
    // What is not known to belong to a training is not passed over.
    let file = file_of(&cli, &config, 45, str::to_owned, &["extra"]);
    assert_eq!(fitting(&file), [""; 0]);
    let mut weights = WeightMap::from_file(&file).unwrap();
    let refusal = Network::new(&config, &mut weights).unwrap_err().to_string();
    assert!(
        refusal.contains("1 unused") && refusal.contains("`extra`"),
        "{refusal}"
    );
}

#[test]
fn blocks_in_chunks_are_read() {
    let cli = CliTest::new();
    let config = network("dinov2-tiny");
    // Four chunks of five blocks have one each, as DINOv2 divides.
    let chunked = |own: &str| match own.strip_prefix("blocks.") {
        Some(rest) => {
            let (number, rest) = rest.split_once('.').unwrap();
            format!("teacher.backbone.blocks.{number}.{number}.{rest}")
        }
        None => format!("teacher.backbone.{own}"),
    };
    let others = [
        "teacher.backbone.mask_token",
        "teacher.dino_head.mlp.0.weight",
    ];
    let file = file_of(&cli, &config, 3, chunked, &others);
    assert_eq!(fitting(&file), ["dinov2-tiny"]);
    let output = cli.run(&["models", "inspect", "net.safetensors"]);
    let output = output.expect_code(0);
    assert!(output.stdout.contains("fits dinov2-tiny"), "{output}");
    let plain = file_of(&cli, &config, 3, str::to_owned, &["mask_token"]);
    let images = values(&dinov2()["input.native"]);
    let run = |file: &Path| {
        let source = WeightsSource::File(file.to_owned());
        let model = custom(config.clone()).with_weights(source);
        values(&run_all(&*model, &images, Precision::F32).1)
    };
    let expected = run(&plain);
    let file = file_of(&cli, &config, 3, chunked, &others);
    assert_eq!(run(&file), expected);
}

/// The two golden photographs, normalized as the golden networks read them.
fn photographs() -> Vec<f32> {
    let photograph = |name: &str| {
        let file = root().join("tests/golden/resnet").join(name);
        let image = Image::decode(&std::fs::read(file).unwrap()).unwrap();
        image.to_planes(3, Normalization::Imagenet)
    };
    [photograph("input0.png"), photograph("input1.png")].concat()
}

/// Compares what the golden file has of the taps of a full-size network.
fn compare_full(
    golden: &BTreeMap<String, Tensor>,
    tag: &str,
    taps: &BTreeMap<String, Tensor>,
    (corner, tokens_before): (&[i64], i64),
) -> usize {
    let mut compared = 0;
    let mut close = |name: String, found: &Tensor| {
        if let Some(expected) = golden.get(&name) {
            assert_close(&name, found, expected, WIDE);
            compared += 1;
        }
    };
    for (path, tap) in taps {
        let name = format!("{tag}.{}", golden_name(path));
        if tap.dim() == 3 {
            let places = Tensor::from_slice(corner);
            let found = tap.index_select(1, &places).narrow(2, 0, 4);
            close(format!("{name}.corner"), &found);
            close(format!("{name}.cls"), &tap.select(1, 0));
            let patches = tap.narrow(1, tokens_before, tap.size()[1] - tokens_before);
            let mean = patches.mean_dim([1_i64].as_slice(), false, Kind::Float);
            close(format!("{name}.patchmean"), &mean);
        } else {
            close(name, tap);
        }
    }
    compared
}

fn full(preset: &str, seed: u64, final_norm: FinalNorm) -> Arc<dyn Model> {
    let config = Config {
        classes: Some(1000),
        final_norm,
        ..network(preset)
    };
    custom(config).with_weights(WeightsSource::Synthetic(seed))
}

#[test]
#[ignore = "full-size networks: half a minute, 3 GB"]
fn every_tap_of_full_size_networks_is_the_golden_one() {
    let golden = read(&path("vit-features.safetensors"));
    let images = photographs();
    let corner = Tensor::from_slice(&images).view([2, 3, 224, 224]);
    let corner = corner.narrow(2, 0, 4).narrow(3, 0, 4);
    assert_close("input", &corner, &golden["input.corner"], 1e-6);
    let norm = FinalNorm::Norm;
    for (tag, preset, seed, blocks) in [
        ("vitb16_timm", "vit-b16", 41, 12),
        ("vitb16_mocov3", "vit-b16-mocov3", 42, 12),
        ("vitl16_mae", "vit-l16-mae", 43, 24),
        ("vitl16_timm", "vit-l16", 44, 24),
    ] {
        let (taps, _) = run_all(&*full(preset, seed, norm), &images, Precision::F32);
        let compared = compare_full(&golden, tag, &taps, (&[0, 1, 100], 1));
        // Corners of the embedding, the blocks and the norm, the feature, and more of some blocks.
        assert!(compared > blocks + 2 + 1, "{tag}: {compared}");
    }
    let pooled = full("vit-l16-mae", 43, FinalNorm::FcNorm);
    let (taps, _) = run_all(&*pooled, &images, Precision::F32);
    for (path, name) in [("fc_norm", "feature"), ("head", "logits")] {
        let name = format!("vitl16_mae.global_pool.{name}");
        assert_close(&name, &taps[path], &golden[&name], WIDE);
    }
}

#[test]
#[ignore = "full-size networks: some seconds"]
fn every_tap_of_full_size_dinov2_is_the_golden_one() {
    let golden = read(&path("vits14-features.safetensors"));
    let images = &photographs()[..3 * 224 * 224];
    for (tag, preset, seed, registers) in [
        ("vits14", "vit-s14-dinov2", 77, 0),
        ("vits14_reg4", "vit-s14-dinov2-reg4", 78, 4),
    ] {
        let model = models::preset(preset).unwrap().model;
        let model = model.with_weights(WeightsSource::Synthetic(seed));
        let (taps, _) = run_all(&*model, images, Precision::F32);
        // The class token, the one after it, the first patch (which may be that one), token 100.
        let corner = [0, 1, 1 + registers, 100];
        let compared = compare_full(&golden, tag, &taps, (&corner, 1 + registers));
        assert!(compared >= 14 + 4, "{tag}: {compared}");
        for (path, name) in [("class-mean", "last1"), ("class-last4-mean", "last4")] {
            let name = format!("{tag}.feature.{name}");
            assert_close(&name, &taps[path], &golden[&name], WIDE);
        }
    }
}
