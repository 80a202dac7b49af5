//! Intervals of a proportion: k of n samples are right, and the interval is for the probability p of being right.
//!
//! **Wilson's** is all p that a z test does not reject: with z the normal quantile of the level and s = k/n,
//!
//! (s + z²/2n ± z √(s (1 − s) / n + z²/4n²)) / (1 + z²/n).
//!
//! Its error is that of the hypothesis and not of the estimate, so it has a width at k = n, where the bootstrap and Wald's interval have none. Its
//! coverage is the level on average over p, and goes a few points below and above it for single p. This is the interval of metrics.
//!
//! **Clopper and Pearson's** is all p that neither of the two exact one-sided tests rejects: beta quantiles. Its coverage is never below the level,
//! and it is wider for it.
//!
//! Both know nothing of other seeds or training sets: the head is as it is, and the samples are drawn independently.
//!
//! # Reference
//! Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927). Clopper and Pearson (1934). Brown, Cai and DasGupta,
//! Interval Estimation for a Binomial Proportion (2001), which recommends Wilson's.

use super::distributions::{beta_quantile, normal_quantile};

/// Wilson's interval of `right` of `count` at a level such as 0.95, within [0, 1]; not a number where there are no samples.
pub fn wilson(right: u64, count: u64, level: f64) -> [f64; 2] {
    wilson_of_share(right as f64 / count as f64, count as f64, level)
}

/// Wilson's interval of a share among so many samples, which need not be an integer: a weighted share among as many as its weights are worth.
pub fn wilson_of_share(share: f64, count: f64, level: f64) -> [f64; 2] {
    let z = normal_quantile((1.0 - level) / 2.0);
    let square = z * z / count;
    let center = (share + square / 2.0) / (1.0 + square);
    let reach = (share * (1.0 - share) * square + square * square / 4.0).sqrt() / (1.0 + square);
    // At 0 and at 1 a bound is exact by theory, and by rounding it would not be.
    let low = if share <= 0.0 { 0.0 } else { center - reach };
    let high = if share >= 1.0 { 1.0 } else { center + reach };
    [low, high]
}

/// Clopper and Pearson's interval of `right` of `count` at a level such as 0.95, within [0, 1]; not a number where there are no samples. At 0
/// and at `count` the bound that is left is two-sided as any other: it leaves half of what the level leaves.
pub fn clopper_pearson(right: u64, count: u64, level: f64) -> [f64; 2] {
    if count == 0 {
        return [f64::NAN; 2];
    }
    let tail = (1.0 - level) / 2.0;
    let (k, wrong) = (right as f64, count.saturating_sub(right) as f64);
    let low = if right == 0 {
        0.0
    } else {
        beta_quantile(k, wrong + 1.0, tail)
    };
    let high = if right >= count {
        1.0
    } else {
        // The mirror image, so that the tail is computed as one.
        1.0 - beta_quantile(wrong, k + 1.0, tail)
    };
    [low, high]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_samples_there_is_no_interval() {
        for bounds in [wilson(0, 0, 0.95), clopper_pearson(0, 0, 0.95)] {
            assert!(bounds.iter().all(|bound| bound.is_nan()), "{bounds:?}");
        }
    }

    #[test]
    fn ends_by_hand() {
        // All of n right: Wilson's lower bound is n / (n + z²), Clopper and Pearson's 0.025^(1/n).
        let [low, high] = wilson(403, 403, 0.95);
        assert!((low - 403.0 / (403.0 + 3.841_458_820_694_124)).abs() < 1e-12);
        assert!(high >= 1.0);
        let [low, high] = clopper_pearson(403, 403, 0.95);
        assert!((low - 0.025_f64.powf(1.0 / 403.0)).abs() < 1e-12);
        assert!(high >= 1.0);
    }

    proptest! {
        #[test]
        fn intervals_hold_the_share_and_mirror(count in 1_u64..5000, part in 0.0..=1.0_f64, level in 0.5..0.999_f64) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small count")]
            let right = (part * count as f64).round() as u64;
            let share = right as f64 / count as f64;
            for interval in [wilson, clopper_pearson] {
                let [low, high] = interval(right, count, level);
                prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
                prop_assert!(low <= share && share <= high);
                let [other_low, other_high] = interval(count - right, count, level);
                prop_assert!((low + other_high - 1.0).abs() < 1e-11);
                prop_assert!((high + other_low - 1.0).abs() < 1e-11);
            }
        }
    }
}
