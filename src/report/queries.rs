//! The cells `query("SELECT …")` of a template: what they ask, and the tables that the answers become.
//!
//! A report reads no cache. So a template is filled in once to see what it asks, whoever renders it answers ([`Ask`]), and it is filled in
//! again with the answers. The order of the rows is the query's own, so that equal answers give equal text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Object, Value, from_args};
use minijinja::{Error, ErrorKind, State};

use super::markdown;
use crate::limits;
use crate::message::Message;
use crate::store::Cell;
use crate::text::count;

/// The rows that a query found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, a cell a column; [`limits::QUERIED_ROWS`] at most.
    pub rows: Vec<Vec<Cell>>,
    /// How many rows there are, with those beyond the bound.
    pub of: usize,
}

/// Answers a query; the error says what is wrong with it.
pub type Ask<'a> = &'a dyn Fn(&str) -> Result<Found, Message>;

/// What stands in place of a table where there is no cache to ask.
const NO_CACHE: &str = "*Not shown: this table is a query of the cache, and the report was rendered from a file of results.*\n";

/// A query that was answered.
#[derive(Debug, Clone, PartialEq)]
struct Answered {
    markdown: String,
    /// How many rows there are; `None` where nobody was asked.
    rows: Option<usize>,
}

/// The queries of a template, with the answers that are known; in a template, the function `query`.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// By the text; `None` for one that is still to be answered.
    all: Mutex<BTreeMap<String, Option<Result<Answered, Message>>>>,
}

impl Queries {
    /// Answers what was asked and is not answered yet; returns whether there was anything.
    pub(super) fn answer(&self, ask: Option<Ask<'_>>) -> bool {
        let mut has_answered = false;
        for (sql, answer) in self.all().iter_mut().filter(|(_, answer)| answer.is_none()) {
            has_answered = true;
            *answer = Some(match ask {
                Some(ask) => ask(sql).map(|found| Answered {
                    markdown: table(&found),
                    rows: Some(found.of),
                }),
                None => Ok(Answered {
                    markdown: NO_CACHE.to_owned(),
                    rows: None,
                }),
            });
        }
        has_answered
    }

    /// The queries that were answered with rows, sorted by their texts, and how many rows each has.
    pub(super) fn answered(&self) -> Vec<(String, usize)> {
        let all = self.all();
        let answered = all.iter().filter_map(|(sql, answer)| match answer {
            Some(Ok(answered)) => Some((sql.clone(), answered.rows?)),
            _ => None,
        });
        answered.collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Option<Result<Answered, Message>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Queries {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let (sql,): (&str,) = from_args(arguments)?;
        let sql = sql.trim();
        let mut all = self.all();
        match all.get(sql) {
            Some(Some(Ok(answered))) => Ok(Value::from_safe_string(answered.markdown.clone())),
            Some(Some(Err(message))) => Err(Error::new(
                ErrorKind::InvalidOperation,
                message.text.clone(),
            )
            .with_source(Refused(message.hint.clone()))),
            Some(None) => Ok(Value::from_safe_string(String::new())),
            None if all.len() >= limits::QUERIES => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!(
                    "the template asks more than {} different queries",
                    limits::QUERIES
                ),
            )
            .with_source(Refused(Some(
                "one query may give the rows of several".to_owned(),
            )))),
            None => {
                all.insert(sql.to_owned(), None);
                Ok(Value::from_safe_string(String::new()))
            }
        }
    }
}

/// Goes with the error of a query that was refused: what to do about it.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Option<String>);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the query was refused")
    }
}

impl std::error::Error for Refused {}

