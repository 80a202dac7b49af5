//! The few layers that every convolutional network here is made of, with parameters taken by checkpoint name.
//!
//! They are plain structs over tensors, frozen or trained as `weights.rs` hands them out; tch's variable stores are not needed.
//!
//! # Deviations
//! - Feature maps of wide networks are channels-last in memory, see [`MemoryFormat`]. The axes are `[N, C, H, W]` all the
//!   same.
//! - TF32 is off whatever libtorch's default is, and convolutions on a GPU take deterministic algorithms only.

use tch::{Device, Kind, Tensor};

use crate::models::checkpoint::file_names::BATCH_COUNT;
use crate::models::checkpoint::weights::WeightMap;

/// Memory format of the feature maps of a network, and of the kernels of its convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFormat {
    /// Row after row, channel after channel. Group normalization of few channels, and its backward pass, are several times as
    /// fast this way.
    Contiguous,
    /// All channels of a pixel side by side, which is how the fastest convolutions of many channels read and write them.
    ChannelsLast,
}

impl MemoryFormat {
    /// A `[N, C, H, W]` tensor in this layout; copies nothing where it is already.
    pub fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Contiguous => x.contiguous(),
            Self::ChannelsLast => channels_last(x),
        }
    }
}

/// The same `[N, C, H, W]` tensor, channels-last in memory; copies nothing where they are already.
fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// `x · sigmoid(x)`, written over `x` unless gradients need it.
pub fn silu(mut x: Tensor) -> Tensor {
    if x.requires_grad() {
        x.silu()
    } else {
        x.silu_()
    }
}

/// `x + y`, written over `x` unless gradients need it.
pub fn sum(mut x: Tensor, y: &Tensor) -> Tensor {
    if x.requires_grad() {
        x + y
    } else {
        x.g_add_(y)
    }
}

/// `y = x Wᵀ + b` over the last axis.
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`, or `[outputs, inputs, 1]` as stored.
    weight: Tensor,
    /// `[outputs]`.
    bias: Tensor,
    /// What it computes in; the parameters are of this kind unless they are trained.
    kind: Kind,
}

impl Linear {
    /// Takes `{path}.weight` and `{path}.bias`.
    pub fn new(weights: &mut WeightMap, path: &str, inputs: u32, outputs: u32) -> Self {
        Self {
            weight: weight(weights, path, &[outputs, inputs]),
            bias: bias(weights, path, outputs),
            kind: Kind::Float,
        }
    }

    /// Takes a linear layer that the checkpoint stores as a one-dimensional convolution with a kernel of 1, that is
    /// with a weight of shape `[outputs, inputs, 1]`. It computes in the precision of convolutions.
    pub fn from_convolution(
        weights: &mut WeightMap,
        path: &str,
        inputs: u32,
        outputs: u32,
    ) -> Self {
        let kind = weights.precision().kind();
        let (weight, bias) = convolution(weights, path, &[outputs, inputs, 1]);
        Self { weight, bias, kind }
    }

    /// # Shapes
    /// - `x`: `[..., inputs]`
    /// - returns: `[..., outputs]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (self.weight.to_kind(self.kind), self.bias.to_kind(self.kind));
        x.linear(&weight.flatten(1, -1), Some(&bias))
    }
}

/// A square two-dimensional convolution that pads with zeros so that stride 1 keeps the size.
#[derive(Debug)]
pub struct Convolution {
    /// `[outputs, inputs, kernel, kernel]`.
    weight: Tensor,
    /// `[outputs]`; absent where a normalization follows, which has one.
    bias: Option<Tensor>,
    /// What it computes in; the parameters are of this kind unless they are trained.
    kind: Kind,
    stride: i64,
    /// Zeros above and below, and left and right.
    padding: [i64; 2],
}

