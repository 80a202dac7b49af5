//! What was meant: the experiment graph with names resolved, sweeps expanded and every misfit found.
//!
//! [`build`] turns the sections of a file into an [`Experiment`]. It never stops at the first mistake.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness.

mod build;
mod extraction;
mod preprocess;
mod pretrain;
mod resolve;
mod samples;

use std::sync::Arc;

use serde::Serialize;

use crate::datasets::Dataset;
use crate::heads::Head;
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::metrics::Metric;
use crate::models::diffusion::respacing::Respacing;
use crate::models::{BlockIndex, Model, Precision};
use crate::report::ReportConfig;
use crate::trainer::Training;
use crate::trainer::pretraining::Pretraining;

pub use build::{METRIC_KEYS, build, build_datasets, build_models};
pub use extraction::KEYS as EXTRACTION_KEYS;
pub use preprocess::STEPS as PREPROCESS_STEPS;
pub use pretrain::KEYS as PRETRAIN_KEYS;
pub use samples::{KEYS as SAMPLES_KEYS, SampleMethod};

/// A checked experiment.
#[derive(Debug)]
pub struct Experiment {
    /// `name` of `[experiment]`.
    pub name: String,
    /// `title` of `[experiment]`.
    pub title: String,
    /// The seeds of heads that name none.
    pub seeds: Vec<u64>,
    /// Datasets; one made from another stands behind it.
    pub datasets: Vec<DatasetNode>,
    /// Trainings of models, one for each model that takes its weights from one.
    pub pretrains: Vec<PretrainNode>,
    /// Models.
    pub models: Vec<ModelNode>,
    /// Sheets of images that models make.
    pub samples: Vec<SamplesNode>,
    /// Extractions, one for each combination of the swept keys.
    pub extractions: Vec<ExtractionNode>,
    /// Heads, one for each combination of features, swept keys and seed.
    pub heads: Vec<HeadNode>,
    /// Metrics.
    pub metrics: Vec<MetricNode>,
    /// The report, where one is asked for.
    pub report: Option<ReportConfig>,
}

/// A dataset of the graph.
#[derive(Debug, Clone)]
pub struct DatasetNode {
    /// Its name.
    pub name: String,
    /// What was declared.
    pub dataset: Arc<dyn Dataset>,
    /// Its `root`, as it was typed, for people.
    pub root: Option<String>,
    /// The dataset that it is made from, as an index into [`Experiment::datasets`].
    pub upstream: Option<usize>,
}

/// A model of the graph.
#[derive(Debug, Clone)]
pub struct ModelNode {
    /// Its name.
    pub name: String,
    /// What was declared.
    pub model: Arc<dyn Model>,
    /// The training that its weights come from, as an index into [`Experiment::pretrains`].
    pub pretrain: Option<usize>,
}

/// The training of one model.
#[derive(Debug, Clone)]
pub struct PretrainNode {
    /// The node's name.
    pub name: String,
    /// The images, as an index into [`Experiment::datasets`].
    pub dataset: usize,
    /// The model that is trained, as an index into [`Experiment::models`].
    pub model: usize,
    /// The split to train on.
    pub split: String,
    /// How images become squares.
    pub preprocess: Preprocess,
    /// How it is trained.
    pub training: Pretraining,
    /// Steps between checkpoints. The weights do not depend on it.
    pub checkpoint_every: u32,
}

/// Images that a model makes out of noise.
#[derive(Debug, Clone)]
pub struct SamplesNode {
    /// The node's name.
    pub name: String,
    /// The model, as an index into [`Experiment::models`].
    pub model: usize,
    /// How many images.
    pub count: u32,
    /// How a step is taken.
    pub method: SampleMethod,
    /// Which timesteps.
    pub respacing: Respacing,
    /// Seed of the noise.
    pub seed: u64,
}

/// The number type that features are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats, as computed.
    F32,
    /// 16-bit floats: half the space, about three significant digits.
    F16,
}

/// What happens at an image that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadImage {
    /// The extraction fails and names the image.
    Fail,
    /// The image is left out, recorded, and the report says so.
    Skip,
}

/// One set of features: one model, dataset, timestep, block and pool.
#[derive(Debug, Clone)]
pub struct ExtractionNode {
    /// The node's name; all combinations of its sweeps share it.
    pub name: String,
    /// Index into [`Experiment::datasets`].
    pub dataset: usize,
    /// Index into [`Experiment::models`].
    pub model: usize,
    /// Noise step t, from 0.
    pub timestep: u32,
    /// Block b, numbered as in the paper.
    pub block: BlockIndex,
    /// Side of the adaptive average pool.
    pub pool: u32,
    /// What is shown of each image.
    pub view: View,
    /// Which of several noise draws.
    pub draw: u32,
    /// Seed of the noise.
    pub noise_seed: u64,
    /// How images become squares.
    pub preprocess: Preprocess,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// What the network computes in.
    pub precision: Precision,
    /// How features are kept.
    pub storage: Storage,
    /// Images per forward pass; `None` lets the executor choose. Results do not depend on it beyond rounding.
    pub batch_size: Option<u32>,
    /// What happens at an image that does not decode.
    pub on_bad_image: OnBadImage,
}

impl ExtractionNode {
    /// A label that tells it from every other extraction of the graph's node.
    pub fn label(&self, experiment: &Experiment) -> String {
        // What hardly any experiment changes is only said where it was.
        let precision = match self.precision {
            Precision::F32 => String::new(),
            other => format!(" {}", other.name()),
        };
        format!(
            "{}[{} {} t={} {} pool={} {} draw={} seed={}{precision}]",
            self.name,
            experiment.datasets[self.dataset].name,
            experiment.models[self.model].name,
            self.timestep,
            self.block,
            self.pool,
            self.view.name(),
            self.draw,
            self.noise_seed
        )
    }
}

/// One head: one set of features, one seed, one way of training.
#[derive(Debug, Clone)]
pub struct HeadNode {
    /// The node's name.
    pub name: String,
    /// Its form.
    pub head: Arc<dyn Head>,
    /// How it is trained.
    pub training: Training,
    /// What it reads, as an index into [`Experiment::extractions`].
    pub features: usize,
    /// Seed of its initial weights and of the order of samples.
    pub seed: u64,
}

/// One metric over many heads.
#[derive(Debug, Clone)]
pub struct MetricNode {
    /// The node's name.
    pub name: String,
    /// What is computed.
    pub metric: Arc<dyn Metric>,
    /// Which heads are scored, as indices into [`Experiment::heads`].
    pub heads: Vec<usize>,
}
