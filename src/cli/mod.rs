//! The command line: arguments in, text out. Nothing here computes features or trains.
//!
//! stdout is for data, stderr for talk. One file a subcommand.

#[macro_use]
mod say;

mod annotation;
mod bench;
mod cache;
mod cancel;
mod check;
mod cluster;
mod completions;
mod data;
mod demo;
mod diff;
pub mod doctor;
mod exit;
mod experiment;
mod explain;
mod fetching;
mod fields;
mod init;
mod job;
mod list;
mod meter;
mod models;
mod overrides;
mod plan;
mod printed;
mod process;
#[cfg(feature = "torch")]
mod progress;
mod project;
mod query;
mod remote;
mod report;
mod run;
mod runs;
mod schema;
mod selection;
mod show;
mod status;
mod style;
mod submit;
mod table;
mod terminal;
mod trace;
mod unopened;
mod view;
mod warnings;
mod working;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use exit::{Failure, exit_codes};

use crate::machine;
use project::Project;
use say::Level;

const EXAMPLES: &str = "Examples:\n\
\x20 repro check experiments/quickstart.toml     check an experiment file\n\
\x20 repro plan experiments/quickstart.toml      what would run, and why\n\
\x20 repro run experiments/quickstart.toml       compute what the cache lacks\n\
\x20 repro query \"SELECT block, avg(value) FROM results GROUP BY block\"\n\
\x20 repro list models adm-256-uncond            the blocks of a network\n\
\x20 repro models fetch adm-256-uncond           download its published weights\n\
\x20 repro data fetch cifar10                    download a published dataset";

/// Reproduces the results of machine-learning papers: an experiment graph in TOML in, a checked report out.
#[derive(Debug, Parser)]
#[command(
    name = "repro",
    version,
    max_term_width = 100,
    after_help = format!("{EXAMPLES}\n\n{}", exit::exit_codes_in_short())
)]
pub struct Arguments {
    /// The folder that the paths inside experiment files start from, and the cache; FILE arguments are taken as typed. If not given: the
    /// nearest folder, from this one upwards, with a `repro.toml` or a `.repro`.
    #[arg(short = 'C', long, global = true, value_name = "FOLDER")]
    directory: Option<PathBuf>,

