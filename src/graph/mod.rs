//! What was meant: the experiment graph with names resolved, sweeps expanded and every misfit found.
//!
//! [`build`] turns the sections of a file into an [`Experiment`]. It never stops at the first error.
//!
//! **Architecture invariant:** no I/O, no clock, no randomness.

pub mod announced;
pub mod axes;
mod build;
mod extraction;
mod imported;
mod kinds;
mod metric_node;
mod node_axes;
pub mod planned;
mod preprocess;
mod pretrain;
mod resolve;
mod samples;
mod warnings;

use std::sync::Arc;

use crate::datasets::Dataset;
use crate::diffusion::respacing::Respacing;
use crate::feature_type::FeatureType;
use crate::heads::{FeatureShape, Head};
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::class_condition::SampleClasses;
use crate::models::{BlockIndex, ClassCondition, Model, Precision, Reduce, find_block};
use crate::report::ReportConfig;
use crate::spec::{Diagnostic, Diagnostics, Span};
use crate::trainer::pretraining::Pretraining;
use crate::trainer::{Optimizer, Training};

pub use announced::Absences;
pub use axes::Swept;
pub use build::{ShownDataset, build, build_datasets, build_models};
pub use extraction::DOC as EXTRACTION;
pub use metric_node::{MetricInputs, MetricNode};
pub use node_axes::{Origin, Reference, of_distributions};
pub use preprocess::STEPS as PREPROCESS_STEPS;
pub use pretrain::DOC as PRETRAIN;
pub use samples::{Classifier, DOC as SAMPLES, ImageFormat, SampleMethod};

/// A checked experiment.
#[derive(Debug)]
pub struct Experiment {
    /// `name` of `[experiment]`.
    pub name: String,
    /// `title` of `[experiment]`.
    pub title: String,
    /// The seeds of heads that name none.
    pub seeds: Vec<u64>,
    /// Datasets; one made from another stands behind it, and those whose images are samples stand behind all others.
    pub datasets: Vec<DatasetNode>,
    /// Trainings of models, one for each model that takes its weights from one.
    pub pretrains: Vec<PretrainNode>,
    /// Models, one for each combination of swept keys.
    pub models: Vec<ModelNode>,
    /// Samples: images that models make.
    pub samples: Vec<SamplesNode>,
    /// Extractions, one for each combination of the swept keys.
    pub extractions: Vec<ExtractionNode>,
    /// Heads, one for each combination of features, swept keys and seed.
    pub heads: Vec<HeadNode>,
    /// Metrics, one for each combination of swept keys.
    pub metrics: Vec<MetricNode>,
    /// What stays out of the plan, because it needs a kind that is only announced.
    pub absent: Absences,
    /// The report, where one is asked for.
    pub report: Option<ReportConfig>,
    /// What looks like a slip in the file, with the file itself.
    pub warnings: Diagnostics,
}

impl Experiment {
    /// The error of a report that writes a file of another experiment's report, which names it at `place`.
    pub fn shared_output(&self, file: &str, place: &str) -> Diagnostics {
        let mut diagnostics = Diagnostics::new(self.warnings.source.clone());
        let files = self.report.iter().flat_map(ReportConfig::output_files);
        let span = files.into_iter().find(|(own, _)| own == file);
        let span = span.map_or_else(Span::default, |(_, span)| span);
        let message =
            format!("the report writes `{file}`, which another experiment writes at {place}");
        diagnostics.push(
            Diagnostic::new("graph::duplicate-output", span, message, "written by both")
                .hint("give each experiment an `output` of its own"),
        );
        diagnostics
    }

    /// The splits that a dataset has, or some of which it has; `None` where its files decide that.
    pub fn splits_of(&self, dataset: usize) -> Option<Vec<String>> {
        let node = self.datasets.get(dataset)?;
        match node.upstream {
            Some(upstream) => self.splits_of(upstream),
            None => node.dataset.splits(),
        }
    }

    /// What reads images for a model: itself, or the autoencoder whose latents it reads. Its side, normalization and preprocessing are
    /// those of the images. `None` where there is no such model.
    pub fn image_reader(&self, model: usize) -> Option<&ModelNode> {
        let node = self.models.get(model)?;
        match node.autoencoder {
            Some(autoencoder) => self.models.get(autoencoder),
            None => Some(node),
        }
    }

