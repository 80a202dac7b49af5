//! `repro report`: the report again, from what the cache or a file of results holds. Computes nothing; cells that are not there say so.
//! Inputs that are not on disk are what the cache remembers of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::Context;
use super::diff;
use super::exit::Failure;
use super::experiment::{self, Planned};
use super::overrides::ExperimentFile;
use super::project::from_base;
use super::{printed, say};
use crate::collect::place::Place;
use crate::collect::{from_results, report};
use crate::diff::{Summary, markdown};
use crate::exec::NodeError;
use crate::inputs::Otherwise;
use crate::limits;
use crate::message::Message;
use crate::plan::{Absent, Expected};
use crate::report::comment::Changes;
use crate::report::{ReportConfig, ReportInput, latex, rendering};
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro report experiments/quickstart.toml\n  repro report experiments/quickstart.toml --from reports/quickstart.results.csv\n  repro report experiments/quickstart.toml --latex 1 > table.tex\n  repro report experiments/quickstart.toml --format comment --base main\n\nAn input that is not on disk is taken to be what the cache remembers of it from the last time that it was read, and named."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    /// Take the results from this file, which a run wrote beside a report, instead of the cache. Neither datasets nor weights are needed.
    #[arg(long, value_name = "RESULTS.csv")]
    from: Option<PathBuf>,
    /// Write the Markdown file with its figures, or print one comment on a pull request, of the results beside the report or of `--from`.
    #[arg(long, value_enum, default_value_t = Format::Page)]
    format: Format,
    /// Show in the comment what changed against this git revision, file of results or report.
    #[arg(long, value_name = "BASE")]
    base: Option<String>,
    /// Replace files that are there and were not written for this experiment.
    #[arg(long)]
    force: bool,
    /// Print a table as LaTeX, by its number, or all of them; write nothing.
    #[arg(long, value_name = "N|all", num_args = 0..=1, default_missing_value = "all", conflicts_with = "data")]
    latex: Option<Which>,
    /// Write what each figure draws as a CSV file beside it, `FIGURE.data.csv`.
    #[arg(long)]
    data: bool,
    /// Write each figure as PNG beside it, too, drawn by a program of this machine: Chromium, Chrome or rsvg-convert.
    #[arg(long, conflicts_with = "latex")]
    png: bool,
}

/// Which tables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// From 1.
    Table(usize),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(number @ 1..) => Ok(Self::Table(number)),
            _ => Err("expected the number of a table, from 1, or `all`".to_owned()),
        }
    }
}

/// What a report is rendered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    // Without texts of their own: the help page would become twice as long.
    Page,
    Comment,
}

/// Renders and writes the report.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let command = command(&context.base, &arguments.experiment);
    if arguments.format == Format::Comment {
        return comment(context, arguments, &command);
    }
    if arguments.base.is_some() {
        let message = Message::new("`--base` is for a comment, and a report is rendered");
        return Err(Failure::Usage(message.hint("add `--format comment`")));
    }
    let to = Place {
        base: &context.base,
        command: &command,
        force: arguments.force,
        data: arguments.data,
        png: arguments.png,
    };
    let written = if let Some(results) = &arguments.from {
        let experiment = experiment::check(&arguments.experiment)?;
        let files = FilesOnDisk::read(results)?;
        if let Some(which) = arguments.latex {
            let (input, config) = from_results::prepare(&experiment, files.texts(), &to)?;
            return print_latex(which, &input, &config);
        }
        from_results::write(&experiment, files.texts(), &to)?
    } else {
        let store = Store::open_read_only(&context.cache)?;
        let surveyed = experiment::survey(
            context,
            &arguments.experiment,
            &store,
            Otherwise::Fail,
            &mut |_, _| {},
        );
        let (planned, absent) =
            surveyed.map_err(|failure| with_hint(failure, &arguments.experiment))?;
        tell(&absent);
        let Planned {
            experiment,
            inputs,
            plan,
            ..
        } = &planned;
        if let (Some(which), Some(config)) = (arguments.latex, &experiment.report) {
            let input = report::prepare(experiment, inputs, plan, &store, &to)?;
            return print_latex(which, &input, config);
        }
        report::write(experiment, inputs, plan, &store, &to, &|| Ok(()))?
    };
    let state = if written.changed {
        "is written"
    } else {
        "is up to date"
    };
    say::always(&format!("{} {state}", written.path));
    if written.missing > 0 {
        say!(
            "warning: {} missing; `repro run` computes what is not there",
            plural(written.missing, "result")
        );
    }
    Ok(())
}

