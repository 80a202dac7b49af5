//! `repro completions`: scripts for shells.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::Failure;

/// Arguments of `repro completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  repro completions bash > ~/.local/share/bash-completion/completions/repro"
)]
pub struct Arguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    // The generator panics where it cannot write.
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "repro", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}
