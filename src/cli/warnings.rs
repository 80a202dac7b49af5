//! Warnings on the command line: printed once, and errors where `--deny warnings` was given.

use clap::{Args, ValueEnum};

use super::exit::Failure;
use super::experiment::{Planned, rendered};
use super::say;
use crate::collect::warnings::Warnings;
use crate::message::Message;
#[cfg(feature = "torch")]
use crate::report::ReportWarning;
use crate::text::plural;

/// The option `--deny`.
#[derive(Debug, Clone, Default, Args)]
pub struct Deny {
    /// Take warnings for errors: exit code 2 where there is one.
    #[arg(long, value_name = "WHAT", value_enum)]
    deny: Vec<Denied>,
}

/// What can be taken for an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Denied {
    // Without a text of its own: help pages would become twice as long.
    Warnings,
}

impl Deny {
    /// Whether warnings are errors.
    pub(super) fn warnings(&self) -> bool {
        self.deny.contains(&Denied::Warnings)
    }

    /// Prints the warnings of a planned experiment.
    ///
    /// # Errors
    /// Any warning, where they are denied.
    pub(super) fn judge(&self, planned: &Planned) -> Result<(), Failure> {
        let warnings = Warnings::of(&planned.experiment, &planned.inputs, &planned.plan);
        print(&warnings);
        if self.warnings() && !warnings.is_empty() {
            let name = &warnings.placed.source.name;
            return Err(Failure::Usage(denied(name, warnings.len()).into()));
        }
        Ok(())
    }
}

#[cfg(feature = "torch")]
impl Deny {
    /// Looks at what only the results of a run show, once they are kept and the report is written.
    ///
    /// # Errors
    /// Any warning, where they are denied.
    pub(super) fn of_results(
        &self,
        planned: &Planned,
        warnings: &[ReportWarning],
    ) -> Result<(), Failure> {
        if !self.warnings() || warnings.is_empty() {
            return Ok(());
        }
        let name = &planned.experiment.warnings.source.name;
        Err(Failure::Usage(denied(name, warnings.len()).into()))
    }
}

/// Prints a warning that only results show.
#[cfg(feature = "torch")]
pub(super) fn say_of_results(warning: &ReportWarning) {
    if say::level() == say::Level::Quiet {
        return;
    }
    let message = Message::new(warning.message.as_str()).maybe_hint(warning.hint.clone());
    say!("warning[{}]: {message}", warning.code);
}

/// The last word on a file whose warnings are denied.
pub(super) fn denied(file: &str, warnings: usize) -> String {
    format!(
        "{file}: {}, which `--deny warnings` makes errors",
        plural(warnings, "warning")
    )
}

fn print(warnings: &Warnings) {
    if say::level() == say::Level::Quiet {
        return;
    }
    say::colored(&rendered(&warnings.placed));
    for warning in &warnings.others {
        let message = Message::new(warning.message.as_str()).maybe_hint(warning.hint.clone());
        say!("warning[{}]: {message}", warning.code);
    }
}
