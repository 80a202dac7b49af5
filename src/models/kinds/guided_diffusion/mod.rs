//! `guided-diffusion`: the ADM U-Net of Dhariwal and Nichol, the paper's own model.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it. Published networks are presets, data in
//! `data/models/guided-diffusion.toml`; any other is written out in the experiment file.
//!
//! # Reference
//! arXiv 2105.05233; openai/guided-diffusion@22e0df8:guided_diffusion/unet.py. Blocks are numbered as in arXiv 2307.08702: from 1,
//! first the `input_blocks`, then `middle_block`, then the `output_blocks`.
//!
//! # Deviations
//! Listed in the files that make them.

#[cfg(feature = "torch")]
pub(super) mod block;
pub mod config;
pub(super) mod keys;
pub(super) mod layer;
pub(super) mod layout;
#[cfg(feature = "torch")]
pub mod network;
pub(super) mod noise;
#[cfg(feature = "torch")]
pub(super) mod parts;
pub mod presets;
#[cfg(feature = "torch")]
mod running;
#[cfg(feature = "torch")]
mod tuning;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use self::keys::{
    ATTENTION_RESOLUTIONS, CHANNEL_MULT, CONV_RESAMPLE, DIFFUSION_STEPS, IMAGE_SIZE, IN_CHANNELS,
    MODEL_CHANNELS, NOISE_SCHEDULE, NUM_HEAD_CHANNELS, NUM_HEADS, NUM_RES_BLOCKS, RESBLOCK_UPDOWN,
    USE_NEW_ATTENTION_ORDER, USE_SCALE_SHIFT_NORM,
};
use self::noise::Noise;
use crate::diffusion::respacing::Respacing;
use crate::diffusion::{Coefficients, Diffusion, DiffusionError};
use crate::imaging::Normalization;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::denoising::{DenoisingModel, TrainableModel};
use crate::models::tuning::TunableModel;
use crate::models::{
    BlockInfo, ClassInput, InputSpec, Model, ModelKind, Preset, Presets, declaration,
};
use crate::spec::{Boolean, Count, Custom, Fields, Key, Keys, KindDoc};
#[cfg(feature = "torch")]
use {
    crate::models::checkpoint::weights::WeightError,
    crate::models::declared::{Loaded, Place},
    crate::models::denoising::Trainable,
    crate::models::nn::initial::Initial,
    crate::models::tuning::{ActivationCheckpointing, Tuned},
    crate::models::{BlockIndex, Precision},
    std::path::Path,
    tch::Device,
};

const WEIGHTS: Key<Custom> = declaration::WEIGHTS.doc(
    "A `.safetensors` file or a PyTorch checkpoint (`.pt`); random weights by the synthetic rule, or by the network's own initialization, which begins some layers with zeros; or the `[pretrain.NAME]` that trains it.",
);
const LEARN_SIGMA: Key<Boolean> = Key::boolean("learn_sigma")
    .default(true)
    .doc("Whether the output has a second set of channels for the variance.");
const NUM_CLASSES: Key<Count> = Key::count("num_classes", 1..=1_000_000)
    .optional("none: the network is given no class")
    .doc("Classes of a class-conditional network.");

/// The keys that a preset decides.
const SHAPE: Keys = &[
    &IMAGE_SIZE,
    &IN_CHANNELS,
    &MODEL_CHANNELS,
    &NUM_RES_BLOCKS,
    &CHANNEL_MULT,
    &ATTENTION_RESOLUTIONS,
    &NUM_HEADS,
    &NUM_HEAD_CHANNELS,
    &RESBLOCK_UPDOWN,
    &USE_SCALE_SHIFT_NORM,
    &LEARN_SIGMA,
    &NUM_CLASSES,
    &USE_NEW_ATTENTION_ORDER,
    &CONV_RESAMPLE,
    &NOISE_SCHEDULE,
    &DIFFUSION_STEPS,
];
/// Those of them that a network without a preset needs.
const NEEDED: Keys = &[
    &IMAGE_SIZE,
    &MODEL_CHANNELS,
    &NUM_RES_BLOCKS,
    &CHANNEL_MULT,
    &ATTENTION_RESOLUTIONS,
];

/// `kind = "guided-diffusion"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "guided-diffusion",
        summary: "The ADM U-Net of openai/guided-diffusion: a preset, or any other shape written out.",
        keys: &[&WEIGHTS, &declaration::PREFIX, &declaration::PRESET],
        shared: SHAPE,
    },
    parse,
    Presets {
        all: presets,
        fitting: |tensors| presets::fitting(tensors).unwrap_or_default(),
    },
);

