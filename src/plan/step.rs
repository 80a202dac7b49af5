//! Steps: what a run leaves, one artifact each, with everything that making it needs.
//!
//! Nobody indexes back into the experiment from here: a [`Work`] has the nodes that it is about, and the inputs of a [`Step`] are the
//! edges along which the scheduler orders and failures travel.

mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::DatasetFacts;
use super::choice::{ChosenItem, Refit};
use crate::graph::axes::Axes;
use crate::graph::{ExtractionNode, HeadNode, Origin, PretrainNode, Randomness, Swept};
use crate::heads::FeatureShape;
use crate::imaging::Preprocess;
use crate::metrics::Metric;
use crate::models::{Model, TapShape};
use crate::numbers::to_usize;
use crate::store::{Fingerprint, Recipe};

pub use sample::Sample;

/// Index of a step in [`Plan::steps`](super::Plan).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

/// Whether an artifact has to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// It is in the store.
    Cached,
    /// Some of its parts are.
    Partial {
        /// Numbers of the parts that are committed.
        parts: BTreeSet<u32>,
    },
    /// It is not, but a remote has it.
    Remote {
        /// Size of its files.
        bytes: u64,
    },
    /// It is not; `why` says what changed, where that is known.
    Missing {
        /// What changed, in words, or that it is new.
        why: String,
    },
}

impl StepState {
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
    /// Its name in the store: the digest of `recipe`.
    pub fingerprint: Fingerprint,
    /// Whether it has to be made.
    pub state: StepState,
}

/// One thing that a run leaves.
#[derive(Debug, Clone)]
pub struct Step {
    /// The steps whose artifacts it reads.
    pub inputs: Vec<StepId>,
    /// The artifact that it makes.
    pub artifact: PlannedArtifact,
    /// What is done.
    pub work: Work,
}

impl Step {
    /// Whether its artifact has to be made.
    pub fn is_missing(&self) -> bool {
        !self.artifact.state.is_cached() && self.remote_bytes().is_none()
    }

    /// The size of its artifact, where a remote has it and the store does not.
    pub fn remote_bytes(&self) -> Option<u64> {
        match self.artifact.state {
            StepState::Remote { bytes } => Some(bytes),
            _ => None,
        }
    }
}

/// What making an artifact means.
#[derive(Debug, Clone)]
pub enum Work {
    /// The training of a diffusion network.
    Pretrain(Box<Pretrain>),
    /// Samples: images that a network makes out of noise.
    Sample(Box<Sample>),
    /// The features of one tap, of all images of a dataset.
    Extract(Arc<Extract>),
    /// The training of one head.
    Train(Arc<Train>),
    /// The training of the best of several heads on all training samples.
    Refit(Box<Refit>),
    /// One metric, scored on heads or on features.
    Evaluate(Box<Evaluate>),
}

impl Work {
    /// The kind of the artifact, as plans call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pretrain(_) => "pretraining",
            Self::Sample(_) => "samples",
            Self::Extract(extract) if extract.is_latents() => "latents",
            Self::Extract(_) => "features",
            Self::Train(_) | Self::Refit(_) => "head",
            Self::Evaluate(_) => "metric",
        }
    }

    /// The name of its node in the experiment; of a training of the best that of the heads it is chosen from.
    pub fn node(&self) -> &str {
        match self {
            Self::Pretrain(work) => &work.node.name,
            Self::Sample(work) => &work.node.name,
            Self::Extract(work) => &work.node.name,
            Self::Train(work) => &work.node.name,
            Self::Refit(work) => {
                let first = work.choice.heads.first();
                first.map_or("", |head| &head.train.node.name)
            }
            Self::Evaluate(work) => &work.name,
        }
    }
}

/// A dataset that steps read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetUse {
    /// Its number among the datasets of the experiment.
    pub index: usize,
    /// Its name in the experiment.
    pub name: String,
    /// What is known of it.
    pub facts: DatasetFacts,
    /// The samples of this plan that are its images: the step and its artifact.
    pub made: Option<(StepId, Fingerprint)>,
    /// Its values for the keys that the file sweeps over.
    pub axes: Axes,
}

