//! Axes: which numbers stand along them, and where.

use super::canvas::rounded;
use super::lettering::width_of;
use crate::report::axes;
use crate::report::error::ReportError;
use crate::store::AxisValue;

/// How values are spread along the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XScale {
    /// By their size.
    Linear,
    /// By their logarithm.
    Log,
    /// One after the other.
    Category,
}

/// The words for [`XScale`], as they are typed.
pub const X_SCALES: &[(&str, XScale)] = &[
    ("linear", XScale::Linear),
    ("log", XScale::Log),
    ("category", XScale::Category),
];

impl XScale {
    /// Where each value stands; on a category scale that is its number in the list.
    ///
    /// # Errors
    /// A word on a numeric scale, and a number on a logarithmic one that has no logarithm.
    pub fn positions(
        self,
        place: &str,
        axis: &str,
        values: &[AxisValue],
    ) -> Result<Vec<f64>, ReportError> {
        let refuse = |value: &AxisValue, scale, hint| ReportError::Scale {
            place: place.to_owned(),
            axis: axis.to_owned(),
            value: value.to_string(),
            scale,
            hint,
        };
        let position = |(number, value): (usize, &AxisValue)| match (self, axes::number(value)) {
            (Self::Category, _) => Ok(number as f64),
            (Self::Linear, Some(position)) => Ok(position),
            (Self::Log, Some(position)) if position > 0.0 => Ok(position.log10()),
            (Self::Linear, None) => Err(refuse(value, "linear", "set `x_scale = \"category\"`")),
            (Self::Log, _) => Err(refuse(
                value,
                "logarithmic",
                "set `x_scale = \"category\"`, or leave the value out by `where`",
            )),
        };
        values.iter().enumerate().map(position).collect()
    }
}

/// Numbers along the vertical axis: round ones, a few of them, around all values.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    /// The numbers, from low to high.
    pub values: Vec<f64>,
    /// Decimals that tell them apart.
    pub decimals: usize,
    /// The lower end of the axis.
    pub low: f64,
    /// The upper end of the axis.
    pub high: f64,
}

/// Ticks around some values. `limits` are ends that the axis does not pass unless a value does.
pub fn ticks(lowest: f64, highest: f64, limits: Option<(f64, f64)>) -> Ticks {
    let mut span = highest - lowest;
    if span <= highest.abs().max(1e-9) * 1e-9 {
        span = if highest == 0.0 {
            1.0
        } else {
            highest.abs() * 0.1
        };
    }
    let (low, high) = (lowest - 0.06 * span, highest + 0.06 * span);
    let raw = (high - low) / 6.0;
    let magnitude = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|factor| factor * magnitude >= raw * 0.999)
        .unwrap_or(10.0);
    let step = factor * magnitude;
    let (mut first, mut last) = ((low / step).floor(), (high / step).ceil());
    if let Some((least, most)) = limits {
        if lowest >= least {
            first = first.max((least / step).ceil());
        }
        if highest <= most {
            last = last.min((most / step).floor());
        }
    }
    let mut values = Vec::new();
    let mut index = first;
    while index <= last {
        values.push(index * step);
        index += 1.0;
    }
    let decimals = (0..8)
        .find(|decimals| (step * 10f64.powi(*decimals)).fract().abs() < 1e-6)
        .unwrap_or(8);
    Ticks {
        low: (first * step).min(lowest),
        high: (last * step).max(highest),
        values,
        // A number between 0 and 8.
        decimals: usize::try_from(decimals).unwrap_or(0),
    }
}

/// Numbers along a logarithmic axis between two positive ones, as text: the decades with their halves and fifths, as many as can be
/// told apart, or plain round numbers where all is of one size.
pub fn log_ticks(lowest: f64, highest: f64) -> Vec<(f64, String)> {
    let within = |value: f64| (lowest..=highest).contains(&value);
    if highest / lowest < 8.0 {
        let linear = ticks(lowest, highest, None);
        let values = linear.values.into_iter().filter(|value| within(*value));
        return values
            .map(|value| (value, format!("{value:.0$}", linear.decimals)))
            .collect();
    }
    let (first, last) = (
        rounded(lowest.log10().floor()),
        rounded(highest.log10().ceil()),
    );
    let every = |factors: &[u32], stride: usize| -> Vec<(f64, String)> {
        let decades = (first..=last).step_by(stride);
        decades
            .flat_map(|decade| {
                factors
                    .iter()
                    .map(move |factor| format!("{factor}e{decade}"))
            })
            // Read from text, so that it is the number nearest to what is written.
            .filter_map(|text| text.parse().ok().map(|value: f64| (value, text)))
            .filter(|(value, _)| within(*value))
            .map(|(value, text)| match value {
                1e-4..1e6 => (value, value.to_string()),
                _ => (value, text),
            })
            .collect()
    };
    let fine = every(&[1, 2, 5], 1);
    if fine.len() <= 8 {
        return fine;
    }
    // No number has more than 700 decades.
    (1..=100)
        .map(|stride| every(&[1], stride))
        .find(|ticks| ticks.len() <= 8)
        .unwrap_or_default()
}

