//! A ResNet of bottleneck blocks with one forward pass and named taps.
//!
//! # Reference
//! pytorch/vision v0.26.0: torchvision/models/resnet.py (`ResNet._forward_impl`, `Bottleneck.forward`), in evaluation mode.
//!
//! # Shapes
//! In `[N, 3, H, W]`; the first convolution gives `[N, C, H / 2, W / 2]` after its ReLU, a bottleneck block `[N, C, H, W]` after its last, the pooled feature is `[N, D]`, the logits
//! `[N, K]`.
//!
//! # Deviations
//! - In 16 bits batch normalization computes in f32 and rounds its result, and all that follows the last block is in f32.
//! - Feature maps of wide networks are channels-last (NHWC) in memory, which rounds sums differently in the last digits.
//!
//! # Parity
//! `tests/suite/golden_resnet.rs`, on the CPU, f32: 2e-5 for every tap.

use tch::{Kind, Tensor};

use super::config::{Bottleneck, Config};
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{BatchNorm, Convolution, Linear, MemoryFormat, sum};
use crate::models::nn::precision::Precision;

/// Of batch normalization, torchvision's default.
const EPSILON: f64 = 1e-5;

/// A convolution without a bias, and the normalization after it.
#[derive(Debug)]
struct ConvNorm {
    convolution: Convolution,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(
        weights: &mut WeightMap,
        (convolution, norm): (&str, &str),
        (inputs, outputs): (u32, u32),
        kernel: u32,
        stride: u32,
    ) -> Self {
        let convolution = Convolution::without_bias(weights, convolution, inputs, outputs, kernel);
        Self {
            convolution: convolution.with_stride(i64::from(stride)),
            norm: BatchNorm::new(weights, norm, outputs, EPSILON),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.convolution.forward(x))
    }
}

/// A residual block that computes with fewer channels than it puts out.
#[derive(Debug)]
struct Block {
    reduce: ConvNorm,
    /// The 3 × 3 convolution, which has the stride.
    inner: ConvNorm,
    expand: ConvNorm,
    projection: Option<ConvNorm>,
}

impl Block {
    fn new(weights: &mut WeightMap, block: &Bottleneck) -> Self {
        let &Bottleneck {
            ref path,
            inputs,
            width,
            outputs,
            stride,
            has_projection,
        } = block;
        let mut layer = |number: u32, channels: (u32, u32), kernel: u32, stride: u32| {
            let names = (format!("{path}.conv{number}"), format!("{path}.bn{number}"));
            ConvNorm::new(weights, (&names.0, &names.1), channels, kernel, stride)
        };
        let reduce = layer(1, (inputs, width), 1, 1);
        let inner = layer(2, (width, width), 3, stride);
        let expand = layer(3, (width, outputs), 1, 1);
        let projection = has_projection.then(|| {
            let names = (
                format!("{path}.downsample.0"),
                format!("{path}.downsample.1"),
            );
            let names = (names.0.as_str(), names.1.as_str());
            ConvNorm::new(weights, names, (inputs, outputs), 1, stride)
        });
        Self {
            reduce,
            inner,
            expand,
            projection,
        }
    }

    /// # Shapes
    /// - `x`: `[N, inputs, H, W]`, which is not changed
    /// - returns: `[N, outputs, H / stride, W / stride]`, rounded up
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.reduce.forward(x).relu_();
        let h = self.inner.forward(&h).relu_();
        let h = self.expand.forward(&h);
        let mut h = match &self.projection {
            Some(projection) => sum(h, &projection.forward(x)),
            None => sum(h, x),
        };
        h.relu_()
    }
}

/// From this `base_width` on, feature maps are channels-last.
const WIDE: u32 = 64;

/// A network with its weights, in the precision that it computes in.
#[derive(Debug)]
pub struct Network {
    stem: ConvNorm,
    blocks: Vec<Block>,
    /// The linear layer at the end, where there are classes.
    classifier: Option<Linear>,
    precision: Precision,
    layout: MemoryFormat,
}

impl Network {
    /// Builds the network and takes all its parameters. It computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        weights.lay_out(if config.base_width >= WIDE {
            MemoryFormat::ChannelsLast
        } else {
            MemoryFormat::Contiguous
        });
        let stem = ConvNorm::new(weights, ("conv1", "bn1"), (3, config.base_width), 7, 2);
        let blocks = config.bottlenecks();
        let blocks = blocks
            .iter()
            .map(|block| Block::new(weights, block))
            .collect();
        let width = config.feature_width();
        let classifier = config
            .classes
            .map(|classes| Linear::new(weights, "fc", width, classes));
        weights.finish()?;
        Ok(Self {
            stem,
            blocks,
            classifier,
            precision: weights.precision(),
            layout: weights.layout(),
        })
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the logits, or the
    /// pooled feature of a network without classes, if it runs that far. The caller holds [`tch::no_grad`].
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
        let index = |number: usize| BlockIndex(u32::try_from(number).unwrap_or(u32::MAX));
        let pooled_index = index(self.blocks.len() + 1);
        let logits_index = index(self.blocks.len() + 2);
        let last = match self.classifier {
            Some(_) => logits_index,
            None => pooled_index,
        };
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
        let x = self.layout.of(&x.to_kind(self.precision.kind()));
        let h = self.stem.forward(&x).relu_();
        visit(index(0), &h);
        if deepest == index(0) {
            return Ok(None);
        }
        let (ceil, dilation) = (false, [1; 2]);
        let mut h = h.max_pool2d([3; 2], [2; 2], [1; 2], dilation, ceil);
        for (number, block) in (1..).zip(&self.blocks) {
            if index(number) > deepest {
                return Ok(None);
            }
            h = block.forward(&h);
            visit(index(number), &h);
        }
        if deepest < pooled_index {
            return Ok(None);
        }
        let pooled = h.to_kind(Kind::Float).adaptive_avg_pool2d([1; 2]);
        let pooled = pooled.flatten(1, 3);
        visit(pooled_index, &pooled);
        let output = match &self.classifier {
            Some(classifier) if deepest >= logits_index => {
                let logits = classifier.forward(&pooled);
                visit(logits_index, &logits);
                logits
            }
            _ => pooled,
        };
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(output),
        })
    }
}