    /// Where features and results are kept. If not given: what the variable REPRO_CACHE says, or `repro.toml`, or `.repro` in the
    /// folder that relative paths start from.
    #[arg(long, global = true, value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Print errors and the paths of what was written, and nothing else on stderr.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Print every event of a run.
    #[arg(short, long, global = true)]
    verbose: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an experiment to start from.
    Init(init::Arguments),
    /// Run a small experiment, to see that this machine works; half a minute.
    Demo(demo::Arguments),
    /// Run an experiment: compute what the cache lacks, write the report.
    Run(run::Arguments),
    /// Do one job of a plan and nothing else; for schedulers outside.
    Job(job::Arguments),
    /// Submit an experiment to a cluster: its jobs as arrays, each behind what it needs.
    Submit(submit::Arguments),
    /// Show how the jobs of a submission are doing.
    Status(status::Arguments),
    /// Cancel the jobs of a submission; what is in the cache stays.
    Cancel(cancel::Arguments),
    /// Check experiment files and report all errors.
    Check(check::Arguments),
    /// Print an experiment file with all that it includes, overridden by a profile and `--set`.
    Show(show::Arguments),
    /// Print a JSON Schema of experiment files, for editors.
    Schema(schema::Arguments),
    /// Show what a run would do, and why; computes nothing.
    Plan(plan::Arguments),
    /// Show what of an experiment is cached, and why the rest is not: fields that differ, old and new.
    Explain(explain::Arguments),
    /// Render the report again from the cache; computes nothing.
    Report(report::Arguments),
    /// Follow a number of a report to its results and artifacts.
    Trace(trace::Arguments),
    /// Show what changed between two sets of results.
    Diff(diff::Arguments),
    /// Show reports, runs and predictions as pages in a browser, on this machine alone.
    View(view::Arguments),
    /// Show who ran what, when and how long, and what is different between two runs.
    Runs(runs::Arguments),
    /// Query the cache with SQL.
    Query(query::Arguments),
    /// Show kinds, models with their blocks, or artifacts.
    List(list::Arguments),
    /// Download and check datasets.
    Data(data::Arguments),
    /// Download published weights, and inspect networks.
    Models(models::Arguments),
    /// Verify the cache, or export features as Parquet.
    Cache(cache::Arguments),
    /// Time this machine.
    Bench(bench::Arguments),
    /// Check this machine and suggest fixes.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

/// What every subcommand may need.
type Context = Project;

/// Parses the arguments, carries them out, and says how it ended.
pub fn main() -> u8 {
    machine::files::raise_limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help_or_mistake) => return explain(&help_or_mistake),
    };
    say::set(match (arguments.quiet, arguments.verbose) {
        (true, _) => Level::Quiet,
        (false, true) => Level::Verbose,
        (false, false) => Level::Usual,
    });
    if let Err(failure) = process::check_threads() {
        failure.print();
        return failure.code();
    }
    // A new experiment is not looked for, but made where it was asked for.
    let typed = arguments.directory.clone().unwrap_or_else(|| ".".into());
    let context = match Project::find(arguments.directory, arguments.cache) {
        Ok(context) => context,
        Err(failure) => {
            failure.print();
            return failure.code();
        }
    };
    let outcome = match arguments.command {
        Command::Init(arguments) => init::run(&typed, &arguments),
        Command::Demo(arguments) => demo::run(&typed, &arguments),
        Command::Run(mut arguments) => {
            arguments.or(&context.run);
            run::run(&context, &arguments)
        }
        Command::Job(mut arguments) => {
            arguments.working.or(&context.run);
            job::run(&context, &arguments)
        }
        Command::Submit(arguments) => submit::run(&context, arguments),
        Command::Status(arguments) => status::run(&context, &arguments),
        Command::Cancel(arguments) => cancel::run(&context, &arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Plan(arguments) => plan::run(&context, &arguments),
        Command::Explain(arguments) => explain::run(&context, &arguments),
        Command::Report(arguments) => report::run(&context, &arguments),
        Command::Trace(arguments) => trace::run(&context, &arguments),
        Command::Diff(arguments) => diff::run(&context, &arguments),
        Command::View(arguments) => view::run(&context, &arguments),
        Command::Runs(arguments) => runs::run(&context, &arguments),
        Command::Query(arguments) => query::run(&context, &arguments),
        Command::List(arguments) => list::run(&context, &arguments),
        Command::Data(arguments) => data::run(&context, &arguments),
        Command::Models(arguments) => models::run(&context, &arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Cache(arguments) => cache::run(&context, &arguments),
        Command::Doctor { json } => {
            match doctor::run(&mut printed::stdout(json), &context.cache, json) {
                Ok(code) => return code,
                Err(error) => Err(error.into()),
            }
        }
        Command::Completions(arguments) => completions::run(&arguments),
    };
    // What stands in a buffer still may find the disk full.
    let outcome = outcome.and_then(|()| Ok(std::io::stdout().flush()?));
    match outcome {
        Ok(()) => exit::DONE,
        Err(failure) => {
            failure.print();
            failure.code()
        }
    }
}

/// Prints help, or what is wrong with the arguments; the exit code.
fn explain(error: &clap::Error) -> u8 {
    match error.print() {
        // Mistakes go to stderr, and the code says what the text would have.
        Err(unwritable) if !error.use_stderr() => {
            let failure = Failure::from(unwritable);
            failure.print();
            failure.code()
        }
        _ => u8::try_from(error.exit_code()).unwrap_or(exit::WRONG_EXPERIMENT),
    }
}