    /// The shape of an extraction's features; `None` where its model has no such tap, which the reader of extractions refuses.
    pub fn feature_shape(&self, extraction: &ExtractionNode) -> Option<FeatureShape> {
        let model = &self.models[extraction.model].model;
        find_block(&**model, extraction.block)?
            .shape
            .reduced(extraction.reduce)
    }

    /// The shape of what a head reads: the features of an extraction with those of others behind them.
    pub fn joined_shape(&self, features: usize, joined: &[usize]) -> Option<FeatureShape> {
        let all = std::iter::once(&features).chain(joined);
        let shapes = all.map(|&index| self.feature_shape(&self.extractions[index]));
        let shapes: Vec<FeatureShape> = shapes.collect::<Option<_>>()?;
        FeatureShape::joined(&shapes)
    }
}

/// A dataset of the graph.
#[derive(Debug, Clone)]
pub struct DatasetNode {
    /// What follows `dataset.` in the section's header; nodes that a sweep makes share it.
    pub name: String,
    /// As its kind reads its table.
    pub dataset: Arc<dyn Dataset>,
    /// Its `root`, as it was typed, for people.
    pub root: Option<String>,
    /// Where the file says what is read: the value of `root`, `files` or `of`, or the node's name.
    pub place: Span,
    /// All of its keys, as they were typed: equal declarations have equal texts. What it is made from has a text of its own.
    pub declaration: String,
    /// The dataset that it is made from, as an index into [`Experiment::datasets`].
    pub upstream: Option<usize>,
    /// The samples that are its images, as an index into [`Experiment::samples`]; `None` for one that comes from files.
    pub samples: Option<usize>,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

/// A model of the graph.
#[derive(Debug, Clone)]
pub struct ModelNode {
    /// What follows `model.` in the section's header; nodes that a sweep makes share it.
    pub name: String,
    /// As its kind reads its table.
    pub model: Arc<dyn Model>,
    /// Where the file says what its weights are: the value of `weights`, or the node's name.
    pub place: Span,
    /// The training that its weights come from, as an index into [`Experiment::pretrains`].
    pub pretrain: Option<usize>,
    /// The autoencoder whose latents it reads, as an index into [`Experiment::models`]; `None` for a model that reads images.
    pub autoencoder: Option<usize>,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
    /// Its values for the keys that the file sweeps over and that a well-known axis has for the model of features.
    pub swept_weights: Swept,
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
    /// Name of the split to train on.
    pub split: String,
    /// Where the split is named, or the node where it is not.
    pub place: Span,
    /// How images become squares.
    pub preprocess: Preprocess,
    /// The keys of its training, with their defaults.
    pub training: Pretraining,
    /// Steps between checkpoints. The weights do not depend on it.
    pub checkpoint_every: u32,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

/// Images that a model makes out of noise.
#[derive(Debug, Clone)]
pub struct SamplesNode {
    /// The node's name.
    pub name: String,
    /// The model, as an index into [`Experiment::models`].
    pub model: usize,
    /// How many images to sample; at least 1.
    pub count: u32,
    /// DDPM or DDIM.
    pub method: SampleMethod,
    /// Which timesteps.
    pub respacing: Respacing,
    /// The classes of the images; `None` where they have none.
    pub classes: Option<SampleClasses>,
    /// The factor of guidance without a classifier.
    pub guidance: Option<f64>,
    /// The classifier that leads the samples.
    pub classifier: Option<Classifier>,
    /// What the network computes in; a classifier computes in f32.
    pub precision: Precision,
    /// How the images are kept.
    pub format: ImageFormat,
    /// Seed of the noise.
    pub seed: u64,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

/// What happens at an image that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnBadImage {
    /// The extraction fails and names the image.
    Fail,
    /// The image is left out, recorded, and the report says so.
    Skip,
}

/// Which of several random draws: of the noise, and of what `preprocess` draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Randomness {
    /// The number of the draw, from 0.
    pub draw: u32,
    /// Seed of the draw.
    pub seed: u64,
}

/// One set of features: one model, dataset, noise, block and reduction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtractionNode {
    /// The node's name; all combinations of its sweeps share it.
    pub name: String,
    /// Index into [`Experiment::datasets`].
    pub dataset: usize,
    /// Index into [`Experiment::models`].
    pub model: usize,
    /// Noise step t, from 0; `None` where the model has no noise.
    pub timestep: Option<u32>,
    /// The class that the network is given with each image; `None` where it is given none.
    pub class: Option<ClassCondition>,
    /// Block b, numbered as in the paper.
    pub block: BlockIndex,
    /// How the block's output becomes a feature.
    pub reduce: Reduce,
    /// What is shown of each image.
    pub view: View,
    /// What is drawn at random; `None` where nothing is: there is no noise, and `preprocess` draws nothing.
    pub random: Option<Randomness>,
    /// How images become squares that are trained on.
    pub preprocess: Preprocess,
    /// How images become squares that are predicted or held out of training; nothing in it is random.
    pub test_preprocess: Preprocess,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// What the network computes in.
    pub precision: Precision,
    /// How features are kept.
    pub storage: FeatureType,
    /// Images per forward pass; `None` lets the executor choose. Results do not depend on it beyond rounding.
    pub batch_size: Option<u32>,
    /// What happens at an image that does not decode.
    pub on_bad_image: OnBadImage,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

impl ExtractionNode {
    /// Whether the features of the two are made in the same way, of whatever images, so that their distributions can be compared.
    pub fn is_made_as(&self, other: &Self) -> bool {
        let of = |node: &Self| {
            (
                node.model,
                node.timestep,
                node.block,
                node.reduce,
                node.view,
                node.normalization,
                node.precision,
            )
        };
        of(self) == of(other) && self.test_preprocess == other.test_preprocess
    }

