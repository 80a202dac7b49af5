//! What is reported when a checkpoint does not fit a network.

use std::fmt;

use thiserror::Error;

use crate::message::Hint;
use crate::text::count;
use crate::visible::shown;

/// So many names of a group are shown.
const SHOWN: usize = 10;

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
    /// The one cause of all of this, where there is one.
    pub advice: Option<Advice>,
}

/// The one cause of all differences between a file and a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Other texts stand before the names of the tensors than the experiment says: each of these would fit.
    Prefix(Vec<String>),
    /// All that differs is that numbers have 64 bits.
    Double,
    /// The file holds what an optimizer keeps.
    Optimizer,
    /// The file fits these networks, by their names.
    Preset(Vec<String>),
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
            advice: _,
        } = self;
        missing.is_empty() && unused.is_empty() && wrong_shape.is_empty() && wrong_type.is_empty()
    }
}

impl fmt::Display for WeightMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.source_name;
        match &self.advice {
            Some(Advice::Prefix(prefixes)) if prefixes.iter().all(String::is_empty) => {
                return write!(
                    formatter,
                    "{file} does not fit the network with the prefix that the model states; it does without one"
                );
            }
            Some(Advice::Prefix(prefixes)) => {
                return write!(
                    formatter,
                    "{file} does not fit the network: the names of the tensors begin with {}",
                    quoted(prefixes).join(" or ")
                );
            }
            Some(Advice::Double) => {
                return write!(
                    formatter,
                    "{file} does not fit the network: its numbers are f64; f32, f16 and bf16 are read"
                );
            }
            Some(Advice::Optimizer) => {
                return write!(
                    formatter,
                    "{file} does not fit the network: it is the state of an optimizer"
                );
            }
            Some(Advice::Preset(_)) | None => {
                write!(formatter, "{file} does not fit the network")?;
            }
        }
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

impl Hint for WeightMismatch {
    fn hint(&self) -> Option<String> {
        Some(match &self.advice {
            Some(Advice::Prefix(prefixes)) => match prefixes.iter().find(|one| !one.is_empty()) {
                Some(prefix) => format!(
                    "write `prefix = {}` in the model",
                    toml::Value::String(prefix.clone())
                ),
                None => "leave `prefix` out of the model".to_owned(),
            },
            Some(Advice::Double) => format!(
                "`repro models convert {} OUT.safetensors --dtype f32` writes a file that fits",
                self.source_name
            ),
            Some(Advice::Optimizer) => {
                "name the file with the network's weights, which most trainings save beside it"
                    .to_owned()
            }
            Some(Advice::Preset(names)) => format!("it fits {}", quoted(names).join(" and ")),
            None => {
                "check that preset and checkpoint belong together; `repro models inspect` shows what the file holds"
                    .to_owned()
            }
        })
    }
}

/// Names in quotation marks, harmless for a terminal.
fn quoted(names: &[String]) -> Vec<String> {
    let names = names.iter();
    names.map(|name| format!("`{}`", shown(name))).collect()
}

/// Writes the beginning of a group of names, and how many more there are.
fn list(
    formatter: &mut fmt::Formatter<'_>,
    what: &str,
    names: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    if names.len() == 0 {
        return Ok(());
    }
    let all = names.len();
    write!(formatter, "\n  {all} {what}:")?;
    for name in names.take(SHOWN) {
        write!(formatter, "\n    {name}")?;
    }
    match all.checked_sub(SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => write!(formatter, "\n    … and {} more", count(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_listed_with_a_count() {
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
        for shown in 0..10 {
            assert!(text.contains(&format!("`layer.{shown}` [1]")), "{text}");
        }
        assert!(
            text.contains("… and 240 more") && !text.contains("layer.10"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 15, "{text}");
        assert!(text.contains("`head.weight`"), "{text}");
    }

    #[test]
    fn one_cause_takes_one_line_and_a_hint() {
        let of = |advice| WeightMismatch {
            source_name: "net.pt".to_owned(),
            missing: vec![("a".to_owned(), vec![1])],
            advice: Some(advice),
            ..WeightMismatch::default()
        };
        for (advice, says, hint) in [
            (
                Advice::Prefix(vec!["ema.".to_owned(), "model.".to_owned()]),
                "begin with `ema.` or `model.`",
                "write `prefix = \"ema.\"` in the model",
            ),
            (
                Advice::Prefix(vec![String::new()]),
                "it does without one",
                "leave `prefix` out of the model",
            ),
            (
                Advice::Double,
                "its numbers are f64",
                "`repro models convert net.pt OUT.safetensors --dtype f32` writes a file that fits",
            ),
            (
                Advice::Optimizer,
                "the state of an optimizer",
                "name the file with the network's weights, which most trainings save beside it",
            ),
        ] {
            let mismatch = of(advice);
            let text = mismatch.to_string();
            assert!(text.contains(says) && text.lines().count() == 1, "{text}");
            assert_eq!(mismatch.hint().unwrap(), hint);
        }
        let other = of(Advice::Preset(vec!["adm-nano".to_owned()]));
        assert_eq!(other.hint().unwrap(), "it fits `adm-nano`");
        assert!(other.to_string().contains("1 missing:"));
    }
}
