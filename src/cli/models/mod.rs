//! `repro models`: weights and networks by themselves, without an experiment.

mod fetch;
mod progress;
mod tap;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::Failure;

/// Arguments of `repro models`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models fetch                     what can be fetched\n  repro models fetch adm-256-uncond      bring the weights of a preset"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the published weights of a preset; goes on with what is there of them.
    Fetch(fetch::Arguments),
    /// Run stored images through a network and store the maps of its blocks.
    Tap(tap::Arguments),
}

/// Carries out a subcommand.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Fetch(arguments) => fetch::run(context, arguments),
        Command::Tap(arguments) => tap::run(context, arguments),
    }
}
