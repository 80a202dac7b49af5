//! What will be done: from the graph to ordered passes.
//!
//! [`plan`] is a pure function of the experiment, the [`Facts`] about its inputs, and the store's listing: the same three give
//! the same plan, and the same text. It lowers each extraction to a pass of its own and then applies the rules of [`rules::ALL`]
//! in order. No rule may change which artifacts exist after the run; that is checked after each of them.
//!
//! The report is no artifact: it is rendered from the store at the end of every run and written where it differs, so nothing has
//! to be planned for it.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness, no tensors.

mod lower;
mod lower_networks;
mod physical;
pub mod recipes;
pub mod rules;
mod shards;
mod text;

use crate::datasets::SplitCount;
use crate::graph::Experiment;
use crate::store::{Listing, RecipeError};

pub use physical::{
    HeadStep, MetricStep, Pass, PassKey, Plan, PlannedArtifact, PretrainStep, SamplesStep, State,
    Tap,
};
pub use shards::Shards;
pub use text::{PlanRecord, render, render_passes};

/// What has to be known about the inputs before anything can be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// One for each dataset of the experiment, in its order.
    pub datasets: Vec<DatasetFacts>,
    /// The identity of each model's weights: `synthetic:SEED`, `blake3:HEX`, or `none` where it has none; `None` where a training is still to make them. The
    /// planner knows them by the training's fingerprint.
    pub weights: Vec<Option<String>>,
}

/// What has to be known about a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Its manifest digest.
    pub digest: String,
    /// How many samples it has in all.
    pub samples: usize,
    /// Its splits and their sizes.
    pub splits: Vec<SplitCount>,
    /// Its class names.
    pub classes: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A field that has no canonical form: a bug, or a number that is none.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A head names a split that its dataset does not have.
    #[error(
        "head `{head}` uses split `{split}`, but dataset `{dataset}` has {known}\n  hint: set `train` and `test` of the head"
    )]
    NoSplit {
        /// The head.
        head: String,
        /// The split that is not there.
        split: String,
        /// The dataset.
        dataset: String,
        /// The splits that are.
        known: String,
    },
    /// A training names a split that its dataset does not have, or that is empty.
    #[error(
        "pretrain `{pretrain}` uses split `{split}`, but dataset `{dataset}` has {known}\n  hint: set `split` of the training"
    )]
    NoTrainingSplit {
        /// The training.
        pretrain: String,
        /// The split that is not there.
        split: String,
        /// The dataset.
        dataset: String,
        /// The splits that are.
        known: String,
    },
    /// An extraction reads what its model does not have: a bug, since the graph is checked for it.
    #[error(
        "an extraction reads a block that its model does not have; this is a bug in repro, please report it"
    )]
    NoSuchTap,
    /// A rule changed what the run leaves behind: a bug.
    #[error(
        "the planner's rule `{rule}` changed the set of artifacts; this is a bug in repro, please report it"
    )]
    RuleChangedArtifacts {
        /// The rule.
        rule: &'static str,
    },
}

/// Plans an experiment; `observe` is shown the passes after each rule, for `repro plan --steps`.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    experiment: &Experiment,
    facts: &Facts,
    listing: &Listing,
    observe: &mut dyn FnMut(&'static str, &[Pass]),
) -> Result<Plan, PlanError> {
    let mut plan = lower::lower(experiment, facts, listing)?;
    observe("lower", &plan.passes);
    for rule in rules::ALL {
        let before = plan.artifacts();
        (rule.apply)(&mut plan);
        if plan.artifacts() != before {
            return Err(PlanError::RuleChangedArtifacts { rule: rule.name });
        }
        observe(rule.name, &plan.passes);
    }
    Ok(plan)
}
