//! `dit`: a diffusion transformer, which reads the latents of an autoencoder.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it. It names the autoencoder whose latents it reads.
//! Block 0 are the embedded tokens with their positions, and blocks 1 to 28 of the published networks the tokens behind each block.
//!
//! # Reference
//! Peebles and Xie 2022 (arXiv 2212.09748); facebookresearch/DiT@ed81ce2229091fd4ecc9a223645f95cf379d582b: models.py, diffusion/__init__.py,
//! sample.py, sample_ddp.py.
//!
//! # Deviations
//! - Those of [`network`].
//! - Features are those with the class that stands for none, unless an experiment says otherwise; the paper has no features.
//! - Of the converted files of diffusers the weights are read; their class computes another embedding of the timestep, so that its features
//!   are not those of DiT, which are computed here.
//! - Of weights that are not in a file, only those by the synthetic rule can be had; positions are computed as the reference does.

pub mod config;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use crate::diffusion::respacing::Respacing;
use crate::diffusion::{Coefficients, Diffusion, DiffusionError, Schedule};
use crate::imaging::Normalization;
use crate::message::Message;
use crate::models::checkpoint::comparison;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::class_condition::ClassInput;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::denoising::DenoisingModel;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, NoiseInput, Preset, Presets, declaration,
};
use crate::spec::{Custom, Fields, Key, KindDoc, Text};
#[cfg(feature = "torch")]
use {
    self::network::Network,
    crate::models::declared::{Loaded, Place},
    crate::models::extractor::{
        self, ForwardError, Images, Until, images_to_tensor, timestep_of_all,
    },
    crate::models::nn::initial::Initial,
    crate::models::{BlockIndex, WeightsSource},
    tch::{Device, Kind, Tensor},
};

/// Steps of the diffusion that it was trained on.
const DIFFUSION_STEPS: u32 = 1000;

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path or { synthetic = SEED }",
)
.doc(
    "A PyTorch checkpoint of DiT or of its `train.py`, of which the averaged weights are taken, or the same tensors in a `.safetensors` file; or random weights by the synthetic rule.",
);
const PRESET: Key<Text> = Key::text(declaration::PRESET.name, "the name of a preset")
    .doc("A network with a name; `repro list models` shows them.");

/// `kind = "dit"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "dit",
        summary: "A diffusion transformer, DiT, which reads the latents of an autoencoder.",
        keys: &[
            &WEIGHTS,
            &declaration::PREFIX,
            &PRESET,
            &declaration::AUTOENCODER,
        ],
        shared: &[],
    },
    parse,
    Presets {
        all: presets,
        fitting,
    },
);

/// Its diffusion; `None` only if the schedule had no steps.
fn diffusion() -> Option<Diffusion> {
    Diffusion::new(Schedule::Linear, DIFFUSION_STEPS).ok()
}

fn presets() -> Vec<Preset> {
    let all = presets::all().into_iter();
    all.filter_map(|preset| {
        let network = Dit {
            config: preset.network,
            diffusion: diffusion()?,
            autoencoder: String::new(),
        };
        Some(declared::preset(
            preset.name,
            preset.title,
            preset.checkpoint,
            network,
        ))
    })
    .collect()
}

fn fitting(tensors: &StoredTensors) -> Vec<String> {
    let all = presets::all().into_iter();
    all.filter(|preset| preset.network.fits(tensors))
        .map(|preset| preset.name)
        .collect()
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    declaration::refuse_initialization(fields, weights.as_ref());
    let autoencoder = fields.get(&declaration::AUTOENCODER);
    let name = declaration::preset(&KIND, fields, &[])??;
    let preset = presets::find(&name)?;
    if !fields.is_sound() {
        return None;
    }
    let network = Dit {
        config: preset.network,
        diffusion: diffusion()?,
        autoencoder: autoencoder?,
    };
    Some(Arc::new(Declared::new(
        preset.name,
        network,
        weights?,
        prefix,
    )))
}

/// A network's shape, and what it reads.
#[derive(Debug, Clone)]
struct Dit {
    config: Config,
    diffusion: Diffusion,
    /// The name of the autoencoder; empty for a network that stands in no experiment.
    autoencoder: String,
}

