//! The normal, Student's, the beta and the binomial distribution, as exactly as the tests and intervals need them.
//!
//! Tails are computed as tails and never as one minus the rest, so that a p of 1e-300 has as many right digits as one of 0.05. The binomial
//! probability is Loader's: with δ(n) = ln n! − ln(√(2πn) (n/e)^n) and D(x, m) = x ln(x/m) + m − x,
//!
//! P(k) = √(n / (2π k (n − k))) · exp(δ(n) − δ(k) − δ(n − k) − D(k, np) − D(n − k, nq)),
//!
//! whose terms are small, where logarithms of factorials are large and cancel. It holds for k and n that are not integers too, and so gives the
//! factor before the continued fraction of the incomplete beta function, of which the beta's and Student's distribution are made.
//! Quantiles are searched by Ridders' method between two ends, which is right for every tail.
//!
//! # Reference
//! Loader, Fast and Accurate Computation of Binomial Probabilities (2000). Press et al., Numerical Recipes, 6.4 (continued fraction, by
//! Lentz's method) and 9.2 (Ridders' method).
//!
//! # Deviations
//! The crate `statrs` is used by tests alone: its binomial distribution function is off by 1e-3 at a million samples (by 4e-11 at 50,000),
//! where its continued fraction ends early.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// Half of the logarithm of 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// Steps of the continued fraction: they grow with the root of the parameters, to some thousands at a billion.
const MOST_STEPS: u32 = 200_000;

/// How likely a standard normal number is at least as far from 0 as `z`; not a number where `z` is none.
pub fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / SQRT_2)
}

/// The number that a standard normal one is above with probability `tail`, in (0, 1); not a number elsewhere.
pub fn normal_quantile(tail: f64) -> f64 {
    if !(tail > 0.0 && tail < 1.0) {
        return f64::NAN;
    }
    let upper = |z: f64| 0.5 * libm::erfc(z / SQRT_2);
    // Beyond ±38.5 the tail is below the least positive number.
    falling_root(upper, tail, -39.0, 39.0)
}

/// How likely a number of Student's distribution is at least as far from 0 as `t`; not a number where either is none, or where `freedom` is not
/// above 0. With infinitely many degrees of freedom it is the normal distribution.
pub fn student_two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    if freedom.is_infinite() {
        return normal_two_sided(t);
    }
    let square = t * t;
    if square.is_infinite() {
        return 0.0;
    }
    let sum = freedom + square;
    beta_at_most(freedom / 2.0, 0.5, freedom / sum, square / sum)
}

/// The number that one of Student's distribution is above with probability `tail`, in (0, 1/2]; not a number elsewhere.
pub fn student_quantile(tail: f64, freedom: f64) -> f64 {
    if !(tail > 0.0 && tail <= 0.5) || freedom.is_nan() || freedom <= 0.0 {
        return f64::NAN;
    }
    if freedom.is_infinite() {
        return normal_quantile(tail);
    }
    let upper = |t: f64| 0.5 * student_two_sided(t, freedom);
    let mut high = 1.0;
    while upper(high) > tail && high < 1e150 {
        high *= 4.0;
    }
    falling_root(upper, tail, 0.0, high)
}

/// How likely a number of the beta distribution with parameters `first` and `second`, both above 0, is at most `x`; `rest` is 1 − x, given
/// apart because it has more digits near x = 1.
pub(super) fn beta_at_most(first: f64, second: f64, x: f64, rest: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if rest <= 0.0 {
        return 1.0;
    }
    // The continued fraction is good below the mean; above it the mirror image is below.
    if x <= (first + 1.0) / (first + second + 2.0) {
        beta_fraction(first, second, x, rest)
    } else {
        1.0 - beta_fraction(second, first, rest, x)
    }
}

/// The number that one of the beta distribution is at most with probability `share`.
pub(super) fn beta_quantile(first: f64, second: f64, share: f64) -> f64 {
    falling_root(
        |x| -beta_at_most(first, second, x, 1.0 - x),
        -share,
        0.0,
        1.0,
    )
}

