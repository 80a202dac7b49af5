//! A vision transformer with one forward pass and named taps.
//!
//! # Reference
//! huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py (`VisionTransformer.forward_features`, `forward_head`);
//! facebookresearch/mae@efb2a8062c206524e35e47d04501ed4f544c0ae8: models_vit.py (`global_pool`);
//! facebookresearch/dinov2@b8931f7bf91576930313be2c6d6af376033b35f0: dinov2/models/vision_transformer.py (`prepare_tokens_with_masks`,
//! `get_intermediate_layers`), dinov2/eval/linear.py (`create_linear_input`);
//! facebookresearch/dino@7c446df5b9f45747937fb0d72314eb9f7b66930a: eval_linear.py.
//!
//! # Shapes
//! In `[N, 3, H, W]`; the embedding, blocks and the norm give `[N, L, D]`: the class token, registers, patches row after row. All other taps
//! are vectors, `[N, values]`.
//!
//! # Deviations
//! - In 16 bits linear layers and attention compute in these, and tokens between them are in f32, as under PyTorch's autocast.
//! - DINO interleaves the numbers of the class token and of the mean; here one follows the other, as in DINOv2.
//! - Patches are embedded by a product of matrices, and attention is fused, which rounds sums differently in the last digits.
//!
//! # Parity
//! `tests/suite/golden_vit.rs`, on the CPU, f32: 2e-5 for tiny networks, 5e-5 for full-size ones and for tokens of DINOv2.

use tch::{Kind, Tensor};

use super::config::{Config, FeedForward, Tap};
use super::positions;
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{Linear, MemoryFormat};
use crate::models::nn::transformer::{
    Block, BlockForm, FeedForwardForm, LayerNorm, PatchEmbedding,
};

/// Of every normalization.
const EPSILON: f64 = 1e-6;

/// A network with its weights, in the precision that it computes in.
#[derive(Debug)]
pub struct Network {
    patch_embedding: PatchEmbedding,
    /// `[1, 1, D]`, with its position.
    class_token: Tensor,
    /// `[1, L, D]`, those of the patches.
    positions: Tensor,
    /// `[1, R, D]`; registers have no positions.
    registers: Option<Tensor>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    /// The linear layer at the end, where there are classes.
    classifier: Option<Linear>,
    taps: Vec<Tap>,
    /// Tokens before those of patches.
    tokens_before: i64,
}