/// The rows as a table.
fn table(found: &Found) -> String {
    if found.rows.is_empty() {
        return "*The query finds no rows.*\n".to_owned();
    }
    let heads: Vec<String> = found
        .columns
        .iter()
        .map(|column| markdown::escape(column))
        .collect();
    let is_number = |column: usize| {
        let mut cells = found.rows.iter().filter_map(|row| row.get(column));
        cells.all(|cell| matches!(cell, Cell::Null | Cell::Integer(_) | Cell::Number(_)))
    };
    let numeric: Vec<bool> = (0..heads.len()).map(is_number).collect();
    let lines: Vec<Vec<String>> = found
        .rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| markdown::escape(&cell.to_string()))
                .collect()
        })
        .collect();
    let mut text = markdown::table(&heads, &numeric, &lines);
    if found.rows.len() < found.of {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "\n<sub>The first {} of {} rows.</sub>",
            count(found.rows.len() as u64),
            count(found.of as u64)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::message::Hint;
    use crate::report::{ReportConfig, ReportInput, render};
    use crate::store::Cell as Value;

    fn found(rows: usize, of: usize) -> Found {
        let row = |number: usize| {
            vec![
                Value::Text(format!("a|{number}")),
                Value::Integer(number as i128),
                Value::Null,
            ]
        };
        Found {
            columns: ["name", "images", "best"].map(str::to_owned).to_vec(),
            rows: (0..rows).map(row).collect(),
            of,
        }
    }

    /// A template filled in with the cell alone; the text or the error, and how often the cache was asked.
    fn fill(text: &str, ask: Option<Ask<'_>>) -> (Result<String, String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jinja"), text).unwrap();
        let config = ReportConfig {
            template: Some("a.jinja".to_owned()),
            ..ReportConfig::plain("x")
        };
        let asked = Cell::new(0);
        let counting = |sql: &str| {
            asked.set(asked.get() + 1);
            ask.unwrap()(sql)
        };
        let counting: Option<Ask<'_>> = ask.is_some().then_some(&counting);
        let rendered = render(&ReportInput::default(), &config, folder.path(), counting);
        let rendered = rendered.map(|rendered| rendered.markdown + &rendered.provenance.text());
        let shown = rendered.map_err(|error| error.explain().to_string());
        (shown, asked.get())
    }

    #[test]
    fn a_query_is_asked_once_and_its_error_has_the_line() {
        let ask = |sql: &str| match sql {
            "SELECT 1" => Ok(found(1, 1)),
            "SELECT 2" => Ok(found(2, 300)),
            _ => Err(Message::new("no such table").hint("list the tables")),
        };
        let text = "{{ query('SELECT 1') }}\n{% for _ in range(3) %}{{ query(' SELECT 2 ') }}{% endfor %}\n";
        let (shown, asked) = fill(text, Some(&ask));
        let shown = shown.unwrap();
        assert_eq!(asked, 2);
        assert_eq!(shown.matches("The first 2 of 300 rows.").count(), 3);
        assert!(
            shown.contains("{\"rows\":300,\"sql\":\"SELECT 2\"}"),
            "{shown}"
        );

        // What depends on an answer is asked when that is there, and its absence is not an error.
        let text =
            "{% set a = query('SELECT 1') %}{{ (a | lines)[2] }}{{ query('SELECT 2') if a }}";
        let (shown, asked) = fill(text, Some(&ask));
        assert_eq!(asked, 2, "{shown:?}");
        assert!(shown.unwrap().contains("of 300 rows"));

        let (shown, _) = fill("one\n\n{{ query('DROP x') }}\n", Some(&ask));
        let error = shown.unwrap_err();
        assert!(error.contains("a.jinja:3: "), "{error}");
        assert!(
            error.contains("no such table in `query('DROP x')`"),
            "{error}"
        );
        assert!(error.ends_with("hint: list the tables"), "{error}");

        let text = "{% for n in range(65) %}{{ query('SELECT ' ~ n) }}{% endfor %}";
        let (shown, _) = fill(text, Some(&|_: &str| Ok(found(1, 1))));
        assert!(
            shown
                .unwrap_err()
                .contains("more than 64 different queries")
        );
    }

    #[test]
    fn without_a_cache_the_table_says_so() {
        let (shown, _) = fill("{{ query('SELECT 1') }}", None);
        let shown = shown.unwrap();
        assert!(shown.starts_with("*Not shown: "), "{shown}");
        assert!(!shown.contains("queries"), "{shown}");
    }

    #[test]
    fn rows_become_a_table_that_says_where_it_is_cut() {
        let text = table(&found(2, 1234));
        assert_eq!(
            text,
            "| name | images | best |\n| :--- | ---: | ---: |\n| a\\|0 | 0 | null |\n| a\\|1 | 1 | null |\n\n<sub>The first 2 of 1,234 rows.</sub>\n"
        );
        assert!(!table(&found(2, 2)).contains("<sub>"));
        assert_eq!(table(&found(0, 0)), "*The query finds no rows.*\n");
    }
}
