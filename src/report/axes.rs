//! The axes of results: which ones a report may name, and how they read.

use std::collections::BTreeSet;

use crate::axes::{
    AT_BORDER, CHOSEN, CHOSEN_FROM, PAIR, WELL_KNOWN, decided_by, order, without_prefix,
};
use crate::spec::suggest;
use crate::store::{AxisValue, ResultRow};

/// How a value reads that is not there.
pub const ABSENT: &str = "none";

/// The axes that the results of one experiment may have: the well-known ones, and those that its file makes by sweeps.
#[derive(Debug, Clone, Default)]
pub struct KnownAxes {
    swept: Vec<String>,
}

impl KnownAxes {
    /// The well-known axes and these.
    pub fn with(swept: Vec<String>) -> Self {
        Self { swept }
    }

    /// Whether results may have an axis of this name, or both of two inputs may have one.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == without_prefix(name))
    }

    /// What may have been meant by a name that is not an axis.
    pub fn hint(&self, name: &str) -> Option<String> {
        match PAIR.iter().find(|prefix| name.starts_with(**prefix)) {
            None => suggest::hint(name, self.names()),
            Some(prefix) => {
                let of_pair: Vec<String> =
                    self.names().map(|axis| format!("{prefix}{axis}")).collect();
                suggest::hint(name, of_pair.iter().map(String::as_str))
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let well_known = WELL_KNOWN.iter().map(|axis| axis.name);
        well_known.chain(self.swept.iter().map(String::as_str))
    }
}

/// The axes that some of the rows have, in the order in which axes are shown.
pub fn of<'a>(rows: impl IntoIterator<Item = &'a ResultRow>) -> Vec<&'a str> {
    let names = rows.into_iter().flat_map(|row| row.axes.keys());
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| order(name));
    names
}

/// The axes whose values were chosen on the validation split; none for a result that nobody chose.
pub fn chosen(row: &ResultRow) -> Vec<String> {
    let listed = row
        .axes
        .get(CHOSEN)
        .map(ToString::to_string)
        .unwrap_or_default();
    let names = listed.split(", ").filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Whether a result's value on an axis came out of a choice.
pub fn is_outcome(row: &ResultRow, axis: &str) -> bool {
    let chosen = chosen(row);
    let is_chosen = |name: &String| name == axis || decided_by(axis) == Some(name);
    !chosen.is_empty() && ([CHOSEN_FROM, AT_BORDER].contains(&axis) || chosen.iter().any(is_chosen))
}

/// The axis in words, as it stands in a table's head: "learning rate".
pub fn label(axis: &str) -> String {
    axis.replace('_', " ")
}

/// The axis with its meaning, as it stands below a figure.
pub fn title(axis: &str) -> String {
    let base = without_prefix(axis);
    let meaning = match base {
        "timestep" => "timestep t of the added noise",
        "block" => "block b",
        "pool" => "pool: side of the pooled grid",
        "epochs" => "epochs of training",
        _ => return label(axis),
    };
    // What stands before the name of one of two inputs: "left block b".
    let prefix = axis.strip_suffix(base).unwrap_or_default();
    format!("{}{meaning}", label(prefix))
}

/// Whether a result has no value of the axis.
pub fn is_absent(value: &AxisValue) -> bool {
    matches!(value, AxisValue::Text(text) if text == ABSENT)
}

/// A value with its axis, where it stands alone: "timestep 90"; a word speaks for itself, and what is not there reads "no timestep".
pub fn phrase(axis: &str, value: &AxisValue) -> String {
    match value {
        value if is_absent(value) => format!("no {}", label(axis)),
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

/// The value as a floating-point number; `None` for text.
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
        assert_eq!(phrase("model", &"gd".into()), "gd");
        assert_eq!(phrase("timestep", &ABSENT.into()), "no timestep");
        assert_eq!(title("right_block"), "right block b");
        assert_eq!(title("head_k"), "head k");
    }

    #[test]
    fn swept_keys_and_both_of_two_inputs_are_axes() {
        let known = KnownAxes::with(vec!["head_k".to_owned()]);
        for axis in ["block", "head_k", "left_block", "right_head_k"] {
            assert!(known.contains(axis), "{axis}");
        }
        for other in ["metric", "unit", "k", "left_", "middle_block"] {
            assert!(!known.contains(other), "{other}");
        }
        assert!(!KnownAxes::default().contains("head_k"));
        let meant = |name| known.hint(name).unwrap();
        assert!(meant("hed_k").contains("`head_k`"));
        assert!(meant("left_blok").contains("`left_block`"));
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
