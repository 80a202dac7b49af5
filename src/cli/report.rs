//! `repro report`: the report again, from what the cache holds. Computes nothing; cells that are not there say so.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::experiment;
use crate::collect::report;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro report`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  repro report experiments/quickstart.toml")]
pub struct Arguments {
    /// The experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Renders and writes the report.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::open_read_only(&context.cache)?;
    let planned = experiment::plan(context, &arguments.file, &store, &mut |_, _| {})?;
    let written = report::write(
        &planned.experiment,
        &planned.inputs,
        &planned.plan,
        &store,
        &context.base,
        &command(&arguments.file),
    )?;
    let state = if written.changed {
        "is written"
    } else {
        "is up to date"
    };
    eprintln!("{} {state}", written.path);
    if written.missing > 0 {
        eprintln!(
            "warning: {} missing; `repro run` computes what is not there",
            plural(written.missing, "result")
        );
    }
    Ok(())
}

/// The command that makes a report again, as its readers type it.
pub(super) fn command(file: &std::path::Path) -> String {
    format!("./repro run {}", file.display())
}
