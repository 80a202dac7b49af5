//! Jobs: what runs as one. A fused pass, a stack of heads, or a single step.
//!
//! A job's name is a digest of what its steps agree in, and not of the steps themselves: it stays the same while other jobs finish, so
//! that a scheduler outside can plan once and then ask for one job after another by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::step::{
    DatasetUse, Extract, Joined, ModelUse, PlannedArtifact, Shown, Step, StepId, Train, Work,
};
use super::{Plan, PlanError, Shards};
use crate::feature_type::FeatureType;
use crate::graph::OnBadImage;
use crate::imaging::Normalization;
use crate::imaging::preprocess::View;
use crate::models::{BlockIndex, ClassCondition, Precision, Reduce, TapShape};
use crate::plan::recipes::HeadRecipe;
use crate::store::{ArtifactKind, Fingerprint, Recipe};
use crate::trainer::{TestAverage, Views};

/// What kind of work a job is; in the order in which a single worker does them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Artifacts that a remote has, brought into the store.
    Transfer,
    /// The training of a diffusion network.
    Pretrain,
    /// Samples: images out of noise. It can be cut by shards.
    Sample,
    /// Images through a network, many taps at once. It can be cut by shards.
    Pass,
    /// Features that were computed elsewhere, out of their files. It can be cut by shards.
    Import,
    /// Heads that train in one scan of the same features.
    Heads,
    /// A head that is trained with its network.
    Tuning,
    /// The best of several heads, trained on all training samples; those of all seeds together.
    Refit,
    /// One metric over all that it reads.
    Metric,
}

impl JobKind {
    /// The first word of a job's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Pretrain => "pretrain",
            Self::Sample => "samples",
            Self::Pass => "pass",
            Self::Import => "import",
            Self::Heads => "heads",
            Self::Tuning => "tuning",
            Self::Refit => "refit",
            Self::Metric => "metric",
        }
    }
}

/// What a job costs, for forecasts and schedulers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Images through a network.
    pub images: u64,
    /// Multiply-adds of the forward passes.
    pub multiply_adds: u64,
    /// Bytes of features and of images that are written, or of artifacts that come from a remote.
    pub bytes: u64,
}

/// What runs as one.
#[derive(Debug, Clone)]
pub struct Job {
    /// What kind of work it is.
    pub kind: JobKind,
    /// Its name, such as `pass-1a2b3c4d5e6f`.
    pub name: String,
    /// The steps that it makes, by their index in the plan.
    pub steps: Vec<StepId>,
    /// The jobs that have to be done before, as indices into [`Plan::jobs`].
    pub needs: BTreeSet<usize>,
    /// How many shards it has; `None` for a job that cannot be cut.
    pub shards: Option<usize>,
    /// Of what is still missing.
    pub cost: Cost,
}

impl Job {
    /// The job of one step, before any rule.
    pub(super) fn of(id: StepId, step: &Step) -> Result<Self, PlanError> {
        let (kind, key) = key(step)?;
        let mut job = Self {
            kind,
            name: name(kind, &key),
            steps: vec![id],
            needs: BTreeSet::new(),
            shards: None,
            cost: Cost::default(),
        };
        job.cost.images = match &step.work {
            Work::Train(train) => train.forwards,
            Work::Refit(refit) => refit.most_forwards(),
            _ => 0,
        };
        Ok(job)
    }
}

/// The name of the job that makes a step.
///
/// # Errors
/// None that a user can cause.
pub fn job_name(step: &Step) -> Result<String, PlanError> {
    let (kind, key) = key(step)?;
    Ok(name(kind, &key))
}

/// The name of the job that downloads what another one would make: it has the same digits.
pub fn transfer_name(making: &str) -> String {
    let digits = making.rsplit('-').next().unwrap_or_default();
    format!("{}-{digits}", JobKind::Transfer.word())
}

fn name(kind: JobKind, key: &Fingerprint) -> String {
    format!("{}-{}", kind.word(), key.short())
}

