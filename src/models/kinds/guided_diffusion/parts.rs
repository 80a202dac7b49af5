//! The parts of a guided-diffusion U-Net, in reading order; their fields bear the checkpoint's names.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/unet.py (`ResBlock`,
//! `AttentionBlock`, `QKVAttentionLegacy`, `QKVAttention`, `Downsample`, `Upsample`) and guided_diffusion/nn.py
//! (`timestep_embedding`, `GroupNorm32`).
//!
//! # Deviations
//! Equal but for rounding:
//! - Attention is computed by libtorch's fused kernel, which applies the scale `1 / sqrt(head channels)` once instead of its
//!   square root to both factors.
//! - Scale and shift by the timestep are one fused operation.

use tch::{Device, Kind, Tensor};

use super::config::{Config, GROUPS};
use super::layer::{Resample, modulation_channels};
use crate::models::checkpoint::weights::WeightMap;
use crate::models::nn::layers::{Convolution, GroupNorm, Linear, MemoryFormat, silu, sum};

/// Keeps group normalization from dividing by zero.
pub const EPSILON: f64 = 1e-5;

/// The longest period of the sinusoidal embedding, in timesteps.
const LONGEST_PERIOD: f64 = 10_000.0;

/// `time_embed`: a timestep as sines and cosines, then two linear layers.
#[derive(Debug)]
pub struct TimeEmbedding {
    /// Angular frequencies, `[model_channels / 2]`, falling from 1; no parameter.
    frequencies: Tensor,
    /// `time_embed.0`.
    first: Linear,
    /// `time_embed.2`.
    second: Linear,
}

impl TimeEmbedding {
    /// Takes the parameters below `time_embed`.
    pub fn new(weights: &mut WeightMap, config: &Config) -> Self {
        let (width, embedding) = (config.model_channels, config.time_embed_channels());
        Self::of(weights, ["time_embed.0", "time_embed.2"], width, embedding)
    }

    /// Takes the parameters of two linear layers, behind `length` sines and cosines.
    pub fn of(
        weights: &mut WeightMap,
        [first, second]: [&str; 2],
        length: u32,
        embedding: u32,
    ) -> Self {
        let half = i64::from(length / 2);
        // Computed on the CPU whatever the device, as upstream does: exponentials differ between devices.
        let exponents =
            Tensor::arange(half, (Kind::Float, Device::Cpu)) * -LONGEST_PERIOD.ln() / half as f64;
        Self {
            frequencies: exponents.exp().to_device(weights.device()),
            first: Linear::new(weights, first, length, embedding),
            second: Linear::new(weights, second, embedding, embedding),
        }
    }

    /// `[cos(t f), sin(t f)]` for every frequency `f`.
    ///
    /// # Shapes
    /// - `timesteps`: `[N]`, any kind
    /// - returns: `[N, model_channels]`, f32
    pub fn sinusoid(&self, timesteps: &Tensor) -> Tensor {
        let angles = timesteps.to_kind(Kind::Float).unsqueeze(1) * self.frequencies.unsqueeze(0);
        Tensor::cat(&[angles.cos(), angles.sin()], 1)
    }

    /// # Shapes
    /// - `timesteps`: `[N]`, any kind
    /// - returns: `[N, 4 · model_channels]`, f32
    pub fn forward(&self, timesteps: &Tensor) -> Tensor {
        self.second
            .forward(&self.first.forward(&self.sinusoid(timesteps)).silu())
    }
}

/// A group normalization and a 3×3 convolution with SiLU between them: `in_layers`, `out_layers` and `out`.
#[derive(Debug)]
pub struct NormConvolution {
    norm: GroupNorm,
    convolution: Convolution,
}

impl NormConvolution {
    /// Takes the parameters below `{path}.0` and `{path}.{place}`. `place` is the convolution's position in upstream's
    /// sequence: 3 where a dropout stands before it, else 2.
    pub fn new(weights: &mut WeightMap, path: &str, place: u32, inputs: u32, outputs: u32) -> Self {
        Self {
            norm: GroupNorm::new(weights, &format!("{path}.0"), inputs, GROUPS, EPSILON),
            convolution: Convolution::new(weights, &format!("{path}.{place}"), inputs, outputs, 3),
        }
    }

