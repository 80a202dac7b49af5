//! Vision transformers as timm stores those of DINOv2, under the names of their authors.
//!
//! timm adds the position of the class token to that token and stores positions of patches alone where there are registers, which are called
//! `reg_token`; the layers of `SwiGLU` have the names of a network without gates.
//!
//! # Reference
//! huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py (`_convert_dinov2`).
//!
//! # Deviations
//! The class token's position cannot be had back from the sum. It becomes 0, of which the network makes the same sum.
//!
//! # Parity
//! Of `vit_small_patch14_reg4_dinov2` with random weights in timm 1.0.31, saved at 518 pixels and read at 224, the normalized class token and
//! the mean of the patch tokens of four images are timm's own to 8.4e-7, on the CPU. This was compared by hand; the test below compares names
//! and numbers.

use std::collections::BTreeMap;

use super::Entry;
use super::state_dict::StateDict;

const REGISTERS: &str = "reg_token";
const POSITIONS: &str = "pos_embed";
/// The layers of `SwiGLU`: timm's names, and those of DINOv2.
const GATED: [(&str, &str); 2] = [("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3")];

/// The tensors under the authors' names where they are those of timm; else as they are.
pub(super) fn renamed(mut found: StateDict) -> StateDict {
    registers(&mut found.tensors);
    for number in 0.. {
        let block = format!("blocks.{number}.");
        match is_gated(&found.tensors, &block) {
            Some(true) => gated(&mut found.tensors, &block),
            Some(false) => {}
            None => break,
        }
    }
    found
}

fn registers(tensors: &mut BTreeMap<String, Entry>) -> Option<()> {
    let [1, _, width] = *tensors.get(REGISTERS)?.shape.as_slice() else {
        return None;
    };
    let positions = tensors.get_mut(POSITIONS)?;
    let [1, ref mut count, wide] = *positions.shape.as_mut_slice() else {
        return None;
    };
    // A square has no place for the class token.
    if wide != width || count.isqrt().pow(2) != *count {
        return None;
    }
    *count += 1;
    positions.zeros = width;
    let registers = tensors.remove(REGISTERS)?;
    tensors.insert("register_tokens".to_owned(), registers);
    Some(())
}

/// Whether the first feed-forward layer of a block makes twice as many values as the second one takes; `None` where there is no such block.
fn is_gated(tensors: &BTreeMap<String, Entry>, block: &str) -> Option<bool> {
    let shape = |layer: &str| {
        let entry = tensors.get(&format!("{block}{layer}.weight"))?;
        <[usize; 2]>::try_from(entry.shape.as_slice()).ok()
    };
    let ([made, _], [_, taken]) = (shape("mlp.fc1")?, shape("mlp.fc2")?);
    Some(taken.checked_mul(2) == Some(made))
}

fn gated(tensors: &mut BTreeMap<String, Entry>, block: &str) {
    for (stored, own) in GATED {
        for part in ["weight", "bias"] {
            if let Some(entry) = tensors.remove(&format!("{block}{stored}.{part}")) {
                tensors.insert(format!("{block}{own}.{part}"), entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::super::StoredTensors;
    use crate::models::checkpoint::synthetic;
    use crate::models::kinds::vit::presets;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().copied().flat_map(f32::to_le_bytes).collect()
    }

    fn stored(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> StoredTensors {
        let all: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
        let views = tensors.iter().zip(&all).map(|((name, shape, _), bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name.as_str(), view.unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        StoredTensors::from_bytes(Path::new("timm"), file).unwrap()
    }

    /// A network as timm would store it, against the same under the authors' names.
    #[test]
    fn registers_and_gates_have_the_names_and_shapes_of_their_authors() {
        let mut presets = presets::all().into_iter();
        let preset = presets.find(|preset| preset.name == "vit-g14-dinov2-reg4");
        let mut config = preset.unwrap().network;
        (config.embed_dim, config.depth, config.num_heads) = (48, 2, 4);
        (config.image_size, config.position_size) = (70, 70);
        let mut own = Vec::new();
        for (name, shape) in config.state_dict() {
            let mut values = synthetic::fill(&name, &shape, 1);
            if name == "pos_embed" {
                values[..48].fill(0.0);
            }
            own.push((name, shape, values));
        }
        let of_timm: Vec<_> = own
            .iter()
            .map(|(name, shape, values)| match name.as_str() {
                "pos_embed" => (name.clone(), vec![1, 25, 48], values[48..].to_vec()),
                "register_tokens" => ("reg_token".to_owned(), shape.clone(), values.clone()),
                _ => {
                    let name = name.replace("w12", "fc1").replace("w3", "fc2");
                    (name, shape.clone(), values.clone())
                }
            })
            .collect();
        let file = stored(&of_timm);
        assert!(config.fits(&file));
        assert_eq!(file.names().count(), own.len());
        for (name, shape, values) in &own {
            let tensor = file.get(name).unwrap();
            assert_eq!(
                (tensor.shape, &*tensor.bytes),
                (&shape[..], &bytes(values)[..]),
                "{name}"
            );
        }
    }

    #[test]
    fn other_networks_stay_as_they_are() {
        let names = [
            "reg_token",
            "blocks.0.mlp.fc1.weight",
            "blocks.0.mlp.fc2.weight",
        ];
        let shapes = [vec![1, 1, 2], vec![4, 2], vec![2, 4]];
        let mut tensors: Vec<_> = names
            .into_iter()
            .zip(shapes)
            .map(|(name, shape)| {
                let count = shape.iter().product();
                (name.to_owned(), shape, vec![1.0; count])
            })
            .collect();
        // With a place for the class token.
        tensors.push(("pos_embed".to_owned(), vec![1, 5, 2], vec![1.0; 10]));
        let file = stored(&tensors);
        for (name, shape, _) in &tensors {
            assert_eq!(file.get(name).unwrap().shape, shape, "{name}");
        }
    }
}
