//! Standard normal noise as a pure function of what it is for.
//!
//! Every element depends on (seed, sample id, view, timestep, draw, its own index) and on nothing else: not on batch
//! size, worker, shard, device or where a run resumed. That needs a counter-based generator, whose n-th output is
//! computed directly instead of being reached by n steps.
//!
//! # Derivation
//! 1. `digest = BLAKE3-derive-key(context, seed ‖ len(sample id) ‖ sample id ‖ len(view) ‖ view)`, with integers as
//!    little-endian u64 and [`CONTEXT`] as the context. The lengths keep ("ab", "c") and ("a", "bc") apart.
//! 2. The Philox key is `digest[0..8]`, two little-endian words. `digest[8..12]` is the last counter word, so that 96
//!    bits tell samples apart: 64 would be thin for a collision-free ImageNet with several views.
//! 3. Elements `4i .. 4i + 4` come from the Philox4x32-10 block with counter `[i, timestep, draw, digest[8..12]]`.
//! 4. Words `(a, b)` of a block make two elements by Box-Muller, in f64 and rounded once to f32:
//!    `r = sqrt(-2 ln((a + 1) / 2^32))`, `φ = 2π b / 2^32`, `(r cos φ, r sin φ)`; so no element exceeds 6.67.
//!
//! Logarithm, sine and cosine come from the `libm` crate, which is plain Rust, because those of the system differ
//! between machines in the last bit. A change to any of this changes every stored feature: the pinned vectors in the
//! tests notice, and [`VERSION`] has to be raised.
//!
//! # Reference
//! Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3: Philox4x32 with ten rounds.
//!
//! # Deviations
//! The paper's public code draws fresh noise from the process-wide generator in every epoch; nothing of that can be
//! repeated, so there is nothing to be equal to.

use std::f64::consts::TAU;

/// Part of the fingerprint of everything that holds noise.
///
/// History: 1, the first derivation.
pub const VERSION: u32 = 1;

/// The name of an image that is made out of noise, by its number. Noise is a function of it, as of any sample's.
pub fn image_id(number: usize) -> String {
    format!("image-{number}")
}

/// The BLAKE3 context string. It names the use, so that no other use of the same inputs can give the same key.
pub const CONTEXT: &str = "repro noise: philox4x32-10, box-muller, version 1";

/// Fills `out` with the standard normal noise of one sample.
///
/// - `seed`: the experiment's seed
/// - `sample_id`: the sample's id in its dataset
/// - `view`: the name of the view (crop, flip) that the noise is added to
/// - `timestep`, `draw`: the diffusion timestep, and which of several draws at that timestep, both from 0
/// - `out`: any length; element `i` does not depend on the length. Beyond 2^34 elements (64 GiB) the noise repeats.
pub fn fill_noise(
    seed: u64,
    sample_id: &str,
    view: &str,
    timestep: u32,
    draw: u32,
    out: &mut [f32],
) {
    let stream = Stream::new(seed, sample_id, view);
    let mut block: u32 = 0;
    for chunk in out.chunks_mut(4) {
        let words = philox4x32_10([block, timestep, draw, stream.tail], stream.key);
        for (element, normal) in chunk.iter_mut().zip(normals(words)) {
            *element = normal;
        }
        block = block.wrapping_add(1);
    }
}

/// What identifies a sample to the generator.
struct Stream {
    key: [u32; 2],
    tail: u32,
}

impl Stream {
    fn new(seed: u64, sample_id: &str, view: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&seed.to_le_bytes());
        for text in [sample_id, view] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut digest = hasher.finalize_xof();
        let mut word = || {
            let mut bytes = [0; 4];
            digest.fill(&mut bytes);
            u32::from_le_bytes(bytes)
        };
        Self {
            key: [word(), word()],
            tail: word(),
        }
    }
}

/// One block of Philox4x32 with ten rounds.
fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let mut key = key;
    let mut state = counter;
    for _ in 0..10 {
        let (high_0, low_0) = wide_product(MULTIPLIERS[0], state[0]);
        let (high_1, low_1) = wide_product(MULTIPLIERS[1], state[2]);
        state = [
            high_1 ^ state[1] ^ key[0],
            low_1,
            high_0 ^ state[3] ^ key[1],
            low_0,
        ];
        key = [
            key[0].wrapping_add(KEY_STEPS[0]),
            key[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    state
}

/// The upper and the lower half of a 32 × 32 bit product.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a u64 are u32"
)]
fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

