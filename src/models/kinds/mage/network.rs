//! MAGE's encoder: an image becomes words by a tokenizer, and a transformer reads the words.
//!
//! # Reference
//! LTH14/mage@1becb14475354fc40df35ba7c7c7bf418a137cd3: models_vit_mage.py (`VisionTransformerMage`), with
//! taming/modules/diffusionmodules/model.py (`Encoder`, `ResnetBlock`), taming/modules/vqvae/quantize.py (`VectorQuantizer2`), and timm's
//! `Block`; in evaluation mode.
//!
//! # Shapes
//! In `[N, 3, 256, 256]`, between 0 and 1; the tokenizer gives `[N, C, H, W]`, the embedding and the transformer `[N, L, D]` with the
//! class token first, the mean `[N, D]`.
//!
//! # Deviations
//! - The tokenizer is in f32 whatever the precision: what is rounded in 16 bits is nearest to other words.
//! - `fc_norm` has no parameters: the reference makes them anew for a linear probe, as ones and zeros.
//! - Attention is libtorch's fused kernel, which rounds otherwise in the last digits.
//!
//! # Parity
//! `tests/suite/golden_mage.rs`, on the CPU, f32: words exactly, 2e-5 for every tap.

use tch::{Kind, Tensor};

use super::config::Config;
use super::residual::ResidualBlock;
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{Convolution, GroupNorm, MemoryFormat, silu, sum};
use crate::models::nn::precision::Precision;

/// Of all normalizations.
pub(super) const EPSILON: f64 = 1e-6;
/// Groups of the tokenizer's normalizations.
pub(super) const GROUPS: u32 = 32;

/// Normalization over the last axis, in f32.
#[derive(Debug)]
struct LayerNorm {
    /// `[D]`.
    weight: Tensor,
    /// `[D]`.
    bias: Tensor,
}

impl LayerNorm {
    fn new(weights: &mut WeightMap, path: &str, width: u32) -> Self {
        let mut part = |name: &str| weights.take(&format!("{path}.{name}"), &[width as usize]);
        Self {
            weight: part("weight"),
            bias: part("bias"),
        }
    }

    /// # Shapes
    /// - `x`: `[..., D]`
    /// - returns: the same, in the type of `x`
    fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let normalized =
            x.to_kind(Kind::Float)
                .layer_norm(self.weight.size(), weight, bias, EPSILON, true);
        normalized.to_kind(x.kind())
    }
}

/// A linear layer in the precision of the transformer.
#[derive(Debug)]
struct Projection {
    /// `[outputs, inputs]`.
    weight: Tensor,
    /// `[outputs]`.
    bias: Tensor,
}

