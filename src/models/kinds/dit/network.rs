//! A diffusion transformer.
//!
//! # Reference
//! facebookresearch/DiT@ed81ce2229091fd4ecc9a223645f95cf379d582b: models.py, on timm 1.0.31's `PatchEmbed`, `Attention` and `Mlp`; in evaluation
//! mode.
//!
//! # Shapes
//! Noisy latents `[N, 4, S, S]` in, tokens `[N, L, D]` between, row after row; noise and variance `[N, 8, S, S]` out.
//!
//! # Deviations
//! - Attention is libtorch's fused kernel, which rounds otherwise in the last digits.
//! - In 16 bits, linear layers and attention compute in them, and normalizations, modulations and sums in f32.
//!
//! # Parity
//! `tests/suite/golden_dit.rs`, on the CPU, f32: 1e-4 for blocks and outputs, 5e-5 for what is within a block and at full size.

use tch::{Kind, Tensor};

use super::config::{Config, FREQUENCIES, POSITIONS};
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::kinds::guided_diffusion::parts::TimeEmbedding;
use crate::models::nn::layers::{Linear, MemoryFormat};
use crate::models::nn::transformer::{
    Attention, FeedForward, FeedForwardForm, PatchEmbedding, Projection,
};
use crate::numbers::{to_i64, to_u32};

/// Of all normalizations, which have no parameters.
const EPSILON: f64 = 1e-6;
/// Channels of the predicted noise that guidance changes; the reference leaves the last one alone.
pub const GUIDED_CHANNELS: i64 = 3;

/// Normalized over the last axis, without parameters.
fn normalized(x: &Tensor) -> Tensor {
    let width = x.size().last().copied().unwrap_or(0);
    x.layer_norm([width], None::<&Tensor>, None::<&Tensor>, EPSILON, true)
}

/// `x · (1 + scale) + shift` for all tokens `[N, L, D]`, of `[N, D]` each.
fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
    let factor: Tensor = scale.unsqueeze(1) + 1.0;
    x * factor + shift.unsqueeze(1)
}

/// A block whose normalizations, and what it adds, are modulated by the condition.
#[derive(Debug)]
pub struct Block {
    attention: Attention,
    mlp: FeedForward,
    modulation: Projection,
}

/// What is computed within a block, for tests.
#[derive(Debug)]
pub struct Inner {
    /// What attention reads, `[N, L, D]`.
    pub attention_input: Tensor,
    /// What attention gives, before its gate.
    pub attention_output: Tensor,
    /// What the perceptron reads.
    pub mlp_input: Tensor,
    /// What the perceptron gives, before its gate.
    pub mlp_output: Tensor,
}

impl Block {
    fn new(weights: &mut WeightMap, config: &Config, place: u32) -> Self {
        let (path, width) = (format!("blocks.{place}"), config.hidden_size);
        Self {
            attention: Attention::new(weights, &format!("{path}.attn"), width, config.num_heads),
            mlp: FeedForward::new(
                weights,
                &format!("{path}.mlp"),
                FeedForwardForm::GeluTanh,
                width,
                config.hidden(),
            ),
            modulation: Projection::new(
                weights,
                &format!("{path}.adaLN_modulation.1"),
                width,
                6 * width,
            ),
        }
    }

    /// Shift, scale and gate of attention, then of the perceptron.
    ///
    /// # Shapes
    /// - `condition`: `[N, D]`
    /// - returns: `[N, 6 D]`, f32
    pub fn modulation(&self, condition: &Tensor) -> Tensor {
        self.modulation
            .forward(&condition.silu())
            .to_kind(Kind::Float)
    }

    /// # Shapes
    /// - `x`: `[N, L, D]`, f32, which is not changed
    /// - `condition`: `[N, D]`
    /// - returns: the same as `x`, and what was computed on the way
    pub fn inner(&self, x: &Tensor, condition: &Tensor) -> (Tensor, Inner) {
        let modulation = self.modulation(condition);
        let width = x.size().last().copied().unwrap_or(0);
        let part = |place: i64| modulation.narrow(1, place * width, width);
        let gated = |place: i64, added: &Tensor| added * part(place).unsqueeze(1);
        let attention_input = modulated(&normalized(x), &part(0), &part(1));
        let read = self.attention.forward(&attention_input);
        let attention_output = read.to_kind(Kind::Float);
        let x = x + gated(2, &attention_output);
        let mlp_input = modulated(&normalized(&x), &part(3), &part(4));
        let mlp_output = self.mlp.forward(&mlp_input).to_kind(Kind::Float);
        let output = x + gated(5, &mlp_output);
        let inner = Inner {
            attention_input,
            attention_output,
            mlp_input,
            mlp_output,
        };
        (output, inner)
    }
}

/// A network with its weights.
#[derive(Debug)]
pub struct Network {
    patch_embedding: PatchEmbedding,
    /// `[1, L, D]`.
    positions: Tensor,
    time: TimeEmbedding,
    /// `[classes + 1, D]`; the last row stands for no class.
    classes: Tensor,
    blocks: Vec<Block>,
    final_modulation: Linear,
    final_linear: Linear,
    config: Config,
}

