//! How a run ends.

use crate::cli::exit::Failure;
use crate::cli::working::{Listeners, disk_full};
use crate::exec::context::Outcome;
use crate::text::plural;

/// How the program ends.
pub(super) fn ending(outcome: &Outcome, listeners: &Listeners) -> Result<(), Failure> {
    if outcome.stopped {
        return Err(listeners.stopped());
    }
    if outcome.disk_full {
        return Err(disk_full());
    }
    if outcome.failed.is_empty() {
        return Ok(());
    }
    let text = format!(
        "{} failed, see above; the same command resumes from here, `repro report` shows what is there",
        plural(outcome.failed.len(), "node")
    );
    Err(if outcome.has_bug {
        Failure::Bug(text.into())
    } else {
        Failure::Nodes(text.into())
    })
}
