//! `repro report`: the report again, from what the cache or a file of results holds. Computes nothing; cells that are not there say so.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::experiment;
use crate::collect::{from_results, report};
use crate::message::Message;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro report experiments/quickstart.toml\n  repro report experiments/quickstart.toml --from reports/quickstart.results.csv"
)]
pub struct Arguments {
    /// The experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take the results from this file, which a run wrote beside a report, instead of the cache. Neither datasets nor weights are needed.
    #[arg(long, value_name = "RESULTS.csv")]
    from: Option<PathBuf>,
}

/// Renders and writes the report.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let command = command(&arguments.file);
    let written = if let Some(results) = &arguments.from {
        let experiment = experiment::check(&arguments.file)?;
        let path = results.display().to_string();
        let text = std::fs::read_to_string(results).map_err(|error| {
            Failure::Input(
                Message::new(format!("cannot read the results {path}: {error}"))
                    .hint("name a file that `repro run` wrote beside a report"),
            )
        })?;
        from_results::write(&experiment, (&path, &text), &context.base, &command)?
    } else {
        let store = Store::open_read_only(&context.cache)?;
        let planned = experiment::plan(context, &arguments.file, &store, &mut |_, _| {})?;
        report::write(
            &planned.experiment,
            &planned.inputs,
            &planned.plan,
            &store,
            &context.base,
            &command,
        )?
    };
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