impl Convolution {
    /// Takes `{path}.weight` and `{path}.bias` in the precision of convolutions; `kernel` is odd, the stride is 1.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        inputs: u32,
        outputs: u32,
        kernel: u32,
    ) -> Self {
        let kind = weights.precision().kind();
        let (weight, bias) = convolution(weights, path, &[outputs, inputs, kernel, kernel]);
        Self {
            weight,
            bias: Some(bias),
            kind,
            stride: 1,
            padding: [i64::from(kernel / 2); 2],
        }
    }

    /// Takes `{path}.weight` alone, otherwise as [`Convolution::new`].
    pub fn without_bias(
        weights: &mut WeightMap,
        path: &str,
        inputs: u32,
        outputs: u32,
        kernel: u32,
    ) -> Self {
        Self::with_kernel(weights, path, (inputs, outputs), [kernel; 2])
    }

    /// Takes `{path}.weight` alone, of a kernel of odd height and width, otherwise as [`Convolution::new`].
    pub fn with_kernel(
        weights: &mut WeightMap,
        path: &str,
        (inputs, outputs): (u32, u32),
        [height, width]: [u32; 2],
    ) -> Self {
        let shape = [outputs, inputs, height, width].map(|size| size as usize);
        let kind = weights.precision().kind();
        Self {
            weight: weights.take_for_convolution(&format!("{path}.weight"), &shape),
            bias: None,
            kind,
            stride: 1,
            padding: [height, width].map(|side| i64::from(side / 2)),
        }
    }

    /// The same convolution at every `stride`-th position.
    #[must_use]
    pub fn with_stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same convolution with another number of zeros above and below, and left and right.
    #[must_use]
    pub fn with_padding(self, padding: [i64; 2]) -> Self {
        Self { padding, ..self }
    }

    /// # Shapes
    /// - `x`: `[N, inputs, H, W]`
    /// - returns: `[N, outputs, H / stride, W / stride]`, rounded up; less at the edges without padding
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], self.padding);
        let (benchmark, deterministic, cudnn, tf32) = (false, true, true, false);
        let bias = self.bias.as_ref().map(|bias| bias.to_kind(self.kind));
        x.internal_convolution(
            &self.weight.to_kind(self.kind),
            bias,
            stride,
            padding,
            [1, 1],
            false,
            [0, 0],
            1,
            benchmark,
            deterministic,
            cudnn,
            tf32,
        )
    }
}

/// Group normalization with a learned scale and shift for every channel.
#[derive(Debug)]
pub struct GroupNorm {
    /// `[channels]`.
    weight: Tensor,
    /// `[channels]`.
    bias: Tensor,
    groups: i64,
    epsilon: f64,
}

impl GroupNorm {
    /// Takes `{path}.weight` and `{path}.bias`.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        channels: u32,
        groups: u32,
        epsilon: f64,
    ) -> Self {
        Self {
            weight: weight(weights, path, &[channels]),
            bias: bias(weights, path, channels),
            groups: i64::from(groups),
            epsilon,
        }
    }

    /// Normalizes in f32 and rounds the result to the type of `x`.
    ///
    /// # Shapes
    /// - `x`: `[N, channels, ...]`
    /// - returns: the same
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let normalize = |x: &Tensor| {
            x.group_norm(
                self.groups,
                Some(&self.weight),
                Some(&self.bias),
                self.epsilon,
                true,
            )
        };
        let kind = x.kind();
        // The kernel for processors reads 16-bit feature maps with f32 parameters and computes in f32 inside; the one for GPUs
        // wants one type for all, as does f16 everywhere.
        if kind == Kind::Float || kind == Kind::BFloat16 && x.device() == Device::Cpu {
            normalize(x)
        } else {
            normalize(&x.to_kind(Kind::Float)).to_kind(kind)
        }
    }
}

/// Batch normalization by the statistics of the training, with a learned scale and shift for every channel.
#[derive(Debug)]
pub struct BatchNorm {
    /// `[channels]`.
    weight: Tensor,
    /// `[channels]`.
    bias: Tensor,
    /// `[channels]`.
    running_mean: Tensor,
    /// `[channels]`.
    running_var: Tensor,
    epsilon: f64,
}

