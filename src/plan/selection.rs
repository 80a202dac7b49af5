//! A part of a plan: some nodes alone, or some nodes with all that they need.

use std::collections::BTreeSet;

use super::{Plan, StepId, StepState, rules};

/// Why a part of a plan cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// No step is of a node of this name.
    #[error("the plan has no node `{0}`")]
    Unknown(String),
    /// What is asked for needs something that is neither asked for nor there.
    #[error("{wanted} needs {needed}, which is not in the cache")]
    Lacking {
        /// The label of what is asked for.
        wanted: String,
        /// The label of what it needs.
        needed: String,
    },
}

impl Plan {
    /// Leaves the jobs that make the artifacts of some nodes, by the nodes' names; `with_inputs` says whether what they need is made, too.
    /// The steps stay: they are what exists after a run of the whole.
    ///
    /// # Errors
    /// A name that is none of a node, and without inputs something that is needed and not there.
    pub fn select(&mut self, nodes: &[String], with_inputs: bool) -> Result<(), SelectionError> {
        let mut wanted = BTreeSet::new();
        for name in nodes {
            let steps = self.steps.iter().enumerate();
            let of_node = steps.filter(|(_, step)| step.work.node() == name);
            let before = wanted.len();
            wanted.extend(of_node.map(|(index, _)| StepId(index)));
            if wanted.len() == before {
                return Err(SelectionError::Unknown(name.clone()));
            }
        }
        let mut open: Vec<StepId> = wanted.iter().copied().collect();
        while let Some(id) = open.pop() {
            let step = self.step(id);
            // What is there needs nothing any more.
            let inputs = step.inputs.iter().filter(|_| step.is_missing());
            for &input in inputs {
                let state = &self.step(input).artifact.state;
                if state.is_cached() || wanted.contains(&input) {
                    continue;
                }
                if let StepState::Remote { .. } = state {
                    // It is brought, and needs nothing here.
                    wanted.insert(input);
                    continue;
                }
                if !with_inputs {
                    return Err(SelectionError::Lacking {
                        wanted: step.artifact.label.clone(),
                        needed: self.step(input).artifact.label.clone(),
                    });
                }
                wanted.insert(input);
                open.push(input);
            }
        }
        for job in &mut self.jobs {
            job.steps.retain(|id| wanted.contains(id));
        }
        self.jobs.retain(|job| !job.steps.is_empty());
        rules::connect(self);
        Ok(())
    }
}
