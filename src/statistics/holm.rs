//! Holm's correction: p values of several tests, such that the chance of any false rejection is at most the level.
//!
//! The smallest of m is multiplied by m, the next one by m − 1, and so on; none becomes less than the one before it, and none more than 1. It holds
//! for tests that depend on each other in any way, and rejects all that Bonferroni's correction rejects.
//!
//! # Reference
//! Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).

/// Adjusted p values, in the order of the input. What is not a number stays so, and counts as a test.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&left, &right| p[left].total_cmp(&p[right]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        if p[index].is_nan() {
            continue;
        }
        least = least.max(p[index] * (p.len() - rank) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_below_p_nor_above_bonferroni(p in prop::collection::vec(0.0..=1.0_f64, 0..30)) {
            let adjusted = holm(&p);
            for (index, (&before, &after)) in p.iter().zip(&adjusted).enumerate() {
                prop_assert!(before <= after && after <= 1.0);
                prop_assert!(after <= (before * p.len() as f64).min(1.0) + 1e-12);
                for (&other, &adjusted) in p.iter().zip(&adjusted) {
                    prop_assert!(other < before || adjusted >= after, "{index}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let adjusted = holm(&[0.01, f64::NAN, 0.5]);
        assert!((adjusted[0] - 0.03).abs() < 1e-15 && adjusted[1].is_nan());
        assert!((adjusted[2] - 1.0).abs() < 1e-15);
    }
}
