//! What will be done: from the graph to steps and jobs.
//!
//! [`plan`] is a pure function of the experiment, the [`Facts`] about its inputs, and the store's listing: the same three give
//! the same plan, and the same text. `lower` turns every node into a [`Step`], which is what a run leaves, each artifact once; a step
//! has the steps that it reads as inputs. Each step that is wanted is a [`Job`] of its own at first; the rules of [`rules::ALL`] drop
//! the jobs of what the store has and merge those that can run as one. No rule may change which artifacts exist after the run; that is
//! checked after each of them.
//!
//! The report is not an artifact: it is rendered from the store at the end of every run and written where it differs, so nothing
//! has to be planned for it.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness, no tensors.

mod absent;
mod choice;
pub mod job;
mod known;
mod latents;
mod lower;
mod nearest;
mod rates;
pub mod recipes;
pub mod rules;
mod selection;
mod shards;
mod some_items;
mod step;
mod text;
pub mod warnings;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::bug::Bug;
use crate::datasets::SplitCount;
use crate::graph::Experiment;
use crate::message::Hint;
use crate::store::{Fingerprint, Listing, RecipeError};

pub use absent::{Absent, Expected};
pub use choice::{Choice, ChosenItem, Refit};
pub use job::{Cost, Job, JobKind, Pass, PassKey, ScanKey, Tap, job_name, transfer_name};
pub use known::described;
pub use nearest::{Nearest, nearest};
pub use rates::{ExpectedSamples, Forecast, Rates, render_time};
pub use selection::SelectionError;
pub use shards::Shards;
pub use step::{
    CountedNetwork, DatasetUse, Evaluate, Extract, HeadItem, Items, Joined, ModelUse,
    PlannedArtifact, Pretrain, Sample, Shown, Step, StepId, StepState, Train, Work,
};
pub use text::{PlanRecord, render, render_jobs};

/// What has to be known about the inputs before anything can be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// One for each dataset of the experiment, in its order; `None` for images that a run makes, of which the planner knows everything.
    pub datasets: Vec<Option<DatasetFacts>>,
    /// The identity of each model's weights: `synthetic:SEED`, `initialization:SEED`, `blake3:HEX`, `absent:PATH` where the file is not on disk, or `none`
    /// where it has none; `None` where a training is still to make them. The planner knows them by the training's fingerprint.
    pub weights: Vec<Option<String>>,
    /// The digests of files of moments that metrics read, by their paths as they are typed; `absent:PATH` of those that are not on disk.
    pub moments: BTreeMap<PathBuf, String>,
}

/// What has to be known about a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Its manifest digest, `absent:KIND:NUMBER` where it is not on disk, or `samples:FINGERPRINT` for images that a run makes.
    pub digest: String,
    /// How many samples it has in all.
    pub samples: usize,
    /// Its splits and their sizes.
    pub splits: Vec<SplitCount>,
    /// Its class names; none for images that a run makes.
    pub classes: Vec<String>,
}

/// Why an experiment cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A field that has no canonical form: a bug, or a number that is NaN or infinite.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A head names a split that its dataset does not have.
    #[error("head `{head}` uses split `{split}`, but dataset `{dataset}` has {known}")]
    NoSplit {
        /// The head's name in the experiment.
        head: String,
        /// The split that is not there.
        split: String,
        /// The dataset's name in the experiment.
        dataset: String,
        /// The splits that the dataset has, in words.
        known: String,
    },
    /// A head reads features of images that have no classes.
    #[error("head `{head}` needs classes, which the images of dataset `{dataset}` do not have")]
    NoClasses {
        /// The head's name in the experiment.
        head: String,
        /// The dataset's name in the experiment.
        dataset: String,
    },
    /// A metric names a split that a dataset does not have.
    #[error("metric `{metric}` uses split `{split}`, but dataset `{dataset}` has {known}")]
    NoMetricSplit {
        /// The metric's name in the experiment.
        metric: String,
        /// The split that is not there.
        split: String,
        /// The dataset's name in the experiment.
        dataset: String,
        /// The splits that the dataset has, in words.
        known: String,
    },
    /// A training names a split that its dataset does not have, or that is empty.
    #[error("pretrain `{pretrain}` uses split `{split}`, but dataset `{dataset}` has {known}")]
    NoTrainingSplit {
        /// The training's name in the experiment.
        pretrain: String,
        /// The split that is not there.
        split: String,
        /// The dataset's name in the experiment.
        dataset: String,
        /// The splits that the dataset has, in words.
        known: String,
    },
    /// An extraction gives the network labels that it has no classes for.
    #[error(
        "extraction `{extraction}` gives model `{model}`, which has {classes} classes, the labels of dataset `{dataset}`, which has {labels}"
    )]
    Labels {
        /// The extraction's name in the experiment.
        extraction: String,
        /// The dataset's name in the experiment.
        dataset: String,
        /// Classes of the dataset; 0 where it has none.
        labels: usize,
        /// The model's name in the experiment.
        model: String,
        /// Classes of the network.
        classes: u32,
    },
    /// The planner contradicts itself or the graph.
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl Hint for PlanError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSplit { .. } => "set `train` and `test` of the head",
            Self::NoClasses { .. } => {
                "read features of a dataset with classes; `labels` of an `npz` dataset names the array that has them"
            }
            Self::NoMetricSplit { .. } => "set `split` of the metric",
            Self::NoTrainingSplit { .. } => "set `split` of the training",
            Self::Labels { .. } => "give all images the same class, such as `class = 0`",
            Self::Recipe(_) | Self::Bug(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// Everything that a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The experiment's name.
    pub name: String,
    /// What exists after the run, one step an artifact; a step stands behind those that it reads.
    pub steps: Vec<Step>,
    /// What runs, a job behind those that it needs.
    pub jobs: Vec<Job>,
    /// The datasets of the experiment, in its order.
    pub datasets: Vec<Arc<DatasetUse>>,
    /// The models of the experiment, in its order.
    pub models: Vec<Arc<ModelUse>>,
    /// The features of the experiment's extractions, in its order; several of one where training and testing see other images of it.
    pub features: Vec<Arc<Extract>>,
    /// The file that the report is rendered to, at the end of every run.
    pub report: Option<String>,
}

