//! The best of several heads, trained again on all training samples: with every seed of the choice in one scan.

use super::{OneHead, run_tuned, scan, scanned};
use crate::exec::NodeError;
use crate::exec::choosing::{Chosen, choose};
use crate::exec::context::{Run, StepResult};
use crate::plan::{Refit, StepId, Work};

/// Chooses, and trains and commits what was chosen; reports what became of each step.
pub(in crate::exec::jobs) fn run_refits(
    run: &Run<'_>,
    steps: &[StepId],
) -> Vec<(StepId, StepResult)> {
    scanned(steps, |tell| {
        let refits = steps.iter().map(|&step| match &run.plan.step(step).work {
            Work::Refit(refit) => Ok((step, &**refit)),
            _ => Err(NodeError::bug("a step of a refit does something else")),
        });
        let refits: Vec<(StepId, &Refit)> = refits.collect::<Result<_, _>>()?;
        let Some((_, first)) = refits.first() else {
            return Ok(());
        };
        let chosen = choose(run.plan, run.store, &first.choice)?;
        let chosen = chosen.ok_or_else(|| {
            NodeError::bug("a choice was begun before its candidates were trained")
        })?;
        let candidates = chosen.to_batch()?;
        let trains: Vec<_> = refits
            .iter()
            .map(|(_, refit)| train(&chosen, refit))
            .collect::<Result<_, _>>()?;
        let heads: Vec<OneHead<'_>> = refits
            .iter()
            .zip(&trains)
            .map(|(&(step, _), train)| OneHead {
                candidates: Some(&candidates),
                ..OneHead::of(step, &run.plan.step(step).artifact, train)
            })
            .collect();
        if trains
            .iter()
            .any(|train| train.node.training.fine_tune.is_some())
        {
            for head in heads {
                tell(head.step, run_tuned(run, head).into());
            }
            return Ok(());
        }
        let checkpoints = first
            .of_all_seeds()
            .map_err(|error| NodeError::bug(&error.to_string()))?;
        scan(run, &heads, &checkpoints, tell)
    })
}

fn train(chosen: &Chosen, refit: &Refit) -> Result<std::sync::Arc<crate::plan::Train>, NodeError> {
    let train = chosen.train(refit.seed);
    train.ok_or_else(|| {
        NodeError::Values(
            format!(
                "the chosen head was not trained with seed {}, as others of the choice were; give all of them the same seeds",
                refit.seed
            )
            .into(),
        )
    })
}
