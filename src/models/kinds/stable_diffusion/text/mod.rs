//! The text encoder whose tokens Stable Diffusion's U-Net attends to: that of CLIP ViT-L/14.
//!
//! It reads no image, so it is no kind of model but a part of this one: `network.rs` runs it once, when the U-Net is loaded.
//! [`tokenizer`] makes token ids of a text.
//!
//! # Reference
//! Radford et al. 2021 (arXiv 2103.00020); CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229:
//! ldm/modules/encoders/modules.py (`FrozenCLIPEmbedder`); huggingface/transformers v5.23.0: models/clip/modeling_clip.py.

#[cfg(feature = "torch")]
pub mod network;
pub mod tokenizer;

use serde::{Deserialize, Serialize};

use crate::models::declared::parameter_count;
use crate::models::kinds::guided_diffusion::layer::Parameters;

/// The id that a text begins with, `<|startoftext|>`.
pub const START: u32 = 49_406;
/// The id that a text ends with and is padded with, `<|endoftext|>`.
pub const END: u32 = 49_407;

/// The shape of a text encoder, in the order in which fingerprints serialize it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// How many tokens there are. CLIP: 49,408.
    pub vocabulary: u32,
    /// Tokens of a text, padding included. CLIP: 77.
    pub positions: u32,
    /// D, numbers of a token. CLIP ViT-L/14: 768.
    pub width: u32,
    /// Layers. CLIP ViT-L/14: 12.
    pub layers: u32,
    /// Heads of attention, which divide `width`. CLIP ViT-L/14: 12.
    pub heads: u32,
    /// Numbers between the feed-forward layers. CLIP ViT-L/14: 3072.
    pub hidden: u32,
}

impl TextConfig {
    /// The ids of a text of no words, `[positions]`: the beginning, and then ends alone.
    pub fn null_prompt(&self) -> Vec<u32> {
        let ends = std::iter::repeat(END);
        let ids = std::iter::once(START).chain(ends);
        ids.take(self.positions as usize).collect()
    }

    /// Name and shape of every parameter.
    pub fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let width = self.width;
        let mut list = Parameters::default();
        let embeddings = "text_model.embeddings";
        // The first tells whose names a file has.
        list.weight_and_bias("text_model.final_layer_norm", &[width]);
        list.weight(
            &format!("{embeddings}.token_embedding"),
            &[self.vocabulary, width],
        );
        list.weight(
            &format!("{embeddings}.position_embedding"),
            &[self.positions, width],
        );
        for number in 0..self.layers {
            let path = format!("text_model.encoder.layers.{number}");
            for layer in ["k_proj", "v_proj", "q_proj", "out_proj"] {
                list.weight_and_bias(&format!("{path}.self_attn.{layer}"), &[width, width]);
            }
            list.weight_and_bias(&format!("{path}.layer_norm1"), &[width]);
            list.weight_and_bias(&format!("{path}.mlp.fc1"), &[self.hidden, width]);
            list.weight_and_bias(&format!("{path}.mlp.fc2"), &[width, self.hidden]);
            list.weight_and_bias(&format!("{path}.layer_norm2"), &[width]);
        }
        list.0
    }

    /// How many parameters it has.
    pub fn parameter_count(&self) -> u64 {
        parameter_count(&self.state_dict())
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets;

    #[test]
    fn parameters_are_as_many_as_the_reference_counts() {
        let text = |name: &str| presets::find(name).unwrap().network.text;
        assert_eq!(text("sd-v1").parameter_count(), 123_060_480);
        assert_eq!(text("sd-tiny").parameter_count(), 1_609_216);
    }
}
