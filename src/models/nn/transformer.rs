//! The layers that vision transformers are made of, with parameters taken by the names that timm gives them.
//!
//! Tokens are `[N, L, D]` and f32 whatever the network computes in: linear layers and attention compute in its precision, normalizations and
//! the sums around them in f32, as under PyTorch's autocast.
//!
//! # Reference
//! huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py (`Attention`, `Block`), timm/layers/mlp.py (`Mlp`);
//! facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0: dinov2/layers/swiglu_ffn.py (`SwiGLUFFN`), layer_scale.py.

use tch::{Kind, Tensor};

use crate::models::checkpoint::weights::WeightMap;

/// Layer normalization over the last axis, with a learned scale and shift.
#[derive(Debug)]
pub struct LayerNorm {
    /// `[width]`.
    weight: Tensor,
    /// `[width]`.
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Takes `{path}.weight` and `{path}.bias`.
    pub fn new(weights: &mut WeightMap, path: &str, width: u32, epsilon: f64) -> Self {
        let mut take = |part: &str| weights.take(&format!("{path}.{part}"), &[width as usize]);
        Self {
            weight: take("weight"),
            bias: take("bias"),
            epsilon,
        }
    }

    /// # Shapes
    /// - `x`: `[..., width]`, f32
    /// - returns: the same
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let cudnn = true;
        x.layer_norm(self.weight.size(), weight, bias, self.epsilon, cudnn)
    }
}

/// `y = x Wᵀ + b` over the last axis, in the precision of the network.
#[derive(Debug)]
pub struct Projection {
    /// `[outputs, inputs]`.
    weight: Tensor,
    /// `[outputs]`.
    bias: Option<Tensor>,
    kind: Kind,
}

impl Projection {
    /// Takes `{path}.weight` and `{path}.bias`.
    pub fn new(weights: &mut WeightMap, path: &str, inputs: u32, outputs: u32) -> Self {
        let shape = [outputs as usize, inputs as usize];
        let kind = weights.precision().kind();
        Self {
            weight: weights.take_for_convolution(&format!("{path}.weight"), &shape),
            bias: Some(weights.take_for_convolution(&format!("{path}.bias"), &shape[..1])),
            kind,
        }
    }

    /// Takes `{path}.weight` alone: `y = x Wᵀ`.
    pub fn without_bias(weights: &mut WeightMap, path: &str, inputs: u32, outputs: u32) -> Self {
        let shape = [outputs as usize, inputs as usize];
        let kind = weights.precision().kind();
        Self {
            weight: weights.take_for_convolution(&format!("{path}.weight"), &shape),
            bias: None,
            kind,
        }
    }

    /// # Shapes
    /// - `x`: `[..., inputs]`
    /// - returns: `[..., outputs]`, in the precision of the network
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(self.kind);
        let bias = self.bias.as_ref().map(|bias| bias.to_kind(self.kind));
        x.to_kind(self.kind).linear(&weight, bias.as_ref())
    }
}

/// Self-attention of several heads.
#[derive(Debug)]
pub struct Attention {
    /// Its rows are queries, keys and values in this order, and in each of them one head after the other.
    qkv: Projection,
    proj: Projection,
    heads: i64,
}

impl Attention {
    /// Takes `{path}.qkv` and `{path}.proj`; `heads` divides `width`.
    pub fn new(weights: &mut WeightMap, path: &str, width: u32, heads: u32) -> Self {
        Self {
            qkv: Projection::new(weights, &format!("{path}.qkv"), width, 3 * width),
            proj: Projection::new(weights, &format!("{path}.proj"), width, width),
            heads: i64::from(heads),
        }
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`
    /// - returns: the same, in the precision of the network
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // [3, N, heads, L, D / heads].
        let qkv = self.qkv.forward(x);
        let qkv = qkv
            .unflatten(2, [3, self.heads, -1])
            .permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2));
        let (mask, dropout, causal, grouped) = (None::<&Tensor>, 0.0, false, false);
        let mixed =
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, dropout, causal, None, grouped);
        self.proj.forward(&mixed.transpose(1, 2).flatten(2, 3))
    }
}

/// The form of the layers between attention and the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForwardForm {
    /// `fc2(GELU(fc1(x)))`, the exact GELU.
    Gelu,
    /// The same with GELU by a hyperbolic tangent.
    GeluTanh,
    /// `w3(SiLU(a) · g)`, `a` and `g` the halves of `w12(x)`.
    SwiGlu,
}

/// Two linear layers for each token, with an activation between them.
#[derive(Debug)]
pub struct FeedForward {
    first: Projection,
    second: Projection,
    form: FeedForwardForm,
}

impl FeedForward {
    /// Takes `{path}.fc1` and `{path}.fc2`, or `{path}.w12` and `{path}.w3`.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        form: FeedForwardForm,
        width: u32,
        hidden: u32,
    ) -> Self {
        let (first, outputs, second) = match form {
            FeedForwardForm::Gelu | FeedForwardForm::GeluTanh => ("fc1", hidden, "fc2"),
            FeedForwardForm::SwiGlu => ("w12", 2 * hidden, "w3"),
        };
        Self {
            first: Projection::new(weights, &format!("{path}.{first}"), width, outputs),
            second: Projection::new(weights, &format!("{path}.{second}"), hidden, width),
            form,
        }
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`
    /// - returns: the same, in the precision of the network
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let mut hidden = self.first.forward(x);
        let activated = match self.form {
            FeedForwardForm::Gelu => hidden.gelu_("none"),
            FeedForwardForm::GeluTanh => hidden.gelu_("tanh"),
            FeedForwardForm::SwiGlu => {
                let halves = hidden.chunk(2, -1);
                match halves.as_slice() {
                    [a, gate] => a.silu().g_mul_(gate),
                    // `w12` has an even number of outputs.
                    _ => hidden,
                }
            }
        };
        self.second.forward(&activated)
    }
}

