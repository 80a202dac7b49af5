//! Small helpers for texts and for numbers in them.

use std::borrow::Cow;

/// A count with thousands separated by commas: 1,234,567.
pub fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun: "1 pass", "3 passes".
pub fn plural(number: usize, noun: &str) -> String {
    let ending = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", count(number))
}

/// A text, or its first characters and `…` where it has more than `most`.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

/// A size in bytes, in binary units.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = size as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{size} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A size that was typed: a number and a unit, in capitals or not. `K`, `M`, `G` and `T` are `KiB`, `MiB`, `GiB` and `TiB`, as for Slurm,
/// Java and Docker; `kB`, `MB`, `GB` and `TB` are powers of ten.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let typed = text.trim();
    let unit = typed.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
    let number = typed.strip_suffix(unit).unwrap_or_default().trim();
    let size: Option<u64> = match unit.to_ascii_lowercase().as_str() {
        "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let found = size
        .zip(number.parse::<f64>().ok())
        .map(|(size, number)| number * size as f64);
    match found {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be in range, and a part of a byte does not count"
        )]
        Some(size) if (1.0..1e18).contains(&size) => Ok(size as u64),
        _ => Err(format!(
            "invalid size `{text}`: expected a number and a unit, such as `8G`, `8GiB` or `500MB`"
        )),
    }
}

/// Seconds that were typed: a number from 0.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
        _ => Err(format!(
            "invalid duration `{text}`: expected a number of seconds from 0, such as `60` or `0.5`"
        )),
    }
}

/// A number of floating-point operations with three significant digits: "1.25 teraFLOP", "28.0 exaFLOP".
pub fn operations(number: f64) -> String {
    const UNITS: [&str; 8] = ["", "kilo", "mega", "giga", "tera", "peta", "exa", "zetta"];
    let (mut value, mut unit) = (number, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}FLOP", rate(value), UNITS[unit])
}

/// An age that was typed: a whole number and a unit, `h`, `d` or `w`.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn parse_age(text: &str) -> Result<std::time::Duration, String> {
    let text = text.trim();
    let hours = [("h", 1), ("d", 24), ("w", 7 * 24)]
        .iter()
        .find_map(|(unit, hours)| {
            let number = text.strip_suffix(unit)?.trim().parse::<u32>().ok()?;
            Some(u64::from(number) * hours)
        });
    match hours {
        Some(hours) => Ok(std::time::Duration::from_secs(hours * 3600)),
        None => Err(format!(
            "invalid age `{text}`: expected hours, days or weeks, such as `12h`, `30d` or `4w`"
        )),
    }
}

/// A rate with three significant digits: "0.123", "32.3", "1,240".
pub fn rate(a_second: f64) -> String {
    let digits = match a_second.abs() {
        0.0..1.0 => 3,
        1.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    if digits > 0 || a_second < 999.5 {
        return format!("{a_second:.digits$}");
    }
    let size = 10_f64.powf(a_second.log10().floor() - 2.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nothing happens 2^63 times a second"
    )]
    let rounded = ((a_second / size).round() * size).round() as u64;
    count(rounded)
}

/// A duration: "0.3 s", "12 s", "4 min 05 s", "2 h 07 min".
pub fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run lasts less than 2^53 seconds"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        let hours = |text| parse_age(text).map(|age| age.as_secs() / 3600);
        assert_eq!(hours("12h"), Ok(12));
        assert_eq!(hours(" 30 d"), Ok(720));
        assert_eq!(hours("4w"), Ok(672));
        for wrong in ["", "30", "d", "-1d", "1.5d", "1m"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, size) in [
            ("8GiB", 8 << 30),
            ("8G", 8 << 30),
            ("8g", 8 << 30),
            ("8 gib", 8 << 30),
            ("8GB", 8_000_000_000),
            ("500M", 500 << 20),
            ("500m", 500 << 20),
            ("2T", 2 << 40),
            ("16kb", 16_000),
            ("1.5 KiB", 1536),
            ("500MB", 500_000_000),
            ("64B", 64),
        ] {
            assert_eq!(parse_bytes(text), Ok(size), "{text}");
        }
        for text in [
            "8", "GiB", "-1GiB", "0B", "eightGiB", "1e30TiB", "8X", "8Gi", "",
        ] {
            assert!(parse_bytes(text).unwrap_err().contains("such as"), "{text}");
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(7u64), "7");
        assert_eq!(count(1_234_567u64), "1,234,567");
        assert_eq!(plural(1, "pass"), "1 pass");
        assert_eq!(plural(1200, "image"), "1,200 images");
        assert_eq!(plural(2, "pass"), "2 passes");
        assert_eq!(bytes(10), "10 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        for (a_second, text) in [
            (0.0, "0.000"),
            (0.123_4, "0.123"),
            (5.043_1, "5.04"),
            (32.255_6, "32.3"),
            (99.96, "100"),
            (279.4, "279"),
            (1_236.0, "1,240"),
            (98_765.0, "98,800"),
        ] {
            assert_eq!(rate(a_second), text);
        }
        assert_eq!(operations(27.96e18), "28.0 exaFLOP");
        assert_eq!(operations(999_400.0), "999 kiloFLOP");
        assert_eq!(operations(12.0), "12.0 FLOP");
        assert_eq!(duration(0.25), "0.2 s");
        assert_eq!(duration(65.0), "1 min 05 s");
        assert_eq!(duration(7500.0), "2 h 05 min");
    }
}