    /// # Shapes
    /// - `x`: `[N, inputs, H, W]`
    /// - returns: `[N, outputs, H, W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.convolution.forward(&silu(self.norm.forward(x)))
    }
}

/// A residual block that receives the timestep and may change channels and resolution.
#[derive(Debug)]
pub struct ResBlock {
    in_layers: NormConvolution,
    /// `emb_layers.1`; SiLU stands before it.
    emb_layers: Linear,
    out_layers: NormConvolution,
    /// A 1×1 convolution where the number of channels changes.
    skip_connection: Option<Convolution>,
    resample: Resample,
    use_scale_shift_norm: bool,
}

impl ResBlock {
    /// Takes the parameters below `path`.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        config: &Config,
        (inputs, outputs): (u32, u32),
        resample: Resample,
    ) -> Self {
        let modulation = modulation_channels(outputs, config);
        Self {
            in_layers: NormConvolution::new(
                weights,
                &format!("{path}.in_layers"),
                2,
                inputs,
                outputs,
            ),
            emb_layers: Linear::new(
                weights,
                &format!("{path}.emb_layers.1"),
                config.time_embed_channels(),
                modulation,
            ),
            out_layers: NormConvolution::new(
                weights,
                &format!("{path}.out_layers"),
                3,
                outputs,
                outputs,
            ),
            skip_connection: (inputs != outputs).then(|| {
                Convolution::new(
                    weights,
                    &format!("{path}.skip_connection"),
                    inputs,
                    outputs,
                    1,
                )
            }),
            resample,
            use_scale_shift_norm: config.use_scale_shift_norm,
        }
    }

    /// # Shapes
    /// - `x`: `[N, inputs, H, W]`
    /// - `silu_emb`: `[N or 1, 4 · model_channels]`, f32, what the timestep is embedded as, after SiLU
    /// - returns: `[N, outputs, H, W]`, `H` and `W` halved or doubled if the block resamples
    pub fn forward(&self, x: &Tensor, silu_emb: &Tensor) -> Tensor {
        let h = self.resample(silu(self.in_layers.norm.forward(x)));
        let x = self.resample(x.shallow_clone());
        let h = self.in_layers.convolution.forward(&h);
        let emb = self.emb_layers.forward(silu_emb).to_kind(h.kind());
        let emb = emb.unsqueeze(-1).unsqueeze(-1);
        let h = if self.use_scale_shift_norm {
            let channels = h.size()[1];
            let (scale, shift) = (
                emb.narrow(1, 0, channels),
                emb.narrow(1, channels, channels),
            );
            shift.addcmul(&self.out_layers.norm.forward(&h), &(scale + 1.0))
        } else {
            self.out_layers.norm.forward(&sum(h, &emb))
        };
        let h = self.out_layers.convolution.forward(&silu(h));
        match &self.skip_connection {
            Some(convolution) => sum(h, &convolution.forward(&x)),
            None => sum(h, &x),
        }
    }

    fn resample(&self, x: Tensor) -> Tensor {
        match self.resample {
            Resample::Keep => x,
            Resample::Down => halved(&x),
            Resample::Up => doubled(&x),
        }
    }
}

/// Self-attention of all positions of a feature map, added to it.
#[derive(Debug)]
pub struct AttentionBlock {
    norm: GroupNorm,
    /// Stored as a one-dimensional 1×1 convolution, as is `proj_out`.
    qkv: Linear,
    proj_out: Linear,
    heads: i64,
    use_new_attention_order: bool,
    layout: MemoryFormat,
}

