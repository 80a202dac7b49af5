//! The difference of two results, paired over images and crossed with seeds.
//!
//! Both heads score the same n images, once for each of m seeds. Let D be the difference of their scores, `[m, n]`. Its model is
//! D = δ + image + seed + residual, all but δ random with mean 0: other images, and other seeds, would have given another difference. With d
//! the mean of all, dᵢ the images' means over seeds and dₛ the seeds' means over images,
//!
//! variance of d ≈ V_images + V_seeds, V_images = Σ (dᵢ − d)² / (n − 1) / n, V_seeds = Σ (dₛ − d)² / (m − 1) / m.
//!
//! The residual is in both terms, though it is in the variance of d once: the sum is too large rather than too small, above all where there is
//! nothing but residual. With one seed there is the images' term alone, and the result holds for that seed.
//!
//! # Which quantile
//! V_seeds has m − 1 degrees of freedom, which are one to four, and a normal quantile takes it for exact. Measured on normal numbers without a difference,
//! 300 images, as the share of |d| beyond the interval of 95 % (`docs/concepts/statistics.md` has the table): where seeds matter, the normal quantile is
//! wrong in 8 to 23 % of the tables with 2 and 3 seeds. Student's quantile with Satterthwaite's degrees of freedom is in 5 to 13 %, since two terms with
//! one or two degrees of freedom do not tell how many they are worth together. What holds is Banerjee's interval,
//!
//! reach² = t²₍ₙ₋₁₎ V_images + t²₍ₘ₋₁₎ V_seeds,
//!
//! whose coverage is at least the level whatever the ratio of the two variances; p is the level at which the interval ends at 0. So this is
//! the default. Where seeds do not matter it is nearly the normal one; with two seeds that differ it is very wide, which is what two seeds
//! are worth.
//!
//! # Reference
//! Banerjee, On Confidence Interval for Two-Means Problem Based on Separate Estimates of Variances and Tabulated Values of t-Table (1961).
//! Satterthwaite, An Approximate Distribution of Estimates of Variance Components (1946). The formula of the variance is (MS_images + MS_seeds) / nm of
//! a two-way analysis of variance.

use super::distributions::falling_root;
use super::{CONFIDENCE, normal_quantile, normal_two_sided, student_quantile, student_two_sided};

/// From which distribution interval and p are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Student's quantile for each of the two terms: never narrower than its level.
    #[default]
    Banerjee,
    /// One quantile of Student's with Satterthwaite's degrees of freedom.
    Satterthwaite,
    /// The normal quantile.
    Normal,
    /// The normal quantile, and the residual counted once: V_images + V_seeds − MS_residual / nm.
    NormalResidualOnce,
}

/// A difference with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Mean of first − second over all seeds and images.
    pub difference: f64,
    /// What images contribute to the variance of the difference.
    pub variance_images: f64,
    /// What seeds contribute to it; 0 with one seed.
    pub variance_seeds: f64,
    /// The standard error: the root of both together.
    pub error: f64,
    /// Satterthwaite's degrees of freedom of `error`; not a number where it is 0.
    pub freedom: f64,
    /// Lower bound of the interval at the level [`CONFIDENCE`].
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Two-sided p of no difference: 1 where all scores are equal.
    pub p: f64,
    /// How many images were compared.
    pub images: usize,
    /// How many seeds.
    pub seeds: usize,
}

/// Compares two results by [`Method::Banerjee`]: scores by seed and then by image, `[m, n]` each, with the same seeds and images in the same
/// order. `None` without seeds, with fewer than two images, or for matrices of different shapes.
pub fn paired(first: &[Vec<f64>], second: &[Vec<f64>]) -> Option<Paired> {
    paired_by(first, second, Method::default())
}

/// [`paired`], by a method.
pub fn paired_by(first: &[Vec<f64>], second: &[Vec<f64>], method: Method) -> Option<Paired> {
    if first.len() != second.len() {
        return None;
    }
    let difference = |(first, second): (&Vec<f64>, &Vec<f64>)| -> Option<Vec<f64>> {
        let both = first.iter().zip(second);
        (first.len() == second.len()).then(|| both.map(|(first, second)| first - second).collect())
    };
    let differences: Vec<Vec<f64>> = first
        .iter()
        .zip(second)
        .map(difference)
        .collect::<Option<_>>()?;
    of_differences(&differences, method)
}

