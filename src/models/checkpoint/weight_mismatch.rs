//! What is reported when a checkpoint does not fit a network.

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
    /// The shape that the checkpoint has.
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

/// Writes a group of names. All of them: which key is wrong is what the reader needs to know.
fn list(
    formatter: &mut fmt::Formatter<'_>,
    what: &str,
    names: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    if names.len() == 0 {
        return Ok(());
    }
    write!(formatter, "\n  {} {what}:", names.len())?;
    for name in names {
        write!(formatter, "\n    {name}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_listed_with_a_count() {
        let mismatch = WeightMismatch {
            missing: (0..250).map(|i| (format!("layer.{i}"), vec![1])).collect(),
            unused: vec!["head.weight".to_owned()],
            ..WeightMismatch::default()
        };
        let text = mismatch.to_string();
        assert!(
            text.contains("250 missing:") && text.contains("1 unused:"),
            "{text}"
        );
        assert!(
            (0..250).all(|i| text.contains(&format!("`layer.{i}` [1]"))),
            "{text}"
        );
        assert!(text.contains("`head.weight`"), "{text}");
    }
}