impl Network {
    /// Builds the network and takes all its parameters.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        weights.lay_out(MemoryFormat::Contiguous);
        let width = config.hidden_size;
        let positions = [1, config.tokens() as usize, width as usize];
        let positions = if weights.lacks(POSITIONS) {
            let computed = Tensor::from_slice(&config.positions());
            let positions = positions.map(to_i64);
            computed.view(positions).to_device(weights.device())
        } else {
            weights.take(POSITIONS, &positions)
        };
        let patch_embedding = PatchEmbedding::new(
            weights,
            "x_embedder.proj",
            (config.in_channels, width),
            config.patch_size,
        );
        let layers = ["t_embedder.mlp.0", "t_embedder.mlp.2"];
        let time = TimeEmbedding::of(weights, layers, FREQUENCIES, width);
        let classes = [config.num_classes as usize + 1, width as usize];
        let classes = weights.take("y_embedder.embedding_table.weight", &classes);
        let blocks = (0..config.depth)
            .map(|place| Block::new(weights, config, place))
            .collect();
        let outputs = config.patch_size * config.patch_size * config.out_channels();
        let final_modulation =
            Linear::new(weights, "final_layer.adaLN_modulation.1", width, 2 * width);
        let final_linear = Linear::new(weights, "final_layer.linear", width, outputs);
        weights.finish()?;
        Ok(Self {
            patch_embedding,
            positions,
            time,
            classes,
            blocks,
            final_modulation,
            final_linear,
            config: config.clone(),
        })
    }

    /// The blocks, for tests.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Sines and cosines of timesteps, for tests.
    ///
    /// # Shapes
    /// - `timesteps`: `[N]`
    /// - returns: `[N, 256]`
    pub fn sinusoid(&self, timesteps: &Tensor) -> Tensor {
        self.time.sinusoid(timesteps)
    }

    /// The embeddings of timesteps `[N]`: `[N, D]`.
    pub fn timestep(&self, timesteps: &Tensor) -> Tensor {
        self.time.forward(timesteps)
    }

    /// The embeddings of classes `[N]`, i64: `[N, D]`.
    pub fn class(&self, classes: &Tensor) -> Tensor {
        Tensor::embedding(&self.classes, classes, -1, false, false)
    }

    /// The tokens of latents, `[N, L, D]` of `[N, 4, S, S]`, without their positions.
    pub fn patches(&self, x: &Tensor) -> Tensor {
        self.patch_embedding.forward(x)
    }

    /// The last layer: for each token the squares of all channels, `[N, L, p · p · 8]` of `[N, L, D]`.
    pub fn last(&self, tokens: &Tensor, condition: &Tensor) -> Tensor {
        let modulation = self.final_modulation.forward(&condition.silu());
        let width = i64::from(self.config.hidden_size);
        let [shift, scale] = [0, width].map(|start| modulation.narrow(1, start, width));
        self.final_linear
            .forward(&modulated(&normalized(tokens), &shift, &scale))
    }

    /// The squares of tokens put together: `[N, 8, S, S]` of `[N, L, p · p · 8]`, each token's numbers by row, column and channel.
    fn unpatched(&self, squares: &Tensor) -> Tensor {
        let grid = i64::from(self.config.grid());
        let patch = i64::from(self.config.patch_size);
        let channels = i64::from(self.config.out_channels());
        squares
            .view([-1, grid, grid, patch, patch, channels])
            .permute([0, 5, 1, 3, 2, 4])
            .reshape([-1, channels, grid * patch, grid * patch])
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns what the network predicts, if it
    /// runs that far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x`: `[N, 4, S, S]`, f32
    /// - `timesteps`: `[N]` or `[1]`
    /// - `classes`: `[N]` or `[1]`, i64
    /// - returns: `[N, 8, S, S]`, f32: the noise, then what the variance is interpolated by
    ///
    /// # Errors
    /// A tap names no block.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn forward_taps(
        &self,
        x: &Tensor,
        (timesteps, classes): (&Tensor, &Tensor),
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let last = BlockIndex(to_u32(self.blocks.len()));
        if let Some(&tap) = taps.iter().find(|&&tap| tap > last) {
            return Err(ForwardError::UnknownTap { tap, last });
        }
        let deepest = match until {
            Until::DeepestTap => taps.iter().max().copied(),
            Until::Output => Some(last),
        };
        let Some(deepest) = deepest else {
            return Ok(None);
        };
        let mut visit = |tap: BlockIndex, output: &Tensor| {
            if taps.contains(&tap) {
                visit(tap, output);
            }
        };
        let mut tokens = self.patches(x) + &self.positions;
        visit(BlockIndex(0), &tokens);
        let count = tokens.size().first().copied().unwrap_or(0);
        let condition = self.timestep(timesteps) + self.class(classes);
        let condition = condition.expand([count, -1], false);
        let reached = (1..).map(BlockIndex).zip(&self.blocks);
        for (index, block) in reached.take_while(|(index, _)| *index <= deepest) {
            (tokens, _) = block.inner(&tokens, &condition);
            visit(index, &tokens);
        }
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(self.unpatched(&self.last(&tokens, &condition))),
        })
    }
}