    /// Whether the two see the same images, and differ at most in how they are shown and in their noise.
    pub fn differs_in_view_alone(&self, other: &Self) -> bool {
        let alike = Self {
            view: self.view,
            random: other.random.map(|random| Randomness {
                draw: self.random.map_or(random.draw, |own| own.draw),
                ..random
            }),
            ..other.clone()
        };
        *self == alike
    }

    /// A label that distinguishes it from every other extraction of the graph's node.
    pub fn label(&self, experiment: &Experiment) -> String {
        // What hardly any experiment changes is only said where it was.
        let precision = match self.precision {
            Precision::F32 => String::new(),
            other => format!(" {}", other.name()),
        };
        let timestep = self
            .timestep
            .map_or_else(String::new, |timestep| format!(" t={timestep}"));
        let class = self
            .class
            .map_or_else(String::new, |class| format!(" class={class}"));
        let reduce = match self.reduce {
            Reduce::Pool(side) => format!(" pool={side}"),
            Reduce::ClassToken => " token=class".to_owned(),
            Reduce::MeanToken => " token=mean".to_owned(),
            Reduce::PatchMap => " token=patches".to_owned(),
            Reduce::Whole => String::new(),
        };
        let random = self.random.map_or_else(String::new, |random| {
            format!(" draw={} seed={}", random.draw, random.seed)
        });
        if let Some(label) = imported::label(self, experiment, &reduce) {
            return label;
        }
        format!(
            "{}[{} {}{timestep}{class} {}{reduce} {}{random}{precision}]",
            self.name,
            experiment.datasets[self.dataset].name,
            experiment.models[self.model].name,
            self.block,
            self.view.name(),
        )
    }
}

/// One head: one set of features, one seed, one way of training.
#[derive(Debug, Clone)]
pub struct HeadNode {
    /// The node's name.
    pub name: String,
    /// The kind of head and its own keys.
    pub head: Arc<dyn Head>,
    /// Where its name stands in the file.
    pub place: Span,
    /// The keys of its training, with their defaults.
    pub training: Training,
    /// What it reads and predicts from, as an index into [`Experiment::extractions`].
    pub features: usize,
    /// What an epoch may read instead: the same features of other views and draws.
    pub more_views: Vec<usize>,
    /// What stands behind the features, of the same images and in this order, as indices into [`Experiment::extractions`].
    pub joined: Vec<usize>,
    /// Seed of its initial weights and of the order of samples.
    pub seed: u64,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

impl HeadNode {
    /// What distinguishes it from the other heads of its node that read the same features, for labels.
    pub fn distinction(&self) -> String {
        let Optimizer {
            lr, weight_decay, ..
        } = self.training.optimizer;
        let decay = match weight_decay {
            0.0 => String::new(),
            decay => format!(" decay={decay:e}"),
        };
        let network = self.training.fine_tune.map_or_else(String::new, |tuning| {
            format!(" network-lr={:e}", tuning.optimizer.lr)
        });
        // What is fitted without steps has no rate.
        let rates = if self.head.trains_in_steps() {
            format!("lr={lr:e}{decay}{network} ")
        } else {
            String::new()
        };
        format!("{rates}seed={}", self.seed)
    }
}