/// What the steps of one job agree in.
fn key(step: &Step) -> Result<(JobKind, Fingerprint), PlanError> {
    let alone = step.artifact.fingerprint;
    Ok(match &step.work {
        Work::Pretrain(_) => (JobKind::Pretrain, alone),
        Work::Sample(_) => (JobKind::Sample, alone),
        Work::Extract(extract) if extract.is_imported() => (JobKind::Import, extract.pass),
        Work::Extract(extract) => (JobKind::Pass, extract.pass),
        Work::Train(train) => match ScanKey::of(train) {
            Some(key) => (JobKind::Heads, key.recipe()?.fingerprint()),
            None => (JobKind::Tuning, alone),
        },
        Work::Refit(refit) => (JobKind::Refit, refit.of_all_seeds()?.fingerprint()),
        Work::Evaluate(_) => (JobKind::Metric, alone),
    })
}

/// What heads must agree in to train in one scan of their features. Groups and their checkpoints both come from it.
#[derive(Debug, PartialEq, Serialize)]
pub struct ScanKey<'a> {
    /// Fingerprints of what they are trained on.
    features: Vec<String>,
    /// Fingerprint of what they predict from.
    test_features: String,
    /// How many draws of it they predict from.
    test_draws: u32,
    /// What is averaged over them.
    test_average: TestAverage,
    /// Fingerprint of what is held out.
    held_out_features: String,
    /// Fingerprints of what stands behind them.
    joined: Vec<[String; 3]>,
    /// The split that they are trained on.
    train: &'a str,
    /// The split that they predict.
    test: &'a str,
    /// Samples of a step.
    batch_size: u32,
    /// Which views an epoch reads.
    views: Views,
    /// Whether every epoch recomputes the features.
    online: bool,
    /// The share that is kept out of training.
    holdout: f64,
}

impl<'a> ScanKey<'a> {
    /// That of a head; `None` for a head that is trained with its network, by itself.
    pub fn of(train: &'a Train) -> Option<Self> {
        let training = &train.node.training;
        training.fine_tune.is_none().then(|| Self {
            features: train.reads.iter().map(ToString::to_string).collect(),
            test_features: train.features.fingerprint.to_string(),
            test_draws: training.test_draws,
            test_average: training.test_average,
            held_out_features: train.held_out.fingerprint.to_string(),
            joined: train.joined.iter().map(of_joined).collect(),
            train: &training.train_split,
            test: &training.test_split,
            batch_size: training.batch_size,
            views: training.views,
            online: training.online,
            holdout: training.holdout,
        })
    }

    /// What the checkpoints of a scan are found by.
    ///
    /// # Errors
    /// A share that is not a finite number, which the reader of experiments refuses.
    pub fn recipe(&self) -> Result<Recipe, PlanError> {
        Ok(Recipe::new(ArtifactKind::Head, HeadRecipe::VERSION, self)?)
    }
}

fn of_joined(joined: &Joined) -> [String; 3] {
    [&joined.trained, &joined.features, &joined.held_out]
        .map(|extract| extract.fingerprint.to_string())
}

/// What extractions must agree in to run in one pass, besides dataset and network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassKey {
    /// Noise step; `None` where the model has no noise.
    pub timestep: Option<u32>,
    /// The class that the network is given with each image; `None` where it is given none.
    pub class: Option<ClassCondition>,
    /// What is shown of each image.
    pub view: View,
    /// Which images, how they become squares, and what is drawn at random.
    pub shown: Shown,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// What the network computes in.
    pub precision: Precision,
}

impl PassKey {
    /// That of the pass that an extraction needs.
    pub fn of(extract: &Extract) -> Self {
        let node = &extract.node;
        Self {
            timestep: node.timestep,
            class: node.class,
            view: node.view,
            shown: extract.shown.clone(),
            normalization: node.normalization,
            precision: node.precision,
        }
    }

    /// The number of the random draw, and its seed; zeros where nothing is drawn.
    pub fn draw_and_seed(&self) -> (u32, u64) {
        self.shown
            .random
            .map_or((0, 0), |random| (random.draw, random.seed))
    }
}

/// One output of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The step that makes this tap's features.
    pub step: StepId,
    /// The block whose output is read.
    pub block: BlockIndex,
    /// How its output becomes a feature.
    pub reduce: Reduce,
    /// Shape of the block's output for one image, before it is reduced.
    pub shape: TapShape,
    /// Number type.
    pub storage: FeatureType,
    /// Values in one feature.
    pub width: usize,
    /// The artifact that its features become.
    pub artifact: PlannedArtifact,
}

