//! A network as an experiment declares it: the [`Model`] of every kind whose parameters are in a file of weights.
//!
//! A kind says by [`Architecture`] what its networks look like and how one is built. [`Declared`] adds what stands beside that in an
//! experiment: a name, where the weights come from, and how their file names the tensors.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use super::autoencoding::AutoencodingModel;
use super::checkpoint::comparison::{self, Required};
use super::checkpoint::file_names::FileNames;
#[cfg(feature = "torch")]
use super::checkpoint::weights::{WeightError, WeightMap};
use super::companions::Companion;
use super::denoising::DenoisingModel;
#[cfg(feature = "torch")]
use super::nn::initial::Initial;
use super::tuning::TunableModel;
use super::{BlockInfo, ClassInput, InputSpec, Model, Precision, Preset, WeightsSource};
use crate::checked_file::CheckedFile;
use crate::diffusion::Coefficients;
use crate::fetch::Published;
use crate::imaging::Preprocess;
use crate::message::Message;

/// Name and shape of each tensor of a network.
pub type Tensors = Vec<(String, Vec<usize>)>;

/// What a network with its weights is, or why there is none.
#[cfg(feature = "torch")]
pub type Loaded = Result<Box<dyn super::extractor::Network>, WeightError>;

/// What a kind says of one of its networks. Where [`Model`] has a method of the same name, that says what it means.
pub trait Architecture: Clone + Debug + Send + Sync + 'static {
    /// The name of its kind, as it is typed.
    const KIND: &'static str;

    /// The ways in which publishers name its tensors.
    const FILE_NAMES: &'static [FileNames] = &[FileNames::PLAIN];

    /// Whether a file may hold a tensor of that name, by the network's own names, that it has no use for.
    fn is_skipped(_name: &str) -> bool {
        false
    }

    /// See [`Model::input`].
    fn input(&self) -> InputSpec;

    /// See [`Model::preprocess`].
    fn preprocess(&self) -> Preprocess {
        Preprocess::default()
    }

    /// See [`Model::classes`].
    fn classes(&self) -> Option<ClassInput> {
        None
    }

    /// See [`Model::precisions`].
    fn precisions(&self) -> &'static [Precision] {
        Precision::ALL
    }

    /// See [`Model::blocks`]; asked once.
    fn blocks(&self) -> Vec<BlockInfo>;

    /// Its parameters and buffers. By the first one a file shows which of [`Architecture::FILE_NAMES`] it has.
    fn tensors(&self) -> Tensors;

    /// See [`Model::identity`].
    fn identity(&self) -> serde_json::Value;

    /// See [`Model::coefficients`].
    fn coefficients(&self, _timestep: u32) -> Option<Coefficients> {
        None
    }

    /// See [`Model::autoencoder`].
    fn autoencoder(&self) -> Option<&str> {
        None
    }

    /// See [`Model::guides`].
    fn guides(&self) -> Option<u32> {
        None
    }

    /// See [`Model::needs_tuning`].
    fn needs_tuning(&self) -> bool {
        false
    }

    /// See [`Model::companions`].
    fn companions(&self) -> Vec<Companion> {
        Vec::new()
    }

    /// See [`Model::check_companion`].
    ///
    /// # Errors
    /// What is wrong, all of it.
    fn check_companion(&self, _companion: &Companion, _base: &Path) -> Result<(), Message> {
        Ok(())
    }

    /// See [`Model::with_companions`].
    fn with_companions(&self, _opened: &[Arc<CheckedFile>]) -> Option<Self> {
        None
    }

    /// See [`Model::check_file`].
    ///
    /// # Errors
    /// What is wrong, all of it.
    fn check_file(model: &Declared<Self>, path: &Path) -> Result<(), Message> {
        comparison::check(path, &model.needs(model.architecture.tensors()))
    }

    /// See [`Model::autoencoding`].
    fn autoencoding(_model: &Declared<Self>) -> Option<&dyn AutoencodingModel> {
        None
    }

    /// See [`Model::denoising`].
    fn denoising(_model: &Declared<Self>) -> Option<&dyn DenoisingModel> {
        None
    }

    /// See [`Model::tunable`].
    fn tunable(_model: &Declared<Self>) -> Option<&dyn TunableModel> {
        None
    }

    /// Its own initialization by a seed; PyTorch's without layers of zeros, unless a kind has another.
    #[cfg(feature = "torch")]
    fn initial(&self, seed: u64) -> Initial {
        Initial::new(seed, &self.tensors(), &[])
    }

    /// Where weights are random: what parameters are in place of what the rule gives, row-major, by name.
    #[cfg(feature = "torch")]
    fn computed(&self, _weights: &WeightsSource) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }

    /// See [`Model::load`]: builds the network of [`Declared::weight_map`].
    ///
    /// # Errors
    /// Weights that are missing, damaged, or do not fit, all of them listed.
    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded;
}

/// What [`Model::load`] is told.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The folder that relative paths of weights start from.
    pub base: &'a Path,
    /// Where the network is to be.
    pub device: tch::Device,
    /// What its convolutions compute in.
    pub precision: Precision,
}

