//! `repro models`: weights and networks by themselves, without an experiment. One file an action.

mod convert;
mod export;
mod fetch;
mod inspect;
mod tap;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::Failure;
use crate::models::checkpoint::stored_tensors::StoredTensorsError;

/// Arguments of `repro models`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models fetch                     what can be fetched\n  repro models fetch adm-256-uncond      download the weights of a preset\n  repro models inspect FILE              what a checkpoint holds and fits\n  repro models convert FILE OUT.safetensors\n  repro models export EXPERIMENT.toml OUT.safetensors\n\nFILE is a safetensors file or a PyTorch checkpoint, whatever it is called. Nothing in it is executed."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the published weights of a preset; resumes with what is there of them.
    Fetch(fetch::Arguments),
    /// Show what a checkpoint holds, and which preset it fits.
    Inspect(inspect::Arguments),
    /// Write the tensors of a checkpoint as a safetensors file.
    Convert(convert::Arguments),
    /// Write the weights that a training has left as a safetensors file.
    Export(export::Arguments),
    /// Run stored images through a network and store the feature maps of its blocks.
    Tap(tap::Arguments),
}

/// Carries out a subcommand.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Fetch(arguments) => fetch::run(context, arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Convert(arguments) => convert::run(arguments),
        Command::Export(arguments) => export::run(context, arguments),
        Command::Tap(arguments) => tap::run(context, arguments),
    }
}

impl From<StoredTensorsError> for Failure {
    fn from(error: StoredTensorsError) -> Self {
        Self::Input(error.to_string().into())
    }
}