/// Numbers around two places on a logarithmic axis, by their logarithms: from the last of the decades, their halves and their fifths that
/// is not above the lower place to the first that is not below the upper one; the decades alone where those are many.
pub fn round_ticks(lowest: f64, highest: f64) -> Vec<(f64, String)> {
    let (first, last) = (rounded(lowest.floor()), rounded(highest.ceil()));
    let around = |factors: &[u32]| -> Vec<(f64, String)> {
        let decades = (first..=last).flat_map(|decade| {
            factors
                .iter()
                .map(move |factor| format!("{factor}e{decade}"))
        });
        let all: Vec<f64> = decades.filter_map(|text| text.parse().ok()).collect();
        // Rounding of a logarithm must not push out the number that it is of.
        let place = |value: &f64| value.log10();
        let from = all
            .iter()
            .rposition(|value| place(value) <= lowest + 1e-9)
            .unwrap_or(0);
        let to = all
            .iter()
            .position(|value| place(value) >= highest - 1e-9)
            .unwrap_or(all.len().saturating_sub(1));
        let kept = all.get(from..=to.max(from)).unwrap_or_default();
        kept.iter()
            .map(|value| (place(value), value.to_string()))
            .collect()
    };
    let fine = around(&[1, 2, 5]);
    if fine.len() <= 10 { fine } else { around(&[1]) }
}

/// Which labels along the horizontal axis are written: as many as fit, the first and the last among them. Places in CSS pixels, ascending.
pub fn fitting(labels: &[(i32, String)], size: f64) -> Vec<usize> {
    let half = |text: &str| width_of(text, size) / 2 + 5;
    let apart = |left: usize, right: usize| match (labels.get(left), labels.get(right)) {
        (Some((left, left_text)), Some((right, right_text))) => {
            right - left >= half(left_text) + half(right_text)
        }
        _ => false,
    };
    let mut kept: Vec<usize> = Vec::new();
    for index in 0..labels.len() {
        if kept.last().is_none_or(|last| apart(*last, index)) {
            kept.push(index);
        }
    }
    let last = labels.len().saturating_sub(1);
    if kept.last().is_some_and(|kept| *kept != last) {
        while kept.len() > 1 && kept.last().is_some_and(|kept| !apart(*kept, last)) {
            kept.pop();
        }
        if kept.last().is_some_and(|kept| apart(*kept, last)) {
            kept.push(last);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    #[test]
    fn ticks_are_round_and_surround_the_values() {
        let ticks = ticks(61.3, 78.9, Some((0.0, 100.0)));
        assert_eq!(ticks.values, [60.0, 65.0, 70.0, 75.0, 80.0]);
        assert_eq!((ticks.low, ticks.high, ticks.decimals), (60.0, 80.0, 0));
    }

    #[test]
    fn percent_axes_stop_at_their_ends() {
        let ticks = ticks(96.0, 99.9, Some((0.0, 100.0)));
        assert!((ticks.high - 100.0).abs() < 1e-9, "{ticks:?}");
        assert!(ticks.values.iter().all(|value| *value <= 100.0));
    }

    #[test]
    fn equal_values_get_an_axis_too() {
        for value in [0.0, 50.0, 1e-5] {
            let ticks = ticks(value, value, None);
            assert!(
                ticks.low < ticks.high
                    && ticks.low <= value
                    && value <= ticks.high
                    && ticks.values.len() >= 2,
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn fine_steps_show_their_decimals() {
        assert_eq!(ticks(0.100, 0.104, None).decimals, 3);
    }

    #[test]
    fn positions_follow_the_scale() {
        let values = [AxisValue::Integer(1), AxisValue::Integer(100)];
        assert_eq!(
            XScale::Linear.positions("f", "block", &values).unwrap(),
            [1.0, 100.0]
        );
        assert_eq!(
            XScale::Log.positions("f", "block", &values).unwrap(),
            [0.0, 2.0]
        );
        assert_eq!(
            XScale::Category.positions("f", "block", &values).unwrap(),
            [0.0, 1.0]
        );
        let text = XScale::Linear
            .positions("figure `f`", "model", &[AxisValue::Text("gd".to_owned())])
            .unwrap_err()
            .explain()
            .to_string();
        assert!(text.contains("`gd`") && text.contains("category"), "{text}");
        assert!(
            XScale::Log
                .positions("f", "block", &[AxisValue::Integer(0)])
                .is_err()
        );
    }

    #[test]
    fn logarithmic_ticks_are_decades_and_their_parts() {
        let texts = |low, high| -> Vec<String> {
            let ticks = log_ticks(low, high).into_iter();
            ticks.map(|(_, text)| text).collect()
        };
        assert_eq!(
            texts(0.015, 1.2),
            ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]
        );
        assert_eq!(texts(0.2, 0.42), ["0.20", "0.25", "0.30", "0.35", "0.40"]);
        assert_eq!(texts(3e-7, 2.0)[..2], ["1e-6", "1e-5"]);
        assert!(texts(1e-100, 1e100).len() <= 8);
    }

    #[test]
    fn round_ticks_are_around_their_places() {
        let texts = |low: f64, high: f64| -> Vec<String> {
            let ticks = round_ticks(low.log10(), high.log10()).into_iter();
            ticks.map(|(_, text)| text).collect()
        };
        assert_eq!(
            texts(0.9, 66.0),
            ["0.5", "1", "2", "5", "10", "20", "50", "100"]
        );
        assert_eq!(texts(1.0, 10.0), ["1", "2", "5", "10"]);
        assert_eq!(texts(1.0, 1.0), ["1"]);
        assert_eq!(
            texts(0.002, 30.0),
            ["0.001", "0.01", "0.1", "1", "10", "100"]
        );
    }

    #[test]
    fn labels_that_would_touch_give_way_but_not_the_ends() {
        let labels: Vec<(i32, String)> = (0..37)
            .map(|index| (100 + index * 10, (index + 1).to_string()))
            .collect();
        let kept = fitting(&labels, 12.0);
        assert_eq!((kept[0], kept[kept.len() - 1]), (0, 36));
        assert!(kept.len() > 8 && kept.len() < 37);
    }
}
