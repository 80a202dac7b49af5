//! The number type that features are kept in: in the store, in a plan, in an experiment and while heads train.

use serde::{Deserialize, Serialize};

/// Number type of the values of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// IEEE 754 single precision, as computed.
    F32,
    /// IEEE 754 half precision: half the space, about three significant digits, at most 65,504.
    F16,
}

impl FeatureType {
    /// The words of an experiment file.
    pub const CHOICES: &'static [(&'static str, Self)] = &[("f32", Self::F32), ("f16", Self::F16)];

    /// Bytes of one value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}
