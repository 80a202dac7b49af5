//! How far outside of an interval a number lies, as a p-value.

use super::CONFIDENCE;
use super::distributions::{normal_quantile, normal_two_sided};

/// The two-sided p-value of the hypothesis that what was estimated is `number`, by the interval of the estimate at the level
/// [`CONFIDENCE`]: the half of the interval on the side of the number is taken for as many standard errors as a normal distribution has
/// there. It is below `1 - CONFIDENCE` where the number is outside of the interval, and only there. 1 where the number is the estimate, and
/// 0 where it is another and the interval has no width on its side; not a number where one of them is none.
pub fn outside(number: f64, estimate: f64, [low, high]: [f64; 2]) -> f64 {
    let distance = (number - estimate).abs();
    let half = if number < estimate {
        estimate - low
    } else {
        high - estimate
    };
    if distance == 0.0 {
        return 1.0;
    }
    if half <= 0.0 {
        return 0.0;
    }
    let quantile = normal_quantile((1.0 - CONFIDENCE) / 2.0);
    normal_two_sided(distance / half * quantile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_where_the_level_is() {
        let bounds = [0.6, 0.75];
        for bound in bounds {
            assert!((outside(bound, 0.7, bounds) - 0.05).abs() < 1e-12);
        }
        assert!(outside(0.599, 0.7, bounds) < 0.05 && outside(0.601, 0.7, bounds) > 0.05);
        assert!((outside(0.7, 0.7, bounds) - 1.0).abs() < 1e-15);
        // Twice as far as the bound: two times 1.96 standard errors.
        assert!((outside(0.8, 0.7, bounds) - 8.857e-5).abs() < 1e-7);
        assert!(outside(0.8, 0.7, [0.6, 0.7]).abs() < 1e-300);
        assert!(outside(f64::NAN, 0.7, bounds).is_nan());
    }
}