/// A network as declared.
#[derive(Debug, Clone)]
pub struct Declared<A> {
    variant: String,
    architecture: A,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl<A: Architecture> Declared<A> {
    /// - `variant`: the preset's name, or `custom`
    /// - `prefix`: what stands before the names of the tensors in the file of weights; empty where the experiment says nothing
    pub fn new(variant: String, architecture: A, weights: WeightsSource, prefix: String) -> Self {
        Self {
            variant,
            blocks: architecture.blocks(),
            architecture,
            weights,
            prefix,
        }
    }

    /// What the kind says of it.
    pub fn architecture(&self) -> &A {
        &self.architecture
    }

    /// What it needs of a file, where it needs these of its tensors.
    pub fn needs(&self, tensors: Tensors) -> Required<'_> {
        Required {
            tensors,
            known: A::FILE_NAMES,
            skipped: A::is_skipped,
            prefix: &self.prefix,
        }
    }

    /// Its parameters, ready to be taken.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    #[cfg(feature = "torch")]
    pub fn weight_map(&self, place: Place<'_>) -> Result<WeightMap, WeightError> {
        let tensors = self.architecture.tensors();
        let probe = tensors.first().map_or("", |(name, _)| name.as_str());
        let initial = |seed| self.architecture.initial(seed);
        let mut weights = WeightMap::from_source(&self.weights, place.base, &initial)?
            .on(place.device)
            .prefixed(&self.prefix)
            .named_as_in(A::FILE_NAMES, probe);
        for (name, values) in self.architecture.computed(&self.weights) {
            weights = weights.with_computed(&name, values);
        }
        weights.convolve_in(place.precision);
        Ok(weights)
    }
}

/// A network that has a name, with synthetic weights of seed 0.
pub fn preset<A: Architecture>(
    name: String,
    title: String,
    checkpoint: Option<Published>,
    architecture: A,
) -> Preset {
    let (weights, prefix) = (WeightsSource::Synthetic(0), String::new());
    Preset {
        model: Arc::new(Declared::new(name.clone(), architecture, weights, prefix)),
        name,
        title,
        checkpoint,
    }
}

/// How many numbers parameters have. Means and variances of batch normalization are buffers and do not count.
pub fn parameter_count(tensors: &[(String, Vec<usize>)]) -> u64 {
    let parameters = tensors
        .iter()
        .filter(|(name, _)| !name.contains(".running_"));
    parameters
        .map(|(_, shape)| shape.iter().product::<usize>() as u64)
        .sum()
}

impl<A: Architecture> Model for Declared<A> {
    fn kind(&self) -> &'static str {
        A::KIND
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input(&self) -> InputSpec {
        self.architecture.input()
    }

    fn classes(&self) -> Option<ClassInput> {
        self.architecture.classes()
    }

    fn preprocess(&self) -> Preprocess {
        self.architecture.preprocess()
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(self.needs(self.architecture.tensors()))
    }

    fn precisions(&self) -> &'static [Precision] {
        self.architecture.precisions()
    }

    fn check_file(&self, path: &Path) -> Result<(), Message> {
        A::check_file(self, path)
    }

    fn companions(&self) -> Vec<Companion> {
        self.architecture.companions()
    }

    fn check_companion(&self, companion: &Companion, base: &Path) -> Result<(), Message> {
        self.architecture.check_companion(companion, base)
    }

    fn with_companions(&self, opened: &[Arc<CheckedFile>]) -> Option<Arc<dyn Model>> {
        let architecture = self.architecture.with_companions(opened)?;
        Some(Arc::new(Self {
            architecture,
            ..self.clone()
        }))
    }

    fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    fn parameter_count(&self) -> u64 {
        parameter_count(&self.architecture.tensors())
    }

    fn weights(&self) -> &WeightsSource {
        &self.weights
    }

    fn with_weights(&self, weights: WeightsSource) -> Arc<dyn Model> {
        Arc::new(Self {
            weights,
            ..self.clone()
        })
    }

    fn identity(&self) -> serde_json::Value {
        self.architecture.identity()
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.architecture.coefficients(timestep)
    }

    fn autoencoder(&self) -> Option<&str> {
        self.architecture.autoencoder()
    }

    fn autoencoding(&self) -> Option<&dyn AutoencodingModel> {
        A::autoencoding(self)
    }

    fn denoising(&self) -> Option<&dyn DenoisingModel> {
        A::denoising(self)
    }

    fn guides(&self) -> Option<u32> {
        self.architecture.guides()
    }

    fn tunable(&self) -> Option<&dyn TunableModel> {
        A::tunable(self)
    }

    fn needs_tuning(&self) -> bool {
        self.architecture.needs_tuning()
    }

    #[cfg(feature = "torch")]
    fn load(&self, base: &Path, device: tch::Device, precision: Precision) -> Loaded {
        let place = Place {
            base,
            device,
            precision,
        };
        A::load(self, place)
    }
}
