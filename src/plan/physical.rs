//! The physical plan: what runs, in which order, and what exists already.

use std::collections::{BTreeMap, BTreeSet};

use crate::feature_type::FeatureType;
use crate::graph::{ExtractionNode, Randomness};
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::{BlockIndex, Precision, Reduce, TapShape};
use crate::store::{Fingerprint, Recipe};

/// Whether an artifact has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is in the store.
    Cached,
    /// Some of its parts are.
    Partial {
        /// The committed parts.
        parts: BTreeSet<u32>,
    },
    /// It is not; `why` says what changed, where that is known.
    Missing {
        /// In words.
        why: String,
    },
}

impl State {
    /// Whether nothing has to be done.
    pub fn is_cached(&self) -> bool {
        matches!(self, Self::Cached)
    }
}

/// An artifact that the run leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedArtifact {
    /// What the experiment calls it.
    pub label: String,
    /// All that decides its bytes.
    pub recipe: Recipe,
    /// Its name in the store.
    pub fingerprint: Fingerprint,
    /// Whether it has to be made.
    pub state: State,
}

/// What extractions must share to run in one pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassKey {
    /// Index of the dataset.
    pub dataset: usize,
    /// Index of the model.
    pub model: usize,
    /// Noise step; `None` where the model has no noise.
    pub timestep: Option<u32>,
    /// What is drawn at random; `None` where nothing is.
    pub random: Option<Randomness>,
    /// What is shown of each image.
    pub view: View,
    /// How images become squares.
    pub preprocess: Preprocess,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// What the network computes in.
    pub precision: Precision,
}

impl PassKey {
    /// That of the pass that an extraction needs.
    pub fn of(extraction: &ExtractionNode) -> Self {
        Self {
            dataset: extraction.dataset,
            model: extraction.model,
            timestep: extraction.timestep,
            random: extraction.random,
            view: extraction.view,
            preprocess: extraction.preprocess.clone(),
            normalization: extraction.normalization,
            precision: extraction.precision,
        }
    }
}

/// One output of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The block whose output is read.
    pub block: BlockIndex,
    /// How its output becomes a feature.
    pub reduce: Reduce,
    /// The shape of the output.
    pub shape: TapShape,
    /// Number type.
    pub storage: FeatureType,
    /// Values in one feature.
    pub width: usize,
    /// What it becomes.
    pub artifact: PlannedArtifact,
}

/// One run of a dataset through a network, with taps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// What its taps share.
    pub key: PassKey,
    /// Its taps, by block and pool.
    pub taps: Vec<Tap>,
    /// Images in all.
    pub images: usize,
    /// Shards in all.
    pub shards: usize,
    /// Side of the model's input, which decides the shards.
    pub side: u32,
    /// Images per forward pass, where one was asked for.
    pub batch_size: Option<u32>,
    /// Whether images that do not decode are left out.
    pub skip_bad_images: bool,
    /// Multiply-adds of one image up to the deepest tap.
    pub multiply_adds: u64,
}

impl Pass {
    /// The deepest block that is read.
    pub fn deepest(&self) -> Option<BlockIndex> {
        self.taps.iter().map(|tap| tap.block).max()
    }

    /// The shards that at least one tap still lacks.
    pub fn missing_shards(&self) -> Vec<usize> {
        (0..self.shards)
            .filter(|&shard| {
                self.taps.iter().any(|tap| match &tap.artifact.state {
                    State::Cached => false,
                    State::Partial { parts } => {
                        !u32::try_from(shard).is_ok_and(|shard| parts.contains(&shard))
                    }
                    State::Missing { .. } => true,
                })
            })
            .collect()
    }

    /// Bytes of features that the whole pass leaves, without ids and labels.
    pub fn feature_bytes(&self) -> u64 {
        let per_image: usize = self
            .taps
            .iter()
            .map(|tap| tap.width * tap.storage.bytes())
            .sum();
        per_image as u64 * self.images as u64
    }
}

/// One network to train, or already trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PretrainStep {
    /// Index of the training in the experiment.
    pub pretrain: usize,
    /// What it becomes.
    pub artifact: PlannedArtifact,
    /// The recipe that it shares with longer and shorter trainings of the same kind, and with them its checkpoints.
    pub trunk: Recipe,
}

/// One sheet of samples to make, or already made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplesStep {
    /// Index of the sheet in the experiment.
    pub samples: usize,
    /// What it becomes.
    pub artifact: PlannedArtifact,
}

/// One head to train, or already trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadStep {
    /// Index of the head in the experiment.
    pub head: usize,
    /// Fingerprints of the cached features that it needs: those that it predicts from, and then other views of the same. None where the
    /// network is trained with it.
    pub features: Vec<Fingerprint>,
    /// Images that go through the network while it is trained.
    pub forwards: u64,
    /// What it becomes.
    pub artifact: PlannedArtifact,
}

/// One metric to compute, or already computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricStep {
    /// Index of the metric in the experiment.
    pub metric: usize,
    /// The heads in order: index and fingerprint.
    pub heads: Vec<(usize, Fingerprint)>,
    /// What it becomes.
    pub artifact: PlannedArtifact,
}

/// Everything that a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Networks to train, one for each of the experiment's trainings.
    pub pretrains: Vec<PretrainStep>,
    /// Sheets of samples, one for each of the experiment's.
    pub samples: Vec<SamplesStep>,
    /// The identity of each model's weights.
    pub weights: Vec<String>,
    /// Passes that run, in order.
    pub passes: Vec<Pass>,
    /// Features that are in the store already, by fingerprint: taps that the rule `prune` took out of the passes.
    pub cached_features: BTreeMap<Fingerprint, PlannedArtifact>,
    /// The fingerprint of each extraction of the experiment, in its order.
    pub features: Vec<Fingerprint>,
    /// Heads, each fingerprint once.
    pub heads: Vec<HeadStep>,
    /// Metrics.
    pub metrics: Vec<MetricStep>,
    /// The file that the report is rendered to, at the end of every run.
    pub report: Option<String>,
}

impl Plan {
    /// The fingerprint of everything that exists after the run.
    pub fn artifacts(&self) -> BTreeSet<Fingerprint> {
        let taps = self
            .passes
            .iter()
            .flat_map(|pass| &pass.taps)
            .map(|tap| tap.artifact.fingerprint);
        taps.chain(self.cached_features.keys().copied())
            .chain(self.heads.iter().map(|step| step.artifact.fingerprint))
            .chain(self.metrics.iter().map(|step| step.artifact.fingerprint))
            .chain(self.pretrains.iter().map(|step| step.artifact.fingerprint))
            .chain(self.samples.iter().map(|step| step.artifact.fingerprint))
            .collect()
    }

    /// Whether nothing has to be computed.
    pub fn is_done(&self) -> bool {
        self.passes.is_empty()
            && self
                .pretrains
                .iter()
                .all(|step| step.artifact.state.is_cached())
            && self
                .samples
                .iter()
                .all(|step| step.artifact.state.is_cached())
            && self
                .heads
                .iter()
                .all(|step| step.artifact.state.is_cached())
            && self
                .metrics
                .iter()
                .all(|step| step.artifact.state.is_cached())
    }
}
