//! The residual block of MAGE's tokenizer, which is unusual: where channels change, the shortcut reads what the convolutions give.
//!
//! # Reference
//! LTH14/mage@1becb14475354fc40df35ba7c7c7bf418a137cd3: taming/modules/diffusionmodules/model.py (`ResnetBlock`).

use tch::Tensor;

use super::config::Residual;
use super::network::{EPSILON, GROUPS};
use crate::models::checkpoint::weights::WeightMap;
use crate::models::nn::layers::{Convolution, GroupNorm, silu, sum};

/// A residual block of the tokenizer.
#[derive(Debug)]
pub(super) struct ResidualBlock {
    norms: [GroupNorm; 2],
    convolutions: [Convolution; 2],
    /// Where the channels change: applied to what the convolutions give, and not to what enters.
    shortcut: Option<Convolution>,
}

impl ResidualBlock {
    /// Takes the parameters below the path of `block`.
    pub(super) fn new(weights: &mut WeightMap, block: &Residual) -> Self {
        let &Residual {
            ref path,
            inputs,
            outputs,
        } = block;
        let mut norm = |name: &str, channels: u32| {
            GroupNorm::new(
                weights,
                &format!("{path}.{name}"),
                channels,
                GROUPS,
                EPSILON,
            )
        };
        let norms = [norm("norm1", inputs), norm("norm2", outputs)];
        let mut convolution = |name: &str, inputs: u32, kernel: u32| {
            let path = format!("{path}.{name}");
            Convolution::without_bias(weights, &path, inputs, outputs, kernel)
        };
        Self {
            norms,
            convolutions: [
                convolution("conv1", inputs, 3),
                convolution("conv2", outputs, 3),
            ],
            shortcut: (inputs != outputs).then(|| convolution("nin_shortcut", outputs, 1)),
        }
    }

    /// # Shapes
    /// - `x`: `[N, inputs, H, W]`
    /// - returns: `[N, outputs, H, W]`
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = x.shallow_clone();
        for (norm, convolution) in self.norms.iter().zip(&self.convolutions) {
            h = convolution.forward(&silu(norm.forward(&h)));
        }
        match &self.shortcut {
            Some(shortcut) => {
                let other = shortcut.forward(&h);
                sum(h, &other)
            }
            None => sum(h, x),
        }
    }
}
