//! Bootstrap intervals over the scored samples: how far a value would move had other samples of the same kind been scored.
//!
//! An interval is the percentile one: its bounds are the quantiles of what resamples of the scored samples give, where a quantile
//! is the least value at or below which there is the wanted share of the resamples.
//!
//! For a share of samples nothing needs to be drawn: a resample of n samples, of which k are right, has a number of right ones
//! that is binomial with n and p = k / n, so that its quantiles, divided by n, are what infinitely many resamples would give.
//! The mean of several shares has no distribution as simple, and is resampled: each class by itself, so that every class
//! keeps its number of samples, [`RESAMPLES`] times, with draws that depend on nothing but the class, its counts and a fixed seed.
//!
//! The interval holds for the head as it is: it knows nothing of other seeds or training sets. A value of 0 or 1 has no width,
//! since no resample differs from it.
//!
//! # Reference
//! Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).
//!
//! # Deviations
//! The binomial distribution is tabulated here and not taken from the crate `statrs`: drawing by inversion needs the
//! table anyway, and that crate's distribution function is off by 1e-3 at a million samples (by 4e-11 at 50,000), where its
//! continued fraction ends early. Tests compare the two up to 10,000 samples.

use std::collections::BTreeMap;

use crate::random::Stream;

/// One in so many resamples is below an interval, and as many above.
const ONE_IN: usize = 40;

/// The share of resamples that an interval covers: 95 %.
pub const CONFIDENCE: f64 = 1.0 - 2.0 / ONE_IN as f64;

/// Resamples of a mean over classes.
const RESAMPLES: usize = 2000;

/// The one seed of all draws, so that equal counts give equal intervals.
const SEED: u64 = 0;

/// Weights below this one, in units of the largest, are left out: all of them together are below any rounding.
const LEAST_WEIGHT: f64 = 1e-25;

/// An interval, in the unit of the value that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    /// One in `ONE_IN` resamples is below it.
    pub(super) low: f64,
    /// One in `ONE_IN` resamples is above it.
    pub(super) high: f64,
}

/// Some samples, and how many of them are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// Those that are right; at most `count`.
    pub(super) correct: u64,
    /// All of them.
    pub(super) count: u64,
}

impl Share {
    /// The share of those that are right, in [0, 1]; not a number where there are no samples.
    pub(super) fn value(self) -> f64 {
        if self.count == 0 {
            f64::NAN
        } else {
            self.correct as f64 / self.count as f64
        }
    }

    /// The exact bootstrap interval of [`Share::value`]; not a number where there are no samples.
    pub(super) fn interval(self) -> Interval {
        let resampled = Resampled::of(self);
        let bound = |share: f64| {
            Share {
                correct: resampled.quantile(share),
                count: self.count,
            }
            .value()
        };
        let tail = 1.0 / ONE_IN as f64;
        Interval {
            low: bound(tail),
            high: bound(1.0 - tail),
        }
    }
}

/// The bootstrap interval of the mean of the shares of some classes, by class; not a number where there are none. Every class has a
/// sample.
pub(super) fn interval_of_mean(classes: &BTreeMap<u32, Share>) -> Interval {
    let mut means = vec![0.0; RESAMPLES];
    for (class, share) in classes {
        let resampled = Resampled::of(*share);
        let mut stream = Stream::new(SEED, &format!("bootstrap/mean-per-class/{class}"));
        for mean in &mut means {
            let drawn = Share {
                correct: resampled.quantile_above(stream.next_double()),
                count: share.count,
            };
            *mean += drawn.value();
        }
    }
    for mean in &mut means {
        *mean /= classes.len() as f64;
    }
    means.sort_unstable_by(f64::total_cmp);
    let tail = RESAMPLES / ONE_IN;
    Interval {
        low: means[tail - 1],
        high: means[RESAMPLES - tail - 1],
    }
}

/// How many samples of a resample are right: the binomial distribution of n and k / n.
#[derive(Debug)]
struct Resampled {
    /// The number that the table begins with; fewer do not happen.
    first: u64,
    /// How likely at most `first`, `first + 1`, … are; at least one entry, the last is 1.
    at_most: Vec<f64>,
}

impl Resampled {
    /// Weights are followed from the likeliest number, which is k itself, in both directions by the ratio of neighbors,
    /// P(j + 1) / P(j) = (n − j) / (j + 1) · k / (n − k), and divided by their sum: no factorial, no logarithm, and nothing that overflows.
    fn of(share: Share) -> Self {
        let Share { correct, count } = share;
        let wrong = count.saturating_sub(correct);
        let mut first = correct;
        let mut weights = vec![1.0];
        if correct > 0 && wrong > 0 {
            let odds = correct as f64 / wrong as f64;
            let ratio = |number: u64| (count - number) as f64 / (number + 1) as f64 * odds;
            let mut weight = 1.0;
            while first > 0 && weight > LEAST_WEIGHT {
                weight /= ratio(first - 1);
                first -= 1;
                weights.push(weight);
            }
            weights.reverse();
            let (mut last, mut weight) = (correct, 1.0);
            while last < count && weight > LEAST_WEIGHT {
                weight *= ratio(last);
                last += 1;
                weights.push(weight);
            }
        }
        let sum: f64 = weights.iter().sum();
        let mut total = 0.0;
        for weight in &mut weights {
            total += *weight;
            *weight = total / sum;
        }
        Self {
            first,
            at_most: weights,
        }
    }

