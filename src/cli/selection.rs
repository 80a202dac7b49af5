//! `--only` and `--until`: a part of an experiment.

use clap::Args;

use super::exit::Failure;
use crate::message::Message;
use crate::plan::{Plan, SelectionError};
use crate::spec::suggest;

/// Which nodes a command is about; all of them where none is named.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    /// Make these nodes alone, such as `--only probe`; what they need has to be in the cache. Several with commas. The report is left as it is.
    #[arg(
        long,
        value_name = "NODES",
        value_delimiter = ',',
        conflicts_with = "until"
    )]
    only: Vec<String>,
    /// Make these nodes and what they need, and nothing behind them. Several with commas. The report is left as it is.
    #[arg(long, value_name = "NODES", value_delimiter = ',')]
    until: Vec<String>,
}

impl Selection {
    /// Whether the command is about a part.
    #[cfg(feature = "torch")]
    pub(super) fn is_given(&self) -> bool {
        !self.only.is_empty() || !self.until.is_empty()
    }

    /// Leaves the jobs of what is asked for.
    ///
    /// # Errors
    /// Names that are none of nodes, and what is needed and neither asked for nor there.
    pub(super) fn apply(&self, plan: &mut Plan) -> Result<(), Failure> {
        for (nodes, with_inputs) in [(&self.only, false), (&self.until, true)] {
            if nodes.is_empty() {
                continue;
            }
            if let Err(error) = plan.select(nodes, with_inputs) {
                return Err(Failure::Usage(explained(plan, &error)));
            }
        }
        Ok(())
    }
}

fn explained(plan: &Plan, error: &SelectionError) -> Message {
    let hint = match error {
        SelectionError::Unknown(name) => {
            let nodes = plan.steps.iter().map(|step| step.work.node());
            let near = suggest::hint(name, nodes);
            near.unwrap_or_else(|| "`repro plan FILE --artifacts` lists what is made".to_owned())
        }
        SelectionError::Lacking { .. } => {
            "`--until` in place of `--only` makes what is needed, too".to_owned()
        }
    };
    Message::new(error.to_string()).hint(hint)
}
