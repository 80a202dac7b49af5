//! The bootstrap interval of a mean over classes of the share of each class's samples that are right.
//!
//! Such a mean has no distribution as simple as that of one share, so each class is resampled by itself, keeping its number of samples,
//! [`RESAMPLES`] times, with draws that depend on nothing but the class, its counts and a fixed seed. A resample of n samples, of which k are right,
//! has a number of right ones that is binomial with n and k / n. The interval is the percentile one: its bounds are the
//! quantiles of what the resamples give.
//!
//! **Scale.** The variance of a resampled share is s (1 − s) / n, where that of the share itself is estimated without bias by s (1 − s) / (n − 1): with two
//! samples a class, resamples vary half as much as they should. So each class's deviation from its share is multiplied by √(n / (n − 1)); a class of
//! one sample has none. A bound beyond 0 or 1 is 0 or 1.
//!
//! **Ends.** Where every sample is right, or none is, no resample differs, and the interval would have no width. It is Wilson's there, of as many samples
//! as the weights of the mean are worth (Kish): 1 / Σ wᵢ², with wᵢ = 1 / (C n_c), which is n where all classes are of one size.
//!
//! The interval holds for the head as it is: it knows nothing of other seeds or training sets. `docs/concepts/statistics.md` has its measured coverage.
//!
//! # Reference
//! Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Rao and Wu, Resampling Inference with Complex Survey Data (1988), for the scale. Kish,
//! Survey Sampling (1965).
//!
//! # Deviations
//! The binomial distribution is tabulated here, since drawing by inversion needs the table anyway.

use std::collections::BTreeMap;

use super::CONFIDENCE;
use super::proportion::wilson_of_share;
use crate::random::Stream;

/// Resamples.
pub const RESAMPLES: usize = 2000;

/// One in so many resamples is below an interval, and as many above: what [`CONFIDENCE`] leaves, halved.
const ONE_IN: usize = 40;

/// The one seed of all draws, so that equal counts give equal intervals.
const SEED: u64 = 0;

/// Weights below this one, in units of the largest, are left out: all of them together are below any rounding.
const LEAST_WEIGHT: f64 = 1e-25;

/// Some samples, and how many of them are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that are right; at most `count`.
    pub correct: u64,
    /// Samples in all, right or not.
    pub count: u64,
}

impl Share {
    /// The share of those that are right, in [0, 1]; not a number where there are no samples.
    pub fn value(self) -> f64 {
        if self.count == 0 {
            f64::NAN
        } else {
            self.correct as f64 / self.count as f64
        }
    }
}

