//! Mean, deviation, and the interval of a mean over what its values were drawn from.
//!
//! The interval is Student's: mean ± t · s / √n, with s the sample standard deviation and t the quantile of n − 1 degrees of freedom. With values of
//! several seeds it says where the mean over very many seeds would be, on the same images.

use super::{CONFIDENCE, student_quantile};

/// Mean of some values; `None` where there are none.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation, `sqrt(Σ (x - mean)² / (n - 1))`; `None` for fewer than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    (values.len() > 1).then(|| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    })
}

/// Standard error of the mean: the sample standard deviation divided by the root of n; `None` for fewer than two values.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    Some(deviation(values)? / (values.len() as f64).sqrt())
}

/// The interval of the mean over what the values were drawn from, at the level [`CONFIDENCE`]: mean ± t · standard error, with Student's t of
/// n − 1 degrees of freedom; `None` for fewer than two values. It knows nothing of the limits of a share, and may end beyond them.
pub fn interval_of_mean(values: &[f64]) -> Option<[f64; 2]> {
    let (mean, error) = (mean(values)?, standard_error(values)?);
    let reach = student_quantile((1.0 - CONFIDENCE) / 2.0, (values.len() - 1) as f64) * error;
    Some([mean - reach, mean + reach])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_by_hand() {
        // 0.80, 0.82, 0.87: mean 0.83; squares 9e-4 + 1e-4 + 16e-4 = 26e-4; over 2 = 13e-4; root 0.0360555…
        let values = [0.80, 0.82, 0.87];
        assert!((mean(&values).unwrap() - 0.83).abs() < 1e-12);
        assert!((deviation(&values).unwrap() - 0.036_055_512_754_639_9).abs() < 1e-12);
        // 0.0360555… divided by the root of 3.
        assert!((standard_error(&values).unwrap() - 0.020_816_659_994_661_3).abs() < 1e-12);
        assert_eq!((deviation(&[0.5]), standard_error(&[0.5])), (None, None));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn the_interval_of_a_mean_by_hand() {
        // Mean 0.83, standard error 0.0208167, t of 2 degrees of freedom 4.30265: 0.83 ± 0.0895669.
        let [low, high] = interval_of_mean(&[0.80, 0.82, 0.87]).unwrap();
        assert!((low - 0.740_433).abs() < 1e-6 && (high - 0.919_567).abs() < 1e-6);
        assert_eq!(interval_of_mean(&[0.5]), None);
    }
}
