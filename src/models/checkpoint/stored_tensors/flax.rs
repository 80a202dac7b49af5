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
    let (mut dtype, mut first) = (None, None);
    for name in names {
        let entry = tensors.get(name)?;
        let [piece] = entry.pieces.as_slice() else {
            return None;
        };
        if dtype.is_some_and(|dtype| dtype != entry.dtype) {
            return None;
        }
        dtype = Some(entry.dtype);
        let (piece, shape) = laid_out(piece, layout)?;
        if *first.get_or_insert_with(|| shape.clone()) != shape {
            return None;
        }
        pieces.push(piece);
    }
    let mut shape = first?;
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
        zeros: 0,
        pieces,
    };
    tensors.insert(torch.to_owned(), entry);
    Some(())
}

/// A tensor in PyTorch's layout, and its shape there; axes that become one are still apart in the piece. `None` where it has other axes.
fn laid_out(piece: &Piece, layout: Layout) -> Option<(Piece, Vec<usize>)> {
    let axes = piece.shape.len();
    // The axes in PyTorch's order, and how many of them make each axis there.
    let (order, groups): (Vec<usize>, Vec<usize>) = match layout {
        Layout::Same => ((0..axes).collect(), vec![1; axes]),
        Layout::Flat => ((0..axes).collect(), vec![axes]),
        Layout::Kernel { inputs } => {
            let outputs = axes.checked_sub(inputs).filter(|&outputs| outputs > 0)?;
            (
                (inputs..axes).chain(0..inputs).collect(),
                vec![outputs, inputs],
            )
        }
        Layout::Convolution if axes == 4 => (vec![3, 2, 0, 1], vec![1; 4]),
        Layout::Convolution => return None,
    };
    let distances = piece
        .strides
        .clone()
        .unwrap_or_else(|| row_major(&piece.shape));
    let pick = |from: &[usize]| -> Option<Vec<usize>> {
        order.iter().map(|&axis| from.get(axis).copied()).collect()
    };
    let (shape, strides) = (pick(&piece.shape)?, pick(&distances)?);
    let mut rest = shape.as_slice();
    let mut joined = Vec::new();
    for count in groups {
        let (these, others) = rest.split_at_checked(count)?;
        joined.push(these.iter().product());
        rest = others;
    }
    let is_in_row = strides == row_major(&shape);
    let piece = Piece {
        shape,
        bytes: piece.bytes.clone(),
        strides: (!is_in_row).then_some(strides),
    };
    Some((piece, joined))
}

/// The distances of elements that are in a row, in row-major order. Their number is not above that of the file's bytes.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut distance = 1_usize;
    let mut strides: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let own = distance;
            distance = distance.saturating_mul(size);
            own
        })
        .collect();
    strides.reverse();
    strides
}

#[cfg(test)]
mod tests;
