//! Numbers for readers. The only place where a fraction becomes percent.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::metrics::CONFIDENCE;

/// How a metric's values are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// The value is a fraction and shown in percent.
    Percent,
    /// The value is shown as it is, in this unit.
    Plain(String),
}

impl Unit {
    /// The unit of a result row. Rows hold fractions whichever of the two words they use for it.
    pub fn of(unit: &str) -> Self {
        match unit {
            "fraction" | "percent" | "%" => Self::Percent,
            other => Self::Plain(other.to_owned()),
        }
    }

    /// The value on the shown scale: a fraction times 100.
    pub fn scaled(&self, value: f64) -> f64 {
        match self {
            Self::Percent => value * 100.0,
            Self::Plain(_) => value,
        }
    }

    /// The value as text, without the unit.
    pub fn show(&self, value: f64, decimals: usize) -> String {
        let text = format!("{:.decimals$}", self.scaled(value));
        // A mean that rounds to zero from below would print as "-0.00".
        match text.strip_prefix('-') {
            Some(digits) if digits.chars().all(|digit| digit == '0' || digit == '.') => {
                digits.to_owned()
            }
            _ => text,
        }
    }

    /// The unit in words: "in percent".
    pub fn phrase(&self) -> String {
        match self {
            Self::Percent => "in percent".to_owned(),
            Self::Plain(unit) if unit.is_empty() => "without a unit".to_owned(),
            Self::Plain(unit) => format!("in {unit}"),
        }
    }

    /// What follows a tick's number.
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Plain(_) => "",
        }
    }
}

/// A number with at most three significant digits.
pub fn significant(value: f64) -> String {
    let scientific = format!("{value:.2e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        // Infinite, or none at all.
        return scientific;
    };
    match exponent.parse() {
        Ok(exponent @ -4..=5_i32) => {
            // A number between 0 and 6.
            let decimals = usize::try_from(2 - exponent).unwrap_or(0);
            trimmed(&format!("{value:.decimals$}")).to_owned()
        }
        _ => format!("{}e{exponent}", trimmed(digits)),
    }
}

/// A decimal number without the zeros at its end.
fn trimmed(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

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
    let reach = students_t(values.len() - 1)? * error;
    Some([mean - reach, mean + reach])
}

/// The quantile of Student's distribution that leaves half of what [`CONFIDENCE`] leaves above it.
fn students_t(freedom: usize) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom as f64).ok()?;
    Some(distribution.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)))
}

/// The level of every interval in words: "95 %".
pub fn confidence() -> String {
    format!("{:.0} %", 100.0 * CONFIDENCE)
}

/// Words in a row: "a", "a and b", "a, b and c".
pub fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
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
    fn students_t_is_what_tables_say() {
        // The closed forms for one, two and four degrees of freedom, with a = 4 · 0.975 · 0.025; the others from printed tables.
        let a: f64 = 0.0975;
        let tangent = (0.475 * std::f64::consts::PI).tan();
        let two = 0.95 * (2.0 / a).sqrt();
        let four = 2.0 * ((a.sqrt().acos() / 3.0).cos() / a.sqrt() - 1.0).sqrt();
        let known = [
            (1, tangent, 1e-11),
            (2, two, 1e-11),
            (2, 4.302_652_729_749_464, 1e-11),
            (4, four, 1e-11),
            (9, 2.262_157, 1e-6),
            (29, 2.045_230, 1e-6),
            (99, 1.984_217, 1e-6),
        ];
        for (freedom, quantile, tolerance) in known {
            let difference = students_t(freedom).unwrap() - quantile;
            assert!(difference.abs() < tolerance, "{freedom}: {difference}");
        }
        assert_eq!(students_t(0), None);
    }

    #[test]
    fn the_interval_of_a_mean_by_hand() {
        // Mean 0.83, standard error 0.0208167, t of 2 degrees of freedom 4.30265: 0.83 ± 0.0895669.
        let [low, high] = interval_of_mean(&[0.80, 0.82, 0.87]).unwrap();
        assert!((low - 0.740_433).abs() < 1e-6 && (high - 0.919_567).abs() < 1e-6);
        assert_eq!(interval_of_mean(&[0.5]), None);
        assert_eq!(confidence(), "95 %");
    }

    #[test]
    fn fractions_become_percent() {
        assert_eq!(Unit::of("fraction").show(0.812_34, 2), "81.23");
        assert_eq!(Unit::of("nats").show(0.812_34, 2), "0.81");
        assert_eq!(Unit::of("fraction").show(-0.000_001, 2), "0.00");
    }

    #[test]
    fn three_digits_tell_most() {
        let texts = [0.0001, 0.012_345, 0.999_9, 1.5, 1234.5, 2.5e-7, 0.0, 3e9].map(significant);
        assert_eq!(
            texts,
            ["0.0001", "0.0123", "1", "1.5", "1234", "2.5e-7", "0", "3e9"]
        );
        assert_eq!(significant(f64::NAN), "NaN");
    }

    #[test]
    fn lists_end_in_and() {
        let words: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(listed(&words), "a, b and c");
        assert_eq!(listed(&words[..2]), "a and b");
        assert_eq!(listed(&[]), "");
    }
}
