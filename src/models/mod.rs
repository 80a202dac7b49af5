//! Models: one folder or file a kind, with named taps.
//!
//! Axes of tensors, here and everywhere: `N` batch, `C` channels, `H` and `W` space, `L` tokens, `D` width, `K` classes.
//!
//! A kind parses its table into a [`Model`], which knows its blocks without touching libtorch; [`Model::load`] makes the
//! network itself. Of networks with weights it says by [`declared::Architecture`] what is its own. The kinds are in [`kinds`], the
//! readers of weights in [`checkpoint`], the layers that networks share in [`nn`].

pub mod autoencoding;
pub mod block;
#[cfg(feature = "torch")]
pub mod blockwise;
pub mod checkpoint;
pub mod class_condition;
#[cfg(feature = "torch")]
pub mod clean;
pub mod companions;
pub mod declaration;
pub mod declared;
pub mod denoising;
#[cfg(feature = "torch")]
pub mod extractor;
#[cfg(feature = "torch")]
pub mod guidance;
pub mod imported;
pub mod kinds;
pub mod nn;
#[cfg(feature = "torch")]
pub mod tap;
pub mod tuning;

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checked_file::CheckedFile;
use crate::diffusion::Coefficients;
use crate::fetch::Published;
use crate::imaging::{Normalization, Preprocess};
use crate::message::Message;
use crate::spec::{Kind, Parse, suggest};

use checkpoint::comparison::Required;
use checkpoint::stored_tensors::StoredTensors;
use companions::Companion;

pub use block::{BlockIndex, BlockInfo, Reduce, TapShape};
pub use class_condition::{ClassCondition, ClassInput};
pub use imported::Imported;
pub use kinds::ALL;
pub use nn::precision::Precision;

/// A kind of model.
pub type ModelKind = Kind<Parse<Arc<dyn Model>>, Presets>;

/// The networks of a kind that have a name.
#[derive(Debug, Clone, Copy)]
pub struct Presets {
    /// All of them, with synthetic weights.
    pub all: fn() -> Vec<Preset>,
    /// The names of those whose parameters have just the names and shapes of a file's tensors, and that hold numbers that a network
    /// can compute with.
    pub fitting: fn(&StoredTensors) -> Vec<String>,
}

/// A network that has a name.
#[derive(Debug, Clone)]
pub struct Preset {
    /// What experiments call it.
    pub name: String,
    /// What it was trained on, in a few words.
    pub title: String,
    /// The weights that are published for it; `None` for networks that exist for tests only.
    pub checkpoint: Option<Published>,
    /// The network, with synthetic weights.
    pub model: Arc<dyn Model>,
}

impl WeightsSource {
    /// Their identity in recipes: `synthetic:SEED` or `initialization:SEED`, and `none` where there are none. `None` where a file or a
    /// training has to be asked.
    pub fn identity(&self) -> Option<String> {
        match self {
            Self::File(_) | Self::Opened(_) | Self::Pretrained(_) | Self::Imported(_) => None,
            Self::Synthetic(seed) => Some(format!("{SYNTHETIC}:{seed}")),
            Self::Initialization(seed) => Some(format!("{INITIALIZATION}:{seed}")),
            Self::None => Some("none".to_owned()),
        }
    }

    /// The rule that makes them out of a seed, in one word, and the seed; `None` for weights that were trained.
    pub fn rule_and_seed(&self) -> Option<(&'static str, u64)> {
        match self {
            Self::Synthetic(seed) => Some((SYNTHETIC, *seed)),
            Self::Initialization(seed) => Some((INITIALIZATION, *seed)),
            Self::File(_)
            | Self::Opened(_)
            | Self::Pretrained(_)
            | Self::Imported(_)
            | Self::None => None,
        }
    }
}

/// The word for weights by the synthetic rule.
pub const SYNTHETIC: &str = "synthetic";
/// The word for a network's own initialization.
pub const INITIALIZATION: &str = "initialization";

impl Presets {
    /// Those of a kind that has none.
    pub const NONE: Self = Self {
        all: Vec::new,
        fitting: |_| Vec::new(),
    };
}

impl ModelKind {
    /// Its networks that have a name.
    pub fn presets(&self) -> Vec<Preset> {
        (self.more.all)()
    }
}

/// Where published weights are downloaded to, from the folder that relative paths start from.
pub const WEIGHTS_FOLDER: &str = "data/weights";

/// Where a model's weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsSource {
    /// A safetensors file or a PyTorch checkpoint; relative to the folder that `repro` runs in.
    File(PathBuf),
    /// Such a file that is open, and whose bytes were compared with the digest that they have to have.
    Opened(Arc<CheckedFile>),
    /// Random weights: the synthetic rule of `synthetic.rs` with a seed, which has no layers of zeros; the same everywhere.
    Synthetic(u64),
    /// The network's own initialization with a seed: what a training would begin with, layers of zeros included.
    Initialization(u64),
    /// What a `[pretrain.NAME]` of the same experiment leaves.
    Pretrained(String),
    /// There is no network here: its features were computed elsewhere, and are in files.
    Imported(Arc<Imported>),
    /// Nowhere: the model has no parameters.
    None,
}

/// What a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSpec {
    /// Channels: 1 or 3, or those of latents.
    pub channels: u32,
    /// Height and width in pixels, or of latents.
    pub side: u32,
    /// How pixels become numbers, unless an experiment says otherwise.
    pub normalization: Normalization,
    /// The noise that it was made to see; `None` for a model that reads clean images.
    pub noise: Option<NoiseInput>,
}

/// The noise that a model was made to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseInput {
    /// Steps of the diffusion; timesteps run from 0 to this, exclusive.
    pub steps: u32,
}

