//! All that changes from step to step, and what a training resumes from, bit for bit.

use tch::{Kind, Tensor};

use super::{Task, stack_of_one};
use crate::models::checkpoint::parameters::Parameters;
use crate::models::tuning::Tuned;
use crate::trainer::OptimizerState;
use crate::trainer::heads::checkpoint::{self, Stored};
use crate::trainer::heads::stack::Stack;
use crate::trainer::heads::{CheckpointStore, TrainError};

/// What the network's tensors are called in a checkpoint, before their names.
const NETWORK: &str = "network/";
/// The sums of an epoch that is not over.
const SUMS: &str = "sums";
const LOSS: &str = "loss";
const RIGHT: &str = "right";

/// A training between two steps, but for the network's parameters.
pub(super) struct TuningState<'a> {
    /// Steps that were made, over all epochs.
    pub(super) made: u32,
    /// The head, as a stack of one.
    pub(super) stack: Stack<'a>,
    /// What the network's optimizer remembers.
    pub(super) moments: OptimizerState,
}

impl<'a> TuningState<'a> {
    /// From the newest checkpoint, or from before the first step.
    pub(super) fn begin(
        task: &'a Task<'_>,
        fit: &[usize],
        tuned: &mut Tuned,
        keep: &dyn CheckpointStore,
    ) -> Result<Self, TrainError> {
        let rule = task.fine_tuning.optimizer.kind;
        let mut state = Self {
            made: 0,
            stack: stack_of_one(task, fit)?,
            moments: OptimizerState::new(rule, tuned.trained.tensors()),
        };
        if let Some(stored) = checkpoint::open(keep, u32::MAX)?
            && stored.has(task.job.name)
        {
            state.restore(&stored, task, &mut tuned.trained)?;
        }
        Ok(state)
    }

    /// Everything that changes, by name.
    pub(super) fn tensors(&self, network: &Parameters, head: &str) -> Vec<(String, Tensor)> {
        let own = network.name(NETWORK, network.tensors());
        let moments = self.moments.state(network);
        let moments = moments.map(|(name, tensor)| (format!("{NETWORK}{name}"), tensor));
        let mut tensors: Vec<(String, Tensor)> = own
            .chain(moments)
            .map(|(name, tensor)| (name, tensor.shallow_clone()))
            .collect();
        tensors.extend(checkpoint::tensors(std::iter::once(&self.stack), |_| head));
        let (loss, right) = self.stack.sums();
        tensors.push((format!("{SUMS}/{LOSS}"), loss.copy()));
        tensors.push((format!("{SUMS}/{RIGHT}"), right.to_kind(Kind::Double)));
        tensors
    }

    fn restore(
        &mut self,
        stored: &Stored,
        task: &Task<'_>,
        network: &mut Parameters,
    ) -> Result<(), TrainError> {
        let lacking =
            || TrainError::Checkpoint("a checkpoint lacks a part of a network".to_owned());
        let mut missing = false;
        // Laid out in memory as it is, because a sum may round differently elsewhere.
        let mut take = |name: &str, like: &Tensor| -> Tensor {
            let mut tensor = like.detach().zeros_like();
            match stored.values(&format!("{NETWORK}{name}")) {
                Some(values) if values.numel() == like.numel() => {
                    tensor.copy_(&values.view(like.size().as_slice()));
                }
                _ => missing = true,
            }
            tensor
        };
        let names = network.names().to_vec();
        tch::no_grad(|| {
            for (name, parameter) in names.iter().zip(network.tensors_mut()) {
                parameter.copy_(&take(name, parameter));
            }
        });
        self.moments = self.moments.replaced(stored.count, |prefix, index, like| {
            take(&format!("{prefix}{}", names[index]), like)
        });
        if missing {
            return Err(lacking());
        }
        stored.restore(&mut self.stack, &[task.job.name], task.device)?;
        let sum = |key: &str| stored.numbers(SUMS, key).ok_or_else(lacking);
        self.stack.set_sums(&sum(LOSS)?, &sum(RIGHT)?);
        self.made = stored.count;
        Ok(())
    }
}
