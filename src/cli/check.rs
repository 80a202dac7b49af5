//! `repro check`: every error of a file at once, and what looks like a slip.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use super::warnings::{self, Deny};
use super::{experiment, printed};
use crate::graph;
use crate::message::Message;
use crate::spec::Diagnostics;
use crate::text::plural;

/// Arguments of `repro check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  repro check experiments/*.toml")]
pub struct Arguments {
    /// Experiment files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print errors and warnings as JSON, one list over all files.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deny: Deny,
}

/// Where the reports of the files that were checked go: each with the file that names it, and the place there.
#[derive(Default)]
struct Outputs(BTreeMap<String, (String, String)>);

impl Outputs {
    /// Remembers the files of a report. Gives the first that another experiment writes as well, and where that is named.
    fn add(&mut self, experiment: &graph::Experiment) -> Option<(String, String)> {
        let config = experiment.report.as_ref()?;
        let source = &experiment.warnings.source;
        let mut taken = None;
        for (file, span) in config.output_files() {
            match self.0.get(&file) {
                Some((own, _)) if *own == source.name => {}
                Some((_, place)) if taken.is_none() => taken = Some((file, place.clone())),
                Some(_) => {}
                None => {
                    let (line, column) = source.line_and_column(span.start);
                    let place = format!("{}:{line}:{column}", source.name);
                    self.0.insert(file, (source.name.clone(), place));
                }
            }
        }
        taken
    }
}

/// Checks files; reads nothing but them.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut rendered = String::new();
    let mut summaries = Vec::new();
    let mut records = Vec::new();
    let mut out = printed::stdout(arguments.json);
    let mut outputs = Outputs::default();
    let mut unreadable: Vec<Message> = Vec::new();
    let mut warned = String::new();
    let mut record = |diagnostics: &Diagnostics| -> Result<(), Failure> {
        for record in diagnostics.records() {
            records.push(serde_json::to_value(record).map_err(std::io::Error::from)?);
        }
        Ok(())
    };
    for file in &arguments.files {
        let source = match experiment::read(file) {
            Ok(source) => source,
            // The others are checked all the same.
            Err(Failure::Usage(message)) => {
                unreadable.push(message);
                continue;
            }
            Err(other) => return Err(other),
        };
        let diagnostics = match graph::build(&source) {
            Ok(experiment) => {
                let shared = outputs.add(&experiment);
                let shared = shared.map(|(file, place)| experiment.shared_output(&file, &place));
                if !arguments.json && shared.is_none() {
                    writeln!(
                        out,
                        "{}: no errors ({}, {}, {}{})",
                        source.name,
                        plural(experiment.extractions.len(), "feature set"),
                        plural(experiment.heads.len(), "head"),
                        plural(experiment.metrics.len(), "metric"),
                        match experiment.warnings.len() {
                            0 => String::new(),
                            some => format!("; {}", plural(some, "warning")),
                        }
                    )?;
                }
                record(&experiment.warnings)?;
                if !experiment.warnings.is_empty() {
                    warned.push_str(&experiment::rendered(&experiment.warnings));
                    if arguments.deny.warnings() {
                        let warnings = experiment.warnings.len();
                        summaries.push(warnings::denied(&source.name, warnings));
                    }
                }
                match shared {
                    Some(diagnostics) => diagnostics,
                    None => continue,
                }
            }
            Err(diagnostics) => diagnostics,
        };
        record(&diagnostics)?;
        rendered.push_str(&experiment::rendered(&diagnostics));
        summaries.push(experiment::summary(&diagnostics));
    }
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
        rendered.clear();
        warned.clear();
    }
    rendered.insert_str(0, &warned);
    let Some(last) = unreadable.pop() else {
        if summaries.is_empty() {
            super::say::colored(&rendered);
            return Ok(());
        }
        let summary = summaries.join("; ");
        return Err(Failure::Diagnostics { rendered, summary });
    };
    super::say::colored(&rendered);
    for summary in summaries {
        say!("error: {summary}");
    }
    for message in unreadable {
        say!("error: {message}");
    }
    Err(Failure::Usage(last))
}
