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
use crate::models::checkpoint::comparison::{self, Required};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::class_condition::ClassInput;
use crate::models::denoising::DenoisingModel;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, NoiseInput, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::{Custom, Fields, Key, KindDoc, Text};

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
        Some(Preset {
            name: preset.name.clone(),
            title: preset.title,
            checkpoint: preset.checkpoint,
            model: Arc::new(Dit {
                variant: preset.name,
                blocks: preset.network.blocks(),
                config: preset.network,
                diffusion: diffusion()?,
                autoencoder: String::new(),
                weights: WeightsSource::Synthetic(0),
                prefix: String::new(),
            }),
        })
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
    Some(Arc::new(Dit {
        variant: preset.name,
        blocks: preset.network.blocks(),
        config: preset.network,
        diffusion: diffusion()?,
        autoencoder: autoencoder?,
        weights: weights?,
        prefix,
    }))
}

/// A network as declared.
#[derive(Debug, Clone)]
struct Dit {
    variant: String,
    config: Config,
    diffusion: Diffusion,
    blocks: Vec<BlockInfo>,
    /// The name of the autoencoder; empty for a network that stands in no experiment.
    autoencoder: String,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl Model for Dit {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

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

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: config::FILE_NAMES,
            skipped: |_| false,
            prefix: &self.prefix,
        })
    }

    fn check_file(&self, path: &Path) -> Result<(), Message> {
        let tensors = StoredTensors::open(path).map_err(|error| Message::new(error.to_string()))?;
        let mut tensors_of_file = tensors.names();
        // They are computed where a file has none.
        let has_positions = tensors_of_file.any(|name| name.ends_with(config::POSITIONS));
        let mut needed = self.config.state_dict();
        needed.retain(|(name, _)| has_positions || name != config::POSITIONS);
        let required = Required {
            tensors: needed,
            known: config::FILE_NAMES,
            skipped: |_| false,
            prefix: &self.prefix,
        };
        comparison::check(path, &required)
    }

    fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    fn parameter_count(&self) -> u64 {
        self.config.parameter_count()
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
        json!({ "kind": KIND.doc.name, "network": self.config })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.diffusion.coefficients(timestep)
    }

    fn denoising(&self) -> Option<&dyn DenoisingModel> {
        Some(self)
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &Path,
        device: tch::Device,
        precision: crate::models::Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        use crate::models::checkpoint::weights::WeightMap;
        use crate::models::nn::initial::Initial;
        let initial = |seed| Initial::transformer(seed, &self.config.state_dict());
        let weights = WeightMap::from_source(&self.weights, base, &initial)?.on(device);
        let weights = weights.prefixed(&self.prefix);
        let weights = weights.named_as_in(config::FILE_NAMES, config::POSITIONS);
        let mut weights = weights.with_computed(config::POSITIONS, self.config.positions());
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
            null: i64::from(self.config.null_class()),
        }))
    }
}

impl DenoisingModel for Dit {
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
        self.config.multiply_adds()
    }
}

/// A network on its device, ready to give features.
#[cfg(feature = "torch")]
struct Extractor {
    network: network::Network,
    device: tch::Device,
    input: InputSpec,
    /// The class that stands for none, which a network is given where there are no classes.
    null: i64,
}

#[cfg(feature = "torch")]
impl Extractor {
    /// The timestep and the classes as the network reads them: one timestep for all latents, so that its rounding cannot depend on how
    /// many there are.
    fn conditions(&self, timestep: u32, classes: Option<&[i64]>) -> (tch::Tensor, tch::Tensor) {
        use tch::{Kind, Tensor};
        let timestep = Tensor::full([1], i64::from(timestep), (Kind::Int64, self.device));
        let classes = match classes {
            Some(classes) => Tensor::from_slice(classes).to_device(self.device),
            None => Tensor::full([1], self.null, (Kind::Int64, self.device)),
        };
        (timestep, classes)
    }
}

#[cfg(feature = "torch")]
impl crate::models::extractor::Network for Extractor {
    fn forward(
        &self,
        images: crate::models::extractor::Images<'_>,
        taps: &[crate::models::BlockIndex],
        until: crate::models::extractor::Until,
        visit: &mut dyn FnMut(crate::models::BlockIndex, &tch::Tensor),
    ) -> Result<Option<tch::Tensor>, crate::models::extractor::ForwardError> {
        use crate::models::extractor::ForwardError;
        let _guard = tch::no_grad_guard();
        let x_t = crate::models::extractor::images_to_tensor(images, self.input, self.device);
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let (timestep, classes) = self.conditions(timestep, images.classes);
        let condition = (&timestep, &classes);
        self.network
            .forward_taps(&x_t, condition, taps, until, visit)
    }

    fn denoise(
        &self,
        x_t: &tch::Tensor,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<tch::Tensor, crate::models::extractor::ForwardError> {
        use crate::models::extractor::{ForwardError, Until};
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