impl Projection {
    fn new(weights: &mut WeightMap, path: &str, inputs: u32, outputs: u32) -> Self {
        let (inputs, outputs) = (inputs as usize, outputs as usize);
        Self {
            weight: weights.take_for_convolution(&format!("{path}.weight"), &[outputs, inputs]),
            bias: weights.take_for_convolution(&format!("{path}.bias"), &[outputs]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

/// A block of the transformer.
#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 2],
    qkv: Projection,
    output: Projection,
    mlp: [Projection; 2],
    heads: i64,
}

impl Block {
    fn new(weights: &mut WeightMap, config: &Config, place: u32) -> Self {
        let (path, width) = (format!("blocks.{place}"), config.width);
        let norms = ["norm1", "norm2"]
            .map(|name| LayerNorm::new(weights, &format!("{path}.{name}"), width));
        let mut projection = |name: &str, inputs: u32, outputs: u32| {
            Projection::new(weights, &format!("{path}.{name}"), inputs, outputs)
        };
        Self {
            norms,
            qkv: projection("attn.qkv", width, 3 * width),
            output: projection("attn.proj", width, width),
            mlp: [
                projection("mlp.fc1", width, 4 * width),
                projection("mlp.fc2", 4 * width, width),
            ],
            heads: i64::from(config.heads),
        }
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`
    /// - returns: the same
    fn forward(&self, x: &Tensor) -> Tensor {
        let (count, tokens, width) = (x.size()[0], x.size()[1], x.size()[2]);
        let [attention_norm, mlp_norm] = &self.norms;
        let qkv = self.qkv.forward(&attention_norm.forward(x));
        // [3, N, heads, L, D / heads]
        let qkv = qkv
            .view([count, tokens, 3, self.heads, width / self.heads])
            .permute([2, 0, 3, 1, 4]);
        let (mask, dropout, causal, scale, grouped) = (None::<&Tensor>, 0.0, false, None, false);
        let read = Tensor::scaled_dot_product_attention(
            &qkv.select(0, 0),
            &qkv.select(0, 1),
            &qkv.select(0, 2),
            mask,
            dropout,
            causal,
            scale,
            grouped,
        );
        let read = read.transpose(1, 2).reshape([count, tokens, width]);
        let x = sum(self.output.forward(&read), x);
        let [first, second] = &self.mlp;
        let h = first.forward(&mlp_norm.forward(&x)).gelu("none");
        sum(second.forward(&h), &x)
    }
}

/// A network with its weights.
#[derive(Debug)]
pub struct Network {
    conv_in: Convolution,
    levels: Vec<Vec<ResidualBlock>>,
    middle: Vec<ResidualBlock>,
    norm_out: GroupNorm,
    conv_out: Convolution,
    /// `[codebook, latent]`.
    codebook: Tensor,
    /// `[words, D]`.
    words: Tensor,
    /// `[L, D]`.
    positions: Tensor,
    embedding_norm: LayerNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
    class_word: i64,
    precision: Precision,
}

impl Network {
    /// Builds the network and takes all its parameters. The transformer computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        let precision = weights.precision();
        weights.lay_out(MemoryFormat::Contiguous);
        weights.convolve_in(Precision::F32);
        let encoder = "vqgan.encoder";
        let conv_in = Convolution::without_bias(
            weights,
            &format!("{encoder}.conv_in"),
            3,
            config.channels,
            3,
        );
        let levels = config.levels();
        let levels = levels
            .iter()
            .map(|blocks| {
                blocks
                    .iter()
                    .map(|block| ResidualBlock::new(weights, block))
                    .collect()
            })
            .collect();
        let middle = config.middle();
        let middle = middle
            .iter()
            .map(|block| ResidualBlock::new(weights, block))
            .collect();
        let last = config.last_channels();
        let norm_out = GroupNorm::new(
            weights,
            &format!("{encoder}.norm_out"),
            last,
            GROUPS,
            EPSILON,
        );
        let conv_out = Convolution::new(
            weights,
            &format!("{encoder}.conv_out"),
            last,
            config.latent,
            1,
        );
        let (width, tokens) = (config.width as usize, config.tokens() as usize);
        let codebook = [config.codebook, config.latent].map(|size| size as usize);
        let codebook = weights.take("vqgan.quantize.embedding.weight", &codebook);
        let words = weights.take(super::config::PROBE, &[config.words() as usize, width]);
        let positions = weights.take("token_emb.position_embeddings.weight", &[tokens, width]);
        let embedding_norm = LayerNorm::new(weights, "token_emb.LayerNorm", config.width);
        weights.convolve_in(precision);
        let blocks = (0..config.depth)
            .map(|place| Block::new(weights, config, place))
            .collect();
        let norm = LayerNorm::new(weights, "norm", config.width);
        weights.finish()?;
        Ok(Self {
            conv_in,
            levels,
            middle,
            norm_out,
            conv_out,
            codebook,
            words,
            positions,
            embedding_norm,
            blocks,
            norm,
            class_word: i64::from(config.class_word()),
            precision,
        })
    }

    /// The words of an image: for each place of the grid the entry of the codebook that is nearest.
    ///
    /// # Shapes
    /// - `latent`: `[N, latent, H, W]`
    /// - returns: `[N, H · W]`, row by row
    pub fn words_of(&self, latent: &Tensor) -> Tensor {
        let (count, channels) = (latent.size()[0], latent.size()[1]);
        let places = latent.permute([0, 2, 3, 1]).reshape([-1, channels]);
        let squares =
            |rows: &Tensor| (rows * rows).sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
        // |z − e|² = |z|² + |e|² − 2 z·e, of which the first part is the same for all entries.
        let products = places.matmul(&self.codebook.tr());
        let distances =
            squares(&self.codebook).unsqueeze(0) - products * 2.0 + squares(&places).unsqueeze(1);
        distances.argmin(1, false).view([count, -1])
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the normalized mean of the
    /// image's tokens, if it runs that far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x`: `[N, 3, 256, 256]`, f32
    /// - returns: `[N, D]`, f32
    ///
    /// # Errors
    /// A tap names no block.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn forward_taps(
        &self,
        x: &Tensor,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        // The first convolution, the levels, the latent, the embedding, the blocks, and two normalizations.
        let count = 1 + self.levels.len() + 2 + self.blocks.len() + 2;
        let last = BlockIndex(u32::try_from(count).unwrap_or(u32::MAX));
        if let Some(&tap) = taps.iter().find(|&&tap| tap < BlockIndex(1) || tap > last) {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        let deepest = match until {
            Until::DeepestTap => taps.iter().max().copied(),
            Until::Output => Some(last),
        };
        let Some(deepest) = deepest else {
            return Ok(None);
        };
        let mut number = 0;
        // Whether there is more to compute behind this output.
        let mut reach = |output: &Tensor| {
            number += 1;
            if taps.contains(&BlockIndex(number)) {
                visit(BlockIndex(number), output);
            }
            BlockIndex(number) < deepest
        };
        let mut h = self.conv_in.forward(x);
        if !reach(&h) {
            return Ok(None);
        }
        for (level, blocks) in self.levels.iter().enumerate() {
            for block in blocks {
                h = block.forward(&h);
            }
            if level + 1 < self.levels.len() {
                h = h.avg_pool2d([2; 2], [2; 2], [0; 2], false, true, None);
            }
            if !reach(&h) {
                return Ok(None);
            }
        }
        for block in &self.middle {
            h = block.forward(&h);
        }
        let latent = self.conv_out.forward(&silu(self.norm_out.forward(&h)));
        if !reach(&latent) {
            return Ok(None);
        }
        let words = self.words_of(&latent);
        let class = Tensor::full(
            [words.size()[0], 1],
            self.class_word,
            (Kind::Int64, x.device()),
        );
        let words = Tensor::cat(&[class, words], 1);
        let embedded = Tensor::embedding(&self.words, &words, -1, false, false);
        let embedded = embedded + self.positions.unsqueeze(0);
        let mut tokens = self
            .embedding_norm
            .forward(&embedded)
            .to_kind(self.precision.kind());
        if !reach(&tokens) {
            return Ok(None);
        }
        for block in &self.blocks {
            tokens = block.forward(&tokens);
            if !reach(&tokens) {
                return Ok(None);
            }
        }
        let tokens = tokens.to_kind(Kind::Float);
        if !reach(&self.norm.forward(&tokens)) {
            return Ok(None);
        }
        let image = tokens.narrow(1, 1, tokens.size()[1] - 1);
        let mean = image.mean_dim([1_i64].as_slice(), false, Kind::Float);
        let none = None::<&Tensor>;
        let mean = mean.layer_norm([mean.size()[1]], none, none, EPSILON, true);
        reach(&mean);
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(mean),
        })
    }
}