/// One run of a dataset through a network, with taps.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The job's name.
    pub name: String,
    /// What its taps share.
    pub key: PassKey,
    /// The dataset whose images run through the network.
    pub dataset: Arc<DatasetUse>,
    /// The network, with the identity of its weights.
    pub model: Arc<ModelUse>,
    /// Its taps, by block and reduction.
    pub taps: Vec<Tap>,
    /// How the images are cut.
    pub shards: Shards,
    /// Images per forward pass, where one was asked for.
    pub batch_size: Option<u32>,
    /// Whether images that do not decode are left out.
    pub skip_bad_images: bool,
    /// Multiply-adds of one image up to the deepest tap.
    pub multiply_adds: u64,
    /// The latents that it reads in place of images; `None` where it reads images.
    pub latents: Option<Arc<Extract>>,
}

impl Pass {
    /// The pass that a job is; `None` for a job of another kind.
    pub fn of(plan: &Plan, job: &Job) -> Option<Self> {
        if job.kind == JobKind::Transfer {
            return None;
        }
        let extracts: Vec<(StepId, &Step, &Extract)> = job
            .steps
            .iter()
            .filter_map(|&id| {
                let step = plan.step(id);
                match &step.work {
                    Work::Extract(extract) => Some((id, step, &**extract)),
                    _ => None,
                }
            })
            .collect();
        let (_, _, first) = *extracts.first()?;
        let mut taps: Vec<Tap> = extracts
            .iter()
            .map(|(id, step, extract)| Tap {
                step: *id,
                block: extract.node.block,
                reduce: extract.node.reduce,
                shape: extract.tap,
                storage: extract.node.storage,
                width: extract.shape.values(),
                artifact: step.artifact.clone(),
            })
            .collect();
        taps.sort_by_key(|tap| (tap.block, tap.reduce, tap.storage, tap.artifact.fingerprint));
        // One pass has one depth, one batch size and one way with bad images: the strictest of what was asked for.
        let nodes = || extracts.iter().map(|(_, _, extract)| &extract.node);
        Some(Self {
            name: job.name.clone(),
            key: PassKey::of(first),
            dataset: Arc::clone(&first.images),
            model: Arc::clone(&first.model),
            taps,
            shards: Shards::new(first.samples(), first.model.side()),
            batch_size: nodes().filter_map(|node| node.batch_size).min(),
            skip_bad_images: nodes().all(|node| node.on_bad_image == OnBadImage::Skip),
            multiply_adds: extracts
                .iter()
                .map(|(_, _, extract)| extract.multiply_adds)
                .max()
                .unwrap_or(0),
            latents: first.latents.clone(),
        })
    }

    /// Whether all that it makes are latents that other models read.
    pub fn makes_latents(&self, plan: &Plan) -> bool {
        let mut steps = self.taps.iter().map(|tap| plan.step(tap.step));
        steps.all(|step| matches!(&step.work, Work::Extract(extract) if extract.is_latents()))
    }

    /// Whether its features are read from files, and no network runs.
    pub fn is_imported(&self) -> bool {
        self.model.model.imported().is_some()
    }

    /// Images in all.
    pub fn images(&self) -> usize {
        self.shards.rows()
    }

    /// The deepest block that is read.
    pub fn deepest(&self) -> Option<BlockIndex> {
        self.taps.iter().map(|tap| tap.block).max()
    }

    /// The shards that at least one tap still lacks.
    pub fn missing_shards(&self) -> Vec<usize> {
        let artifacts = self.taps.iter().map(|tap| &tap.artifact);
        self.shards.lacking(artifacts)
    }

    /// Images of the shards that at least one tap still lacks.
    pub fn missing_images(&self) -> usize {
        let missing = self.missing_shards().into_iter();
        missing.map(|shard| self.shards.rows_of(shard).len()).sum()
    }

    /// Bytes of features that the whole pass leaves, without ids and labels.
    pub fn feature_bytes(&self) -> u64 {
        let per_image: usize = self
            .taps
            .iter()
            .map(|tap| tap.width * tap.storage.bytes())
            .sum();
        per_image as u64 * self.images() as u64
    }

    /// What it costs to make what is missing.
    pub fn cost(&self) -> Cost {
        let images = self.missing_images() as u64;
        Cost {
            images,
            multiply_adds: images * self.multiply_adds,
            bytes: self.feature_bytes() * images / (self.images() as u64).max(1),
        }
    }
}
