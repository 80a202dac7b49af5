//! A network as Flax would store it, against the same under PyTorch's names.

use std::path::Path;

use super::super::StoredTensors;
use crate::models::checkpoint::synthetic;
use crate::models::kinds::vit::presets;
use crate::npy::archived::fixture::{archive, npy};

const WIDTH: usize = 48;
const HEADS: usize = 4;
const HEAD: usize = WIDTH / HEADS;

/// A matrix `[outputs, inputs]` the other way round.
fn transposed(values: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let all = (0..inputs * outputs).map(|place| {
        let (input, output) = (place / outputs, place % outputs);
        values[output * inputs + input]
    });
    all.collect()
}

/// Names, shapes and values of the arrays of Flax that become a tensor of PyTorch.
fn of_flax(name: &str, shape: &[usize], values: &[f32]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let (number, rest) = match name.strip_prefix("blocks.") {
        Some(rest) => rest.split_once('.').unwrap(),
        None => ("", name),
    };
    let inside = format!("Transformer/encoderblock_{number}/");
    let attention = format!("{inside}MultiHeadDotProductAttention_1");
    let dense = |name: String| {
        let kernel = transposed(values, shape[0], shape[1]);
        vec![(name, vec![shape[1], shape[0]], kernel)]
    };
    let same = |name: String| vec![(name, shape.to_vec(), values.to_vec())];
    match rest {
        "cls_token" => same("cls".to_owned()),
        "pos_embed" => same("Transformer/posembed_input/pos_embedding".to_owned()),
        "patch_embed.proj.weight" => {
            let (outputs, inputs, side) = (shape[0], shape[1], shape[2]);
            let mut kernel = Vec::new();
            for row in 0..side {
                for column in 0..side {
                    for input in 0..inputs {
                        for output in 0..outputs {
                            let place = ((output * inputs + input) * side + row) * side;
                            kernel.push(values[place + column]);
                        }
                    }
                }
            }
            let shape = vec![side, side, inputs, outputs];
            vec![("embedding/kernel".to_owned(), shape, kernel)]
        }
        "patch_embed.proj.bias" => same("embedding/bias".to_owned()),
        "norm.weight" => same("Transformer/encoder_norm/scale".to_owned()),
        "norm.bias" => same("Transformer/encoder_norm/bias".to_owned()),
        "head.weight" => dense("head/kernel".to_owned()),
        "head.bias" => same("head/bias".to_owned()),
        "norm1.weight" => same(format!("{inside}LayerNorm_0/scale")),
        "norm1.bias" => same(format!("{inside}LayerNorm_0/bias")),
        "norm2.weight" => same(format!("{inside}LayerNorm_2/scale")),
        "norm2.bias" => same(format!("{inside}LayerNorm_2/bias")),
        "mlp.fc1.weight" => dense(format!("{inside}MlpBlock_3/Dense_0/kernel")),
        "mlp.fc1.bias" => same(format!("{inside}MlpBlock_3/Dense_0/bias")),
        "mlp.fc2.weight" => dense(format!("{inside}MlpBlock_3/Dense_1/kernel")),
        "mlp.fc2.bias" => same(format!("{inside}MlpBlock_3/Dense_1/bias")),
        "attn.proj.bias" => same(format!("{attention}/out/bias")),
        "attn.proj.weight" => {
            let kernel = transposed(values, WIDTH, WIDTH);
            vec![(
                format!("{attention}/out/kernel"),
                vec![HEADS, HEAD, WIDTH],
                kernel,
            )]
        }
        "attn.qkv.weight" | "attn.qkv.bias" => {
            let parts = values.chunks(values.len() / 3);
            let parts = ["query", "key", "value"].iter().zip(parts);
            let of_part = |(part, values): (&&str, &[f32])| {
                if rest.ends_with("bias") {
                    let shape = vec![HEADS, HEAD];
                    (format!("{attention}/{part}/bias"), shape, values.to_vec())
                } else {
                    let shape = vec![WIDTH, HEADS, HEAD];
                    let kernel = transposed(values, WIDTH, WIDTH);
                    (format!("{attention}/{part}/kernel"), shape, kernel)
                }
            };
            parts.map(of_part).collect()
        }
        other => panic!("{other}"),
    }
}

/// The numbers of an array with its axes the other way round, which is Fortran's order of it.
fn fortran(shape: &[usize], values: &[f32]) -> Vec<f32> {
    let mut found = vec![0.0; values.len()];
    for (place, value) in values.iter().enumerate() {
        let (mut rest, mut index) = (place, Vec::new());
        for size in shape.iter().rev() {
            index.insert(0, rest % size);
            rest /= size;
        }
        let all = index.iter().zip(shape).rev();
        found[all.fold(0, |flat, (index, size)| flat * size + index)] = *value;
    }
    found
}

fn open(arrays: &[(String, Vec<usize>, Vec<f32>)], is_fortran: bool) -> StoredTensors {
    let members = arrays.iter().map(|(name, shape, values)| {
        let sizes: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
        let sizes = format!("({})", sizes.join(" "));
        let values = if is_fortran {
            fortran(shape, values)
        } else {
            values.clone()
        };
        (format!("{name}.npy"), npy(&sizes, is_fortran, &values))
    });
    let members: Vec<(String, Vec<u8>)> = members.collect();
    let members: Vec<(&str, Vec<u8>)> = members
        .iter()
        .map(|(name, content)| (name.as_str(), content.clone()))
        .collect();
    StoredTensors::from_bytes(Path::new("vit.npz"), archive(&members)).unwrap()
}

#[test]
fn a_network_of_flax_has_the_names_the_shapes_and_the_numbers_of_pytorch() {
    let network = presets::find("vit-tiny").unwrap().network;
    let state_dict = network.state_dict();
    let all = state_dict.iter();
    let all = all.map(|(name, shape)| (name, shape, synthetic::fill(name, shape, 5)));
    let all: Vec<_> = all.collect();
    let mut arrays = Vec::new();
    for (name, shape, values) in &all {
        arrays.extend(of_flax(name, shape, values));
    }
    for is_fortran in [false, true] {
        let file = open(&arrays, is_fortran);
        assert!(network.fits(&file));
        for (name, shape, values) in &all {
            let stored = file.get(name).unwrap();
            assert_eq!(stored.shape, *shape, "{name}");
            let words = stored.bytes.chunks_exact(4);
            let found: Vec<f32> = words
                .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
                .collect();
            assert_eq!(found, *values, "{name}");
        }
    }
    // What is missing or has other axes keeps its name, so that all of it is reported.
    arrays.retain(|(name, ..)| {
        !name.ends_with("encoderblock_1/MultiHeadDotProductAttention_1/key/bias")
    });
    for (name, shape, _) in &mut arrays {
        if name == "embedding/kernel" {
            *shape = vec![64, 3, 48];
        }
    }
    let file = open(&arrays, false);
    let names: Vec<&str> = file.names().collect();
    let attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1";
    for kept in ["query", "value"].map(|part| format!("{attention}/{part}/bias")) {
        assert!(names.contains(&kept.as_str()), "{kept}");
    }
    assert!(names.contains(&"embedding/kernel"));
    assert!(names.contains(&"blocks.0.attn.qkv.bias"));
    assert!(!network.fits(&file));
}
