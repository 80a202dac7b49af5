//! `repro completions`: scripts for shells.

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
#[expect(clippy::unnecessary_wraps, reason = "every subcommand has this shape")]
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "repro",
        &mut std::io::stdout(),
    );
    Ok(())
}
