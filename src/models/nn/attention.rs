//! Attention whose queries, keys and values have layers of their own, so that keys and values can be made of other tokens than the queries.
//!
//! # Reference
//! Vaswani et al. 2017 (arXiv 1706.03762), section 3.2; CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229:
//! ldm/modules/attention.py (`CrossAttention`); huggingface/transformers v5.23.0: models/clip/modeling_clip.py (`CLIPAttention`).
//!
//! # Deviations
//! Equal but for rounding: attention is computed by libtorch's fused kernel.

use tch::Tensor;

use super::transformer::Projection;
use crate::models::checkpoint::weights::WeightMap;

/// Multi-head attention of tokens to others, or to themselves.
#[derive(Debug)]
pub struct Attention {
    query: Projection,
    key: Projection,
    value: Projection,
    out: Projection,
    heads: i64,
    /// Whether a token attends to itself and those before it only.
    causal: bool,
}

/// The sizes of attention.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// D, the numbers of a token that attends.
    pub width: u32,
    /// E, the numbers of a token that is attended to.
    pub context: u32,
    /// Heads, which divide `width`.
    pub heads: u32,
}

impl Attention {
    /// Takes `to_q`, `to_k`, `to_v` (which have no bias) and `to_out.0` below `path`, as Stable Diffusion names them.
    pub fn cross(weights: &mut WeightMap, path: &str, sizes: Sizes) -> Self {
        let Sizes {
            width,
            context,
            heads,
        } = sizes;
        let mut plain = |name: &str, inputs: u32| {
            Projection::without_bias(weights, &format!("{path}.{name}"), inputs, width)
        };
        let (query, key, value) = (
            plain("to_q", width),
            plain("to_k", context),
            plain("to_v", context),
        );
        Self {
            query,
            key,
            value,
            out: Projection::new(weights, &format!("{path}.to_out.0"), width, width),
            heads: i64::from(heads),
            causal: false,
        }
    }

    /// Takes `q_proj`, `k_proj`, `v_proj` and `out_proj` below `path`, as CLIP's text encoder names them; a token attends to itself and those
    /// before it.
    pub fn causal(weights: &mut WeightMap, path: &str, width: u32, heads: u32) -> Self {
        let mut layer =
            |name: &str| Projection::new(weights, &format!("{path}.{name}"), width, width);
        Self {
            query: layer("q_proj"),
            key: layer("k_proj"),
            value: layer("v_proj"),
            out: layer("out_proj"),
            heads: i64::from(heads),
            causal: true,
        }
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`
    /// - `context`: `[N, M, E]`, or `[1, M, E]` if it is the same for all; `x` itself for attention to the same tokens
    /// - returns: `[N, L, D]`, in the precision of the network
    pub fn forward(&self, x: &Tensor, context: &Tensor) -> Tensor {
        let count = x.size().first().copied().unwrap_or(0);
        // [N, heads, L or M, D / heads].
        let split = |tokens: Tensor| tokens.unflatten(2, [self.heads, -1]).transpose(1, 2);
        let query = split(self.query.forward(x));
        let same_for_all = |tokens: Tensor| tokens.expand([count, -1, -1, -1], false);
        let key = same_for_all(split(self.key.forward(context)));
        let value = same_for_all(split(self.value.forward(context)));
        let (mask, dropout, grouped) = (None::<&Tensor>, 0.0, false);
        let mixed = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            mask,
            dropout,
            self.causal,
            None,
            grouped,
        );
        self.out.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Attention of two tokens to three others of another width, by its definition.
    #[test]
    fn every_token_is_a_mean_of_values_weighed_by_its_query() {
        let mut weights = WeightMap::synthetic(4);
        let sizes = Sizes {
            width: 4,
            context: 6,
            heads: 2,
        };
        let attention = Attention::cross(&mut weights, "attn2", sizes);
        let numbers = |sizes: &[i64]| {
            let count: i64 = sizes.iter().product();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37)
                .sin()
                .view(sizes)
        };
        let (x, context) = (numbers(&[2, 2, 4]), numbers(&[1, 3, 6]));
        let (query, key, value) = (
            attention.query.forward(&x),
            attention.key.forward(&context),
            attention.value.forward(&context),
        );
        let heads: Vec<Tensor> = [0, 2]
            .into_iter()
            .map(|first| {
                let of = |tokens: &Tensor| tokens.narrow(2, first, 2);
                let scores = of(&query).matmul(&of(&key).transpose(1, 2)) / 2.0_f64.sqrt();
                scores.softmax(-1, Kind::Float).matmul(&of(&value))
            })
            .collect();
        let expected = attention.out.forward(&Tensor::cat(&heads, 2));
        let found = attention.forward(&x, &context);
        assert_eq!(found.size(), [2, 2, 4]);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
        let names: Vec<&str> = weights
            .requested()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(!names.contains(&"attn2.to_q.bias") && names.contains(&"attn2.to_out.0.bias"));
    }

    #[test]
    fn what_comes_later_is_not_seen() {
        let attention = Attention::causal(&mut WeightMap::synthetic(4), "self_attn", 4, 2);
        let x = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([1, 3, 4]) * 0.1;
        let all = attention.forward(&x, &x);
        let fewer = x.narrow(1, 0, 2);
        let found = attention.forward(&fewer, &fewer);
        assert!((found - all.narrow(1, 0, 2)).abs().max().double_value(&[]) < 1e-6);
    }
}