/// The incomplete beta function by its continued fraction, divided by the complete one.
fn beta_fraction(first: f64, second: f64, x: f64, rest: f64) -> f64 {
    /// Stands for a zero in the middle of Lentz's method.
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let sum = first + second;
    // x^a (1 − x)^b / (a B(a, b)).
    let factor = binomial(first, second, x, rest).exp() * second / sum;
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - sum * x / (first + 1.0));
    let mut value = d;
    for step in 1..=MOST_STEPS {
        let m = f64::from(step);
        let even = m * (second - m) * x / ((first + 2.0 * m - 1.0) * (first + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        value *= d * c;
        let odd = -(first + m) * (sum + m) * x / ((first + 2.0 * m) * (first + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        let change = d * c;
        value *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    factor * value
}

/// The logarithm of the probability of `right` among `right + wrong`, which need not be integers, where one is right with probability `p` and
/// wrong with `q` = 1 − p.
pub(super) fn binomial(right: f64, wrong: f64, p: f64, q: f64) -> f64 {
    let count = right + wrong;
    if right <= 0.0 {
        return count * log_of_rest(q, p);
    }
    if wrong <= 0.0 {
        return count * log_of_rest(p, q);
    }
    let exponent = stirling_error(count)
        - stirling_error(right)
        - stirling_error(wrong)
        - deviance(right, count * p)
        - deviance(wrong, count * q);
    exponent + 0.5 * (count / (2.0 * PI * right * wrong)).ln()
}

/// ln(a) where a + b = 1, with all digits where a is near 1.
fn log_of_rest(a: f64, b: f64) -> f64 {
    if b < 0.5 { (-b).ln_1p() } else { a.ln() }
}

/// δ(n): what Stirling's formula lacks of the logarithm of n!.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * n.ln() + n - HALF_LN_TAU;
    }
    let square = n * n;
    // 1/12n − 1/360n³ + 1/1260n⁵ − 1/1680n⁷ + 1/1188n⁹; the next term is below 1e-16 at 16.
    let tail = 1.0 / 1680.0 - 1.0 / 1188.0 / square;
    let tail = 1.0 / 1260.0 - tail / square;
    let tail = 1.0 / 360.0 - tail / square;
    (1.0 / 12.0 - tail / square) / n
}

/// D(x, m) = x ln(x/m) + m − x, by a series where the two are near each other.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() + mean - x;
    }
    let ratio = difference / (x + mean);
    let mut sum = difference * ratio;
    let mut power = 2.0 * x * ratio;
    for odd in (3..200_u32).step_by(2) {
        power *= ratio * ratio;
        let next = sum + power / f64::from(odd);
        if next.to_bits() == sum.to_bits() {
            break;
        }
        sum = next;
    }
    sum
}

/// The sum of the binomial probabilities of 0 to `most` among `count` at p = 1/2; `most` is below half of `count`. Terms fall from the last one
/// down, so the sum is in units of that one, whose logarithm alone is large.
pub(super) fn lower_half_tail(most: u64, count: u64) -> f64 {
    let (right, wrong) = (most as f64, (count - most) as f64);
    let last = if most == 0 {
        -(count as f64) * LN_2
    } else {
        binomial(right, wrong, 0.5, 0.5)
    };
    let (mut term, mut sum) = (1.0, 1.0);
    for number in (1..=most).rev() {
        term *= number as f64 / (count - number + 1) as f64;
        let next = sum + term;
        if next.to_bits() == f64::to_bits(sum) {
            break;
        }
        sum = next;
    }
    last.exp() * sum
}

