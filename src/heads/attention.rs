//! `attention`: transformer blocks on the positions of a feature map, and a linear layer on the CLS token.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Table 9 (Attention-1K-1 to -5). soumik-kanad/diffssl@cc2ac30:ssl_diff/attention_head.py,
//! `AttentionHead` with the steps pool, reshape, insert CLS, blocks, extract CLS, dense. A block normalizes before attention and
//! before the hidden layer, adds each to what it read, has no bias on queries, keys and values, and an exact GELU; the norms
//! have an ε of 1e-5. There is no embedding of positions and no norm behind the last block.
//!
//! # Shapes
//! `[N, C, S, S]` to tokens `[N, 1 + P × P, C]` with P = ⌊S / `token_pool`⌋, row after row; to `[N, C]`; to `[N, K]`.
//!
//! # Deviations
//! Initial weights: see [`Initializer::Uniform`](super::Initializer::Uniform). Norms begin as the identity and the CLS token as
//! zeros, as in the reference.
//!
//! # Parity
//! `tests/suite/golden_heads.rs`.

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::Tensor;

#[cfg(feature = "torch")]
use super::Mode;
use super::parameters::layer;
#[cfg(feature = "torch")]
use super::stacked::{layer_norm_each, linear_each, product_each};
use super::{FeatureShape, Head, HeadKind, ParameterForm, Role};
use crate::message::Message;
use crate::spec::{Choice, Count, Fields, Key, Kind, KindDoc};
use crate::trainer;

/// Parameters of one block.
#[cfg(feature = "torch")]
const OF_A_BLOCK: usize = 11;

const BLOCKS: Key<Count> = Key::count("blocks", 1..=1000)
    .default(1)
    .doc("Transformer blocks.");
const HEADS: Key<Count> = Key::count("heads", 1..=100_000)
    .default(8)
    .doc("Attention heads of a block; a divisor of the channels.");
const MLP_RATIO: Key<Count> = Key::count("mlp_ratio", 1..=1000)
    .default(4)
    .doc("Width of a block's hidden layer, as a multiple of the channels.");
const TOKEN_POOL: Key<Count> = Key::count("token_pool", 1..=100_000)
    .default(2)
    .doc("Side and stride of an average pool; each position of what it leaves is a token.");
/// Whether the linear layer reads a CLS token.
const TOKENS: Key<Choice<bool>> = Key::choice("tokens", &[("cls", true), ("mean", false)])
    .default(true)
    .doc("What the linear layer reads: a learned token put before the others, or the mean of all.");

/// `kind = "attention"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "attention",
        summary: "Transformer blocks on the positions of the map, then a linear layer.",
        keys: &[&BLOCKS, &HEADS, &MLP_RATIO, &TOKEN_POOL, &TOKENS],
        shared: trainer::config::KEYS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    Some(Arc::new(Attention {
        blocks: fields.get(&BLOCKS)?,
        heads: fields.get(&HEADS)?,
        mlp_ratio: fields.get(&MLP_RATIO)?,
        token_pool: fields.get(&TOKEN_POOL)?,
        cls: fields.get(&TOKENS)?,
    }))
}

#[derive(Debug)]
struct Attention {
    blocks: u32,
    heads: u32,
    mlp_ratio: u32,
    token_pool: u32,
    /// Whether the linear layer reads a CLS token, and not the mean of all.
    cls: bool,
}

impl Attention {
    /// The number that the reference gives the first block: it counts the steps before it, which have no parameters.
    const fn first_number(&self) -> usize {
        2 + self.cls as usize
    }
}

