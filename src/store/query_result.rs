//! Answers of [`Store::query`](super::Store::query), free of the engine that found them.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::error::StoreError;

use crate::message::{Hint, Message};
use crate::text::count;

/// One value of a query's result.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A truth value.
    Boolean(bool),
    /// An integer of any width up to 64 bits, signed or not.
    Integer(i128),
    /// A floating-point number.
    Number(f64),
    /// A string as the table holds it.
    Text(String),
    /// A vector. Shown by its first values and its length, as `[0.1, 0.2, 0.3, … 128 values]`; serialized as all of it.
    Vector(Vec<Cell>),
}

/// Values of a vector that are shown.
const SHOWN_VALUES: usize = 3;

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.pad("null"),
            Self::Boolean(value) => fmt::Display::fmt(value, formatter),
            Self::Integer(value) => fmt::Display::fmt(value, formatter),
            Self::Number(value) => fmt::Display::fmt(value, formatter),
            Self::Text(text) => formatter.pad(text),
            Self::Vector(values) => {
                let shown = values.iter().take(SHOWN_VALUES);
                let mut shown: Vec<String> = shown.map(ToString::to_string).collect();
                if values.len() > SHOWN_VALUES {
                    shown.push(format!("… {} values", values.len()));
                }
                formatter.pad(&format!("[{}]", shown.join(", ")))
            }
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i128(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Vector(values) => values.serialize(serializer),
        }
    }
}

/// Rows that an answer lacks because an artifact is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The table that lacks them.
    pub table: String,
    /// The file that is damaged, or cannot be read.
    pub file: PathBuf,
    /// How, to be read after the file's name.
    pub reason: String,
    /// How many rows they are; `None` where nothing tells.
    pub rows: Option<u64>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}: `{}` lacks ",
            self.file.display(),
            self.reason,
            self.table
        )?;
        match self.rows {
            Some(1) => write!(formatter, "1 row"),
            Some(rows) => write!(formatter, "{} rows", count(rows)),
            None => write!(formatter, "its rows"),
        }
    }
}

/// What to do about damage that a query came upon.
pub const AFTER_DAMAGE: &str = "`repro cache verify --set-aside` moves what is damaged out of the way, and the next run makes it again";

/// At most this many names stand in one message.
const MOST_NAMES: usize = 12;

/// Names for a message: the first of them, and how many more there are.
pub(super) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown}, … and {} more", count(more as u64)),
    }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// An artifact or the store's folder cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of a table can be read.
    #[error("nothing of the table `{}` can be read: {} {}", .0.table, .0.file.display(), .0.reason)]
    Damaged(Lacking),
    /// The text is not one `SELECT` over the tables of the store.
    #[error("cannot run the query: {}", .0.text)]
    Refused(Message),
    /// The query cannot be understood or carried out.
    #[error("cannot run the query: {message}")]
    Sql {
        /// What the engine reported.
        message: String,
        /// What there is to be asked, and what might have been meant.
        hint: String,
    },
}

impl Hint for QueryError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(_) => None,
            Self::Damaged(_) => Some(AFTER_DAMAGE.to_owned()),
            Self::Refused(message) => message.hint.clone(),
            Self::Sql { hint, .. } => Some(hint.clone()),
        }
    }
}

/// The known name that is closest to what was typed, if one is close enough to have been meant.
pub(super) fn did_you_mean<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(typed.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_as_what_they_are() {
        let cells = [
            Cell::Null,
            Cell::Boolean(true),
            Cell::Integer(u64::MAX.into()),
            Cell::Number(0.625),
            Cell::Text("a".to_owned()),
            Cell::Vector((0..5).map(Cell::Integer).collect()),
        ];
        assert_eq!(
            serde_json::to_string(&cells).unwrap(),
            r#"[null,true,18446744073709551615,0.625,"a",[0,1,2,3,4]]"#
        );
        assert_eq!(
            cells.map(|cell| cell.to_string()),
            [
                "null",
                "true",
                "18446744073709551615",
                "0.625",
                "a",
                "[0, 1, 2, … 5 values]"
            ]
        );
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let names: Vec<String> = (0..MOST_NAMES + 1234)
            .map(|number| number.to_string())
            .collect();
        assert!(some_of(&names).ends_with("10, 11, … and 1,234 more"));
        assert_eq!(some_of(&names[..3]), "0, 1, 2");
    }

    #[test]
    fn only_close_names_are_suggested() {
        let known = ["results", "curves", "artifacts"];
        assert_eq!(did_you_mean("result", known), Some("results"));
        assert_eq!(did_you_mean("crves", known), Some("curves"));
        assert_eq!(did_you_mean("weather", known), None);
    }
}
