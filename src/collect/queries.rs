//! Answers what the template of a report asks of the cache, by the rules of `repro query`.

use crate::axes;
use crate::inputs;
use crate::limits;
use crate::message::{Hint, Message};
use crate::report::Found;
use crate::store::{AFTER_DAMAGE, Known, Store};

/// The rows that a query finds.
///
/// # Errors
/// What `repro query` refuses, rows that are missing because of damage, and rows whose order the query leaves open: the same cache has to
/// give the same report.
pub(super) fn ask(store: &Store, sql: &str) -> Result<Found, Message> {
    let known = Known {
        columns: &axes::columns(),
        classes: &|| inputs::class_names(store),
    };
    let mut lacking = Vec::new();
    let answer = store.query(sql, known, &mut |lack| lacking.push(lack.to_string()));
    let answer = answer.map_err(|error| error.explain())?;
    if let Some(first) = lacking.first() {
        let text = format!("rows are missing from the answer: {first}");
        return Err(Message::new(text).hint(AFTER_DAMAGE));
    }
    if !answer.is_ordered() {
        return Err(
            Message::new("the query does not say in which order its rows come").hint(
                "end it with `ORDER BY` over columns in which no two rows agree, so that the same cache gives the same report",
            ),
        );
    }
    let shown = answer.rows().min(limits::QUERIED_ROWS);
    let rows = (0..shown).map(|row| answer.row(row));
    Ok(Found {
        columns: answer.columns(),
        rows: rows
            .collect::<Result<_, _>>()
            .map_err(|error| error.explain())?,
        of: answer.rows(),
    })
}
