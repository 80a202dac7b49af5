//! Parameters for a network, taken one by one by name and checked as a whole.
//!
//! A network asks for every tensor by name and shape. What does not fit is not reported at the first tensor but
//! collected, so that one message lists every missing, unused and misshapen name.

mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use thiserror::Error;

use super::file_names::FileNames;
use super::parameters::Parameters;
use super::stored_tensors::{StoredTensors, StoredTensorsError};
pub use super::weight_mismatch::{Advice, WeightMismatch, WrongShape};
use super::{comparison, synthetic};
use crate::checked_file::{CheckError, CheckedFile};
use crate::message::{Hint, Message};
use crate::models::nn::initial::Initial;
use crate::models::nn::layers::MemoryFormat;
use crate::models::nn::precision::Precision;
use crate::models::{WeightsSource, imported};
use crate::numbers::to_i64;

/// Where a network's parameters come from.
#[derive(Debug)]
pub struct WeightMap {
    source: Source,
    device: Device,
    precision: Precision,
    layout: MemoryFormat,
    /// How the file names the network's tensors, behind `prefix`.
    names: FileNames,
    /// What stands before the names of the network's tensors in the file, by the experiment.
    prefix: String,
    /// Parameters that the network's authors compute, by name, for random weights.
    computed: BTreeMap<String, Vec<f32>>,
    requested: Vec<(String, Vec<usize>)>,
    /// Names that the file may hold and that nobody reads.
    skipped: Vec<String>,
    mismatch: WeightMismatch,
    /// Everything that was taken to be trained; absent where nothing is.
    trained: Option<Parameters>,
}

#[derive(Debug)]
enum Source {
    /// A file, with the open file that was checked, where it was.
    File(StoredTensors, Option<Arc<CheckedFile>>),
    Synthetic {
        seed: u64,
    },
    Initial(Initial),
}

/// Why a network cannot have its parameters.
#[derive(Debug, Error)]
pub enum WeightError {
    /// The file cannot be used at all.
    #[error(transparent)]
    File(#[from] StoredTensorsError),
    /// Names or shapes differ from what the network needs.
    #[error(transparent)]
    Mismatch(Box<WeightMismatch>),
    /// They come from a training, and not from a file.
    #[error("the weights come from pretrain `{name}` of the experiment")]
    NotTrained {
        /// The training's name.
        name: String,
    },
    /// The file is not the one that was looked at before.
    #[error("{} {problem}", path.display())]
    Check {
        /// The file as it was named.
        path: PathBuf,
        /// The tensors that are missing, left over, or of another shape.
        problem: CheckError,
    },
    /// What a kind says of a file that it reads by itself.
    #[error("{}", .0.text)]
    Unusable(Message),
    /// There is no source at all.
    #[error("the network has parameters, but no weights were given")]
    NotGiven,
}

impl WeightError {
    /// That a file is not, or no longer, the one that was looked at.
    pub(crate) fn check(path: &Path, problem: CheckError) -> Self {
        Self::Check {
            path: path.to_owned(),
            problem,
        }
    }
}

impl Hint for WeightError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotTrained { .. } => {
                Some("run the experiment; `repro models export` makes a file of them".to_owned())
            }
            Self::Check {
                problem: CheckError::Differs | CheckError::Changed,
                ..
            } => Some(
                "it is not the file that the experiment was planned with; the same command plans again, with the file as it is now".to_owned(),
            ),
            Self::Mismatch(mismatch) => mismatch.hint(),
            Self::Unusable(message) => message.hint.clone(),
            Self::Check { .. } | Self::File(_) | Self::NotGiven => None,
        }
    }
}

impl WeightMap {
    /// Parameters from a file, safetensors or a PyTorch checkpoint, which is memory-mapped and must not change while the
    /// map exists. Numbers stored as f16 or bf16 become f32.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, damaged or something else, or asks for more than tensors.
    pub fn from_file(path: &Path) -> Result<Self, WeightError> {
        Ok(Self::new(Source::File(StoredTensors::open(path)?, None)))
    }

    /// [`WeightMap::from_file`] for a file whose bytes were checked; [`WeightMap::finish`] fails if it has changed since.
    ///
    /// # Errors
    /// As [`WeightMap::from_file`].
    pub fn from_checked(file: Arc<CheckedFile>) -> Result<Self, WeightError> {
        let tensors = StoredTensors::open_checked(&file)?;
        Ok(Self::new(Source::File(tensors, Some(file))))
    }

