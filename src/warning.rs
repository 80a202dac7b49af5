//! What looks wrong and stops nothing: a code that stays the same, a message and a hint.
//!
//! The codes have headings in `docs/errors.md`, as those of errors have. A warning is printed once for each run, stands in the report
//! and in the JSON log, and ends the command where `--deny warnings` was given.

use serde::Serialize;

/// A warning without a place in the experiment file, such as one about a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// Stable code such as `data::left-out`; documented in `docs/errors.md`.
    pub code: &'static str,
    /// What looks wrong, as a lower-case fragment.
    pub message: String,
    /// What to do about it, as a lower-case fragment.
    pub hint: Option<String>,
}
