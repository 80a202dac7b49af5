//! `repro data`: the datasets that experiments read. One file an action.

mod check;
mod counts;
mod fetch;
mod ids;
mod list;
mod stats;
mod which;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::Failure;
use crate::bug::Bug;
use crate::datasets::published::{self, PublishedDataset};

/// Arguments of `repro data`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data list                what can be fetched\n  repro data fetch cifar10       download a dataset into data/cifar10\n  repro data check FILE          look at every image of an experiment's datasets\n  repro data stats FILE          sizes, formats and colors of the images\n  repro data ids FILE NAME       ids and splits of the samples, as CSV\n  repro data counts experiments/datasets.toml > reports/datasets.md\n\nYour own images need no fetching: an experiment names their folder. `repro list kinds image-folder` shows the layout."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Another list of what is published, for tests.
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    datasets: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which datasets can be fetched, with their sizes and licenses.
    List(list::Arguments),
    /// Download the files of a dataset; resumes with what is there of them.
    Fetch(fetch::Arguments),
    /// Count per split and class, decode every image, look for duplicates, compare with the paper.
    Check(check::Arguments),
    /// Describe the images: sizes, formats, colors, balance of the classes.
    Stats(stats::Arguments),
    /// Print ids, splits and classes of a dataset's samples in its order, as CSV.
    Ids(ids::Arguments),
    /// Count what the owners' lists name, beside Table 5 of the paper, as a report in Markdown; needs no images.
    Counts(counts::Arguments),
}

/// Carries out a subcommand.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let datasets = known(arguments)?;
    match &arguments.command {
        Command::List(arguments) => list::run(&datasets, arguments),
        Command::Fetch(arguments) => fetch::run(context, &datasets, arguments),
        Command::Check(arguments) => check::run(context, arguments),
        Command::Stats(arguments) => stats::run(context, arguments),
        Command::Ids(arguments) => ids::run(context, arguments),
        Command::Counts(arguments) => counts::run(context, arguments),
    }
}

fn known(arguments: &Arguments) -> Result<Vec<PublishedDataset>, Failure> {
    let Some(path) = &arguments.datasets else {
        return published::all().map_err(|error| {
            Bug::new(format!(
                "data/datasets.toml, built into the program: {error}"
            ))
            .into()
        });
    };
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let datasets = text.and_then(|text| published::parse(&text).map_err(|error| error.to_string()));
    datasets.map_err(|reason| {
        Failure::Usage(format!("{} is not a list of datasets: {reason}", path.display()).into())
    })
}