fn presets() -> Vec<Preset> {
    let all = presets::all().unwrap_or_default().into_iter();
    all.filter_map(|preset| {
        let network = GuidedDiffusion {
            config: preset.network,
            noise: Noise::new(preset.noise_schedule, preset.diffusion_steps).ok()?,
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

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    let (variant, config, schedule, steps) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name).ok()?;
            (
                preset.name,
                preset.network,
                preset.noise_schedule,
                preset.diffusion_steps,
            )
        }
        None => (
            "custom".to_owned(),
            parse_shape(fields)?,
            fields.get(&NOISE_SCHEDULE)?,
            fields.get(&DIFFUSION_STEPS)?,
        ),
    };
    keys::report_misfits(fields, &config.validate());
    let noise = keys::noise(fields, schedule, steps)?;
    if !fields.is_sound() {
        return None;
    }
    let network = GuidedDiffusion { config, noise };
    Some(Arc::new(Declared::new(variant, network, weights?, prefix)))
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    if !declaration::has_shape(fields, NEEDED) {
        return None;
    }
    Some(Config {
        image_size: fields.get(&IMAGE_SIZE)?,
        in_channels: fields.get(&IN_CHANNELS)?,
        model_channels: fields.get(&MODEL_CHANNELS)?,
        num_res_blocks: fields.get(&NUM_RES_BLOCKS)?,
        channel_mult: fields.get(&CHANNEL_MULT)?,
        attention_resolutions: fields.get(&ATTENTION_RESOLUTIONS)?,
        num_heads: fields.get(&NUM_HEADS)?,
        num_head_channels: fields.get(&NUM_HEAD_CHANNELS),
        resblock_updown: fields.get(&RESBLOCK_UPDOWN)?,
        use_scale_shift_norm: fields.get(&USE_SCALE_SHIFT_NORM)?,
        learn_sigma: fields.get(&LEARN_SIGMA)?,
        num_classes: fields.get(&NUM_CLASSES),
        use_new_attention_order: fields.get(&USE_NEW_ATTENTION_ORDER)?,
        conv_resample: fields.get(&CONV_RESAMPLE)?,
    })
}

/// A network's shape, and the diffusion that it was trained for.
#[derive(Debug, Clone)]
struct GuidedDiffusion {
    config: Config,
    noise: Noise,
}

impl Architecture for GuidedDiffusion {
    const KIND: &'static str = KIND.doc.name;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.config.in_channels,
            side: self.config.image_size,
            normalization: Normalization::MinusOneToOne,
            noise: Some(self.noise.input()),
        }
    }

    fn classes(&self) -> Option<ClassInput> {
        let count = self.config.num_classes?;
        Some(ClassInput { count, null: None })
    }

    fn blocks(&self) -> Vec<BlockInfo> {
        self.config.blocks()
    }

    fn tensors(&self) -> Tensors {
        self.config.state_dict()
    }

    fn identity(&self) -> serde_json::Value {
        json!({
            "kind": Self::KIND,
            "network": self.config,
            "noise_schedule": self.noise.schedule,
            "diffusion_steps": self.noise.steps(),
        })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.noise.diffusion.coefficients(timestep)
    }

    fn denoising(model: &Declared<Self>) -> Option<&dyn DenoisingModel> {
        Some(model)
    }

    fn tunable(model: &Declared<Self>) -> Option<&dyn TunableModel> {
        Some(model)
    }

    #[cfg(feature = "torch")]
    fn initial(&self, seed: u64) -> Initial {
        Initial::new(seed, &self.tensors(), ZEROED)
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        running::load(model, place)
    }
}

/// The layers that upstream begins with zeros, by the endings of their paths.
#[cfg(feature = "torch")]
const ZEROED: &[&str] = &["out_layers.3", "proj_out", "out.2"];

impl DenoisingModel for Declared<GuidedDiffusion> {
    fn process(&self, respacing: &Respacing) -> Result<Diffusion, DiffusionError> {
        let noise = &self.architecture().noise;
        Diffusion::respaced(noise.schedule, noise.steps(), respacing)
    }

    fn learns_variance(&self) -> bool {
        self.architecture().config.learn_sigma
    }

    fn multiply_adds(&self) -> u64 {
        layout::UNetLayout::new(&self.architecture().config).multiply_adds()
    }

    fn trainable(&self) -> Option<&dyn TrainableModel> {
        Some(self)
    }
}

impl TrainableModel for Declared<GuidedDiffusion> {
    #[cfg(feature = "torch")]
    fn begin_training(
        &self,
        seed: u64,
        device: Device,
        precision: Precision,
    ) -> Result<Trainable, WeightError> {
        running::begin_training(self.architecture(), seed, (device, precision))
    }
}

impl TunableModel for Declared<GuidedDiffusion> {
    #[cfg(feature = "torch")]
    fn begin_tuning(
        &self,
        base: &Path,
        device: Device,
        precision: Precision,
        tap: BlockIndex,
        checkpointing: ActivationCheckpointing,
    ) -> Result<Tuned, WeightError> {
        let place = Place {
            base,
            device,
            precision,
        };
        tuning::begin(self, place, tap, checkpointing)
    }
}