/// The interval of the mean of the shares of some classes, by class, within [0, 1]; not a number where there are none. Every class has a sample.
pub fn interval_of_mean_share(classes: &BTreeMap<u32, Share>) -> [f64; 2] {
    let count = classes.len() as f64;
    let value = classes.values().map(|share| share.value()).sum::<f64>() / count;
    if value <= 0.0 || value >= 1.0 {
        // Σ wᵢ² over samples is Σ over classes of n_c / (C n_c)².
        let squares: f64 = classes
            .values()
            .map(|share| 1.0 / (count * count * share.count as f64))
            .sum();
        return wilson_of_share(value, 1.0 / squares, CONFIDENCE);
    }
    let mut means = vec![0.0; RESAMPLES];
    for (class, share) in classes {
        let resampled = Resampled::of(*share);
        let own = share.value();
        let scale = if share.count > 1 {
            (share.count as f64 / (share.count - 1) as f64).sqrt()
        } else {
            0.0
        };
        let mut stream = Stream::new(SEED, &format!("bootstrap/mean-per-class/{class}"));
        for mean in &mut means {
            let correct = resampled.quantile_above(stream.next_double());
            let drawn = Share {
                correct,
                count: share.count,
            };
            *mean += own + scale * (drawn.value() - own);
        }
    }
    for mean in &mut means {
        *mean = (*mean / count).clamp(0.0, 1.0);
    }
    means.sort_unstable_by(f64::total_cmp);
    let tail = RESAMPLES / ONE_IN;
    [means[tail - 1], means[RESAMPLES - tail - 1]]
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

    /// The number that a draw `unit` in [0, 1) stands for: each has a part of that interval as long as it is likely.
    fn quantile_above(&self, unit: f64) -> u64 {
        let index = self.at_most.partition_point(|at_most| *at_most <= unit);
        self.first + index.min(self.at_most.len() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::distributions::binomial;
    use super::super::proportion::wilson;
    use super::*;

    fn share(correct: u64, count: u64) -> Share {
        Share { correct, count }
    }

    #[test]
    fn the_level_is_that_of_every_interval() {
        assert!((1.0 - 2.0 / ONE_IN as f64 - CONFIDENCE).abs() < 1e-15);
    }

    #[test]
    fn the_table_is_the_binomial_distribution() {
        for (correct, count) in [(1, 2), (1, 7), (97, 100), (880, 1000), (9990, 10_000)] {
            let table = Resampled::of(share(correct, count));
            let p = correct as f64 / count as f64;
            let q = (count - correct) as f64 / count as f64;
            let mut before = 0.0;
            for (index, at_most) in table.at_most.iter().enumerate() {
                let number = table.first + index as u64;
                let known = binomial(number as f64, (count - number) as f64, p, q).exp();
                let difference = at_most - before - known;
                assert!(
                    difference.abs() < 1e-12,
                    "{correct} of {count}: {difference}"
                );
                before = *at_most;
            }
        }
    }

    #[test]
    fn a_mean_of_one_large_class_is_as_wide_as_its_share() {
        // Standard error √(0.16 / 99) = 0.0402; two standard errors of a quantile from 2,000 resamples are less than 0.01.
        let classes = BTreeMap::from([(3, share(80, 100))]);
        let [low, high] = interval_of_mean_share(&classes);
        assert!((low - (0.8 - 1.96 * 0.0402)).abs() < 0.012, "{low}");
        assert!((high - (0.8 + 1.96 * 0.0402)).abs() < 0.012, "{high}");
        let again = interval_of_mean_share(&classes);
        assert_eq!([low, high].map(f64::to_bits), again.map(f64::to_bits));
        assert!(interval_of_mean_share(&BTreeMap::new())[0].is_nan());
    }

    #[test]
    fn two_samples_a_class_are_scaled() {
        // Half of 200 classes have one of two right, the others both: variance Σ 0.5² / (2 − 1) / 200² = 100 · 0.25 / 40,000; error 0.025.
        let classes = (0..200).map(|class| (class, share(1 + u64::from(class % 2), 2)));
        let [low, high] = interval_of_mean_share(&classes.collect());
        assert!(
            (high - low - 2.0 * 1.96 * 0.025).abs() < 0.006,
            "{low} {high}"
        );
    }

    #[test]
    fn where_all_are_right_it_is_wilsons() {
        let classes: BTreeMap<u32, Share> = (0..10).map(|class| (class, share(5, 5))).collect();
        let (own, known) = (interval_of_mean_share(&classes), wilson(50, 50, CONFIDENCE));
        assert!((own[0] - known[0]).abs() < 1e-12 && own[1] >= 1.0);
        let uneven = BTreeMap::from([(0, share(98, 98)), (1, share(2, 2))]);
        // 1 / (1/392 + 1/8).
        let worth = 1.0 / (0.25 / 98.0 + 0.125);
        let low = worth / (worth + 3.841_458_820_694_124);
        assert!((interval_of_mean_share(&uneven)[0] - low).abs() < 1e-12);
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
            let seen = f64::from(*seen) / f64::from(count);
            assert!((seen - likely).abs() < 5.0 * error, "{seen} {likely}");
        }
    }
}