/// What a block is made of.
#[derive(Clone, Copy, Debug)]
pub struct BlockForm {
    /// Numbers of a token.
    pub width: u32,
    /// Heads of attention, which divide `width`.
    pub heads: u32,
    /// The form of its feed-forward layers.
    pub feed_forward: FeedForwardForm,
    /// Numbers between the feed-forward layers.
    pub hidden: u32,
    /// Whether what it adds is scaled by a learned factor for each channel (`ls1.gamma`, `ls2.gamma`).
    pub layer_scale: bool,
    /// Of its normalizations.
    pub epsilon: f64,
}

/// A block that normalizes before attention and before its feed-forward layers, and adds what they give.
#[derive(Debug)]
pub struct Block {
    norm1: LayerNorm,
    attention: Attention,
    /// `[D]`.
    scale1: Option<Tensor>,
    norm2: LayerNorm,
    feed_forward: FeedForward,
    /// `[D]`.
    scale2: Option<Tensor>,
}

impl Block {
    /// Takes the parameters below `path`.
    pub fn new(weights: &mut WeightMap, path: &str, form: BlockForm) -> Self {
        let BlockForm {
            width,
            heads,
            feed_forward,
            hidden,
            layer_scale,
            epsilon,
        } = form;
        let scale = |weights: &mut WeightMap, name: &str| {
            layer_scale.then(|| weights.take(&format!("{path}.{name}.gamma"), &[width as usize]))
        };
        Self {
            norm1: LayerNorm::new(weights, &format!("{path}.norm1"), width, epsilon),
            attention: Attention::new(weights, &format!("{path}.attn"), width, heads),
            scale1: scale(weights, "ls1"),
            norm2: LayerNorm::new(weights, &format!("{path}.norm2"), width, epsilon),
            feed_forward: FeedForward::new(
                weights,
                &format!("{path}.mlp"),
                feed_forward,
                width,
                hidden,
            ),
            scale2: scale(weights, "ls2"),
        }
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`, f32, which is not changed
    /// - returns: the same
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let scaled = |added: Tensor, scale: Option<&Tensor>| match scale {
            Some(scale) => added.to_kind(Kind::Float).g_mul_(scale),
            None => added,
        };
        let mixed = self.attention.forward(&self.norm1.forward(x));
        let mut x = x + scaled(mixed, self.scale1.as_ref());
        let added = self.feed_forward.forward(&self.norm2.forward(&x));
        x.g_add_(&scaled(added, self.scale2.as_ref()))
    }
}

/// A layer that makes a token of every square of an image, as a strided convolution without padding.
#[derive(Debug)]
pub struct PatchEmbedding {
    /// `[D, channels · side · side]`.
    weight: Tensor,
    /// `[D]`.
    bias: Tensor,
    side: i64,
    kind: Kind,
}

impl PatchEmbedding {
    /// Takes `{path}.weight`, `[width, channels, side, side]`, and `{path}.bias`.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        (channels, width): (u32, u32),
        side: u32,
    ) -> Self {
        let shape = [width, channels, side, side].map(|size| size as usize);
        let kind = weights.precision().kind();
        let weight = weights.take_for_convolution(&format!("{path}.weight"), &shape);
        Self {
            // Row-major, whatever the memory format of kernels.
            weight: weight.contiguous().flatten(1, 3),
            bias: weights.take_for_convolution(&format!("{path}.bias"), &shape[..1]),
            side: i64::from(side),
            kind,
        }
    }

    /// # Shapes
    /// - `x`: `[N, channels, H, W]`, H and W multiples of the side
    /// - returns: `[N, H / side · W / side, D]`, row after row, f32
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let squares = x.to_kind(self.kind);
        let squares = squares
            .unflatten(3, [-1, self.side])
            .unflatten(2, [-1, self.side])
            .permute([0, 2, 4, 1, 3, 5]);
        let squares = squares.flatten(3, 5).flatten(1, 2);
        let (weight, bias) = (self.weight.to_kind(self.kind), self.bias.to_kind(self.kind));
        squares.linear(&weight, Some(&bias)).to_kind(Kind::Float)
    }
}
