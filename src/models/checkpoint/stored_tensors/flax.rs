//! Vision transformers as Flax names and lays them out, under the names and in the layout of PyTorch.
//!
//! A linear layer of Flax has a kernel `[inputs, outputs]`, one of attention has the heads as an axis of their own, and a convolution has
//! its kernel as `[height, width, inputs, outputs]`. Queries, keys and values are three tensors, which PyTorch's networks have in one. Only
//! where the elements of a tensor are is computed here; they are put into a row when the tensor is read.
//!
//! # Reference
//! huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py (`_load_weights`); google-research/vision_transformer:
//! `vit_jax/models_vit.py` for the axes.
//!
//! # Deviations
//! A tensor whose shape does not fit keeps its own name, and is then among those that a network has no use for.

use std::collections::BTreeMap;

use super::state_dict::StateDict;
use super::{Entry, Piece};

/// What tells a vision transformer of Flax from other archives.
const PROBES: [&str; 2] = ["embedding/kernel", "Transformer/encoder_norm/scale"];
/// What stands before the number of a block.
const BLOCK: &str = "Transformer/encoderblock_";

/// How a tensor is laid out.
#[derive(Clone, Copy)]
enum Layout {
    /// As in PyTorch.
    Same,
    /// A kernel whose last axes are outputs, all before them inputs.
    Kernel {
        /// How many axes are inputs.
        inputs: usize,
    },
    /// The kernel of a convolution.
    Convolution,
    /// All axes as one.
    Flat,
}

/// Names outside the blocks.
const OUTSIDE: [(&str, &str, Layout); 8] = [
    ("cls", "cls_token", Layout::Same),
    (
        "Transformer/posembed_input/pos_embedding",
        "pos_embed",
        Layout::Same,
    ),
    (
        "embedding/kernel",
        "patch_embed.proj.weight",
        Layout::Convolution,
    ),
    ("embedding/bias", "patch_embed.proj.bias", Layout::Same),
    (
        "Transformer/encoder_norm/scale",
        "norm.weight",
        Layout::Same,
    ),
    ("Transformer/encoder_norm/bias", "norm.bias", Layout::Same),
    ("head/kernel", "head.weight", Layout::Kernel { inputs: 1 }),
    ("head/bias", "head.bias", Layout::Same),
];

/// Names in a block.
const INSIDE: [(&str, &str, Layout); 10] = [
    ("LayerNorm_0/scale", "norm1.weight", Layout::Same),
    ("LayerNorm_0/bias", "norm1.bias", Layout::Same),
    (
        "MultiHeadDotProductAttention_1/out/kernel",
        "attn.proj.weight",
        Layout::Kernel { inputs: 2 },
    ),
    (
        "MultiHeadDotProductAttention_1/out/bias",
        "attn.proj.bias",
        Layout::Same,
    ),
    ("LayerNorm_2/scale", "norm2.weight", Layout::Same),
    ("LayerNorm_2/bias", "norm2.bias", Layout::Same),
    (
        "MlpBlock_3/Dense_0/kernel",
        "mlp.fc1.weight",
        Layout::Kernel { inputs: 1 },
    ),
    ("MlpBlock_3/Dense_0/bias", "mlp.fc1.bias", Layout::Same),
    (
        "MlpBlock_3/Dense_1/kernel",
        "mlp.fc2.weight",
        Layout::Kernel { inputs: 1 },
    ),
    ("MlpBlock_3/Dense_1/bias", "mlp.fc2.bias", Layout::Same),
];

/// The parts of attention that PyTorch has in one tensor, in its order.
const PARTS: [&str; 3] = ["query", "key", "value"];
/// What stands before the name of a part.
const ATTENTION: &str = "MultiHeadDotProductAttention_1/";
/// What such a tensor of a part becomes.
const JOINED: [(&str, &str, Layout); 2] = [
    ("kernel", "attn.qkv.weight", Layout::Kernel { inputs: 1 }),
    ("bias", "attn.qkv.bias", Layout::Flat),
];