    /// The least number that is not exceeded with a probability of at least `share`.
    fn quantile(&self, share: f64) -> u64 {
        self.number(self.at_most.partition_point(|at_most| *at_most < share))
    }

    /// The number that a draw `unit` in [0, 1) stands for: each has a part of that interval as long as it is likely.
    fn quantile_above(&self, unit: f64) -> u64 {
        self.number(self.at_most.partition_point(|at_most| *at_most <= unit))
    }

    fn number(&self, index: usize) -> u64 {
        self.first + index.min(self.at_most.len() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    fn share(correct: u64, count: u64) -> Share {
        Share { correct, count }
    }

    #[test]
    fn small_shares_by_hand() {
        // 5 of 10: of 1,024 equally likely resamples 1, 11 and 56 have at most 0, 1 and 2 right; 2.5 % are 25.6 of them.
        assert_eq!(
            share(5, 10).interval(),
            Interval {
                low: 0.2,
                high: 0.8
            }
        );
        // 1 of 5: at most 0 in 0.32768, 1 in 0.73728, 2 in 0.94208, 3 in 0.99328 of the resamples.
        assert_eq!(
            share(1, 5).interval(),
            Interval {
                low: 0.0,
                high: 0.6
            }
        );
        for (correct, value) in [(0, 0.0), (7, 1.0)] {
            let (low, high) = (value, value);
            assert_eq!(share(correct, 7).interval(), Interval { low, high });
        }
        assert!(share(0, 0).interval().low.is_nan() && share(0, 0).value().is_nan());
    }

    #[test]
    fn the_table_is_the_binomial_distribution() {
        for (correct, count) in [(1, 2), (1, 7), (97, 100), (880, 1000), (9990, 10_000)] {
            let table = Resampled::of(share(correct, count));
            let known = Binomial::new(correct as f64 / count as f64, count).unwrap();
            for (index, at_most) in table.at_most.iter().enumerate() {
                let difference = at_most - known.cdf(table.first + index as u64);
                assert!(
                    difference.abs() < 1e-10,
                    "{correct} of {count}: {difference}"
                );
            }
            for level in [0.025, 0.5, 0.975] {
                assert_eq!(table.quantile(level), known.inverse_cdf(level));
            }
        }
    }

    #[test]
    fn a_million_samples_are_as_wide_as_the_normal_distribution_says() {
        // 500 is the standard deviation, and 1.96 · 500 = 979.98 the half width.
        let interval = share(500_000, 1_000_000).interval();
        assert!((interval.low - 0.499_020).abs() < 1.5e-6, "{interval:?}");
        assert!((interval.high - 0.500_980).abs() < 1.5e-6, "{interval:?}");
    }

    #[test]
    fn right_and_wrong_are_mirror_images() {
        for (correct, count) in [(3, 17), (88, 100), (123, 1000)] {
            let right = share(correct, count).interval();
            let wrong = share(count - correct, count).interval();
            assert!((right.low + wrong.high - 1.0).abs() < 1e-12);
            assert!((right.high + wrong.low - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_mean_of_one_class_is_its_share() {
        // Two standard errors of a quantile from 2,000 resamples are less than one sample of 100 here.
        let classes = BTreeMap::from([(3, share(80, 100))]);
        let (drawn, exact) = (interval_of_mean(&classes), share(80, 100).interval());
        assert!((drawn.low - exact.low).abs() < 0.011, "{drawn:?} {exact:?}");
        assert!(
            (drawn.high - exact.high).abs() < 0.011,
            "{drawn:?} {exact:?}"
        );
        assert_eq!(drawn, interval_of_mean(&classes));
        assert!(interval_of_mean(&BTreeMap::new()).low.is_nan());
    }

    #[test]
    fn draws_are_as_often_as_they_are_likely() {
        let table = Resampled::of(share(1, 5));
        let mut stream = Stream::new(1, "test");
        let count = 100_000;
        let mut seen = [0_u32; 6];
        for _ in 0..count {
            seen[usize::try_from(table.quantile_above(stream.next_double())).unwrap()] += 1;
        }
        // Binomial coefficients of 5, times 4^(5 - j), of 3,125.
        for (seen, of_3125) in seen.iter().zip([1024.0, 1280.0, 640.0, 160.0, 20.0, 1.0]) {
            let likely: f64 = of_3125 / 3125.0;
            let error = (likely * (1.0 - likely) / f64::from(count)).sqrt();
            let difference = f64::from(*seen) / f64::from(count) - likely;
            assert!(difference.abs() < 5.0 * error, "{seen} {likely}");
        }
    }
}
