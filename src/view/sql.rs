//! The page that queries the cache: the tables, a query, its answer or the error that `repro query` prints.

use std::sync::Mutex;

use serde::Serialize;

use crate::axes;
use crate::inputs;
use crate::limits;
use crate::message::{Hint, Message};
use crate::store::{AFTER_DAMAGE, Cell, Known, Lacking, Store};
use crate::text::{count, plural};
use crate::visible::on_one_line;

/// Queries that are offered: what they find, and the query.
pub(super) const EXAMPLES: [(&str, &str); 3] = [
    (
        "The best cells",
        "SELECT metric, model, timestep, block, pool, avg(value) AS value\nFROM results\nWHERE metric = 'top1'\nGROUP BY metric, model, timestep, block, pool\nORDER BY value DESC\nLIMIT 20",
    ),
    (
        "What the cache holds",
        "SELECT kind, count(*) AS artifacts, sum(bytes) AS bytes\nFROM artifacts\nGROUP BY kind\nORDER BY bytes DESC",
    ),
    (
        "What was confused",
        "SELECT label, predicted, count(*) AS images\nFROM predictions\nWHERE label <> predicted\nGROUP BY label, predicted\nORDER BY images DESC\nLIMIT 20",
    ),
];

/// A table that can be queried.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Listed {
    name: String,
    rows: String,
    what: String,
}

/// A cell of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Value {
    text: String,
    is_number: bool,
}

/// An answer, as far as a page shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Found {
    columns: Vec<(String, String)>,
    rows: Vec<Vec<Value>>,
    /// How many rows there are, in words.
    of: String,
    /// Whether there are more than are shown.
    is_cut: bool,
    /// What the answer lacks because of damage.
    lacking: Vec<String>,
    /// What to do about that.
    after_damage: &'static str,
}

/// One query runs at a time: each may take all of the memory that it needs.
static ONE: Mutex<()> = Mutex::new(());

/// The tables of a cache.
///
/// # Errors
/// A cache that cannot be read.
pub(super) fn tables(store: &Store) -> Result<Vec<Listed>, Message> {
    let tables = store.query_tables();
    let tables = tables.map_err(|error| Message::new(error.to_string()))?;
    let listed = tables.into_iter().map(|table| Listed {
        rows: table.rows.map_or_else(String::new, count),
        what: match table.tables {
            1 if !table.name.ends_with('X') => table.what.to_owned(),
            several => format!(
                "{} ({}, each named by the first digits of its fingerprint)",
                table.what,
                plural(several, "table")
            ),
        },
        name: table.name,
    });
    Ok(listed.collect())
}

/// Runs a query, as `repro query` does.
///
/// # Errors
/// What `repro query` would print.
pub(super) fn run(store: &Store, sql: &str) -> Result<Found, Message> {
    let _one = ONE.lock();
    let known = Known {
        columns: &axes::columns(),
        classes: &|| inputs::class_names(store),
    };
    let mut lacking = Vec::new();
    let mut tell = |lack: &Lacking| lacking.push(lack.to_string());
    let answer = store.query(sql, known, &mut tell);
    let answer = answer.map_err(|error| error.explain())?;
    let shown = answer.rows().min(limits::SHOWN_ROWS);
    let rows = (0..shown).map(|row| {
        let cells = answer.row(row).map_err(|error| error.explain())?;
        Ok(cells.iter().map(value).collect())
    });
    let columns = answer.columns().into_iter().zip(answer.types());
    Ok(Found {
        columns: columns.collect(),
        rows: rows.collect::<Result<_, Message>>()?,
        of: count(answer.rows() as u64),
        is_cut: shown < answer.rows(),
        lacking,
        after_damage: AFTER_DAMAGE,
    })
}

fn value(cell: &Cell) -> Value {
    Value {
        text: match cell {
            Cell::Null => String::new(),
            other => on_one_line(&other.to_string()).into_owned(),
        },
        is_number: matches!(cell, Cell::Integer(_) | Cell::Number(_)),
    }
}
