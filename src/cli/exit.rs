//! How a subcommand ends: exit codes and last words.

use super::say;
use crate::bug::Bug;
pub(super) use crate::cluster::ending::STOPPED;
use crate::cluster::ending::WAITS;
use crate::datasets::DatasetError;
use crate::exec::NodeError;
use crate::fetch::FetchError;
use crate::inputs::{InputError, InputErrors};
use crate::message::{Hint, Message};
use crate::models::kinds::guided_diffusion::presets::PresetError;
use crate::plan::PlanError;
use crate::remote::RemoteError;
use crate::report::ReportError;
use crate::store::{QueryError, StoreError};

/// Why a subcommand did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A node of the plan failed. Its error was told when it happened.
    Nodes(Message),
    /// Experiment files have errors.
    Diagnostics {
        /// Each error at its place.
        rendered: String,
        /// The line that counts the errors, such as `a.toml: 2 errors`.
        summary: String,
    },
    /// The arguments, or what they name, are wrong.
    Usage(Message),
    /// An input is missing or malformed.
    Input(Message),
    /// The cache cannot be used.
    Cache(Message),
    /// The program contradicts itself. The text says so and asks for a report.
    Bug(Message),
    /// Whoever reads the output has gone; there is nobody to tell.
    OutputClosed,
    /// What it needs is for another job to make, and is not there yet.
    Waits(Message),
    /// The user stopped it.
    Stopped,
    /// The user stopped it, and it says itself what is kept.
    StoppedWith(Message),
}

pub(super) const DONE: u8 = 0;
pub(super) const STEP_FAILED: u8 = 1;
pub(super) const WRONG_EXPERIMENT: u8 = 2;
const WRONG_INPUT: u8 = 3;
const WRONG_CACHE: u8 = 4;
/// 70 is usual (`EX_SOFTWARE` of `sysexits.h`), but the launcher ends with it where the program cannot be built, and whoever calls
/// `./repro` has to tell the two apart.
const BUG: u8 = 5;

/// Every exit code and its meaning: the one list, from which the help is made and against which `docs/errors.md` is tested.
pub fn exit_codes() -> &'static [(u8, &'static str)] {
    &[
        (DONE, "done"),
        (STEP_FAILED, "a step of the plan failed"),
        (
            WRONG_EXPERIMENT,
            "an error in the experiment file or the arguments",
        ),
        (WRONG_INPUT, "an input is missing or malformed"),
        (WRONG_CACHE, "a problem with the cache"),
        (BUG, "an internal error: a bug in repro"),
        (WAITS, "waits for other jobs"),
        (STOPPED, "stopped by the user"),
    ]
}

/// The last line of the help.
pub(super) fn exit_codes_in_short() -> String {
    let codes = exit_codes().iter();
    let codes: Vec<String> = codes
        .map(|(code, meaning)| format!("{code} {meaning}"))
        .collect();
    format!("Exit codes: {}. See docs/errors.md.", codes.join(", "))
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => DONE,
            Self::Nodes(_) => STEP_FAILED,
            Self::Usage(_) | Self::Diagnostics { .. } => WRONG_EXPERIMENT,
            Self::Input(_) => WRONG_INPUT,
            Self::Cache(_) => WRONG_CACHE,
            Self::Bug(_) => BUG,
            Self::Waits(_) => WAITS,
            Self::Stopped | Self::StoppedWith(_) => STOPPED,
        }
    }

    /// Says why, on stderr.
    pub fn print(&self) {
        match self {
            Self::Usage(text)
            | Self::Input(text)
            | Self::Cache(text)
            | Self::Nodes(text)
            | Self::Waits(text)
            | Self::Bug(text) => {
                say!("error: {text}");
            }
            // What is from the file was made harmless before the colors came in.
            Self::Diagnostics { rendered, summary } => {
                say::colored(rendered);
                say!("error: {summary}");
            }
            Self::OutputClosed => {}
            Self::StoppedWith(text) => say::always(&text.to_string()),
            Self::Stopped => {
                say::always(
                    "stopped; everything committed is kept, run the same command again to resume",
                );
            }
        }
    }
}

impl From<Bug> for Failure {
    fn from(bug: Bug) -> Self {
        Self::Bug(bug.to_string().into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Bug(bug) => bug.into(),
            error @ StoreError::Exists { .. } => Self::Usage(error.to_string().into()),
            error => Self::Cache(error.to_string().into()),
        }
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Bug(bug) => bug.into(),
            error => Self::Input(error.explain()),
        }
    }
}

impl From<InputErrors> for Failure {
    fn from(errors: InputErrors) -> Self {
        let is_bug = |error: &InputError| matches!(error.reason(), DatasetError::Bug(_));
        if errors.0.iter().any(is_bug) {
            Self::Bug(errors.to_string().into())
        } else {
            Self::Input(errors.to_string().into())
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        InputErrors(vec![error]).into()
    }
}

impl From<PresetError> for Failure {
    fn from(error: PresetError) -> Self {
        match error {
            PresetError::Bug(bug) => bug.into(),
            PresetError::Unknown { .. } => Self::Usage(error.to_string().into()),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::BadAddress { .. } => Self::Usage(error.explain()),
            FetchError::Stopped { .. } => Self::StoppedWith(error.explain()),
            _ => Self::Input(error.explain()),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Store(error) => error.into(),
            RemoteError::Stopped => Self::StoppedWith(
                "stopped; what has come is kept, run the same command again to resume".into(),
            ),
            error @ (RemoteError::ReadOnly { .. } | RemoteError::NoListing { .. }) => {
                Self::Usage(error.explain())
            }
            error => Self::Cache(error.explain()),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Bug(_) => Self::Bug(error.to_string().into()),
            error => Self::Usage(error.explain()),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Store(error) => Self::from(error),
            QueryError::Damaged(_) => Self::Cache(error.explain()),
            QueryError::Sql { .. } | QueryError::Refused(_) => Self::Usage(error.explain()),
        }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Store(error) => Self::from(error),
            NodeError::Dataset(error) => Self::from(error),
            NodeError::Bug(bug) => Self::from(bug),
            NodeError::Stopped => Self::Stopped,
            NodeError::Taken(message) => Self::Usage(message),
            // A file of results or comparisons that was given, and is not one.
            NodeError::Report(error @ ReportError::ResultsFile { .. }) => {
                Self::Input(error.explain())
            }
            other => Self::Nodes(other.explain()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Input(format!("cannot write the output: {error}").into())
        }
    }
}
