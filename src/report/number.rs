//! Numbers for readers. The only place where a fraction becomes percent.

use crate::statistics::CONFIDENCE;

pub use crate::statistics::mean::{deviation, interval_of_mean, mean, standard_error};

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
    fn the_level_in_words() {
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
