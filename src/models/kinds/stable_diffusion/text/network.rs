//! CLIP's text encoder with one forward pass.
//!
//! # Reference
//! huggingface/transformers v5.23.0: models/clip/modeling_clip.py (`CLIPTextTransformer`); CompVis/stable-diffusion
//! @21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/encoders/modules.py (`FrozenCLIPEmbedder.forward`).
//!
//! # Shapes
//! In `[N, L]`, i64, token ids; out `[N, L, D]`, f32, all tokens behind the last normalization.
//!
//! # Deviations
//! Equal but for rounding: attention is computed by libtorch's fused kernel. It runs in f32 on the CPU, whatever the U-Net computes in and
//! wherever, so that the condition is the same everywhere.
//!
//! # Parity
//! `tests/suite/golden_stable_diffusion.rs`: 2e-5, hidden states of the full size 1e-4.

use tch::{Kind, Tensor};

use super::super::names;
use super::TextConfig;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::nn::attention::Attention;
use crate::models::nn::transformer::{LayerNorm, Projection};

/// Of all normalizations.
const EPSILON: f64 = 1e-5;

/// One layer, which normalizes before attention and before its feed-forward layers, and adds what they give.
#[derive(Debug)]
struct Layer {
    attention_norm: LayerNorm,
    self_attn: Attention,
    feed_forward_norm: LayerNorm,
    fc1: Projection,
    fc2: Projection,
}

/// The text encoder with its weights.
#[derive(Debug)]
pub struct TextEncoder {
    /// `[vocabulary, D]`.
    tokens: Tensor,
    /// `[L, D]`.
    positions: Tensor,
    layers: Vec<Layer>,
    final_layer_norm: LayerNorm,
}

impl TextEncoder {
    /// Builds the encoder and takes all its parameters.
    ///
    /// # Errors
    /// Lists every parameter that is missing, unused or of another shape.
    pub fn new(config: &TextConfig, weights: &mut WeightMap) -> Result<Self, WeightError> {
        let (width, hidden) = (config.width, config.hidden);
        let mut embedding = |name: &str, rows: u32| {
            let name = format!("text_model.embeddings.{name}.weight");
            weights.take(&name, &[rows as usize, width as usize])
        };
        let tokens = embedding("token_embedding", config.vocabulary);
        let positions = embedding("position_embedding", config.positions);
        let layers = (0..config.layers)
            .map(|number| {
                let path = format!("text_model.encoder.layers.{number}");
                let norm = |weights: &mut WeightMap, name: &str| {
                    LayerNorm::new(weights, &format!("{path}.{name}"), width, EPSILON)
                };
                let attention = format!("{path}.self_attn");
                Layer {
                    attention_norm: norm(weights, "layer_norm1"),
                    self_attn: Attention::causal(weights, &attention, width, config.heads),
                    feed_forward_norm: norm(weights, "layer_norm2"),
                    fc1: Projection::new(weights, &format!("{path}.mlp.fc1"), width, hidden),
                    fc2: Projection::new(weights, &format!("{path}.mlp.fc2"), hidden, width),
                }
            })
            .collect();
        let path = "text_model.final_layer_norm";
        let final_layer_norm = LayerNorm::new(weights, path, width, EPSILON);
        weights.skip(names::POSITION_IDS);
        weights.finish()?;
        Ok(Self {
            tokens,
            positions,
            layers,
            final_layer_norm,
        })
    }

    /// The one forward pass. `visit` sees the embeddings, as number 0, and the tokens behind each layer, counted from 1. Nothing has
    /// gradients.
    ///
    /// # Shapes
    /// - `ids`: `[N, L]`, i64, below the size of the vocabulary; L at most the number of positions
    /// - `visit` gets `[N, L, D]`
    /// - returns: `[N, L, D]`, f32
    ///
    /// # Panics
    /// libtorch panics where ids are beyond the vocabulary, and where memory is exhausted.
    pub fn forward(&self, ids: &Tensor, visit: &mut dyn FnMut(usize, &Tensor)) -> Tensor {
        let _guard = tch::no_grad_guard();
        let length = ids.size().last().copied().unwrap_or(0);
        let (padding, scale_by_frequency, sparse) = (-1, false, false);
        let tokens = Tensor::embedding(&self.tokens, ids, padding, scale_by_frequency, sparse);
        let mut tokens = tokens + self.positions.narrow(0, 0, length);
        visit(0, &tokens);
        for (number, layer) in (1..).zip(&self.layers) {
            let normal = layer.attention_norm.forward(&tokens);
            tokens = &tokens + layer.self_attn.forward(&normal, &normal);
            let hidden = layer.fc1.forward(&layer.feed_forward_norm.forward(&tokens));
            tokens = &tokens + layer.fc2.forward(&quick_gelu(&hidden));
            visit(number, &tokens);
        }
        self.final_layer_norm.forward(&tokens)
    }

    /// The condition of one text, `[1, L, D]`, f32.
    ///
    /// # Panics
    /// As [`TextEncoder::forward`].
    pub fn condition(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&ids).to_kind(Kind::Int64).unsqueeze(0);
        self.forward(&ids, &mut |_, _| {})
    }
}

/// `x · sigmoid(1.702 x)`, which CLIP was trained with in place of GELU.
fn quick_gelu(x: &Tensor) -> Tensor {
    let gate: Tensor = x * 1.702;
    x * gate.sigmoid()
}
