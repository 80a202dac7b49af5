//! The number type that a network computes in.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/fp16_util.py (`convert_module_to_f16`):
//! convolutions in 16 bits; normalization, embeddings and the output layers in 32.
//!
//! # Deviations
//! Upstream knows f16 only; bf16 splits the network in the same way.

use serde::Serialize;

/// What convolutions of a network, and activations between them, are computed in. Normalization and softmax are
/// accumulated in 32 bits whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats, without TF32: the reference.
    F32,
    /// bfloat16: the range of f32 with 8 significant bits. Fast on processors with AVX-512 BF16 or AMX, and on GPUs.
    Bf16,
    /// 16-bit floats: 11 significant bits, at most 65,504. Meant for GPUs; most processors emulate it, slowly.
    F16,
}

impl Precision {
    /// Every one.
    pub const ALL: &[Self] = &[Self::F32, Self::Bf16, Self::F16];

    /// What experiments write.
    pub const CHOICES: &[(&str, Self)] =
        &[("f32", Self::F32), ("bf16", Self::Bf16), ("f16", Self::F16)];

    /// What experiments write.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// As libtorch calls it.
    #[cfg(feature = "torch")]
    pub fn kind(self) -> tch::Kind {
        match self {
            Self::F32 => tch::Kind::Float,
            Self::Bf16 => tch::Kind::BFloat16,
            Self::F16 => tch::Kind::Half,
        }
    }
}