/// Prints tables as LaTeX.
fn print_latex(which: Which, input: &ReportInput, config: &ReportConfig) -> Result<(), Failure> {
    let tables = rendering::tables(input, config).map_err(NodeError::from)?;
    let wanted = match which {
        Which::All => 0..tables.len(),
        Which::Table(number) if number <= tables.len() => number - 1..number,
        Which::Table(number) => {
            return Err(Failure::Usage(
                Message::new(format!(
                    "the report has no table {number}; it has {}",
                    plural(tables.len(), "table")
                ))
                .hint("tables are numbered in the order of the experiment file"),
            ));
        }
    };
    let mut out = printed::unfolded();
    for (number, table) in tables.iter().enumerate() {
        if wanted.contains(&number) {
            let label = format!("{}-{}", input.name, number + 1);
            writeln!(out, "{}", latex::table(table, &label))?;
        }
    }
    Ok(())
}

/// Prints the report as a comment on a pull request.
fn comment(context: &Context, arguments: &Arguments, command: &str) -> Result<(), Failure> {
    let experiment = experiment::check(&arguments.experiment)?;
    let plain = ReportConfig::plain(&experiment.name);
    let config = experiment.report.as_ref().unwrap_or(&plain);
    let results = if let Some(results) = &arguments.from {
        results.clone()
    } else if context.base.as_path() == Path::new(".") {
        // Without a `./` that nobody typed.
        config.results_file().into()
    } else {
        context.base.join(config.results_file())
    };
    let files = FilesOnDisk::read(&results)?;
    let changes = match &arguments.base {
        None => None,
        Some(base) => {
            let compared = diff::sides::read_for(context, base, &files.results.0)?;
            let differences = diff::differences(context, &compared, false)?;
            let names = (compared.base.as_str(), compared.head.as_str());
            let sentences = differences.iter().map(|file| Summary::of(file).sentence());
            Some(Changes {
                sentence: sentences.collect::<Vec<_>>().join("; "),
                text: markdown::render(names, &differences, Some(markdown::MOST)),
            })
        }
    };
    let text = from_results::comment(&experiment, files.texts(), command, changes.as_ref())?;
    let mut out = printed::unfolded();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// A file of results and the file of comparisons beside it, each with its path.
struct FilesOnDisk {
    results: (String, String),
    comparisons: Option<(String, String)>,
}

impl FilesOnDisk {
    fn read(results: &Path) -> Result<Self, Failure> {
        let path = results.display().to_string();
        let text = limits::read_text(results, limits::RESULTS).map_err(|error| {
            Failure::Input(
                Message::new(format!("cannot read the results {path}: {error}"))
                    .hint("name a file that `repro run` wrote beside a report"),
            )
        })?;
        let comparisons = comparisons_beside(&path)?;
        Ok(Self {
            results: (path, text),
            comparisons,
        })
    }

    fn texts(&self) -> from_results::Files<'_> {
        let (path, text) = &self.results;
        let comparisons = self.comparisons.as_ref();
        from_results::Files {
            results: (path, text),
            comparisons: comparisons.map(|(path, text)| (path.as_str(), text.as_str())),
        }
    }
}

/// The file of comparisons beside a file of results, with its text; `None` where there is none.
fn comparisons_beside(results: &str) -> Result<Option<(String, String)>, Failure> {
    let Some(stem) = results.strip_suffix(".results.csv") else {
        return Ok(None);
    };
    let path = format!("{stem}.comparisons.csv");
    match limits::read_text(Path::new(&path), limits::RESULTS) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Input(
            Message::new(format!("cannot read the comparisons {path}: {error}"))
                .hint("without the file, cells that need it stay empty"),
        )),
    }
}

/// Says which inputs are not on disk, and what stands for them.
fn tell(absent: &[Absent]) {
    for one in absent {
        let what = match one.expected {
            Expected::Dataset { .. } => format!("dataset `{}`", one.name),
            Expected::Weights { .. } => format!("weights of model `{}`", one.name),
            Expected::Features => format!("features of model `{}`", one.name),
            Expected::Moments => format!("statistics of metric `{}`", one.name),
        };
        say!(
            "warning: {what}: {} is missing; the report shows what the cache holds of it as it was when last read",
            one.missing
        );
    }
}

/// Says what else can be done where an input is neither on disk nor remembered.
fn with_hint(failure: Failure, experiment: &ExperimentFile) -> Failure {
    match failure {
        Failure::Input(message) => Failure::Input(Message::new(message.to_string()).hint(format!(
            "the cache does not remember it either; `repro report {}{} --from RESULTS.csv` needs only the results that a run wrote beside a report",
            experiment.file.display(),
            experiment.overrides.as_typed()
        ))),
        other => other,
    }
}

/// The command that makes a report again, as its readers type it in the folder of the project.
pub(super) fn command(base: &std::path::Path, experiment: &ExperimentFile) -> String {
    format!("./repro run {}", typed(base, experiment))
}

/// The experiment file and what overrides it, as they are typed in the folder of the project.
pub(super) fn typed(base: &std::path::Path, experiment: &ExperimentFile) -> String {
    let file = from_base(base, &experiment.file);
    format!("{}{}", file.display(), experiment.overrides.as_typed())
}