impl DatasetUse {
    /// How many samples a split has; 0 where there is no such split.
    pub fn samples_of(&self, split: &str) -> u64 {
        let splits = self.facts.splits.iter();
        let of_split = splits.filter(|count| count.split == split);
        of_split.map(|count| count.samples as u64).sum()
    }
}

/// A model that steps run.
#[derive(Debug, Clone)]
pub struct ModelUse {
    /// Its name in the experiment.
    pub name: String,
    /// As its kind reads its table.
    pub model: Arc<dyn Model>,
    /// The identity of its weights: `synthetic:SEED`, `initialization:SEED`, `blake3:HEX`, `pretraining:FINGERPRINT`, `imported:HEX` or `none`.
    pub weights: String,
    /// The training of this plan that its weights come from: the step and its artifact.
    pub trained: Option<(StepId, Fingerprint)>,
    /// The autoencoder whose latents it reads; `None` for a model that reads images.
    pub autoencoder: Option<Arc<ModelUse>>,
    /// Whether the experiment has others of this name, such as further draws of random weights.
    pub is_one_of_several: bool,
    /// Its values for the keys that the file sweeps over.
    pub axes: Axes,
}

/// One network to train.
#[derive(Debug, Clone)]
pub struct Pretrain {
    /// The node of the experiment.
    pub node: PretrainNode,
    /// The dataset whose images it is trained on.
    pub images: Arc<DatasetUse>,
    /// The model that is trained.
    pub model: Arc<dyn Model>,
    /// The names of the model and its training, as an experiment has them.
    pub model_name: String,
    /// The recipe that it shares with longer and shorter trainings of the same kind, and with them its checkpoints.
    pub checkpoints: Recipe,
}

/// Which images of a dataset go through a network, and how they are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The split whose images they are; `None` for all images of the dataset.
    pub split: Option<String>,
    /// How images become squares.
    pub preprocess: Preprocess,
    /// What is drawn at random; `None` where nothing is.
    pub random: Option<Randomness>,
}

/// The features of one tap of a network.
#[derive(Debug, Clone)]
pub struct Extract {
    /// The node of the experiment.
    pub node: ExtractionNode,
    /// Which images these features are of, and how they were shown.
    pub shown: Shown,
    /// The dataset whose images run through the network.
    pub images: Arc<DatasetUse>,
    /// The network, with the identity of its weights.
    pub model: Arc<ModelUse>,
    /// The shape of the tapped block's output.
    pub tap: TapShape,
    /// The shape of one feature, after the reduction.
    pub shape: FeatureShape,
    /// Multiply-adds of one image up to the tap.
    pub multiply_adds: u64,
    /// The name of the pass that gives it, see [`super::job`].
    pub pass: Fingerprint,
    /// Its name in the store, whether it is kept there or not.
    pub fingerprint: Fingerprint,
    /// The latents that its pass reads in place of images, of these images among others; `None` where it reads images.
    pub latents: Option<Arc<Self>>,
}

impl Extract {
    /// Whether they were computed elsewhere, and are read from files.
    pub fn is_imported(&self) -> bool {
        self.model.model.imported().is_some()
    }

    /// How many images it shows.
    pub fn samples(&self) -> usize {
        match &self.shown.split {
            Some(split) => to_usize(self.images.samples_of(split)),
            None => self.images.facts.samples,
        }
    }

    /// The axes of results that come from it.
    pub fn axes(&self) -> Axes {
        let origin = Origin {
            model: &self.model.name,
            source: self.model.model.weights(),
            weights: &self.model.weights,
            dataset: &self.images.name,
            of_model: &self.model.axes,
            of_dataset: &self.images.axes,
        };
        self.node.all_axes(self.tap, &origin)
    }
}

