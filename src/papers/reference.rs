//! What the paper prints in its tables: `data/paper/reference.toml`, built into the program.
//!
//! Accuracies are in percent, as they are printed there.

use toml::{Table, Value};

use crate::spec::suggest;

const TOML: &str = include_str!("../../data/paper/reference.toml");

/// Why a number is not found, as a fragment, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPrinted {
    /// The fault, as a fragment.
    pub problem: String,
    /// What there is instead.
    pub hint: Option<String>,
}

impl NotPrinted {
    fn new(problem: String, hint: Option<String>) -> Self {
        Self { problem, hint }
    }
}

/// The rows of a table.
fn rows(table: &str) -> Result<Vec<Value>, NotPrinted> {
    let all: Table = toml::from_str(TOML).map_err(|error| {
        NotPrinted::new(
            format!("the program was built from a broken file: {error}"),
            None,
        )
    })?;
    let tables = all.iter().filter(|(_, rows)| rows.is_array());
    let tables: Vec<&str> = tables.map(|(name, _)| name.as_str()).collect();
    let rows = all.get(table).and_then(Value::as_array);
    rows.cloned().ok_or_else(|| {
        NotPrinted::new(
            format!("the paper's numbers have no table `{table}`"),
            suggest::hint(table, tables),
        )
    })
}

/// A number of a row; `None` where it is not there, or no number.
fn of_row(row: &Value, value: &str) -> Option<f64> {
    let found = row.get(value)?;
    let integer = || found.as_integer().map(|integer| integer as f64);
    found.as_float().or_else(integer)
}

/// Two numbers of every row of a table, such as `params_m` and `accuracy` of `table7`, in the order of the paper.
///
/// # Errors
/// A table that is not there, and a row without one of the numbers.
pub fn pairs(table: &str, values: [&str; 2]) -> Result<Vec<[f64; 2]>, NotPrinted> {
    let pair = |row: &Value| {
        let [first, second] = values.map(|value| {
            of_row(row, value).ok_or_else(|| {
                NotPrinted::new(
                    format!("a row of `{table}` has no number `{value}`"),
                    Some(format!("it has {}", entries_of(row))),
                )
            })
        });
        Ok([first?, second?])
    };
    rows(table)?.iter().map(pair).collect()
}

/// The number `value` in the row of a table, such as `table3`, that has these entries: each is a key of the row and what it is, as text.
///
/// # Errors
/// A table that is not there, entries that no row has or several rows have, and a value that is not a number of the row.
pub fn number(table: &str, at: &[(String, String)], value: &str) -> Result<f64, NotPrinted> {
    let rows = rows(table)?;
    let has = |row: &&Value| {
        at.iter().all(|(key, wanted)| {
            let found = row.get(key.as_str());
            found.is_some_and(|found| text(found) == *wanted)
        })
    };
    let found: Vec<&Value> = rows.iter().filter(has).collect();
    let [row] = found.as_slice() else {
        let entries: Vec<String> = at
            .iter()
            .map(|(key, wanted)| format!("{key} = {wanted}"))
            .collect();
        let listed: Vec<String> = rows.iter().take(MOST_LISTED).map(entries_of).collect();
        return Err(NotPrinted::new(
            format!(
                "{} rows of `{table}` have `{}`; expected one",
                found.len(),
                entries.join(", ")
            ),
            Some(format!("its rows are {}", listed.join("; "))),
        ));
    };
    of_row(row, value).ok_or_else(|| {
        NotPrinted::new(
            format!("the row of `{table}` has no number `{value}`"),
            Some(format!("it has {}", entries_of(row))),
        )
    })
}

/// Rows that a hint lists.
const MOST_LISTED: usize = 8;

/// A value as it would be typed, without quotation marks.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn entries_of(row: &Value) -> String {
    let entries = row.as_table().into_iter().flatten();
    let entries: Vec<String> = entries
        .map(|(key, value)| format!("{key} = {}", text(value)))
        .collect();
    entries.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn numbers_are_found_by_the_entries_of_their_rows() {
        let found = number(
            "table3",
            &at(&[("block", "24"), ("timestep", "90")]),
            "attention",
        );
        assert_eq!(found, Ok(71.89));
        let found = number("table1", &at(&[("method", "BigBiGAN")]), "fid");
        assert_eq!(found, Ok(28.54));
    }

    #[test]
    fn pairs_are_those_of_all_rows() {
        let found = pairs("table7", ["params_m", "accuracy"]).unwrap();
        assert_eq!(found.len(), 8);
        assert_eq!(found[0].map(f64::to_bits), [1.0, 87.2].map(f64::to_bits));
        let error = pairs("table1", ["params_m", "accuracy"]).unwrap_err();
        assert!(error.problem.contains("no number `params_m`"), "{error:?}");
        assert!(pairs("table77", ["a", "b"]).is_err());
    }

    #[test]
    fn what_is_not_printed_is_an_error_that_lists_what_is() {
        let refused = |table: &str, pairs: &[(&str, &str)], value: &str| {
            number(table, &at(pairs), value).unwrap_err()
        };
        let error = refused("table33", &[], "accuracy");
        assert!(error.hint.unwrap().contains("`table3`"));
        let error = refused("table3", &[("block", "24")], "attention");
        assert!(error.problem.starts_with("2 rows of"), "{error:?}");
        let error = refused("table1", &[("method", "MAGE")], "loss");
        assert!(error.hint.unwrap().contains("fid = 9.1"));
    }
}
