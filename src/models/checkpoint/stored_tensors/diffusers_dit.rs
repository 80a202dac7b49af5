//! DiT as diffusers stores it, under the names of its authors.
//!
//! Queries, keys and values are three tensors, which DiT has in one, and the embeddings of the timestep and the class stand in every block.
//!
//! # Reference
//! diffusers 0.42.1: src/diffusers/models/transformers/dit_transformer_2d.py, scripts/convert_dit_to_diffusers.py.
//!
//! # Deviations
//! - Of the embeddings those of the first block are taken; the copies of the other blocks are left out without being compared with them.
//! - The positions of the tokens are not in such a file.

use std::collections::BTreeMap;

use super::Entry;
use super::state_dict::StateDict;

/// What tells DiT from other transformers of diffusers.
const PROBES: [&str; 3] = [
    "pos_embed.proj.weight",
    "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight",
    "proj_out_2.weight",
];
/// What stands before the number of a block.
const BLOCK: &str = "transformer_blocks.";
/// What the embeddings in a block begin with.
const EMBEDDINGS: &str = "norm1.emb.";

/// Layers outside the blocks, the embeddings of the first among them.
const OUTSIDE: [(&str, &str); 6] = [
    ("pos_embed.proj", "x_embedder.proj"),
    ("proj_out_1", "final_layer.adaLN_modulation.1"),
    ("proj_out_2", "final_layer.linear"),
    (
        "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1",
        "t_embedder.mlp.0",
    ),
    (
        "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2",
        "t_embedder.mlp.2",
    ),
    (
        "transformer_blocks.0.norm1.emb.class_embedder.embedding_table",
        "y_embedder.embedding_table",
    ),
];

/// Layers in a block.
const INSIDE: [(&str, &str); 4] = [
    ("norm1.linear", "adaLN_modulation.1"),
    ("attn1.to_out.0", "attn.proj"),
    ("ff.net.0.proj", "mlp.fc1"),
    ("ff.net.2", "mlp.fc2"),
];

/// The layers of a block that DiT has in one, in its order.
const JOINED: [&str; 3] = ["attn1.to_q", "attn1.to_k", "attn1.to_v"];

/// The tensors under DiT's own names where they are those of diffusers; else as they are.
pub(super) fn renamed(mut found: StateDict) -> StateDict {
    if !PROBES
        .iter()
        .all(|&probe| found.tensors.contains_key(probe))
    {
        return found;
    }
    let tensors = &mut found.tensors;
    for part in ["weight", "bias"] {
        for (stored, own) in OUTSIDE {
            join(
                tensors,
                &[format!("{stored}.{part}")],
                &format!("{own}.{part}"),
            );
        }
    }
    let mut number = 0_usize;
    loop {
        let block = format!("{BLOCK}{number}.");
        if !tensors.keys().any(|name| name.starts_with(&block)) {
            return found;
        }
        let copied = format!("{block}{EMBEDDINGS}");
        tensors.retain(|name, _| !name.starts_with(&copied));
        for part in ["weight", "bias"] {
            for (stored, own) in INSIDE {
                let name = format!("{block}{stored}.{part}");
                join(tensors, &[name], &format!("blocks.{number}.{own}.{part}"));
            }
            let parts = JOINED.map(|stored| format!("{block}{stored}.{part}"));
            join(tensors, &parts, &format!("blocks.{number}.attn.qkv.{part}"));
        }
        number += 1;
    }
}

/// Makes one tensor of several that follow each other along their first axis, unless one of them is missing or does not fit.
fn join(tensors: &mut BTreeMap<String, Entry>, names: &[String], own: &str) -> Option<()> {
    let entries: Vec<&Entry> = names
        .iter()
        .map(|name| tensors.get(name))
        .collect::<Option<_>>()?;
    let first = entries.first()?;
    let dtype = first.dtype;
    let mut shape = first.shape.clone();
    let is_alike = |entry: &&Entry| entry.dtype == dtype && entry.shape == shape;
    if !entries.iter().all(is_alike) || tensors.contains_key(own) {
        return None;
    }
    if let [rows, ..] = shape.as_mut_slice() {
        *rows = rows.checked_mul(names.len())?;
    }
    let mut pieces = Vec::new();
    for name in names {
        pieces.extend(tensors.remove(name)?.pieces);
    }
    let entry = Entry {
        dtype,
        shape,
        zeros: 0,
        pieces,
    };
    tensors.insert(own.to_owned(), entry);
    Some(())
}
