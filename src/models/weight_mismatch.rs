//! What is said when a checkpoint does not fit a network.

use std::fmt;

use thiserror::Error;

/// Every difference between the parameters that a network needs and those that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
pub struct WeightMismatch {
    /// The file, or what else the parameters were taken from.
    pub source_name: String,
    /// Names and shapes that the network needs and the source lacks.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Names that the source has and the network does not know, in alphabetical order.
    pub unused: Vec<String>,
    /// Tensors whose shape is not the network's.
    pub wrong_shape: Vec<WrongShape>,
    /// Names and types of tensors that hold no f32, f16 or bf16 numbers.
    pub wrong_type: Vec<(String, String)>,
}

/// A tensor whose shape is not the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongShape {
    /// The tensor's name.
    pub name: String,
    /// The shape that the network needs.
    pub expected: Vec<usize>,
    /// The shape in the source.
    pub found: Vec<usize>,
}

impl WeightMismatch {
    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        let Self {
            source_name: _,
            missing,
            unused,
            wrong_shape,
            wrong_type,
        } = self;
        missing.is_empty() && unused.is_empty() && wrong_shape.is_empty() && wrong_type.is_empty()
    }
}

impl fmt::Display for WeightMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} does not fit the network; check that preset and checkpoint belong together",
            self.source_name
        )?;
        let missing = self
            .missing
            .iter()
            .map(|(name, shape)| format!("`{name}` {shape:?}"));
        list(formatter, "missing", missing)?;
        list(
            formatter,
            "unused",
            self.unused.iter().map(|name| format!("`{name}`")),
        )?;
        let wrong_shape = self.wrong_shape.iter().map(
            |WrongShape {
                 name,
                 expected,
                 found,
             }| format!("`{name}` is {found:?}, the network needs {expected:?}"),
        );
        list(formatter, "of another shape", wrong_shape)?;
        let wrong_type = self
            .wrong_type
            .iter()
            .map(|(name, dtype)| format!("`{name}` is {dtype}"));
        list(formatter, "neither f32 nor f16 nor bf16", wrong_type)
    }
}

/// Writes a group of names, cut off where it would fill the screen; the count is always of all.
fn list(
    formatter: &mut fmt::Formatter<'_>,
    what: &str,
    names: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    const MOST_LISTED: usize = 20;
    let count = names.len();
    if count == 0 {
        return Ok(());
    }
    write!(formatter, "\n  {count} {what}:")?;
    for name in names.take(MOST_LISTED) {
        write!(formatter, "\n    {name}")?;
    }
    match count.checked_sub(MOST_LISTED) {
        Some(more) if more > 0 => write!(formatter, "\n    … and {more} more"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_with_a_count() {
        let missing = (0..25).map(|i| (format!("layer.{i}"), vec![1])).collect();
        let text = WeightMismatch {
            missing,
            ..WeightMismatch::default()
        }
        .to_string();
        assert!(
            text.contains("25 missing:") && text.contains("… and 5 more"),
            "{text}"
        );
        assert!(
            text.contains("`layer.19`") && !text.contains("`layer.20`"),
            "{text}"
        );
    }

    #[test]
    fn a_list_of_exactly_the_limit_is_whole() {
        let unused = (0..20).map(|i| format!("layer.{i}")).collect();
        let text = WeightMismatch {
            unused,
            ..WeightMismatch::default()
        }
        .to_string();
        assert!(
            text.contains("`layer.19`") && !text.contains("more"),
            "{text}"
        );
    }
}
