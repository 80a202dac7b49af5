//! The axes of a result, in words.

use crate::store::{AXES, AxisValue};

/// The axis in words, as it stands in a table's head: "learning rate".
pub fn label(axis: &str) -> String {
    axis.replace('_', " ")
}

/// The axis with its meaning, as it stands below a figure.
pub fn title(axis: &str) -> String {
    match axis {
        "timestep" => "timestep t of the added noise".to_owned(),
        "block" => "block b".to_owned(),
        "pool" => "pool: side of the pooled grid".to_owned(),
        "epochs" => "epochs of training".to_owned(),
        other => label(other),
    }
}

/// A value with its axis, where it stands alone: "timestep 90"; a word speaks for itself.
pub fn phrase(axis: &str, value: &AxisValue) -> String {
    match value {
        AxisValue::Text(text) => text.clone(),
        number => format!("{} {number}", label(axis)),
    }
}

/// Values with their axes, separated by commas.
pub fn phrases<S: AsRef<str>>(names: &[S], values: &[AxisValue]) -> String {
    let parts: Vec<String> = names
        .iter()
        .zip(values)
        .map(|(axis, value)| phrase(axis.as_ref(), value))
        .collect();
    parts.join(", ")
}

/// The axes that tell results of one metric apart: all of the store's, but for the metric and its unit.
pub fn all() -> impl Iterator<Item = &'static str> + Clone {
    AXES.iter()
        .copied()
        .filter(|axis| !matches!(*axis, "metric" | "unit"))
}

/// Whether two values are the same; `1` and `1.0` are.
pub fn same(left: &AxisValue, right: &AxisValue) -> bool {
    match (left, right) {
        (AxisValue::Integer(integer), AxisValue::Number(number))
        | (AxisValue::Number(number), AxisValue::Integer(integer)) => {
            // No axis holds an integer above 2^53, and an exact comparison is what is meant.
            #[expect(clippy::float_cmp, reason = "both come from the same decimal text")]
            let equal = *integer as f64 == *number;
            equal
        }
        _ => left == right,
    }
}

/// The value as a number.
pub fn number(value: &AxisValue) -> Option<f64> {
    match value {
        AxisValue::Integer(integer) => Some(*integer as f64),
        AxisValue::Number(number) => Some(*number),
        AxisValue::Text(_) => None,
    }
}

/// A value from text, with the type of a value of the same axis; guesses where there is none.
pub fn from_text(text: &str, like: Option<&AxisValue>) -> AxisValue {
    let integer = || text.parse().ok().map(AxisValue::Integer);
    let number = || text.parse().ok().map(AxisValue::Number);
    let parsed = match like {
        Some(AxisValue::Text(_)) => None,
        Some(AxisValue::Integer(_)) => integer(),
        Some(AxisValue::Number(_)) => number(),
        None => integer().or_else(number),
    };
    parsed.unwrap_or_else(|| AxisValue::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_axis_and_words_do_not() {
        assert_eq!(
            phrase("learning_rate", &AxisValue::Number(0.01)),
            "learning rate 0.01"
        );
        assert_eq!(phrase("model", &AxisValue::Text("gd".to_owned())), "gd");
    }

    #[test]
    fn integers_and_numbers_compare_by_value() {
        assert!(same(&AxisValue::Integer(1), &AxisValue::Number(1.0)));
        assert!(!same(
            &AxisValue::Integer(1),
            &AxisValue::Text("1".to_owned())
        ));
    }

    #[test]
    fn text_takes_the_type_of_its_axis() {
        assert_eq!(from_text("90", None), AxisValue::Integer(90));
        assert_eq!(
            from_text("90", Some(&AxisValue::Number(1.0))),
            AxisValue::Number(90.0)
        );
        assert_eq!(
            from_text("90", Some(&AxisValue::Text(String::new()))),
            AxisValue::Text("90".to_owned())
        );
    }
}
