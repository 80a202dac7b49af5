//! An Inception-v3 with one forward pass and named taps.
//!
//! # Reference
//! mseitzer/pytorch-fid@b9c1811: src/pytorch_fid/inception.py (`InceptionV3.forward`, `FIDInceptionA`, `FIDInceptionC`,
//! `FIDInceptionE_1`, `FIDInceptionE_2`), in evaluation mode.
//!
//! # Shapes
//! In `[N, 3, 299, 299]`; maps `[N, C, H, W]`, the pooled feature `[N, D]`, the logits `[N, K]`.
//!
//! # Deviations
//! - In 16 bits batch normalization computes in f32 and rounds its result, and all that follows the last block is in f32.
//! - Feature maps of the published network are channels-last (NHWC) in memory, which rounds sums differently in the last digits.
//!
//! # Parity
//! `tests/suite/golden_inception.rs`, on the CPU, f32: 1e-4 for every tap.

use tch::{Kind, Tensor};

use super::config::{Config, SPATIAL, SPATIAL_BLOCK};
use super::stages::{Branch, Layer as Form, Pool, Stage};
use crate::models::BlockIndex;
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::models::extractor::{ForwardError, Until};
use crate::models::nn::layers::{BatchNorm, Convolution, MemoryFormat};
use crate::models::nn::precision::Precision;

/// Of batch normalization.
const EPSILON: f64 = 1e-3;

/// A convolution, batch normalization and ReLU.
#[derive(Debug)]
struct Layer {
    convolution: Convolution,
    norm: BatchNorm,
}

impl Layer {
    fn new(weights: &mut WeightMap, form: &Form) -> Self {
        let path = &form.path;
        let channels = (form.inputs, form.outputs);
        let convolution = format!("{path}.conv");
        let convolution = Convolution::with_kernel(weights, &convolution, channels, form.kernel);
        let convolution = convolution.with_padding(form.padding.map(i64::from));
        Self {
            convolution: convolution.with_stride(i64::from(form.stride)),
            norm: BatchNorm::new(weights, &format!("{path}.bn"), form.outputs, EPSILON),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.convolution.forward(x)).relu_()
    }
}

/// A pool of 3 × 3.
fn pooled(x: &Tensor, pool: Pool) -> Tensor {
    let (ceil, dilation) = (false, [1; 2]);
    match pool {
        // Zeros around the map are not counted.
        Pool::Mean => x.avg_pool2d([3; 2], [1; 2], [1; 2], ceil, false, None),
        Pool::Largest => x.max_pool2d([3; 2], [1; 2], [1; 2], dilation, ceil),
        Pool::LargestHalved => x.max_pool2d([3; 2], [2; 2], [0; 2], dilation, ceil),
    }
}

/// A branch with its weights.
#[derive(Debug)]
struct Arm {
    pool: Option<Pool>,
    layers: Vec<Layer>,
    ends: Vec<Layer>,
}

impl Arm {
    fn new(weights: &mut WeightMap, branch: &Branch) -> Self {
        let mut layers = |forms: &[Form]| -> Vec<Layer> {
            let forms = forms.iter();
            forms.map(|form| Layer::new(weights, form)).collect()
        };
        Self {
            pool: branch.pool,
            layers: layers(&branch.layers),
            ends: layers(&branch.ends),
        }
    }

    /// What it adds to the output of its block, one tensor for each end.
    fn forward(&self, x: &Tensor) -> Vec<Tensor> {
        let start = self
            .pool
            .map_or_else(|| x.shallow_clone(), |pool| pooled(x, pool));
        let layers = self.layers.iter();
        let inner = layers.fold(start, |x, layer| layer.forward(&x));
        if self.ends.is_empty() {
            return vec![inner];
        }
        self.ends.iter().map(|end| end.forward(&inner)).collect()
    }
}

/// A stage with its weights.
#[derive(Debug)]
enum Part {
    Layer(Box<Layer>),
    Pool,
    Mixed { arms: Vec<Arm>, is_spatial: bool },
}

/// A network with its weights, in the precision that it computes in.
#[derive(Debug)]
pub struct Network {
    parts: Vec<Part>,
    /// `[K, D]`.
    classifier: Tensor,
    precision: Precision,
    layout: MemoryFormat,
}

impl Network {
    /// Builds the network and takes all its parameters. It computes in the precision that `weights` convolves in.
    ///
    /// # Errors
    /// Lists every tensor that is missing, unused or of another shape.
    pub fn new(config: &Config, weights: &mut WeightMap) -> Result<Self, WeightError> {
        weights.lay_out(if config.channel_divisor == 1 {
            MemoryFormat::ChannelsLast
        } else {
            MemoryFormat::Contiguous
        });
        let mut parts = Vec::new();
        for stage in config.stages() {
            parts.push(match stage {
                Stage::Layer(form) => Part::Layer(Box::new(Layer::new(weights, &form))),
                Stage::Pool(_) => Part::Pool,
                Stage::Mixed(path, branches) => Part::Mixed {
                    arms: branches
                        .iter()
                        .map(|branch| Arm::new(weights, branch))
                        .collect(),
                    is_spatial: path == SPATIAL_BLOCK,
                },
            });
        }
        let sizes = [config.classes, config.feature_width()].map(|size| size as usize);
        let classifier = weights.take("fc.weight", &sizes);
        // The logits of Inception Scores have none, see `mod.rs`.
        let _ = weights.take("fc.bias", &sizes[..1]);
        weights.finish()?;
        Ok(Self {
            parts,
            classifier,
            precision: weights.precision(),
            layout: weights.layout(),
        })
    }

    /// The one forward pass. It calls `visit` with every tapped output, in order and once each, and returns the logits if it runs that
    /// far. The caller holds [`tch::no_grad`].
    ///
    /// # Shapes
    /// - `x`: `[N, 3, 299, 299]`, f32
    /// - returns: `[N, K]`, f32
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
        // The stages, the map of sFID, the pooled feature and the logits.
        let last = BlockIndex(u32::try_from(self.parts.len() + 3).unwrap_or(u32::MAX));
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
        let mut block = BlockIndex(0);
        // Whether the deepest tap is still ahead.
        let mut next = |output: &Tensor| {
            block.0 += 1;
            if taps.contains(&block) {
                visit(block, output);
            }
            block < deepest
        };
        let mut h = self.layout.of(&x.to_kind(self.precision.kind()));
        for part in &self.parts {
            h = match part {
                Part::Layer(layer) => layer.forward(&h),
                Part::Pool => pooled(&h, Pool::LargestHalved),
                Part::Mixed { arms, .. } => {
                    let outputs: Vec<Tensor> =
                        arms.iter().flat_map(|arm| arm.forward(&h)).collect();
                    Tensor::cat(&outputs, 1)
                }
            };
            if !next(&h) {
                return Ok(None);
            }
            let is_spatial = matches!(
                part,
                Part::Mixed {
                    is_spatial: true,
                    ..
                }
            );
            if is_spatial && !next(&h.narrow(1, 0, i64::from(SPATIAL))) {
                return Ok(None);
            }
        }
        let pooled = h.to_kind(Kind::Float).adaptive_avg_pool2d([1; 2]);
        let pooled = pooled.flatten(1, 3);
        if !next(&pooled) {
            return Ok(None);
        }
        let logits = pooled.linear(&self.classifier, None::<&Tensor>);
        next(&logits);
        Ok(match until {
            Until::DeepestTap => None,
            Until::Output => Some(logits),
        })
    }
}