    /// Parameters from where an experiment says that they come from; a relative path starts at `base`. `initial` is the network's own
    /// initialization by a seed.
    ///
    /// # Errors
    /// As [`WeightMap::from_file`]; the weights are those of a training, or there are none.
    pub fn from_source(
        source: &WeightsSource,
        base: &Path,
        initial: &dyn Fn(u64) -> Initial,
    ) -> Result<Self, WeightError> {
        match source {
            WeightsSource::File(path) => Self::from_file(&base.join(path)),
            WeightsSource::Opened(file) => Self::from_checked(Arc::clone(file)),
            WeightsSource::Synthetic(seed) => Ok(Self::synthetic(*seed)),
            WeightsSource::Initialization(seed) => Ok(Self::initial(initial(*seed))),
            WeightsSource::Pretrained(name) => Err(WeightError::NotTrained { name: name.clone() }),
            WeightsSource::Imported(_) => Err(WeightError::Unusable(imported::no_network())),
            WeightsSource::None => Err(WeightError::NotGiven),
        }
    }

    /// Parameters by the rule of [`synthetic`], which has every name and every shape.
    pub fn synthetic(seed: u64) -> Self {
        Self::new(Source::Synthetic { seed })
    }

    /// Parameters as training begins with them.
    pub fn initial(rule: Initial) -> Self {
        Self::new(Source::Initial(rule))
    }

    fn new(source: Source) -> Self {
        let source_name = match &source {
            Source::File(file, _) => file.path().display().to_string(),
            Source::Synthetic { seed } => format!("synthetic weights (seed {seed})"),
            Source::Initial(rule) => format!("initial weights (seed {})", rule.seed()),
        };
        let mismatch = WeightMismatch {
            source_name,
            ..WeightMismatch::default()
        };
        Self {
            source,
            device: Device::Cpu,
            precision: Precision::F32,
            layout: MemoryFormat::ChannelsLast,
            names: FileNames::PLAIN,
            prefix: String::new(),
            computed: BTreeMap::new(),
            requested: Vec::new(),
            skipped: Vec::new(),
            mismatch,
            trained: None,
        }
    }

    /// Puts every tensor that is taken from now on to `device` instead of the CPU.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Looks tensors up in a file as one of several publishers names them: as [`FileNames::of`] finds out by `probe`, a name of the
    /// network. Messages then have the names of the file.
    #[must_use]
    pub fn named_as_in(mut self, known: &[FileNames], probe: &str) -> Self {
        if let Source::File(file, _) = &self.source {
            self.names = if self.prefix.is_empty() {
                FileNames::of(file, known, probe)
            } else {
                FileNames::behind_prefix(known)
            };
        }
        self
    }

    /// Looks tensors up in a file behind this text, and leaves those alone whose names begin otherwise. An empty one changes nothing.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The parameter of this name, row-major, where weights are random: in place of what the rule would give, for a parameter that the
    /// network's authors compute.
    #[must_use]
    pub fn with_computed(mut self, name: &str, values: Vec<f32>) -> Self {
        self.computed.insert(name.to_owned(), values);
        self
    }

    /// What the file calls a tensor of the network.
    fn stored(&self, name: &str) -> String {
        format!("{}{}", self.prefix, self.names.stored(name))
    }

    /// Allows a tensor of that name in the file, which the network has no use for.
    pub fn skip(&mut self, name: &str) {
        self.skipped.push(name.to_owned());
    }

    /// Makes every tensor that is taken from now on a leaf that requires gradients. Leaves are f32 whatever the precision that
    /// convolutions compute in, so that small steps are not lost.
    ///
    /// The network computes with the very memory of [`WeightMap::into_parameters`], so that it sees what an optimizer writes
    /// there in place, under [`tch::no_grad`].
    #[must_use]
    pub fn trainable(mut self) -> Self {
        self.trained = Some(Parameters::default());
        self
    }

    /// Whether what is taken is to be trained.
    pub fn is_trainable(&self) -> bool {
        self.trained.is_some()
    }

    /// What was taken to be trained, in order; nothing unless the map is [`WeightMap::trainable`].
    pub fn into_parameters(self) -> Parameters {
        self.trained.unwrap_or_default()
    }

    /// Lets convolutions compute in `precision` from now on; see [`WeightMap::take_for_convolution`].
    pub fn convolve_in(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// What convolutions compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the tensors are put.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The parameter `name` of the given `shape`, f32; without gradient, unless it is to be trained.
    ///
    /// Where the source has none that fits, a stand-in of zeros comes back and the misfit is kept for
    /// [`WeightMap::finish`]: whoever builds a network must call that before the network is used.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.find(name, shape);
        self.handed_out(name, tensor)
    }