impl Architecture for Dit {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = config::FILE_NAMES;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.config.in_channels,
            side: self.config.input_size,
            normalization: Normalization::MinusOneToOne,
            noise: Some(NoiseInput {
                steps: DIFFUSION_STEPS,
            }),
        }
    }

    fn classes(&self) -> Option<ClassInput> {
        Some(ClassInput {
            count: self.config.num_classes,
            null: Some(self.config.null_class()),
        })
    }

    fn autoencoder(&self) -> Option<&str> {
        Some(&self.autoencoder)
    }

    fn blocks(&self) -> Vec<BlockInfo> {
        self.config.blocks()
    }

    fn tensors(&self) -> Tensors {
        self.config.state_dict()
    }

    fn identity(&self) -> serde_json::Value {
        json!({ "kind": Self::KIND, "network": self.config })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.diffusion.coefficients(timestep)
    }

    fn check_file(model: &Declared<Self>, path: &Path) -> Result<(), Message> {
        let tensors = StoredTensors::open(path).map_err(|error| Message::new(error.to_string()))?;
        let mut tensors_of_file = tensors.names();
        // They are computed where a file has none.
        let has_positions = tensors_of_file.any(|name| name.ends_with(config::POSITIONS));
        let mut needed = model.architecture().tensors();
        needed.retain(|(name, _)| has_positions || name != config::POSITIONS);
        comparison::check(path, &model.needs(needed))
    }

    fn denoising(model: &Declared<Self>) -> Option<&dyn DenoisingModel> {
        Some(model)
    }

    #[cfg(feature = "torch")]
    fn initial(&self, seed: u64) -> Initial {
        Initial::transformer(seed, &self.tensors())
    }

    #[cfg(feature = "torch")]
    fn computed(&self, _weights: &WeightsSource) -> Vec<(String, Vec<f32>)> {
        vec![(config::POSITIONS.to_owned(), self.config.positions())]
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        let mut weights = model.weight_map(place)?;
        let config = &model.architecture().config;
        Ok(Box::new(Extractor {
            network: Network::new(config, &mut weights)?,
            device: place.device,
            input: model.input(),
            null: i64::from(config.null_class()),
        }))
    }
}

impl DenoisingModel for Declared<Dit> {
    fn process(&self, respacing: &Respacing) -> Result<Diffusion, DiffusionError> {
        Diffusion::respaced(Schedule::Linear, DIFFUSION_STEPS, respacing)
    }

    fn learns_variance(&self) -> bool {
        true
    }

    fn clips(&self) -> bool {
        // Latents are not bounded.
        false
    }

    fn multiply_adds(&self) -> u64 {
        self.architecture().config.multiply_adds()
    }
}

/// A network on its device, ready to give features.
#[cfg(feature = "torch")]
struct Extractor {
    network: Network,
    device: Device,
    input: InputSpec,
    /// The class that stands for none, which a network is given where there are no classes.
    null: i64,
}

#[cfg(feature = "torch")]
impl Extractor {
    /// The timestep and the classes as the network reads them.
    fn conditions(&self, timestep: u32, classes: Option<&[i64]>) -> (Tensor, Tensor) {
        let classes = match classes {
            Some(classes) => Tensor::from_slice(classes).to_device(self.device),
            None => Tensor::full([1], self.null, (Kind::Int64, self.device)),
        };
        (timestep_of_all(timestep, self.device), classes)
    }
}

#[cfg(feature = "torch")]
impl extractor::Network for Extractor {
    fn forward(
        &self,
        images: Images<'_>,
        taps: &[BlockIndex],
        until: Until,
        visit: &mut dyn FnMut(BlockIndex, &Tensor),
    ) -> Result<Option<Tensor>, ForwardError> {
        let _guard = tch::no_grad_guard();
        let x_t = images_to_tensor(images, self.input, self.device);
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let (timestep, classes) = self.conditions(timestep, images.classes);
        let condition = (&timestep, &classes);
        self.network
            .forward_taps(&x_t, condition, taps, until, visit)
    }

    fn denoise(
        &self,
        x_t: &Tensor,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<Tensor, ForwardError> {
        let _guard = tch::no_grad_guard();
        let (timestep, classes) = self.conditions(timestep, classes);
        let condition = (&timestep, &classes);
        let output =
            self.network
                .forward_taps(x_t, condition, &[], Until::Output, &mut |_, _| {})?;
        output.ok_or(ForwardError::NoOutput)
    }

    fn guided_channels(&self, _channels: i64) -> i64 {
        network::GUIDED_CHANNELS
    }
}