/// Where a function that never rises has a value, between two numbers; an end where it has the value nowhere between. Ridders' method, of which
/// every step halves the interval at least, and which lands at once where the function is exponential, as tails nearly are.
pub(super) fn falling_root(f: impl Fn(f64) -> f64, value: f64, mut low: f64, mut high: f64) -> f64 {
    let above = |x: f64| (f(x) - value) / value.abs();
    let (mut at_low, mut at_high) = (above(low), above(high));
    if at_low <= 0.0 {
        return low;
    }
    if at_high >= 0.0 {
        return high;
    }
    let mut last = f64::NAN;
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle;
        }
        let at_middle = above(middle);
        let root = (at_middle * at_middle - at_low * at_high).sqrt();
        let guess = middle + (middle - low) * (at_middle / root);
        if at_middle > 0.0 {
            (low, at_low) = (middle, at_middle);
        } else {
            (high, at_high) = (middle, at_middle);
        }
        if (guess - last).abs() <= 2.0 * f64::EPSILON * guess.abs() {
            return guess;
        }
        last = guess;
        if guess > low && guess < high {
            let at_guess = above(guess);
            if at_guess > 0.0 {
                (low, at_low) = (guess, at_guess);
            } else {
                (high, at_high) = (guess, at_guess);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative.
    #[track_caller]
    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!(
            (value / expected - 1.0).abs() < tolerance,
            "{value:e} is not {expected:e}"
        );
    }

    #[test]
    fn normal_tails_and_quantiles() {
        // Tables of the normal distribution; ∫ from 10 by its asymptotic series.
        near(normal_quantile(0.025), 1.959_963_984_540_054, 1e-14);
        near(normal_two_sided(1.959_963_984_540_054), 0.05, 1e-13);
        near(normal_two_sided(10.0), 1.523_970_604_832_094_5e-23, 1e-12);
        assert!(normal_quantile(0.5).abs() < 1e-15);
        assert!(normal_quantile(0.0).is_nan() && normal_quantile(1.0).is_nan());
        for tail in [1e-300, 1e-12, 0.3, 0.9] {
            let z = normal_quantile(tail);
            near(0.5 * libm::erfc(z / SQRT_2), tail, 1e-11);
        }
    }

    #[test]
    fn students_distribution_has_closed_forms() {
        for t in [0.01, 0.5, 1.0, 2.5, 40.0, 1e6] {
            // One degree: Cauchy's; two: 1 − t / √(2 + t²) = 2 / (√(2 + t²) (√(2 + t²) + t)).
            near(
                student_two_sided(t, 1.0),
                (1.0 / t).atan() / PI * 2.0,
                1e-12,
            );
            let root = (2.0 + t * t).sqrt();
            near(student_two_sided(t, 2.0), 2.0 / (root * (root + t)), 1e-12);
            near(
                student_quantile(0.5 * student_two_sided(t, 3.0), 3.0),
                t,
                1e-10,
            );
        }
        near(student_quantile(0.025, 2.0), 4.302_652_729_749_464, 1e-12);
        near(student_quantile(0.025, 1.0), 12.706_204_736_174_7, 1e-12);
        near(student_quantile(0.025, 1e9), 1.959_963_984_540_054, 1e-8);
        near(
            student_quantile(0.025, f64::INFINITY),
            1.959_963_984_540_054,
            1e-14,
        );
        assert!(student_quantile(0.025, 0.0).is_nan() && student_two_sided(1.0, 0.0).is_nan());
        assert!(student_two_sided(0.0, 5.0) >= 1.0);
        assert!(student_two_sided(f64::INFINITY, 5.0) <= 0.0);
    }

    #[test]
    fn probabilities_of_the_binomial_sum_to_one() {
        for (count, p) in [(7_u32, 0.3), (40, 0.5), (1000, 0.998), (50_000, 0.76)] {
            let n = f64::from(count);
            let all = (0..=count).map(|k| binomial(k.into(), n - f64::from(k), p, 1.0 - p).exp());
            near(all.sum(), 1.0, 1e-12);
        }
        // 3 of 5 at 0.3: 10 · 0.027 · 0.49.
        near(binomial(3.0, 2.0, 0.3, 0.7).exp(), 0.1323, 1e-13);
    }

    #[test]
    fn another_library_agrees_where_it_is_exact() {
        use statrs::distribution::{Beta, ContinuousCDF, StudentsT};

        for freedom in [1.5, 4.0, 29.0, 999.0] {
            let known = StudentsT::new(0.0, 1.0, freedom).unwrap();
            for t in [0.1, 1.0, 2.3, 6.0] {
                near(student_two_sided(t, freedom), 2.0 * known.sf(t), 1e-9);
            }
        }
        for (first, second) in [(0.5, 2.5), (3.0, 90.0), (400.0, 4.0)] {
            let known = Beta::new(first, second).unwrap();
            for share in [0.025, 0.5, 0.975] {
                let x = beta_quantile(first, second, share);
                near(known.cdf(x), share, 1e-9);
            }
        }
    }

    #[test]
    fn the_beta_distribution_is_a_sum_of_binomial_probabilities() {
        // P(Beta(k, n − k + 1) ≤ x) = P(Binomial(n, x) ≥ k).
        for (k, n, x) in [(3_u32, 9_u32, 0.2), (998, 1000, 0.99), (600, 1000, 0.61)] {
            let (count, rest) = (f64::from(n), 1.0 - x);
            let terms = (k..=n).map(|j| binomial(j.into(), count - f64::from(j), x, rest).exp());
            let (first, second) = (f64::from(k), f64::from(n - k + 1));
            near(beta_at_most(first, second, x, rest), terms.sum(), 1e-11);
        }
        near(beta_quantile(1.0, 1.0, 0.3), 0.3, 1e-14);
    }
}