/// A model as declared: its shapes are known, no weight is read yet.
pub trait Model: Send + Sync + Debug {
    /// The name of its kind, as it is typed.
    fn kind(&self) -> &'static str;

    /// The preset's name, or `custom`.
    fn variant(&self) -> &str;

    /// Side, channels, normalization, and whether there is noise.
    fn input(&self) -> InputSpec;

    /// The classes of a network that is given one with each image; `None` for one that is given none.
    fn classes(&self) -> Option<ClassInput> {
        None
    }

    /// How images become its squares unless an experiment says otherwise: as its authors evaluate it. guided-diffusion's, unless a
    /// kind has its own. It is part of every recipe of features, stated or not.
    fn preprocess(&self) -> Preprocess {
        Preprocess::default()
    }

    /// What stands before the names of its tensors in the file of its weights, by the experiment; empty where it says nothing.
    fn prefix(&self) -> String {
        String::new()
    }

    /// What it needs of a file of weights; `None` where it has no parameters.
    fn required(&self) -> Option<Required<'_>> {
        None
    }

    /// What it can compute in.
    fn precisions(&self) -> &'static [Precision] {
        Precision::ALL
    }

    /// Whether the network can be built of a file, by what the file says of itself; no number is read.
    ///
    /// # Errors
    /// What is wrong, all of it.
    fn check_file(&self, path: &Path) -> Result<(), Message> {
        match self.required() {
            Some(required) => checkpoint::comparison::check(path, &required),
            None => Ok(()),
        }
    }

    /// The files that it reads beside that of its weights.
    fn companions(&self) -> Vec<Companion> {
        Vec::new()
    }

    /// Whether such a file is what it has to be. `base` is the folder that relative paths start from.
    ///
    /// # Errors
    /// What is wrong, all of it.
    fn check_companion(&self, _companion: &Companion, _base: &Path) -> Result<(), Message> {
        Ok(())
    }

    /// The same model with these files opened, in the order of [`Model::companions`]; `None` where it has none.
    fn with_companions(&self, _opened: &[Arc<CheckedFile>]) -> Option<Arc<dyn Model>> {
        None
    }

    /// Its blocks, in the order of computation, numbered as in the paper.
    fn blocks(&self) -> &[BlockInfo];

    /// How many numbers its parameters have, over all tensors.
    fn parameter_count(&self) -> u64;

    /// Whether [`Model::parameter_count`] is known: what was computed elsewhere, and networks in files of other forms, do not say it.
    fn counts_parameters(&self) -> bool {
        true
    }

    /// Where its weights come from.
    fn weights(&self) -> &WeightsSource;

    /// The files that its features are in, where they were computed elsewhere.
    fn imported(&self) -> Option<&Imported> {
        match self.weights() {
            WeightsSource::Imported(imported) => Some(imported),
            _ => None,
        }
    }

    /// The same model with weights from elsewhere; itself where it has none.
    fn with_weights(&self, weights: WeightsSource) -> Arc<dyn Model>;

    /// All that decides its outputs besides the weights, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// The two factors of Eq. 2 by the model's own schedule; `None` beyond its last step, and for a model without noise.
    fn coefficients(&self, _timestep: u32) -> Option<Coefficients> {
        None
    }

    /// The name of the autoencoder of the same experiment whose latents it reads in place of images; `None` for a model that reads
    /// images. [`Model::input`] then says of which shape latents are, and how the autoencoder reads images is the autoencoder's.
    fn autoencoder(&self) -> Option<&str> {
        None
    }

    /// What it offers to models that read latents, where it makes them.
    fn autoencoding(&self) -> Option<&dyn autoencoding::AutoencodingModel> {
        None
    }

    /// What it offers to be trained and sampled from, where it can be.
    fn denoising(&self) -> Option<&dyn denoising::DenoisingModel> {
        None
    }

    /// How many classes it tells apart in noisy images, where its gradient can guide the sampling of others; `None` where it cannot.
    fn guides(&self) -> Option<u32> {
        None
    }

    /// What it offers to be trained further on labeled images, where it can be.
    fn tunable(&self) -> Option<&dyn tuning::TunableModel> {
        None
    }

    /// Whether its features mean something only once they were trained together with a head.
    fn needs_tuning(&self) -> bool {
        false
    }

    /// Reads the weights and builds the network, which computes in `precision`.
    ///
    /// # Errors
    /// Weights that are missing, damaged, or do not fit, all of them listed.
    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<Box<dyn extractor::Network>, checkpoint::weights::WeightError>;
}

/// The networks of all kinds that have a name.
pub fn presets() -> Vec<Preset> {
    ALL.iter().flat_map(|kind| kind.presets()).collect()
}

/// The network of a name, of whatever kind.
pub fn preset(name: &str) -> Option<Preset> {
    presets().into_iter().find(|preset| preset.name == name)
}

/// What may have been meant by a name that no network has.
pub fn preset_hint(name: &str) -> Option<String> {
    let presets = presets();
    suggest::hint(name, presets.iter().map(|preset| preset.name.as_str()))
}

/// The first and the last number of a model's blocks, which are numbered without a gap; 0 and 0 where there are none.
pub fn block_range(model: &dyn Model) -> RangeInclusive<u32> {
    let blocks = model.blocks();
    let number = |block: Option<&BlockInfo>| block.map_or(0, |block| block.index.0);
    number(blocks.first())..=number(blocks.last())
}

/// The block of an index; `None` where the model has fewer blocks.
pub fn find_block(model: &dyn Model, block: BlockIndex) -> Option<&BlockInfo> {
    model.blocks().iter().find(|info| info.index == block)
}
