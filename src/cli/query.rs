//! `repro query`: SQL over the cache.

use std::io::Write;

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::{experiment, printed, table};
use crate::axes;
use crate::message::Message;
use crate::store::{AFTER_DAMAGE, Lacking};
use crate::text::plural;

/// Arguments of `repro query`.
#[derive(Debug, Args)]
#[command(
    after_help = "Tables: results, curves, predictions, artifacts, and features_XXXXXXXXXXXX for the features whose fingerprint begins so\n(`repro list artifacts` shows them).\nA query is one SELECT; it reads nothing but the cache, and changes nothing. Files are compared with their digests before they are read.\n\nExamples:\n  repro query \"SELECT timestep, block, pool, avg(value) AS top1 FROM results WHERE metric = 'top1' GROUP BY timestep, block, pool ORDER BY top1 DESC LIMIT 5\"\n  repro query \"SELECT * FROM artifacts WHERE kind = 'features' LIMIT 3\" --json"
)]
pub struct Arguments {
    /// The query.
    #[arg(value_name = "SQL", allow_hyphen_values = true)]
    sql: String,
    /// Print a list of JSON objects.
    #[arg(long)]
    json: bool,
}

/// Prints the answer.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = experiment::existing_cache(context)?;
    let mut damaged = 0_usize;
    let mut tell = |lacking: &Lacking| {
        damaged += 1;
        say!("warning: {lacking}");
    };
    let answer = store.query(&arguments.sql, &axes::columns(), &mut tell)?;
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let objects: Vec<serde_json::Value> = answer
            .rows
            .iter()
            .map(|row| {
                let cells = answer.columns.iter().zip(row);
                let object =
                    cells.map(|(column, cell)| Ok((column.clone(), serde_json::to_value(cell)?)));
                Ok(serde_json::Value::Object(
                    object.collect::<serde_json::Result<_>>()?,
                ))
            })
            .collect::<serde_json::Result<_>>()
            .map_err(std::io::Error::from)?;
        serde_json::to_writer_pretty(&mut out, &objects).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let rows: Vec<Vec<String>> = answer
            .rows
            .iter()
            .map(|row| row.iter().map(ToString::to_string).collect())
            .collect();
        writeln!(out, "{}", table::render(&answer.columns, &rows))?;
    }
    if damaged > 0 {
        let text = format!(
            "rows are missing from the answer because of {} in the cache, see above",
            plural(damaged, "problem")
        );
        return Err(Failure::Cache(Message::new(text).hint(AFTER_DAMAGE)));
    }
    Ok(())
}