/// One head to train.
#[derive(Debug, Clone)]
pub struct Train {
    /// The node of the experiment.
    pub node: HeadNode,
    /// What it predicts from.
    pub features: Arc<Extract>,
    /// Other draws of the noise of what it predicts from; it predicts by the mean of the logits.
    pub more_draws: Vec<Arc<Extract>>,
    /// What it is trained on; what it predicts from as well, unless `preprocess` differs from `test_preprocess`.
    pub trained: Arc<Extract>,
    /// What is held out of training: as `trained`, but shown as images that are predicted.
    pub held_out: Arc<Extract>,
    /// Cached features that stand behind these, in order.
    pub joined: Vec<Joined>,
    /// The shape of what it reads, with the joined features.
    pub shape: FeatureShape,
    /// Fingerprints of the cached features that it is trained on: the first is that of `trained`, the others are other views of the same.
    /// None where the network is trained with it.
    pub reads: Vec<Fingerprint>,
    /// Images that go through the network while it is trained.
    pub forwards: u64,
}

/// Features that stand behind those of a head.
#[derive(Debug, Clone)]
pub struct Joined {
    /// What the head predicts from.
    pub features: Arc<Extract>,
    /// What it is trained on.
    pub trained: Arc<Extract>,
    /// What is held out of training.
    pub held_out: Arc<Extract>,
}

impl Train {
    /// The axes that its rows of results have, with their values.
    pub fn axes(&self) -> Axes {
        let mut axes = self.features.axes();
        axes.extend(self.node.axes());
        axes
    }

    /// Classes of its dataset.
    pub fn classes(&self) -> usize {
        self.features.images.facts.classes.len()
    }
}

/// One metric to compute.
#[derive(Debug, Clone)]
pub struct Evaluate {
    /// The metric's name in the experiment.
    pub name: String,
    /// As its kind reads its table.
    pub metric: Arc<dyn Metric>,
    /// The axes that are chosen; none where all heads are scored.
    pub choose: Vec<String>,
    /// One score or more comes of each.
    pub items: Items,
    /// Its values for the keys that the file sweeps over.
    pub swept: Swept,
}

/// What a metric reads, one score or more for each.
#[derive(Debug, Clone)]
pub enum Items {
    /// Trained heads, by their predictions.
    Heads(Vec<HeadItem>),
    /// The best of several heads each, by the predictions of what is trained on all training samples.
    Chosen(Vec<ChosenItem>),
    /// Sets of features on one split: one set an item, or two.
    Features {
        /// One or two sets for each item, as the metric takes them.
        items: Vec<Vec<Arc<Extract>>>,
        /// Name of the split that is read.
        split: String,
        /// Name of the split of the second set of each item, where these are references of other images.
        reference_split: Option<String>,
    },
    /// Sets of features of generated images on one split, each against moments out of a file.
    AgainstFile {
        /// The sets.
        items: Vec<Arc<Extract>>,
        /// Name of the split that is read.
        split: String,
        /// The file, as it is typed.
        file: PathBuf,
        /// The digest of the file.
        digest: String,
    },
    /// Networks and heads themselves.
    Networks(Vec<CountedNetwork>),
}

/// A network or a head whose parameters are counted.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedNetwork {
    /// Where its results stand.
    pub axes: Axes,
    /// How many numbers its parameters have.
    pub parameters: u64,
}

impl Items {
    /// The heads whose predictions are read, and those that compete for it.
    pub fn heads(&self) -> impl Iterator<Item = &HeadItem> {
        let (scored, chosen) = match self {
            Self::Heads(heads) => (heads.as_slice(), [].as_slice()),
            Self::Chosen(items) => ([].as_slice(), items.as_slice()),
            Self::Features { .. } | Self::AgainstFile { .. } | Self::Networks(_) => {
                ([].as_slice(), [].as_slice())
            }
        };
        let competing = chosen.iter().flat_map(|item| &item.choice.heads);
        scored.iter().chain(competing)
    }
}

/// A head that a metric scores.
#[derive(Debug, Clone)]
pub struct HeadItem {
    /// The step that trains the head.
    pub step: StepId,
    /// The head under the names that the rows of results give it; two nodes of an experiment may mean the same head.
    pub train: Arc<Train>,
}

/// The steps by the fingerprint of what they leave.
pub(super) type ByFingerprint = BTreeMap<Fingerprint, StepId>;
