//! Random weights: deterministic parameters for networks without a checkpoint, for baselines, tests and timing. No layer begins with
//! zeros, unlike in most networks' own initialization (`models/nn/initial.rs`).
//!
//! A value is a pure function of (parameter name, flat row-major index, seed, shape), in integer arithmetic and one
//! rounding, so every machine makes the same bits and no weight file has to be kept. The values keep activations in a
//! sensible range: matrices and kernels are uniform with variance `1 / fan_in`, normalization weights are near 1,
//! biases near 0.
//!
//! # Reference
//! The rule is written down in `tests/golden/guided_diffusion/README.md`; `vectors.json` beside it holds test vectors.
//!
//! # Deviations
//! None.

use rayon::prelude::*;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Spreads neighboring seeds over all 64 bits; also the increment of splitmix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const INDEX_STEP: u64 = 0xD1B5_4A32_D192_ED03;
const MIX_1: u64 = 0xBF58_476D_1CE4_E5B9;
const MIX_2: u64 = 0x94D0_49BB_1331_11EB;

/// Makes the parameter `name` of the given `shape`: its values in row-major order.
///
/// `num_batches_tracked`, an integer in checkpoints, comes back as zeros. Large tensors are filled on all cores; the
/// result does not depend on how many there are.
pub fn fill(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let base = fnv1a64(name.as_bytes()) ^ seed.wrapping_mul(GOLDEN);
    let length: usize = shape.iter().product();
    let rule = Rule::of(name, shape);
    (0..length)
        .into_par_iter()
        .with_min_len(1 << 14)
        .map(|index| rule.value(uniform(base, index as u64)))
        .collect()
}

/// How a uniform number in `[-1, 1)` becomes a parameter.
#[derive(Clone, Copy)]
enum Rule {
    /// Two axes and more: uniform with variance `1 / fan_in`.
    Matrix { scale: f64 },
    /// Values near 1.
    NearOne,
    /// Values near 0.
    NearZero,
    /// Counters, such as those of batches: 0.
    Zero,
}

impl Rule {
    fn of(name: &str, shape: &[usize]) -> Self {
        if let [_, inner @ ..] = shape
            && !inner.is_empty()
        {
            let fan_in: usize = inner.iter().product();
            return Self::Matrix {
                scale: (3.0 / fan_in as f64).sqrt(),
            };
        }
        match name.rsplit('.').next() {
            Some("running_mean") => Self::NearZero,
            Some("running_var") => Self::NearOne,
            Some("num_batches_tracked") => Self::Zero,
            _ if name.ends_with("weight") => Self::NearOne,
            _ => Self::NearZero,
        }
    }

    /// One rounding, from f64 to f32. Rust never fuses `1.0 + 0.1 * v` into one operation, which the rule relies on.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to f32 is the rule's last step"
    )]
    fn value(self, v: f64) -> f32 {
        let value = match self {
            Self::Matrix { scale } => v * scale,
            Self::NearOne => 1.0 + 0.1 * v,
            Self::NearZero => 0.05 * v,
            Self::Zero => 0.0,
        };
        value as f32
    }
}

/// Element `index` of the stream `base`, uniform in `[-1, 1)` with 24 bits, exact in f32 and f64.
fn uniform(base: u64, index: u64) -> f64 {
    let hash = splitmix64(base.wrapping_add(index.wrapping_mul(INDEX_STEP)));
    let top = hash >> 40;
    2.0 * (top as f64 / f64::from(1_u32 << 24)) - 1.0
}

fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(MIX_1);
    let z = (z ^ (z >> 27)).wrapping_mul(MIX_2);
    z ^ (z >> 31)
}

fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_their_published_values() {
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(fnv1a64(b""), FNV_OFFSET);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    /// Every intermediate value's consequence: the bits of single elements, with a name outside ASCII, a seed above
    /// 2^63 and an index beyond 2^24 among them.
    #[test]
    fn elements_match_the_golden_vectors_bit_for_bit() {
        let golden: serde_json::Value = serde_json::from_str(include_str!(
            "../../../tests/golden/guided_diffusion/vectors.json"
        ))
        .unwrap();
        let vectors = golden["element_vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 10);
        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            let shape: Vec<usize> = serde_json::from_value(vector["shape"].clone()).unwrap();
            let index: usize = serde_json::from_value(vector["flat_index"].clone()).unwrap();
            let bits = vector["value_f32_bits"]
                .as_str()
                .unwrap()
                .trim_start_matches("0x");
            let value = fill(name, &shape, vector["seed"].as_u64().unwrap())[index];
            assert_eq!(format!("{:08x}", value.to_bits()), bits, "{name}[{index}]");
        }
    }

    /// Whole tensors. The golden file gives SHA-256; the BLAKE3 digests here were taken of the same bytes, after their
    /// SHA-256 had been found equal to the golden file's.
    #[test]
    fn whole_tensors_match_the_golden_digests() {
        let golden: serde_json::Value = serde_json::from_str(include_str!(
            "../../../tests/golden/guided_diffusion/vectors.json"
        ))
        .unwrap();
        let tensors = golden["tensor_digests"].as_array().unwrap();
        assert_eq!(tensors.len(), BLAKE3_OF_TENSORS.len());
        for (tensor, digest) in tensors.iter().zip(BLAKE3_OF_TENSORS) {
            let name = tensor["name"].as_str().unwrap();
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            let values = fill(name, &shape, tensor["seed"].as_u64().unwrap());
            let first: Vec<f32> = serde_json::from_value(tensor["first4"].clone()).unwrap();
            assert_eq!(values[..4], first[..], "{name}");
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), digest, "{name}");
        }
    }

    const BLAKE3_OF_TENSORS: [&str; 6] = [
        "77a5f47182048e4c560bda5947fc5074317990d69ba7af530d917ee7dde676ad",
        "e791d6da1caed954c3206db6722781861786651afa7e30568f08ad12505a5f5b",
        "da7f9b44e92680a18490d023ef7e4bd00adcdd4aac36fc92c079814d9b81d3b6",
        "b52f6a540fbf29202c38a953efd69ac8cd4549bb4331a53311b22371784873a6",
        "9cc673839a42f92f205ffc9481cd0b28ea3c3511f013d0fafb020a47a219bd44",
        "4c85627cc924b00342407664493116e501f8ce04134cac02a6fe567a027adc6a",
    ];

    #[test]
    fn kinds_follow_name_and_shape() {
        assert!(
            fill("norm.running_var", &[64], 1)
                .iter()
                .all(|value| (0.9..=1.1).contains(value))
        );
        assert!(
            fill("norm.running_mean", &[64], 1)
                .iter()
                .all(|value| value.abs() <= 0.05)
        );
        assert_eq!(fill("norm.num_batches_tracked", &[], 1), [0.0]);
        // A two-dimensional "running_mean" is a matrix: the number of axes decides first.
        assert!(
            fill("running_mean", &[64, 3], 1)
                .iter()
                .any(|value| value.abs() > 0.5)
        );
    }

    #[test]
    fn equal_names_give_equal_prefixes_and_seeds_give_different_streams() {
        let long = fill("a.bias", &[100_000], 3);
        assert_eq!(long[..10], fill("a.bias", &[10], 3)[..]);
        assert_ne!(long[..10], fill("a.bias", &[10], 4)[..]);
    }
}