impl Network {
    /// Builds the network and takes all its parameters. It computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        weights.lay_out(MemoryFormat::Contiguous);
        let width = config.embed_dim;
        let sizes = [1, 1, width as usize];
        let class_token = weights.take("cls_token", &sizes);
        let count = 1 + config.position_grid() * config.position_grid();
        let stored = weights.take("pos_embed", &[1, count as usize, width as usize]);
        let registers = (config.registers > 0).then(|| {
            let sizes = [1, config.registers as usize, width as usize];
            weights.take("register_tokens", &sizes)
        });
        let patch_embedding =
            PatchEmbedding::new(weights, "patch_embed.proj", (3, width), config.patch_size);
        let form = BlockForm {
            width,
            heads: config.num_heads,
            feed_forward: match config.ffn {
                FeedForward::Mlp => FeedForwardForm::Gelu,
                FeedForward::SwiGlu => FeedForwardForm::SwiGlu,
            },
            hidden: config.hidden(),
            layer_scale: config.layer_scale,
            epsilon: EPSILON,
        };
        let blocks = (0..config.depth)
            .map(|number| Block::new(weights, &format!("blocks.{number}"), form))
            .collect();
        let norm = LayerNorm::new(weights, config.final_norm_path(), width, EPSILON);
        let classifier = config
            .classes
            .map(|classes| Linear::new(weights, "head", width, classes));
        weights.finish()?;
        let grid = config.grid();
        let positions = positions::resized(&stored, [grid, grid], config.position_resize);
        let patches = positions.size().get(1).map_or(0, |count| count - 1);
        Ok(Self {
            patch_embedding,
            class_token: class_token + positions.narrow(1, 0, 1),
            positions: positions.narrow(1, 1, patches),
            registers,
            blocks,
            norm,
            classifier,
            taps: config.taps(),
            tokens_before: i64::from(1 + config.registers),
        })
    }

    /// The tokens that enter the first block, `[N, L, D]`, of images `[N, 3, H, W]`.
    fn embed(&self, x: &Tensor) -> Tensor {
        let patches = self.patch_embedding.forward(x) + &self.positions;
        let count = patches.size().first().copied().unwrap_or(0);
        let of_all = |token: &Tensor| token.expand([count, -1, -1], false);
        let mut tokens = vec![of_all(&self.class_token)];
        tokens.extend(self.registers.as_ref().map(of_all));
        tokens.push(patches);
        Tensor::cat(&tokens, 1)
    }

    /// The mean of the tokens of patches: `[N, D]` of `[N, L, D]`.
    fn mean(&self, tokens: &Tensor) -> Tensor {
        let count = tokens.size().get(1).map_or(0, |count| *count);
        let patches = tokens.narrow(1, self.tokens_before, count - self.tokens_before);
        patches.mean_dim([1_i64].as_slice(), false, Kind::Float)
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the logits, or of a
    /// network without classes its normalized class token or pooled feature, if it runs that far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`, f32
    /// - returns: `[N, K]` or `[N, D]`, f32
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
        let last = BlockIndex(u32::try_from(self.taps.len().saturating_sub(1)).unwrap_or(u32::MAX));
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
        let mut h = self.embed(x);
        let mut blocks = self.blocks.iter();
        // The normalized class tokens of all blocks so far, and what the last normalization gives of all tokens.
        let (mut class_tokens, mut normalized) = (Vec::new(), None);
        let mut output = None;
        let unwanted = self.blocks_without_class(taps);
        for (index, &tap) in (0..).map(BlockIndex).zip(&self.taps) {
            if index > deepest {
                break;
            }
            match tap {
                Tap::Embedding => visit(index, &h),
                Tap::Block(number) => {
                    if let Some(block) = blocks.next() {
                        h = block.forward(&h);
                    }
                    visit(index, &h);
                    if number > unwanted {
                        class_tokens.push(self.norm.forward(&h.select(1, 0)));
                    }
                }
                Tap::Norm => {
                    let tokens = self.norm.forward(&h);
                    visit(index, &tokens);
                    output = Some(tokens.select(1, 0));
                    normalized = Some(tokens);
                }
                Tap::Class { blocks, mean } => {
                    let is_wanted = taps.contains(&index);
                    if let (true, Some(tokens)) = (is_wanted, &normalized) {
                        let first = class_tokens.len().saturating_sub(blocks as usize);
                        let of_class = class_tokens.iter().skip(first);
                        let mut parts: Vec<Tensor> = of_class.map(Tensor::shallow_clone).collect();
                        parts.extend(mean.then(|| self.mean(tokens)));
                        visit(index, &Tensor::cat(&parts, 1));
                    }
                }
                Tap::PooledNorm => {
                    let pooled = self.norm.forward(&self.mean(&h));
                    visit(index, &pooled);
                    output = Some(pooled);
                }
                Tap::Logits => {
                    if let (Some(classifier), Some(feature)) = (&self.classifier, &output) {
                        let logits = classifier.forward(feature);
                        visit(index, &logits);
                        output = Some(logits);
                    }
                }
            }
        }
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => output,
        })
    }

    /// The blocks whose class tokens no wanted tap has: those up to this number.
    fn blocks_without_class(&self, taps: &[BlockIndex]) -> u32 {
        let depth = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        let all = (0..).map(BlockIndex).zip(&self.taps);
        let wanted = all.filter(|(index, _)| taps.contains(index));
        let most = wanted.filter_map(|(_, tap)| match tap {
            Tap::Class { blocks, .. } => Some(*blocks),
            _ => None,
        });
        depth.saturating_sub(most.max().unwrap_or(0))
    }
}