    /// A tensor as it is to be handed out: if it is to be trained, it becomes a leaf only now, in its last form.
    fn handed_out(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let Some(trained) = &mut self.trained else {
            return tensor;
        };
        let leaf = tensor.set_requires_grad(true);
        trained.push(name, leaf.shallow_clone());
        leaf
    }

    fn find(&mut self, name: &str, shape: &[usize]) -> Tensor {
        self.requested.push((name.into(), shape.into()));
        let stored = self.stored(name);
        let sizes: Vec<i64> = shape.iter().map(|&size| to_i64(size)).collect();
        let computed = self.computed.get(name).cloned();
        let random = |fill: &dyn Fn() -> Vec<f32>| {
            let values = computed.unwrap_or_else(fill);
            Some(Tensor::from_slice(&values).view(&*sizes))
        };
        let tensor = match &self.source {
            Source::Synthetic { seed } => random(&|| synthetic::fill(name, shape, *seed)),
            Source::Initial(rule) => random(&|| rule.fill(name, shape)),
            Source::File(file, _) => read::read(file, &stored, shape, &sizes, &mut self.mismatch),
        };
        match tensor {
            Some(tensor) => tensor.to_device(self.device),
            // One zero seen as a whole tensor, so that a wrong file costs no memory.
            None => Tensor::zeros([1; 1], (Kind::Float, self.device))
                .view(&*vec![1; sizes.len()])
                .expand(&*sizes, false),
        }
    }

    /// Gives kernels of convolutions the memory format of feature maps, from now on.
    pub fn lay_out(&mut self, layout: MemoryFormat) {
        self.layout = layout;
    }

    /// The memory format of kernels of convolutions.
    pub fn layout(&self) -> MemoryFormat {
        self.layout
    }

    /// The parameter `name` of a convolution: as [`WeightMap::take`], but in the precision that convolutions compute in, and
    /// in the layout of feature maps where there are four axes. What is trained is f32: the layer converts it at every step.
    ///
    /// # Panics
    /// As [`WeightMap::take`].
    pub fn take_for_convolution(&mut self, name: &str, shape: &[usize]) -> Tensor {
        let tensor = self.find(name, shape);
        let tensor = if self.is_trainable() {
            tensor
        } else {
            tensor.to_kind(self.precision.kind())
        };
        let tensor = if shape.len() == 4 {
            self.layout.of(&tensor)
        } else {
            tensor
        };
        self.handed_out(name, tensor)
    }

    /// The shape of a tensor in the file; `None` where there is no file or no such tensor.
    pub fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        match &self.source {
            Source::File(file, _) => file
                .get(&self.stored(name))
                .map(|stored| stored.shape.to_vec()),
            Source::Synthetic { .. } | Source::Initial(_) => None,
        }
    }

    /// Every name and shape that was taken, in order.
    pub fn requested(&self) -> &[(String, Vec<usize>)] {
        &self.requested
    }

    /// Compares what was taken with what there is.
    ///
    /// # Errors
    /// Lists every missing, unused and misshapen name at once; a file that was checked and has changed since.
    pub fn finish(&self) -> Result<(), WeightError> {
        if let Source::File(_, Some(checked)) = &self.source {
            let unchanged = checked.unchanged();
            unchanged.map_err(|error| WeightError::check(checked.path(), error))?;
        }
        let mut mismatch = self.mismatch.clone();
        if let Source::File(file, _) = &self.source {
            let requested = self.requested.iter().map(|(name, _)| name);
            let mut known: Vec<&str> = requested.chain(&self.skipped).map(String::as_str).collect();
            known.sort_unstable();
            let unused = file.names().filter(|stored| {
                let name = stored.strip_prefix(self.prefix.as_str());
                let name = name.and_then(|name| self.names.of_network(name));
                name.is_some_and(|name| known.binary_search(&&*name).is_err())
            });
            mismatch.unused = unused.map(String::from).collect();
            if !mismatch.is_empty() {
                let prefix = self.stored("");
                mismatch.advice = comparison::advice(file, &self.requested, &prefix, &mismatch);
            }
        }
        if mismatch.is_empty() {
            Ok(())
        } else {
            Err(WeightError::Mismatch(Box::new(mismatch)))
        }
    }
}

#[cfg(test)]
mod tests;