impl Head for Attention {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": KIND.doc.name,
            "blocks": self.blocks,
            "heads": self.heads,
            "mlp_ratio": self.mlp_ratio,
            "token_pool": self.token_pool,
            "tokens": if self.cls { "cls" } else { "mean" },
        })
    }

    fn check(&self, shape: FeatureShape) -> Result<(), Message> {
        if !shape.channels.is_multiple_of(self.heads as usize) {
            return Err(Message::new(format!(
                "{} channels cannot be divided among {} attention heads",
                shape.channels, self.heads
            ))
            .hint("give the head a `heads` that divides them"));
        }
        if shape.shorter() < self.token_pool as usize {
            return Err(Message::new(format!(
                "features of {} × {} positions are smaller than the token pool of {}",
                shape.height, shape.width, self.token_pool
            ))
            .hint("give the head a smaller `token_pool`, or the extraction a larger `pool`"));
        }
        Ok(())
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let width = shape.channels;
        let hidden = width * self.mlp_ratio as usize;
        let mut forms = Vec::new();
        if self.cls {
            forms.push(ParameterForm::constant(
                "cls_token",
                &[1, 1, width],
                0.0,
                Role::Trained,
            ));
        }
        let last = self.first_number() + self.blocks as usize;
        for number in self.first_number()..last {
            let block = format!("layers.{number}");
            let norm = |name: &str| {
                let part = |part: &str, value| {
                    let name = format!("{block}.{name}.{part}");
                    ParameterForm::constant(&name, &[width], value, Role::Trained)
                };
                [part("weight", 1.0), part("bias", 0.0)]
            };
            let linear = |name: &str, outputs, inputs| {
                layer(
                    KIND.doc.name,
                    &format!("{block}.{name}"),
                    &[outputs, inputs],
                )
            };
            let [qkv, _] = linear("attn.qkv", 3 * width, width);
            forms.extend(norm("norm1"));
            forms.push(qkv);
            forms.extend(linear("attn.proj", width, width));
            forms.extend(norm("norm2"));
            forms.extend(linear("mlp.fc1", hidden, width));
            forms.extend(linear("mlp.fc2", width, hidden));
        }
        // In between is one more step without parameters: extracting the CLS token, or the mean.
        let name = format!("layers.{}", last + 1);
        forms.extend(layer(KIND.doc.name, &name, &[classes, width]));
        forms
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[Tensor], features: &Tensor, _: Mode) -> Tensor {
        let pool = i64::from(self.token_pool);
        let pooled = if pool > 1 {
            features.avg_pool2d([pool, pool], [pool, pool], [0, 0], false, true, None)
        } else {
            features.shallow_clone()
        };
        let samples = pooled.size()[0];
        let stack = parameters[parameters.len() - 1].size()[0];
        // [N, C, P, P] to [M, N, P · P, C], the same for every head of the stack.
        let tokens = pooled.flatten(2, 3).transpose(1, 2).unsqueeze(0);
        let mut tokens = tokens.expand([stack, -1, -1, -1], false);
        let mut blocks = parameters;
        if self.cls {
            // [M, 1, 1, C], before all tokens of each sample.
            let cls = parameters[0].squeeze_dim(1).unsqueeze(1);
            let cls = cls.expand([-1, samples, -1, -1], false);
            tokens = Tensor::cat(&[cls, tokens], 2);
            blocks = &parameters[1..];
        }
        let (blocks, last) = blocks.split_at(self.blocks as usize * OF_A_BLOCK);
        for block in blocks.chunks_exact(OF_A_BLOCK) {
            tokens = self.block(block, &tokens);
        }
        let read = if self.cls {
            tokens.select(2, 0)
        } else {
            tokens.mean_dim(2, false, None)
        };
        linear_each(&read, &last[0], &last[1]).transpose(0, 1)
    }
}

#[cfg(feature = "torch")]
impl Attention {
    /// One block of each head of the stack.
    ///
    /// # Shapes
    /// - `parameters`: those of one block, in their order, each with a leading dimension of M
    /// - `tokens`: `[M, N, L, C]`
    /// - returns: the same
    fn block(&self, parameters: &[Tensor], tokens: &Tensor) -> Tensor {
        let (samples, length) = (tokens.size()[1], tokens.size()[2]);
        // Samples and tokens are rows alike for everything but the mixing of tokens: [M, N · L, C].
        let rows = tokens.flatten(1, 2);
        let normed = layer_norm_each(&rows, &parameters[0], &parameters[1]);
        let qkv = product_each(&normed, &parameters[2]);
        // [M, N · L, 3 · C] to [3, M · N, heads, L, C / heads].
        let qkv = qkv
            .view([
                -1,
                length,
                3,
                i64::from(self.heads),
                qkv.size()[2] / 3 / i64::from(self.heads),
            ])
            .permute([2, 0, 3, 1, 4]);
        let mixed = Tensor::scaled_dot_product_attention(
            &qkv.select(0, 0),
            &qkv.select(0, 1),
            &qkv.select(0, 2),
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        );
        let mixed = mixed.transpose(1, 2).reshape(rows.size());
        let rows = rows + linear_each(&mixed, &parameters[3], &parameters[4]);
        let normed = layer_norm_each(&rows, &parameters[5], &parameters[6]);
        let hidden = linear_each(&normed, &parameters[7], &parameters[8]).gelu("none");
        let rows = rows + linear_each(&hidden, &parameters[9], &parameters[10]);
        rows.unflatten(1, [samples, length])
    }
}