/// The tensors under PyTorch's names where they are those of a vision transformer of Flax; else as they are.
pub(super) fn renamed(mut found: StateDict) -> StateDict {
    if !PROBES
        .iter()
        .all(|&probe| found.tensors.contains_key(probe))
    {
        return found;
    }
    let blocks: Vec<String> = {
        let names = found.tensors.keys();
        let blocks = names.filter_map(|name| {
            let (number, _) = name.strip_prefix(BLOCK)?.split_once('/')?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| number.to_owned())
        });
        blocks.collect::<std::collections::BTreeSet<_>>()
    }
    .into_iter()
    .collect();
    let tensors = &mut found.tensors;
    for (flax, torch, layout) in OUTSIDE {
        rename(tensors, &[flax.to_owned()], torch, layout);
    }
    for number in blocks {
        for (flax, torch, layout) in INSIDE {
            let name = format!("{BLOCK}{number}/{flax}");
            rename(
                tensors,
                &[name],
                &format!("blocks.{number}.{torch}"),
                layout,
            );
        }
        for (end, torch, layout) in JOINED {
            let parts = PARTS.map(|part| format!("{BLOCK}{number}/{ATTENTION}{part}/{end}"));
            rename(tensors, &parts, &format!("blocks.{number}.{torch}"), layout);
        }
    }
    found
}

/// Makes one tensor of several that follow each other along its first axis, unless one of them is missing or does not fit.
fn rename(
    tensors: &mut BTreeMap<String, Entry>,
    names: &[String],
    torch: &str,
    layout: Layout,
) -> Option<()> {
    let mut pieces = Vec::new();
    let mut dtype = None;
    for name in names {
        let entry = tensors.get(name)?;
        let [piece] = entry.pieces.as_slice() else {
            return None;
        };
        if dtype.is_some_and(|dtype| dtype != entry.dtype) {
            return None;
        }
        dtype = Some(entry.dtype);
        pieces.push(laid_out(piece, layout)?);
    }
    let first = pieces.first()?.shape.clone();
    if pieces.iter().any(|piece| piece.shape != first) {
        return None;
    }
    let mut shape = first;
    if let [rows, ..] = shape.as_mut_slice() {
        *rows = rows.checked_mul(names.len())?;
    }
    let dtype = dtype?;
    if tensors.contains_key(torch) {
        return None;
    }
    for name in names {
        tensors.remove(name);
    }
    let entry = Entry {
        dtype,
        shape,
        pieces,
    };
    tensors.insert(torch.to_owned(), entry);
    Some(())
}

/// A tensor in PyTorch's layout. `None` where it has other axes, or is not in a row.
fn laid_out(piece: &Piece, layout: Layout) -> Option<Piece> {
    if piece.strides.is_some() {
        return None;
    }
    let count = |axes: &[usize]| axes.iter().product::<usize>();
    let (shape, strides) = match layout {
        Layout::Same => (piece.shape.clone(), None),
        Layout::Flat => (vec![count(&piece.shape)], None),
        Layout::Kernel { inputs } => {
            let (from, to) = piece.shape.split_at_checked(inputs)?;
            if to.is_empty() {
                return None;
            }
            let (inputs, outputs) = (count(from), count(to));
            (vec![outputs, inputs], Some(vec![1, outputs]))
        }
        Layout::Convolution => {
            let &[height, width, inputs, outputs] = piece.shape.as_slice() else {
                return None;
            };
            let row = inputs * outputs;
            (
                vec![outputs, inputs, height, width],
                Some(vec![1, outputs, width * row, row]),
            )
        }
    };
    Some(Piece {
        shape,
        bytes: piece.bytes.clone(),
        strides,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::StoredTensors;
    use super::super::npz::tests::{archive, npy};
    use crate::models::checkpoint::synthetic;
    use crate::models::kinds::vit::presets;

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

    fn open(arrays: &[(String, Vec<usize>, Vec<f32>)]) -> StoredTensors {
        let members = arrays.iter().map(|(name, shape, values)| {
            let shape: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
            let shape = format!("({})", shape.join(" "));
            (format!("{name}.npy"), npy(&shape, false, values))
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
        let file = open(&arrays);
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
        // What is missing or has other axes keeps its name, so that all of it is reported.
        arrays.retain(|(name, ..)| {
            !name.ends_with("encoderblock_1/MultiHeadDotProductAttention_1/key/bias")
        });
        for (name, shape, _) in &mut arrays {
            if name == "embedding/kernel" {
                *shape = vec![64, 3, 48];
            }
        }
        let file = open(&arrays);
        let names: Vec<&str> = file.names().collect();
        let attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1";
        for kept in ["query", "value"].map(|part| format!("{attention}/{part}/bias")) {
            assert!(names.contains(&kept.as_str()), "{kept}");
        }
        assert!(names.contains(&"embedding/kernel"));
        assert!(names.contains(&"blocks.0.attn.qkv.bias"));
        assert!(!network.fits(&file));
    }
}
