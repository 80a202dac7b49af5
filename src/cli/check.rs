//! `repro check`: every error of a file at once, and what looks like a slip.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::exit::Failure;
use super::overrides::Overrides;
use super::warnings::{self, Deny};
use super::{annotation, experiment, printed};
use crate::graph;
use crate::message::Message;
use crate::spec::{Diagnostics, Source, compose};
use crate::text::plural;

/// Arguments of `repro check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro check experiments/*.toml\n  repro check experiments/quickstart.toml --set head.probe.epochs=2"
)]
pub struct Arguments {
    /// Experiment files. Without `--profile`, each is checked as it stands and under each of its profiles.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// Print errors and warnings as JSON, one list over all files; the same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print errors and warnings for people, as JSON, or as annotations of a GitHub workflow.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    deny: Deny,
}

/// A file and the profile that overrides it.
type Variant = (String, Option<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Without texts of their own: the help page would become twice as long.
    Text,
    Json,
    Github,
}

impl Arguments {
    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Where the reports of the files that were checked go: each with the file that names it, and the place there.
#[derive(Default)]
struct Outputs(BTreeMap<String, (Variant, String)>);

impl Outputs {
    /// Remembers the files of a report. Gives the first that another experiment writes as well, and where that is named.
    fn add(&mut self, experiment: &graph::Experiment) -> Option<(String, String)> {
        let config = experiment.report.as_ref()?;
        let source = &experiment.warnings.source;
        let variant = (
            source.name.clone(),
            source.profile.as_deref().map(str::to_owned),
        );
        let mut taken = None;
        for (file, span) in config.output_files() {
            match self.0.get(&file) {
                Some((own, _)) if *own == variant => {}
                Some((_, place)) if taken.is_none() => taken = Some((file, place.clone())),
                Some(_) => {}
                None => {
                    let place = source.place(span.start);
                    self.0.insert(file, (variant.clone(), place));
                }
            }
        }
        taken
    }
}

/// What was found in one file: as it stands, and under each of its profiles.
struct Checked {
    errors: Diagnostics,
    warnings: Diagnostics,
    /// The experiment as it stands, or under the profile that was asked for; `None` where it has errors.
    experiment: Option<graph::Experiment>,
    /// The profiles that were checked besides.
    profiles: Vec<String>,
}

impl Checked {
    fn of(source: &Source, outputs: &mut Outputs) -> Self {
        let profiles = match source.profile {
            Some(_) => Vec::new(),
            None => compose::profiles(source),
        };
        let mut checked = Self {
            errors: Diagnostics::new(source.clone()),
            warnings: Diagnostics::new(source.clone()),
            experiment: None,
            profiles: profiles.clone(),
        };
        let variants = profiles.iter().map(|name| Some(name.as_str()));
        for profile in std::iter::once(None).chain(variants) {
            let variant = source.clone();
            let variant = match profile {
                Some(_) => variant.with_profile(profile),
                None => variant,
            };
            match graph::build(&variant) {
                Ok(experiment) => {
                    checked.warnings.extend(&experiment.warnings, profile);
                    if let Some((file, place)) = outputs.add(&experiment) {
                        let shared = experiment.shared_output(&file, &place);
                        checked.errors.extend(&shared, profile);
                    }
                    if profile.is_none() {
                        checked.experiment = Some(experiment);
                    }
                }
                Err(errors) => checked.errors.extend(&errors, profile),
            }
        }
        checked
    }

    /// What a file without errors has.
    fn summary(&self, name: &str) -> String {
        let counts = self.experiment.iter().flat_map(|experiment| {
            [
                plural(experiment.extractions.len(), "feature set"),
                plural(experiment.heads.len(), "head"),
                plural(experiment.metrics.len(), "metric"),
            ]
        });
        let mut parts = vec![counts.collect::<Vec<_>>().join(", ")];
        match self.profiles.as_slice() {
            [] => {}
            [one] => parts.push(format!("profile {one}")),
            some => parts.push(format!("profiles {}", some.join(", "))),
        }
        if !self.warnings.is_empty() {
            parts.push(plural(self.warnings.len(), "warning"));
        }
        let text = parts.join("; ");
        format!("{name}: no errors ({text})")
    }
}

/// Checks files; reads nothing but them.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut rendered = String::new();
    let mut summaries = Vec::new();
    let mut records = Vec::new();
    let mut annotations: Vec<String> = Vec::new();
    let format = arguments.format();
    let mut out = match format {
        Format::Text => printed::stdout(false),
        Format::Json => printed::stdout(true),
        Format::Github => printed::unfolded(),
    };
    let mut outputs = Outputs::default();
    let mut unreadable: Vec<Message> = Vec::new();
    let mut warned = String::new();
    let mut record = |diagnostics: &Diagnostics| -> Result<(), Failure> {
        for record in diagnostics.records() {
            match format {
                Format::Text => {}
                Format::Json => {
                    records.push(serde_json::to_value(record).map_err(std::io::Error::from)?);
                }
                Format::Github => annotations.push(annotation::of(&record)),
            }
        }
        Ok(())
    };
    for file in &arguments.files {
        let source = match experiment::read(file, &arguments.overrides) {
            Ok(source) => source,
            // The others are checked all the same.
            Err(Failure::Usage(message)) => {
                unreadable.push(message);
                continue;
            }
            Err(other) => return Err(other),
        };
        let checked = Checked::of(&source, &mut outputs);
        record(&checked.warnings)?;
        if !checked.warnings.is_empty() {
            warned.push_str(&experiment::rendered(&checked.warnings));
            if arguments.deny.warnings() {
                summaries.push(warnings::denied(&source.name, checked.warnings.len()));
            }
        }
        if checked.errors.is_empty() {
            if format == Format::Text {
                writeln!(out, "{}", checked.summary(&source.name))?;
            }
            continue;
        }
        record(&checked.errors)?;
        rendered.push_str(&experiment::rendered(&checked.errors));
        summaries.push(experiment::summary(&checked.errors));
    }
    match format {
        Format::Text => {}
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Format::Github => {
            annotations.extend(unreadable.iter().map(annotation::of_message));
            for annotation in annotations {
                writeln!(out, "{annotation}")?;
            }
        }
    }
    if format != Format::Text {
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
