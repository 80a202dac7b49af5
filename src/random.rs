//! A small counter-based generator for shuffles, initial weights and resampling.
//!
//! Element i of a stream depends on (seed, purpose, i) alone, so a stream can be entered anywhere and nothing depends on what
//! else was drawn before. Image noise has its own generator in `diffusion/noise.rs`.

use crate::numbers::to_usize;

/// A stream of numbers for one purpose.
#[derive(Debug, Clone)]
pub struct Stream {
    base: u64,
    position: u64,
}

impl Stream {
    /// The stream of a seed and a purpose such as `shuffle/epoch-3`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"repro random 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self {
            base: u64::from_le_bytes(bytes),
            position: 0,
        }
    }

    /// The next 64 bits, by the SplitMix64 finalizer over a Weyl sequence.
    pub fn next_bits(&mut self) -> u64 {
        self.position += 1;
        let mut mixed = self
            .base
            .wrapping_add(self.position.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1), a multiple of 2^-24 and therefore exact in `f32`.
    pub fn next_unit(&mut self) -> f32 {
        (self.next_bits() >> 40) as f32 / 16_777_216.0
    }

    /// A number in [0, 1), a multiple of 2^-53 and therefore exact in `f64`.
    pub fn next_double(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    /// A number below `bound`, each equally likely (Lemire's multiplication with rejection). `bound` must not be 0.
    pub fn next_below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_bits()) * u128::from(bound);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "each half of 128 bits has 64"
            )]
            let (low, high) = (product as u64, (product >> 64) as u64);
            if low >= threshold {
                return high;
            }
        }
    }

    /// An index below `length`, each equally likely. `length` must not be 0.
    pub fn next_index(&mut self, length: usize) -> usize {
        to_usize(self.next_below(length as u64))
    }

    /// The numbers below `length` in random order (Fisher and Yates).
    pub fn permutation(&mut self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        for last in (1..length).rev() {
            let other = self.next_index(last + 1);
            order.swap(last, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_hold_every_number_once_and_follow_the_seed() {
        let first = Stream::new(1, "shuffle").permutation(1000);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(
            sorted
                .iter()
                .enumerate()
                .all(|(index, &value)| value == index)
        );
        assert_eq!(first, Stream::new(1, "shuffle").permutation(1000));
        assert_ne!(first, Stream::new(2, "shuffle").permutation(1000));
        assert_ne!(first, Stream::new(1, "other").permutation(1000));
    }

    #[test]
    fn units_are_uniform() {
        let count = 100_000;
        let draws: [fn(&mut Stream) -> f64; 2] =
            [|stream| f64::from(stream.next_unit()), Stream::next_double];
        for draw in draws {
            let mut stream = Stream::new(7, "test");
            let mean = (0..count).map(|_| draw(&mut stream)).sum::<f64>() / f64::from(count);
            // Five standard errors of a uniform number's mean: 5 / sqrt(12 n).
            assert!(
                (mean - 0.5).abs() < 5.0 / (12.0 * f64::from(count)).sqrt(),
                "{mean}"
            );
        }
    }
}