impl AttentionBlock {
    /// Takes the parameters below `path`.
    pub fn new(
        weights: &mut WeightMap,
        path: &str,
        config: &Config,
        channels: u32,
        heads: u32,
    ) -> Self {
        Self {
            norm: GroupNorm::new(weights, &format!("{path}.norm"), channels, GROUPS, EPSILON),
            qkv: Linear::from_convolution(weights, &format!("{path}.qkv"), channels, 3 * channels),
            proj_out: Linear::from_convolution(
                weights,
                &format!("{path}.proj_out"),
                channels,
                channels,
            ),
            heads: i64::from(heads),
            use_new_attention_order: config.use_new_attention_order,
            layout: weights.layout(),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    /// - returns: the same
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // [N, C, H, W] to [N, L, C] with L = H · W.
        let tokens = self.norm.forward(x).flatten(2, 3).transpose(1, 2);
        let qkv = self.qkv.forward(&tokens);
        // The two orders of the channels of `qkv`; afterwards [3, N, heads, L, head channels].
        let qkv = if self.use_new_attention_order {
            qkv.unflatten(2, [3, self.heads, -1])
                .permute([2, 0, 3, 1, 4])
        } else {
            qkv.unflatten(2, [self.heads, 3, -1])
                .permute([3, 0, 2, 1, 4])
        };
        let (q, k, v) = (qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2));
        let mixed = Tensor::scaled_dot_product_attention(
            &q,
            &k,
            &v,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        );
        let mixed = self.proj_out.forward(&mixed.transpose(1, 2).flatten(2, 3));
        sum(self.layout.of(&mixed.transpose(1, 2).reshape(x.size())), x)
    }
}

/// Halves the side by a strided convolution (`op`) or by averaging.
#[derive(Debug)]
pub struct Downsample {
    /// Absent where pixels are averaged.
    op: Option<Convolution>,
}

impl Downsample {
    /// Takes `{path}.op` if the layer has a convolution.
    pub fn new(weights: &mut WeightMap, path: &str, channels: u32, convolution: bool) -> Self {
        let build = || {
            Convolution::new(weights, &format!("{path}.op"), channels, channels, 3).with_stride(2)
        };
        Self {
            op: convolution.then(build),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    /// - returns: `[N, C, H / 2, W / 2]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.op
            .as_ref()
            .map_or_else(|| halved(x), |op| op.forward(x))
    }
}

/// Doubles the side by repeating pixels, with or without a convolution (`conv`) after it.
#[derive(Debug)]
pub struct Upsample {
    /// Absent where pixels are only repeated.
    conv: Option<Convolution>,
}

impl Upsample {
    /// Takes `{path}.conv` if the layer has a convolution.
    pub fn new(weights: &mut WeightMap, path: &str, channels: u32, convolution: bool) -> Self {
        let build = || Convolution::new(weights, &format!("{path}.conv"), channels, channels, 3);
        Self {
            conv: convolution.then(build),
        }
    }

    /// # Shapes
    /// - `x`: `[N, C, H, W]`
    /// - returns: `[N, C, 2 H, 2 W]`
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let x = doubled(x);
        self.conv
            .as_ref()
            .map_or_else(|| x.shallow_clone(), |conv| conv.forward(&x))
    }
}

/// Averages 2×2 pixels: `[N, C, H, W]` to `[N, C, H / 2, W / 2]`.
fn halved(x: &Tensor) -> Tensor {
    x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)
}

/// Repeats every pixel 2×2 times: `[N, C, H, W]` to `[N, C, 2 H, 2 W]`.
fn doubled(x: &Tensor) -> Tensor {
    let sides: Vec<i64> = x.size().iter().skip(2).map(|side| 2 * side).collect();
    x.upsample_nearest2d(sides, None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_before_sines() {
        let config = &crate::models::kinds::guided_diffusion::presets::find("adm-nano")
            .unwrap()
            .network;
        let embedding = TimeEmbedding::new(&mut WeightMap::synthetic(1), config);
        let sinusoid = embedding.sinusoid(&Tensor::from_slice(&[0_i64]));
        assert_eq!(sinusoid.size(), [1, 32]);
        assert_eq!(
            sinusoid.narrow(1, 0, 16),
            Tensor::ones([1, 16], (Kind::Float, Device::Cpu))
        );
        assert_eq!(
            sinusoid.narrow(1, 16, 16),
            Tensor::zeros([1, 16], (Kind::Float, Device::Cpu))
        );
    }

    #[test]
    fn halving_averages_and_doubling_repeats() {
        let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 6.0]).view([1, 1, 2, 2]);
        assert_eq!(
            halved(&x),
            Tensor::from_slice(&[3.0_f32]).view([1, 1, 1, 1])
        );
        assert_eq!(halved(&doubled(&x)), x);
        let row = Tensor::from_slice(&[1.0_f32, 1.0, 2.0, 2.0]);
        assert_eq!(doubled(&x).get(0).get(0).get(0), row);
    }
}