impl Plan {
    /// A step by its index.
    ///
    /// # Panics
    /// Never: ids come from this plan.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0]
    }

    /// The fingerprint of everything that exists after the run.
    pub fn artifacts(&self) -> BTreeSet<Fingerprint> {
        let steps = self.steps.iter();
        steps.map(|step| step.artifact.fingerprint).collect()
    }

    /// Whether nothing has to be computed.
    pub fn is_done(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The passes, in the order of the jobs.
    pub fn passes(&self) -> Vec<Pass> {
        self.of_kind(JobKind::Pass)
    }

    /// What is read of features that were computed elsewhere, in the order of the jobs.
    pub fn imports(&self) -> Vec<Pass> {
        self.of_kind(JobKind::Import)
    }

    fn of_kind(&self, kind: JobKind) -> Vec<Pass> {
        let jobs = self.jobs.iter().filter(|job| job.kind == kind);
        jobs.filter_map(|job| Pass::of(self, job)).collect()
    }

    /// The step that leaves an artifact.
    pub fn by_fingerprint(&self) -> BTreeMap<Fingerprint, StepId> {
        let steps = self.steps.iter().enumerate();
        steps
            .map(|(index, step)| (step.artifact.fingerprint, StepId(index)))
            .collect()
    }

    /// What its trainings find their checkpoints by, done or not: the names of folders of the store.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn checkpoints(&self) -> Result<BTreeSet<Fingerprint>, PlanError> {
        let mut found = BTreeSet::new();
        for step in &self.steps {
            let alone = step.artifact.fingerprint;
            match &step.work {
                Work::Pretrain(work) => found.extend([work.checkpoints.fingerprint()]),
                Work::Train(train) => {
                    let shared = ScanKey::of(train).map(|key| key.recipe()).transpose()?;
                    found.insert(shared.map_or(alone, |shared| shared.fingerprint()));
                }
                // Which of the two depends on what is chosen.
                Work::Refit(refit) => found.extend([alone, refit.of_all_seeds()?.fingerprint()]),
                Work::Sample(_) | Work::Extract(_) | Work::Evaluate(_) => {}
            }
        }
        Ok(found)
    }

    /// What has to be made: the steps of the jobs.
    fn to_make(&self) -> BTreeSet<StepId> {
        let jobs = self.jobs.iter();
        jobs.flat_map(|job| job.steps.iter().copied()).collect()
    }
}

/// Plans an experiment; `observe` is shown the plan after each rule, for `repro plan --steps`.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    experiment: &Experiment,
    facts: &Facts,
    listing: &Listing,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<Plan, PlanError> {
    let mut plan = lower::lower(experiment, facts, listing)?;
    observe("lower", &plan);
    for rule in rules::ALL {
        let missing = |plan: &Plan| -> BTreeSet<StepId> {
            let ids = plan.to_make().into_iter();
            ids.filter(|&id| plan.step(id).is_missing()).collect()
        };
        let before = missing(&plan);
        (rule.apply)(&mut plan);
        if missing(&plan) != before {
            let what = format!("the rule `{}` changed what is made", rule.name);
            return Err(Bug::new(what).into());
        }
        observe(rule.name, &plan);
    }
    rules::connect(&mut plan);
    Ok(plan)
}