/// [`paired_by`], from the differences themselves, `[m, n]`: any contrast of scores whose mean over images and seeds is asked for.
pub fn of_differences(differences: &[Vec<f64>], method: Method) -> Option<Paired> {
    let Moments {
        mean,
        images,
        seeds,
        squares_images,
        squares_seeds,
        squares_residual,
    } = Moments::of(differences)?;
    let (n, m) = (images as f64, seeds as f64);
    let variance_images = squares_images / (n - 1.0) / n;
    let variance_seeds = if seeds > 1 {
        squares_seeds / (m - 1.0) / m
    } else {
        0.0
    };
    let mut variance = variance_images + variance_seeds;
    if method == Method::NormalResidualOnce && seeds > 1 {
        let residual = squares_residual / ((n - 1.0) * (m - 1.0)) / (n * m);
        // The estimate can fall below the residual's own part, which the true variance cannot.
        variance = (variance - residual).max(residual);
    }
    let error = variance.sqrt();
    let of_seeds = if seeds > 1 {
        variance_seeds.powi(2) / (m - 1.0)
    } else {
        0.0
    };
    let freedom = (variance_images + variance_seeds).powi(2)
        / (variance_images.powi(2) / (n - 1.0) + of_seeds);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // Half the width of the interval that leaves `tail` on either side.
    let banerjee = |tail: f64| {
        let mut square = student_quantile(tail, n - 1.0).powi(2) * variance_images;
        if variance_seeds > 0.0 {
            square += student_quantile(tail, m - 1.0).powi(2) * variance_seeds;
        }
        square.sqrt()
    };
    let (reach, p) = if error > 0.0 {
        let ratio = mean / error;
        match method {
            Method::Banerjee => (
                banerjee(tail),
                banerjee_p(mean, variance_images, variance_seeds, n, m),
            ),
            Method::Satterthwaite => (
                student_quantile(tail, freedom) * error,
                student_two_sided(ratio, freedom),
            ),
            Method::Normal | Method::NormalResidualOnce => {
                (normal_quantile(tail) * error, normal_two_sided(ratio))
            }
        }
    } else if mean.abs() > 0.0 {
        (0.0, 0.0)
    } else {
        // No error and no difference; or scores that are not numbers, of which nothing is known.
        (error, if mean.is_nan() { f64::NAN } else { 1.0 })
    };
    Some(Paired {
        difference: mean,
        variance_images,
        variance_seeds,
        error,
        freedom,
        low: mean - reach,
        high: mean + reach,
        p,
        images,
        seeds,
    })
}

/// The p at which Banerjee's interval ends at 0: the root of t²₍ₙ₋₁₎(p) V_images + t²₍ₘ₋₁₎(p) V_seeds = d². It is searched in t₍ₘ₋₁₎, where
/// it is monotone: t₍ₘ₋₁₎ is at least 0 and at most |d| / √V_seeds.
fn banerjee_p(mean: f64, images: f64, seeds: f64, n: f64, m: f64) -> f64 {
    if seeds <= 0.0 {
        return student_two_sided(mean / images.sqrt(), n - 1.0);
    }
    if images <= 0.0 {
        return student_two_sided(mean / seeds.sqrt(), m - 1.0);
    }
    let reach = |t: f64| {
        let tail = student_two_sided(t, m - 1.0) / 2.0;
        let other = student_quantile(tail, n - 1.0);
        t * t * seeds + other * other * images
    };
    let highest = mean.abs() / seeds.sqrt();
    let t = falling_root(|t| -reach(t), -mean * mean, 0.0, highest);
    student_two_sided(t, m - 1.0)
}

/// Mean and sums of squares of a matrix `[m, n]`.
pub(super) struct Moments {
    /// Mean of all.
    pub(super) mean: f64,
    /// n.
    pub(super) images: usize,
    /// m.
    pub(super) seeds: usize,
    /// Σ (dᵢ − d)² over images, of means over seeds.
    pub(super) squares_images: f64,
    /// Σ (dₛ − d)² over seeds, of means over images.
    pub(super) squares_seeds: f64,
    /// Σ (D − dᵢ − dₛ + d)² over all.
    pub(super) squares_residual: f64,
}

