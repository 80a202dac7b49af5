//! Files of DiT: as its authors publish and train it, and as diffusers has it.

use std::path::PathBuf;

use repro::models::checkpoint::stored_tensors::StoredTensors;
use repro::models::checkpoint::synthetic;
use repro::models::checkpoint::weights::WeightMap;
use repro::models::extractor::{Images, Until};
use repro::models::kinds::dit::config::{Config, POSITIONS};
use repro::models::kinds::dit::network::Network;
use repro::models::kinds::dit::presets;
use repro::models::{self, Precision, WeightsSource};
use safetensors::tensor::{Dtype, TensorView};
use tch::Device;

use crate::fixture::{CliTest, root};
use crate::golden_arrays::{assert_close, golden, numbers};

/// Of the weights.
const SEED: u64 = 71;
/// As `tests/golden/dit/README.md` has it for outputs.
const OF_OUTPUTS: f64 = 1e-4;

#[test]
fn what_is_needed_is_what_is_taken_and_files_are_recognized() {
    let config = presets::find("dit-tiny").unwrap().network;
    let mut weights = WeightMap::synthetic(1);
    Network::new(&config, &mut weights).unwrap();
    let mut taken = weights.requested().to_vec();
    let mut needed = config.state_dict();
    taken.sort();
    needed.sort();
    assert_eq!(taken, needed);
    let cli = CliTest::new();
    let (_, tensors) = written(&cli, &config, &[""]);
    assert_eq!(tensors, ["dit-tiny"]);
    assert_eq!(as_diffusers_has_it(&cli, &config), ["dit-tiny"]);
    // A checkpoint of its training: the averaged weights are those that are read.
    let (path, tensors) = written(&cli, &config, &["ema.", "model."]);
    assert_eq!(tensors, ["dit-tiny"]);
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::File(path.clone()));
    model.check_file(&path).unwrap();
    model.load(root(), Device::Cpu, Precision::F32).unwrap();
}

/// A file of a network's tensors, once behind each of some prefixes, and the presets that it fits.
fn written(cli: &CliTest, config: &Config, prefixes: &[&str]) -> (PathBuf, Vec<String>) {
    let tensors = prefixes.iter().flat_map(|prefix| {
        config.state_dict().into_iter().map(move |(name, shape)| {
            let values = synthetic::fill(&name, &shape, SEED);
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            (format!("{prefix}{name}"), shape, bytes)
        })
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let name = format!("dit-{}.safetensors", prefixes.len());
    cli.write(&name, safetensors::serialize(views, None).unwrap());
    let path = cli.path(&name);
    let stored = StoredTensors::open(&path).unwrap();
    let kinds = models::ALL.iter();
    let fitting = kinds.flat_map(|kind| (kind.more.fitting)(&stored));
    (path, fitting.collect())
}

/// A file of the network under the names of diffusers, which gives the same output, and the presets that it fits.
fn as_diffusers_has_it(cli: &CliTest, config: &Config) -> Vec<String> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for (name, shape) in config.state_dict() {
        let values = synthetic::fill(&name, &shape, SEED);
        let (path, part) = name.rsplit_once('.').unwrap_or((&name, ""));
        let (block, layer) = match path.strip_prefix("blocks.") {
            Some(rest) => rest.split_once('.').unwrap(),
            None => ("", path),
        };
        let within = |layer: &str| format!("transformer_blocks.{block}.{layer}.{part}");
        let embedding = |layer: &str| -> Vec<String> {
            let names = (0..config.depth)
                .map(|block| format!("transformer_blocks.{block}.norm1.emb.{layer}.{part}"));
            names.collect()
        };
        let names = match layer {
            POSITIONS => continue,
            "attn.qkv" => {
                let rows = shape[0] / 3;
                let size = values.len() / 3;
                for (place, layer) in ["to_q", "to_k", "to_v"].iter().enumerate() {
                    let shape = [&[rows], &shape[1..]].concat();
                    let values = values[place * size..(place + 1) * size].to_vec();
                    tensors.push((within(&format!("attn1.{layer}")), shape, values));
                }
                continue;
            }
            "adaLN_modulation.1" => vec![within("norm1.linear")],
            "attn.proj" => vec![within("attn1.to_out.0")],
            "mlp.fc1" => vec![within("ff.net.0.proj")],
            "mlp.fc2" => vec![within("ff.net.2")],
            "x_embedder.proj" => vec![format!("pos_embed.proj.{part}")],
            "final_layer.adaLN_modulation.1" => vec![format!("proj_out_1.{part}")],
            "final_layer.linear" => vec![format!("proj_out_2.{part}")],
            "t_embedder.mlp.0" => embedding("timestep_embedder.linear_1"),
            "t_embedder.mlp.2" => embedding("timestep_embedder.linear_2"),
            "y_embedder.embedding_table" => embedding("class_embedder.embedding_table"),
            other => panic!("{other}"),
        };
        tensors.extend(
            names
                .into_iter()
                .map(|name| (name, shape.clone(), values.clone())),
        );
    }
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    cli.write(
        "transformer.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
    let path = cli.path("transformer.safetensors");
    let model = models::preset("dit-tiny").unwrap().model;
    let model = model.with_weights(WeightsSource::File(path.clone()));
    model.check_file(&path).unwrap();
    let network = model.load(root(), Device::Cpu, Precision::F32).unwrap();
    let golden = golden("dit/dit-tiny.safetensors");
    let pixels = numbers(&golden["t250.xt"]);
    let images = Images {
        pixels: &pixels,
        count: 2,
        timestep: Some(250),
        classes: None,
    };
    let output = network.forward(images, &[], Until::Output, &mut |_, _| {});
    assert_close(
        "out",
        &output.unwrap().unwrap(),
        &golden["t250.null.out"],
        OF_OUTPUTS,
    );
    let stored = StoredTensors::open(&path).unwrap();
    let kinds = models::ALL.iter();
    let fitting = kinds.flat_map(|kind| (kind.more.fitting)(&stored));
    fitting.collect()
}
