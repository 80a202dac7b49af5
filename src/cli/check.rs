//! `repro check`: every error of a file at once.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use super::{experiment, printed};
use crate::graph;
use crate::text::plural;

/// Arguments of `repro check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  repro check experiments/*.toml")]
pub struct Arguments {
    /// Experiment files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the errors as JSON, one list over all files.
    #[arg(long)]
    json: bool,
}

/// Checks files; reads nothing but them.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut rendered = String::new();
    let mut summaries = Vec::new();
    let mut records = Vec::new();
    let mut out = printed::stdout(arguments.json);
    for file in &arguments.files {
        let source = experiment::read(file)?;
        match graph::build(&source) {
            Ok(experiment) if !arguments.json => writeln!(
                out,
                "{}: no errors ({}, {}, {})",
                source.name,
                plural(experiment.extractions.len(), "feature set"),
                plural(experiment.heads.len(), "head"),
                plural(experiment.metrics.len(), "metric"),
            )?,
            Ok(_) => {}
            Err(diagnostics) => {
                for record in diagnostics.records() {
                    records.push(serde_json::to_value(record).map_err(std::io::Error::from)?);
                }
                rendered.push_str(&experiment::rendered(&diagnostics));
                summaries.push(experiment::summary(&diagnostics));
            }
        }
    }
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
        rendered.clear();
    }
    if summaries.is_empty() {
        return Ok(());
    }
    let summary = summaries.join("; ");
    Err(Failure::Diagnostics { rendered, summary })
}
