//! From contrasts to a verdict.
//!
//! A claim says that some contrasts are above zero: both differences to the neighbors of a peak, or three of four. Let n contrasts be measured and
//! u of them be needed. The claim is confirmed by the test of the hypothesis that fewer than u are above zero, and refuted by that of the
//! hypothesis that fewer than n − u + 1 are below. Both are partial conjunctions of one-sided tests: with p₍₁₎ ≤ … ≤ p₍ₙ₎ the one is
//! (n − u + 1) p₍ᵤ₎, the other u p₍ₙ₋ᵤ₊₁₎ of the p-values of the other side, whatever the dependence between the contrasts. For n = u = 1 they
//! are the two sides of one test.
//!
//! Which cells a contrast is made of, such as the best timestep, is named on one half of the images, and the contrast is measured on the
//! other, by Student's distribution with Satterthwaite's degrees of freedom: with three seeds it is wrong in some more than 5 % of tables where
//! seeds have the larger part of the variance, for which the doubling below makes up (`false_positives.rs`). Of 20 halvings twice the median p is taken for each side, and twice the smaller of the two sides is the p of the claim. Holm's
//! method adjusts it for all claims of the table.
//!
//! # Reference
//! Meinshausen, Meier and Bühlmann, p-Values for High-Dimensional Regression (2009). Benjamini and Heller, Screening for Partial Conjunction
//! Hypotheses (2008).

use crate::report::comparison::runs::Estimate;
use crate::statistics::halving::twice_the_median;

/// What the contrasts of one claim came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    /// Two-sided, not yet adjusted.
    pub(super) p: f64,
    /// Whether the smaller p is the one that confirms.
    pub(super) confirms: bool,
    /// Each contrast, as the median over the halvings.
    pub(super) contrasts: Vec<f64>,
}

/// Decides by contrasts of which `needed` have to be above zero. The outer list has a halving each, or one element where nothing was named by the
/// data. `None` where a contrast could not be measured.
pub(super) fn decide(needed: usize, measured: &[Option<Vec<Estimate>>]) -> Option<Decision> {
    let mut sides = [Vec::new(), Vec::new()];
    let mut values: Vec<Vec<f64>> = Vec::new();
    for estimates in measured {
        let estimates = estimates.as_ref()?;
        let count = estimates.len();
        if needed == 0 || needed > count {
            return None;
        }
        let (mut above, mut below): (Vec<f64>, Vec<f64>) = estimates.iter().map(one_sided).unzip();
        above.sort_by(f64::total_cmp);
        below.sort_by(f64::total_cmp);
        let rest = count - needed + 1;
        sides[0].push((rest as f64 * above[needed - 1]).min(1.0));
        sides[1].push((needed as f64 * below[rest - 1]).min(1.0));
        values.resize(count, Vec::new());
        for (all, estimate) in values.iter_mut().zip(estimates) {
            all.push(estimate.value);
        }
    }
    let [confirms, refutes] = sides.map(|p| match p.as_slice() {
        [only] => Some(*only),
        several => twice_the_median(several),
    });
    let (confirms, refutes) = (confirms?, refutes?);
    Some(Decision {
        p: (2.0 * confirms.min(refutes)).min(1.0),
        confirms: confirms <= refutes,
        contrasts: values.into_iter().map(median).collect(),
    })
}

/// The p-values of "not above zero" and of "not below zero".
fn one_sided(estimate: &Estimate) -> (f64, f64) {
    let half = estimate.p / 2.0;
    if estimate.value > 0.0 {
        (half, 1.0 - half)
    } else if estimate.value < 0.0 {
        (1.0 - half, half)
    } else {
        (0.5, 0.5)
    }
}

/// The median of some values, at least one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[lower], values[upper])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, p: f64) -> Estimate {
        Estimate {
            value,
            interval: [value; 2],
            p,
            samples: 2,
            runs: 1,
            discordant: None,
        }
    }

    fn close(decision: Option<Decision>, p: f64, confirms: bool) {
        let decision = decision.unwrap();
        assert!((decision.p - p).abs() < 1e-12, "{decision:?}");
        assert_eq!(decision.confirms, confirms);
    }

    #[test]
    fn one_contrast_is_a_two_sided_test() {
        close(decide(1, &[Some(vec![estimate(1.0, 0.01)])]), 0.01, true);
        close(decide(1, &[Some(vec![estimate(-1.0, 0.01)])]), 0.01, false);
        close(decide(1, &[Some(vec![estimate(0.0, 1.0)])]), 1.0, true);
        // Twice the median of halvings that agree, on both sides.
        let same = vec![Some(vec![estimate(1.0, 0.01)]); 20];
        close(decide(1, &same), 0.02, true);
    }

    #[test]
    fn all_of_several_need_each_of_them_and_one_refutes() {
        let both = |first, second| decide(2, &[Some(vec![first, second])]);
        // The larger p of the two confirms.
        close(both(estimate(1.0, 0.01), estimate(1.0, 0.04)), 0.04, true);
        // The smaller p of those below, times two, refutes.
        close(both(estimate(1.0, 1e-9), estimate(-1.0, 0.01)), 0.02, false);
    }

    #[test]
    fn three_of_four_by_hand() {
        let p = [0.001, 0.002, 0.004, 0.9];
        let four = p.map(|p| estimate(1.0, p)).to_vec();
        // (4 - 3 + 1) times the third of 0.0005, 0.001, 0.002, 0.45, and twice that.
        close(decide(3, &[Some(four)]), 2.0 * 2.0 * 0.002, true);
        let two_below = [(1.0, 0.001), (1.0, 0.001), (-1.0, 0.01), (-1.0, 0.02)];
        let four = two_below.map(|(value, p)| estimate(value, p)).to_vec();
        // Three times the second of 0.005, 0.01, …, and twice that.
        close(decide(3, &[Some(four)]), 2.0 * 3.0 * 0.01, false);
    }

    #[test]
    fn a_halving_that_could_not_be_measured_leaves_no_verdict() {
        assert_eq!(decide(1, &[Some(vec![estimate(1.0, 0.1)]), None]), None);
        assert_eq!(decide(2, &[Some(vec![estimate(1.0, 0.1)])]), None);
    }
}