/// Four words to four independent standard normal numbers.
fn normals([a, b, c, d]: [u32; 4]) -> [f32; 4] {
    let [first, second] = box_muller(a, b);
    let [third, fourth] = box_muller(c, d);
    [first, second, third, fourth]
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the last step of the derivation"
)]
fn box_muller(a: u32, b: u32) -> [f32; 2] {
    const RANGE: f64 = 4_294_967_296.0;
    // One is added so that the argument of the logarithm is in (0, 1]; sum and quotient are exact in f64.
    let radius = libm::sqrt(-2.0 * libm::log((f64::from(a) + 1.0) / RANGE));
    let (sine, cosine) = libm::sincos(TAU * (f64::from(b) / RANGE));
    [(radius * cosine) as f32, (radius * sine) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the paper's Random123 library (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_published_answers() {
        let answers = [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in answers {
            assert_eq!(philox4x32_10(counter, key), expected);
        }
    }

    /// Pinned bits: if this fails, stored features no longer match what the code computes. Raise `VERSION`.
    #[test]
    fn bits_are_pinned() {
        let mut noise = [0.0; 6];
        fill_noise(
            0,
            "n01440764/ILSVRC2012_val_00000293",
            "center",
            90,
            0,
            &mut noise,
        );
        assert_eq!(noise.map(f32::to_bits), PINNED);
        fill_noise(u64::MAX, "é", "flip", 999, 3, &mut noise);
        assert_eq!(noise.map(f32::to_bits), PINNED_OTHER);
    }

    const PINNED: [u32; 6] = [
        0x3f71_727b,
        0x3e3c_6264,
        0x3fa7_7f95,
        0xbff4_bcfd,
        0x3e08_affc,
        0x3ff0_04b5,
    ];
    const PINNED_OTHER: [u32; 6] = [
        0xbf2d_c7fd,
        0xbfb3_cd47,
        0x3ef0_1bf0,
        0x3de9_1f80,
        0x4047_77f6,
        0x3fa0_7961,
    ];

    fn noise(
        seed: u64,
        sample_id: &str,
        view: &str,
        timestep: u32,
        draw: u32,
        length: usize,
    ) -> Vec<f32> {
        let mut out = vec![0.0; length];
        fill_noise(seed, sample_id, view, timestep, draw, &mut out);
        out
    }

    #[test]
    fn an_element_does_not_depend_on_the_length() {
        let long = noise(1, "a", "center", 90, 0, 1001);
        for length in [1, 2, 3, 4, 5, 1000] {
            assert_eq!(noise(1, "a", "center", 90, 0, length), long[..length]);
        }
    }

    #[test]
    fn every_part_of_the_identity_matters() {
        let streams = [
            noise(1, "a", "center", 90, 0, 8),
            noise(2, "a", "center", 90, 0, 8),
            noise(1, "b", "center", 90, 0, 8),
            noise(1, "a", "flip", 90, 0, 8),
            noise(1, "a", "center", 91, 0, 8),
            noise(1, "a", "center", 90, 1, 8),
            noise(1, "ac", "enter", 90, 0, 8),
        ];
        for (i, one) in streams.iter().enumerate() {
            for other in &streams[i + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn extreme_words_stay_finite() {
        for words in [[0; 4], [u32::MAX; 4]] {
            assert!(normals(words).iter().all(|value| value.abs() < 6.67));
        }
    }

    const COUNT: usize = 1_000_000;

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / COUNT as f64
    }

    /// Each moment within five standard errors of a standard normal distribution's.
    #[test]
    fn moments_are_those_of_a_standard_normal() {
        let values = noise(7, "moments", "center", 90, 0, COUNT);
        let power =
            |exponent: i32| mean(values.iter().map(|&value| f64::from(value).powi(exponent)));
        let n = COUNT as f64;
        // The variances of x, x^2, x^3 and x^4 of a standard normal x are 1, 2, 15 and 96.
        for (exponent, expected, variance) in [
            (1, 0.0, 1.0_f64),
            (2, 1.0, 2.0),
            (3, 0.0, 15.0),
            (4, 3.0, 96.0),
        ] {
            let error = (power(exponent) - expected).abs() / (variance / n).sqrt();
            assert!(
                error < 5.0,
                "moment {exponent} is {error} standard errors off"
            );
        }
        // Five standard errors around the share of a standard normal beyond 3.
        let beyond = mean(
            values
                .iter()
                .map(|value| if value.abs() > 3.0 { 1.0 } else { 0.0 }),
        );
        assert!((beyond - 0.002_699_8).abs() < 5.0 * (0.002_699_8 / n).sqrt());
    }

    /// Products of supposedly independent numbers average to 0, with standard error `1 / sqrt(n)`.
    #[test]
    fn neighbors_timesteps_draws_seeds_and_samples_are_uncorrelated() {
        let base = noise(7, "a", "center", 90, 0, COUNT);
        let limit = 5.0 / (COUNT as f64).sqrt();
        let correlation = |other: &[f32]| {
            mean(
                base.iter()
                    .zip(other)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b)),
            )
            .abs()
        };
        for lag in [1, 2, 3, 4, 256] {
            assert!(correlation(&base[lag..]) < limit, "lag {lag}");
        }
        for (what, other) in [
            ("timestep", noise(7, "a", "center", 91, 0, COUNT)),
            ("draw", noise(7, "a", "center", 90, 1, COUNT)),
            ("seed", noise(8, "a", "center", 90, 0, COUNT)),
            ("sample", noise(7, "b", "center", 90, 0, COUNT)),
            ("view", noise(7, "a", "flip", 90, 0, COUNT)),
        ] {
            assert!(correlation(&other) < limit, "{what}");
        }
    }

    /// Two elements of a Box-Muller pair share their radius; their squares must be uncorrelated all the same.
    #[test]
    fn squares_of_neighbors_are_uncorrelated() {
        let values = noise(9, "squares", "center", 0, 0, COUNT + 1);
        let centered = |value: f32| f64::from(value).powi(2) - 1.0;
        // The product of two independent centered squares has variance 2 · 2.
        let average = mean(
            values
                .windows(2)
                .map(|pair| centered(pair[0]) * centered(pair[1])),
        );
        assert!(average.abs() < 5.0 * 2.0 / (COUNT as f64).sqrt());
    }
}
