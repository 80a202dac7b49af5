//! `repro query`: SQL over the cache.

mod written;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::written::Target;
use super::Context;
use super::exit::Failure;
use super::experiment;
use crate::axes;
use crate::inputs;
use crate::limits;
use crate::message::Message;
use crate::store::{AFTER_DAMAGE, Answer, Known, Lacking, Store};
use crate::text::{count, plural};

/// Arguments of `repro query`.
#[derive(Debug, Args)]
#[command(
    after_help = "A query is one SELECT in the dialect of Polars; it reads nothing but the cache, and changes nothing. Files are compared with their digests before they are read.\n\nExamples:\n  repro query                                   the tables\n  repro query --tables results                  the columns of one\n  repro query \"SELECT block, avg(value) FROM results GROUP BY block\"\n  repro query \"SELECT * FROM results\" --output results.csv\n  repro query --file best.sql --format markdown"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Arguments {
    /// The query; without one, the tables are listed.
    #[arg(value_name = "SQL", allow_hyphen_values = true)]
    sql: Option<String>,
    /// Read the query from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// List the tables with their rows, or the columns of one.
    #[arg(long, value_name = "TABLE", num_args = 0..=1, conflicts_with_all = ["sql", "file", "output"])]
    tables: Option<Vec<String>>,
    /// What the answer is written as; if not given, what the ending of `--output` says, or a table.
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<Format>,
    /// Write the answer into a file, which appears when it is whole.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long, requires = "output")]
    force: bool,
    /// Print a list of JSON objects; as `--format json`.
    #[arg(long)]
    json: bool,
    /// Print all rows, also on a terminal.
    #[arg(long)]
    all: bool,
    /// What other programs call `--format csv`.
    #[arg(long, hide = true)]
    csv: bool,
    /// What other programs call `--format` or `--file`.
    #[arg(short = 'f', hide = true, value_name = "WHAT", num_args = 0..=1)]
    other: Option<Vec<String>>,
}

/// What an answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people.
    Table,
    /// Comma-separated values, a line a row below the names of the columns; null is empty.
    Csv,
    /// A list of objects.
    Json,
    /// A table in Markdown.
    Markdown,
    /// A Parquet file, with the types of the columns.
    Parquet,
}

/// Prints or writes the answer.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    refuse_slips(arguments)?;
    let target = Target::new(arguments)?;
    let sql = match (&arguments.sql, &arguments.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => {
            let store = experiment::existing_cache(context)?;
            return match arguments.tables.as_deref().and_then(<[String]>::first) {
                Some(name) => columns(&store, name, &target),
                None => tables(&store, &target),
            };
        }
    };
    let store = experiment::existing_cache(context)?;
    let mut damaged = 0_usize;
    let mut tell = |lacking: &Lacking| {
        damaged += 1;
        say!("warning: {lacking}");
    };
    let answer = ask(&store, &sql, &mut tell)?;
    target.write(&answer)?;
    if damaged > 0 {
        let text = format!(
            "rows are missing from the answer because of {} in the cache, see above",
            plural(damaged, "problem")
        );
        return Err(Failure::Cache(Message::new(text).hint(AFTER_DAMAGE)));
    }
    Ok(())
}

/// Asks the cache, whose results have the axes of this release and the class names that it remembers.
pub(super) fn ask(
    store: &Store,
    sql: &str,
    tell: &mut dyn FnMut(&Lacking),
) -> Result<Answer, Failure> {
    let known = Known {
        columns: &axes::columns(),
        classes: &|| inputs::class_names(store),
    };
    Ok(store.query(sql, known, tell)?)
}

/// Options of other programs, and options that were taken for the query.
fn refuse_slips(arguments: &Arguments) -> Result<(), Failure> {
    let refusal = |option: &str, hint: &str| {
        let message = Message::new(format!("unknown option `{option}` of `repro query`"));
        Err(Failure::Usage(message.hint(hint)))
    };
    if arguments.csv {
        return refusal("--csv", "write `--format csv`, or `--output FILE.csv`");
    }
    if arguments.other.is_some() {
        return refusal(
            "-f",
            "`--format csv` chooses the format, `--file query.sql` reads the query from a file",
        );
    }
    match arguments.sql.as_deref().map(str::trim) {
        // A comment of SQL begins with two dashes and a blank, and has a query behind it.
        Some(typed) if typed.starts_with('-') && !typed.contains(char::is_whitespace) => refusal(
            typed,
            "`--format` takes csv, json, markdown, parquet or table; `repro query --help` lists the options",
        ),
        _ => Ok(()),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    limits::read_text(file, limits::QUERY).map_err(|error| {
        Failure::Usage(
            Message::new(format!("cannot read the query {}: {error}", file.display()))
                .hint("name a file with one `SELECT …`"),
        )
    })
}

/// Lists the tables.
fn tables(store: &Store, target: &Target<'_>) -> Result<(), Failure> {
    let heads = ["table", "rows", "a row is"];
    let tables = store.query_tables()?;
    let rows = tables.iter().map(|table| {
        let what = match table.tables {
            1 if !table.name.ends_with('X') => table.what.to_owned(),
            several => format!(
                "{} ({}, each named by the first digits of its fingerprint)",
                table.what,
                plural(several, "table")
            ),
        };
        let counted = table.rows.map_or_else(String::new, count);
        vec![table.name.clone(), counted, what]
    });
    target.list(&heads, &rows.collect::<Vec<_>>())
}

/// Lists the columns of a table.
fn columns(store: &Store, name: &str, target: &Target<'_>) -> Result<(), Failure> {
    let sql = format!("SELECT * FROM \"{}\" LIMIT 0", name.replace('"', "\"\""));
    let answer = ask(store, &sql, &mut |_| {})?;
    let docs = |column: &str| {
        let axis = axes::WELL_KNOWN.iter().find(|axis| axis.name == column);
        let axis = axis.filter(|_| name == "results");
        axis.map_or_else(String::new, |axis| axis.doc.to_owned())
    };
    let rows = answer.columns().into_iter().zip(answer.types());
    let rows = rows.map(|(column, kind)| {
        let doc = docs(&column);
        vec![column, kind, doc]
    });
    target.list(
        &["column", "type", "what it says"],
        &rows.collect::<Vec<_>>(),
    )
}
