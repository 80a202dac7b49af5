//! How a subcommand ends: exit codes and last words.

use std::process::ExitCode;

use crate::exec::NodeError;
use crate::fetch::FetchError;
use crate::inputs::InputError;
use crate::plan::PlanError;
use crate::store::{QueryError, StoreError};

/// Why a subcommand did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A node of the plan failed. Its error was told when it happened.
    Nodes(String),
    /// Experiment files have mistakes.
    Diagnostics {
        /// Each mistake at its place.
        rendered: String,
        /// How many there are.
        summary: String,
    },
    /// The arguments, or what they name, are wrong.
    Mistakes(String),
    /// An input is missing or malformed.
    Input(String),
    /// The cache cannot be used.
    Cache(String),
    /// Whoever reads the output has gone; there is nobody to tell.
    OutputClosed,
    /// The user stopped it.
    Stopped,
    /// The user stopped it, and it says itself what is kept.
    StoppedWith(String),
}

/// Every exit code and its meaning, for the documentation.
pub fn exit_codes() -> &'static [(u8, &'static str)] {
    &[
        (0, "done"),
        (
            1,
            "a node of the plan failed; what did not need it was done, and everything committed is kept",
        ),
        (2, "a mistake in the experiment file or the arguments"),
        (3, "an input is missing or malformed"),
        (
            4,
            "a problem with the cache: unwritable, full, of a newer format, corrupt",
        ),
        (130, "stopped by the user; everything committed is kept"),
    ]
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Nodes(_) => 1,
            Self::Mistakes(_) | Self::Diagnostics { .. } => 2,
            Self::Input(_) => 3,
            Self::Cache(_) => 4,
            Self::Stopped | Self::StoppedWith(_) => 130,
        })
    }

    /// Says why, on stderr.
    pub fn print(&self) {
        match self {
            Self::Mistakes(text) | Self::Input(text) | Self::Cache(text) | Self::Nodes(text) => {
                eprintln!("error: {}", text.trim_end());
            }
            Self::Diagnostics { rendered, summary } => eprintln!("{rendered}error: {summary}"),
            Self::OutputClosed => {}
            Self::StoppedWith(text) => eprintln!("{text}"),
            Self::Stopped => eprintln!(
                "stopped; everything committed is kept, run the same command again to go on"
            ),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Cache(error.to_string())
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::BadAddress { .. } => Self::Mistakes(error.to_string()),
            FetchError::Stopped { .. } => Self::StoppedWith(error.to_string()),
            _ => Self::Input(error.to_string()),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Mistakes(error.to_string())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(error) => Self::from(error),
            QueryError::Sql { .. } => Self::Mistakes(error.to_string()),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Store(error) => Self::from(error),
            NodeError::Dataset(error) => Self::Input(error.to_string()),
            NodeError::Stopped => Self::Stopped,
            other => Self::Nodes(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Input(format!("cannot write the output: {error}"))
        }
    }
}