impl Moments {
    /// `None` without seeds, with fewer than two images, or for rows of different lengths.
    pub(super) fn of(matrix: &[Vec<f64>]) -> Option<Self> {
        let seeds = matrix.len();
        let images = matrix.first()?.len();
        if images < 2 || matrix.iter().any(|row| row.len() != images) {
            return None;
        }
        let mut of_images = vec![0.0; images];
        for row in matrix {
            for (sum, value) in of_images.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for sum in &mut of_images {
            *sum /= seeds as f64;
        }
        let mean = of_images.iter().sum::<f64>() / images as f64;
        let of_seeds: Vec<f64> = matrix
            .iter()
            .map(|row| row.iter().sum::<f64>() / images as f64)
            .collect();
        let squares = |means: &[f64]| means.iter().map(|value| (value - mean).powi(2)).sum();
        let mut squares_residual = 0.0;
        for (row, of_seed) in matrix.iter().zip(&of_seeds) {
            for (value, of_image) in row.iter().zip(&of_images) {
                squares_residual += (value - of_image - of_seed + mean).powi(2);
            }
        }
        Some(Self {
            mean,
            images,
            seeds,
            squares_images: squares(&of_images),
            squares_seeds: squares(&of_seeds),
            squares_residual,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_students_test_of_pairs() {
        // Differences 1, 1, 0, −1: mean 0.25, sample deviation 0.9574, t = 0.5222 with 3 degrees of freedom; p = 0.6376.
        let first = vec![vec![1.0, 1.0, 0.0, 0.0]];
        let second = vec![vec![0.0, 0.0, 0.0, 1.0]];
        let result = paired(&first, &second).unwrap();
        assert!((result.difference - 0.25).abs() < 1e-15);
        assert!((result.error - (11.0_f64 / 12.0).sqrt() / 2.0).abs() < 1e-14);
        assert!((result.p - 0.637_618).abs() < 1e-5, "{result:?}");
        assert!((result.freedom - 3.0).abs() < 1e-12);
        assert_eq!((result.images, result.seeds), (4, 1));
    }

    #[test]
    fn p_is_where_the_interval_ends_at_0() {
        for method in [Method::Banerjee, Method::Satterthwaite, Method::Normal] {
            let base: Vec<Vec<f64>> = (0..3_u32)
                .map(|seed| {
                    let value =
                        |image: u32| f64::from((image * 7 + seed * 5) % 11) + f64::from(seed);
                    (0..20).map(value).collect()
                })
                .collect();
            let zero = vec![vec![0.0; 20]; 3];
            let bounds = paired_by(&base, &zero, method).unwrap();
            // Moved so that its lower bound is 0, the same matrix has p = 1 − level.
            let moved: Vec<Vec<f64>> = base
                .iter()
                .map(|row| row.iter().map(|value| value - bounds.low).collect())
                .collect();
            let result = paired_by(&moved, &zero, method).unwrap();
            assert!(
                result.low.abs() < 1e-12 && (result.p - 0.05).abs() < 1e-9,
                "{result:?}"
            );
            let other = paired_by(&zero, &moved, method).unwrap();
            assert!((other.p - result.p).abs() < 1e-12 && (other.high + result.low).abs() < 1e-12);
        }
    }

    #[test]
    fn without_differences_nothing_is_found() {
        let scores = vec![vec![1.0, 0.0, 1.0]; 2];
        let same = paired(&scores, &scores).unwrap();
        assert!((same.p - 1.0).abs() < 1e-15 && same.low.abs() < 1e-15 && same.high.abs() < 1e-15);
        let always = paired(&scores, &[vec![0.0, -1.0, 0.0], vec![0.0, -1.0, 0.0]]).unwrap();
        assert!(always.p.abs() < 1e-300 && (always.low - 1.0).abs() < 1e-15);
    }

    #[test]
    fn shapes_have_to_agree() {
        let two = vec![vec![1.0, 0.0]; 2];
        assert_eq!(paired(&[], &[]), None);
        assert_eq!(paired(&two, &two[..1]), None);
        assert_eq!(paired(&two, &[vec![1.0, 0.0], vec![1.0]]), None);
        assert_eq!(paired(&[vec![1.0]], &[vec![0.0]]), None);
    }
}
