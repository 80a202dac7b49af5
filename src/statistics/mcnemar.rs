//! McNemar's exact test: whether two heads are right equally often on the same samples.
//!
//! Only samples on which exactly one of the two is right say anything. If both are equally good, each such sample goes to either with
//! probability 1/2, so that the number b that the first alone has right is binomial of b + c and 1/2; p is twice its smaller tail, and at most 1. It
//! is a test for one pair of trained heads and says nothing of other seeds; `paired.rs` does.
//!
//! # Reference
//! McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages (1947); exact form as SciPy's
//! `binomtest(b, b + c)`.

use super::distributions::lower_half_tail;

/// Samples on which exactly one of two heads is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discordant {
    /// Those of the first head.
    pub only_first: u64,
    /// Those of the second.
    pub only_second: u64,
}

impl Discordant {
    /// Counts them in scores of 0 and 1, one for each sample and in the same order; `None` where the numbers of samples differ, or where a
    /// score is neither 0 nor 1.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let right = |score: f64| match score {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        };
        let mut discordant = Self {
            only_first: 0,
            only_second: 0,
        };
        if first.len() != second.len() {
            return None;
        }
        for (&first, &second) in first.iter().zip(second) {
            match (right(first)?, right(second)?) {
                (true, false) => discordant.only_first += 1,
                (false, true) => discordant.only_second += 1,
                _ => {}
            }
        }
        Some(discordant)
    }

    /// The exact two-sided p; see [`mcnemar`].
    pub fn p(self) -> f64 {
        mcnemar(self.only_first, self.only_second)
    }
}

/// The exact two-sided p of two heads of which `only_first` and `only_second` samples are right in one alone; 1 where there are none.
pub fn mcnemar(only_first: u64, only_second: u64) -> f64 {
    let (fewer, more) = (only_first.min(only_second), only_first.max(only_second));
    if fewer == more {
        return 1.0;
    }
    (2.0 * lower_half_tail(fewer, fewer + more)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_by_hand() {
        // 2 · (1 + 10 + 45) / 1024, 2 / 2^5, and 2 · (1 + 3) / 8 = 1.
        for (counts, p) in [
            ((2, 8), 112.0 / 1024.0),
            ((5, 0), 0.0625),
            ((1, 2), 1.0),
            ((0, 0), 1.0),
        ] {
            assert!(
                (mcnemar(counts.0, counts.1) - p).abs() < 1e-14,
                "{counts:?}"
            );
            assert!(
                (mcnemar(counts.1, counts.0) - p).abs() < 1e-14,
                "{counts:?}"
            );
        }
    }

    #[test]
    fn only_scores_of_0_and_1_are_counted() {
        let (first, second) = ([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]);
        let counted = Discordant::of(&first, &second).unwrap();
        assert_eq!((counted.only_first, counted.only_second), (1, 1));
        assert_eq!(Discordant::of(&first, &[0.5; 4]), None);
        assert_eq!(Discordant::of(&first, &[1.0; 3]), None);
    }

    #[test]
    fn large_counts_are_as_the_normal_distribution_says() {
        // z = 2000 / √2,000,000 = 1.4142 with the correction of 1: 1999 / 1414.2.
        let p = mcnemar(1_001_000, 999_000);
        let normal = super::super::normal_two_sided(1999.0 / 2e6_f64.sqrt());
        assert!((p / normal - 1.0).abs() < 1e-5, "{p} {normal}");
    }
}
