//! `repro show`: an experiment file with all that it includes and what overrides it, as one file.

use std::io::Write;

use clap::Args;

use super::exit::Failure;
use super::overrides::ExperimentFile;
use super::{experiment, printed};
use crate::graph;
use crate::spec::{Diagnostics, compose, printed as toml};

/// Arguments of `repro show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro show experiments/quickstart.toml\n  repro show experiments/quickstart.toml --set head.probe.epochs=2\n\nWhat is printed is an experiment file by itself: it has the same plan. Comments are left out, and sweeps stay lists."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
}

/// Prints the file.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let ExperimentFile { file, overrides } = &arguments.experiment;
    let source = experiment::read(file, overrides)?;
    let mut diagnostics = Diagnostics::new(source.clone());
    let root = compose::compose(&source, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(experiment::failure(&diagnostics));
    }
    // Hidden characters get the escapes of JSON, which TOML has too.
    let mut out = printed::stdout(true);
    write!(out, "{}", toml::toml(&root))?;
    out.flush()?;
    // What is wrong with the nodes is easier to see beside the file that they are in.
    graph::build(&source).map_err(|diagnostics| experiment::failure(&diagnostics))?;
    Ok(())
}
