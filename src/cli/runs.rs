//! `repro runs`: who ran what, when, how long, from which file and git revision; `repro runs diff`: what is different between two runs.

mod diff;

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Failure;
use super::{Context, experiment, printed, table};
use crate::message::Message;
use crate::store::Store;
use crate::view::runs::{Run, Runs};

/// Runs that are listed where `--all` is not given.
const MOST: usize = 20;
/// Digits of a commit that tell it from others.
const DIGITS: usize = 10;

/// Arguments of `repro runs`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  repro runs                 the last 20 that had something to do\n  repro runs diff 2 1        what the last run did otherwise than the one before\n  repro runs diff 2026-11-28T152548Z-812 1\n\nA run is named by its number in the list, 1 being the newest, or by its name or the first letters of it. Runs that found everything in the cache leave no record."
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// List all runs.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show which fields, artifacts and results are different between two runs.
    Diff(diff::Arguments),
}

/// Lists runs, or compares two.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = experiment::existing_cache(context)?;
    match &arguments.action {
        Some(Action::Diff(arguments)) => diff::run(context, &store, arguments),
        None => list(&store, arguments),
    }
}

fn list(store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let most = if arguments.all { usize::MAX } else { MOST };
    let runs = Runs::default().newest(&store.runs_folder(), most);
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let records: Vec<_> = runs
            .iter()
            .map(|run| {
                json!({
                    "name": run.name,
                    "experiment": run.experiment,
                    "command": run.command,
                    "revision": run.revision,
                    "is_changed": run.is_changed,
                    "by": run.by,
                    "version": run.version,
                    "device": run.device,
                    "began": run.began,
                    "last": run.last,
                    "seconds": run.seconds,
                    "state": run.state,
                    "is_running": run.is_running,
                    "artifacts": run.wanted.len(),
                })
            })
            .collect();
        return Ok(writeln!(out, "{:#}", json!(records))?);
    }
    if runs.is_empty() {
        return Ok(writeln!(out, "no run has left a record in this cache")?);
    }
    let rows: Vec<Vec<String>> = runs
        .iter()
        .enumerate()
        .map(|(index, run)| {
            vec![
                (index + 1).to_string(),
                run.began.clone(),
                what(run),
                revision(run),
                run.by.clone(),
                run.state.clone(),
            ]
        })
        .collect();
    let heads = ["run", "began", "command", "revision", "by", "end"];
    Ok(writeln!(out, "{}", table::render(&heads, &rows))?)
}

/// The command of a run; in records of older releases the name of its experiment.
fn what(run: &Run) -> String {
    if run.command.is_empty() {
        run.experiment.clone()
    } else {
        run.command.clone()
    }
}

/// The commit, with a plus sign where files differed from it.
fn revision(run: &Run) -> String {
    let Some(commit) = &run.revision else {
        return String::new();
    };
    let digits = commit.get(..DIGITS).unwrap_or(commit);
    let sign = if run.is_changed { "+" } else { "" };
    format!("{digits}{sign}")
}

/// A run by its number in the list, or by the first letters of its name.
fn find(store: &Store, name: &str) -> Result<Run, Failure> {
    let runs = Runs::default().newest(&store.runs_folder(), usize::MAX);
    let number = name.parse::<usize>().ok().filter(|number| *number > 0);
    let by_number = number.and_then(|number| runs.get(number - 1));
    if let Some(run) = by_number {
        return Ok(run.clone());
    }
    let named: Vec<&Run> = runs
        .iter()
        .filter(|run| run.name.starts_with(name))
        .collect();
    match named.as_slice() {
        [run] => Ok((*run).clone()),
        found => Err(Failure::Usage(
            Message::new(match found.len() {
                0 => format!("no run is called `{name}`"),
                several => format!("{several} runs have names that begin with `{name}`"),
            })
            .hint("`repro runs` lists them; 1 is the newest"),
        )),
    }
}
