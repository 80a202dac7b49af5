//! Models: one folder or file a kind, with named taps.
//!
//! Axes of tensors, here and everywhere: `N` batch, `C` channels, `H` and `W` space, `L` tokens, `D` width, `K` classes.
//!
//! A kind parses its table into a [`Model`], which knows its blocks without touching libtorch; [`Model::load`] makes the
//! network itself. Adding a kind is one new file and two lines below: `pub mod name;` and `&name::KIND,`.

pub mod block;
pub mod conversion;
pub mod denoising;
pub mod diffusion;
#[cfg(feature = "torch")]
pub mod extractor;
pub mod guided_diffusion;
#[cfg(feature = "torch")]
pub mod initial;
#[cfg(feature = "torch")]
pub mod layers;
pub mod noise;
#[cfg(feature = "torch")]
pub mod parameters;
pub mod pixels;
pub mod precision;
pub mod presets;
pub mod stored_tensors;
pub mod synthetic;
#[cfg(feature = "torch")]
pub mod tap;
pub mod tuning;
pub mod weight_mismatch;
#[cfg(feature = "torch")]
pub mod weights;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use crate::spec::{Fields, KindDoc};

pub use block::{BlockIndex, BlockInfo};
pub use precision::Precision;

/// Every model kind.
pub const ALL: &[&dyn ModelKind] = &[&guided_diffusion::KIND, &pixels::KIND];

/// A kind of model.
pub trait ModelKind: Sync {
    /// What it says of itself.
    fn doc(&self) -> &'static KindDoc;

    /// The names of its presets.
    fn presets(&self) -> Vec<String>;

    /// The model of a preset, with synthetic weights, for listings.
    fn preset(&self, name: &str) -> Option<Arc<dyn Model>>;

    /// Reads a node's table; mistakes are recorded in the reader.
    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Model>>;
}

/// Where a model's weights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightsSource {
    /// A safetensors file or a PyTorch checkpoint; relative to the folder that `repro` runs in.
    File(PathBuf),
    /// The synthetic rule of `synthetic.rs` with a seed: an untrained network, the same everywhere.
    Synthetic(u64),
    /// What a `[pretrain.NAME]` of the same experiment leaves.
    Pretrained(String),
    /// Nowhere: the model has no parameters.
    None,
}

/// The image that a model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputShape {
    /// Channels, 1 or 3.
    pub channels: u32,
    /// Height and width in pixels.
    pub side: u32,
}

/// A model as declared: its shapes are known, no weight is read yet.
pub trait Model: Send + Sync + Debug {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// The preset's name, or `custom`.
    fn variant(&self) -> &str;

    /// The image that it reads.
    fn input(&self) -> InputShape;

    /// The diffusion steps that it was made for; timesteps run from 0 to this, exclusive.
    fn diffusion_steps(&self) -> u32;

    /// Its blocks, in the order of computation, numbered as in the paper.
    fn blocks(&self) -> &[BlockInfo];

    /// How many parameters it has.
    fn parameter_count(&self) -> u64;

    /// Where its weights come from.
    fn weights(&self) -> &WeightsSource;

    /// The same model with weights from elsewhere; itself where it has none.
    fn with_weights(&self, weights: WeightsSource) -> Arc<dyn Model>;

    /// All that decides its outputs besides the weights, for fingerprints.
    fn identity(&self) -> serde_json::Value;

    /// The two factors of Eq. 2 by the model's own schedule; `None` beyond its last step.
    fn coefficients(&self, timestep: u32) -> Option<diffusion::Coefficients>;

    /// What it offers to be trained and sampled from, where it can be.
    fn denoising(&self) -> Option<&dyn denoising::DenoisingModel> {
        None
    }

    /// What it offers to be trained further on labelled images, where it can be.
    fn tunable(&self) -> Option<&dyn tuning::TunableModel> {
        None
    }

    /// Reads the weights and builds the network, which computes in `precision`.
    ///
    /// # Errors
    /// Weights that are missing, damaged, or do not fit, all of them listed.
    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<Box<dyn extractor::Network>, weights::WeightError>;
}

/// The block of an index.
pub fn find_block(model: &dyn Model, block: BlockIndex) -> Option<&BlockInfo> {
    model.blocks().iter().find(|info| info.index == block)
}