impl BatchNorm {
    /// Takes `{path}.weight`, `{path}.bias`, `{path}.running_mean` and `{path}.running_var`. A file may count batches beside them.
    pub fn new(weights: &mut WeightMap, path: &str, channels: u32, epsilon: f64) -> Self {
        weights.skip(&format!("{path}.{BATCH_COUNT}"));
        let mut statistic =
            |name: &str| weights.take(&format!("{path}.{name}"), &[channels as usize]);
        Self {
            weight: statistic("weight"),
            bias: statistic("bias"),
            running_mean: statistic("running_mean"),
            running_var: statistic("running_var"),
            epsilon,
        }
    }

    /// Normalizes in f32 and rounds the result to the type of `x`.
    ///
    /// # Shapes
    /// - `x`: `[N, channels, H, W]`
    /// - returns: the same
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (training, momentum, cudnn) = (false, 0.0, false);
        x.to_kind(Kind::Float)
            .batch_norm(
                Some(&self.weight),
                Some(&self.bias),
                Some(&self.running_mean),
                Some(&self.running_var),
                training,
                momentum,
                self.epsilon,
                cudnn,
            )
            .to_kind(x.kind())
    }
}

/// Takes `{path}.weight`. Channel counts are u32, which fits into a usize on every platform that libtorch runs on.
fn weight(weights: &mut WeightMap, path: &str, shape: &[u32]) -> Tensor {
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    weights.take(&format!("{path}.weight"), &shape)
}

/// Takes `{path}.weight` of the given shape and `{path}.bias` of its first axis, in the precision of convolutions.
fn convolution(weights: &mut WeightMap, path: &str, shape: &[u32]) -> (Tensor, Tensor) {
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    let weight = weights.take_for_convolution(&format!("{path}.weight"), &shape);
    let length = shape.get(..1).unwrap_or_default();
    let bias = weights.take_for_convolution(&format!("{path}.bias"), length);
    (weight, bias)
}

/// Takes `{path}.bias`.
fn bias(weights: &mut WeightMap, path: &str, length: u32) -> Tensor {
    weights.take(&format!("{path}.bias"), &[length as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_strided_convolution_rounds_sizes_up() {
        let convolution =
            Convolution::new(&mut WeightMap::synthetic(1), "op", 2, 3, 3).with_stride(2);
        for (side, halved) in [(8, 4), (7, 4)] {
            let x = Tensor::zeros([1, 2, side, side], (Kind::Float, Device::Cpu));
            assert_eq!(convolution.forward(&x).size(), [1, 3, halved, halved]);
        }
    }

    #[test]
    fn batch_normalization_is_by_the_stored_statistics_in_f32() {
        let mut weights = WeightMap::synthetic(3);
        let norm = BatchNorm::new(&mut weights, "bn", 2, 1e-5);
        let values = |name: &str| crate::models::checkpoint::synthetic::fill(name, &[2], 3);
        let (weight, bias) = (values("bn.weight"), values("bn.bias"));
        let (mean, var) = (values("bn.running_mean"), values("bn.running_var"));
        let x = [0.5_f32, -3.0, 7.0, 2.0];
        let tensor = Tensor::from_slice(&x).view([1, 2, 1, 2]);
        for (kind, tolerance) in [
            (Kind::Float, 1e-6),
            (Kind::BFloat16, 2e-2),
            (Kind::Half, 2e-3),
        ] {
            let found = norm.forward(&tensor.to_kind(kind));
            assert_eq!(found.kind(), kind);
            for (place, x) in x.iter().enumerate() {
                let channel = place / 2;
                let expected = (x - mean[channel]) / (var[channel] + 1e-5).sqrt();
                let expected = f64::from(expected * weight[channel] + bias[channel]);
                let place = i64::try_from(place % 2).unwrap();
                let found = found.double_value(&[0, i64::from(channel != 0), 0, place]);
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{kind:?}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_linear_layer_stored_as_convolution_has_the_same_numbers() {
        let mut weights = WeightMap::synthetic(1);
        let x = Tensor::from_slice(&[1.0_f32, -2.0, 0.5]);
        let plain = Linear::new(&mut weights, "qkv", 3, 4).forward(&x);
        let stored = Linear::from_convolution(&mut weights, "qkv", 3, 4).forward(&x);
        assert_eq!(plain, stored);
        assert_eq!(weights.requested()[2], ("qkv.weight".into(), vec![4, 3, 1]));
    }
}
