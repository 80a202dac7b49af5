//! `repro models`: weights and networks by themselves, without an experiment.

mod tap;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::Failure;

/// Arguments of `repro models`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run stored images through a network and store the maps of its blocks.
    Tap(tap::Arguments),
}

/// Carries out a subcommand.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Tap(arguments) => tap::run(context, arguments),
    }
}
