//! `unet-encoder`: the first half of guided-diffusion's U-Net with a head, such as the classifiers of noisy images that are published with it.
//!
//! [`config`] says what a network looks like and which taps it has, [`network`] runs it, with the layers of
//! [`guided_diffusion`](super::guided_diffusion) and the pooling heads of `head.rs`.
//!
//! # Reference
//! arXiv 2105.05233, section 4; openai/guided-diffusion@22e0df8:guided_diffusion/unet.py (`EncoderUNetModel`). Blocks are numbered from 1:
//! the `input_blocks`, then `middle_block`, then what the last layer reads, then the logits. Images are preprocessed as for the U-Net, which
//! upstream's scripts/classifier_train.py does too.
//!
//! # Deviations
//! Listed in the files that make them.

pub mod config;
#[cfg(feature = "torch")]
mod head;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;

use std::sync::Arc;

use serde_json::json;

use self::config::{Config, Pool};
use super::guided_diffusion::keys::{
    self, ATTENTION_RESOLUTIONS, CHANNEL_MULT, CONV_RESAMPLE, DIFFUSION_STEPS, IMAGE_SIZE,
    IN_CHANNELS, MODEL_CHANNELS, NOISE_SCHEDULE, NUM_HEAD_CHANNELS, NUM_HEADS, NUM_RES_BLOCKS,
    RESBLOCK_UPDOWN, USE_NEW_ATTENTION_ORDER, USE_SCALE_SHIFT_NORM,
};
use super::guided_diffusion::noise::Noise;
use crate::diffusion::Coefficients;
use crate::imaging::Normalization;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, declaration};
use crate::spec::{Choice, Count, Custom, Fields, Key, Keys, KindDoc};
#[cfg(feature = "torch")]
use {
    self::network::Network,
    crate::models::BlockIndex,
    crate::models::declared::{Loaded, Place},
    crate::models::extractor::{
        self, ForwardError, Images, Until, images_to_tensor, timestep_of_all,
    },
    crate::models::guidance::class_gradient,
    crate::models::nn::initial::Initial,
    tch::{Device, Tensor},
};

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path, { synthetic = SEED } or { initialization = SEED }",
)
.doc(
    "A `.safetensors` file or a PyTorch checkpoint (`.pt`); or random weights, by the synthetic rule or by the network's own initialization, which begins some layers with zeros.",
);
const OUT_CHANNELS: Key<Count> = Key::count("out_channels", 1..=1_000_000)
    .optional("the preset's")
    .doc("Classes that the network predicts.");
const POOL: Key<Choice<Pool>> = Key::choice("pool", Pool::CHOICES)
    .default(Pool::Adaptive)
    .doc("What the logits are made of: the mean of the last feature map, attention to it, or the means of all blocks through a hidden layer of 2048, with a group normalization after it in \"spatial_v2\".");

/// The keys that a preset decides.
const SHAPE: Keys = &[
    &IMAGE_SIZE,
    &IN_CHANNELS,
    &MODEL_CHANNELS,
    &OUT_CHANNELS,
    &NUM_RES_BLOCKS,
    &CHANNEL_MULT,
    &ATTENTION_RESOLUTIONS,
    &NUM_HEADS,
    &NUM_HEAD_CHANNELS,
    &RESBLOCK_UPDOWN,
    &USE_SCALE_SHIFT_NORM,
    &USE_NEW_ATTENTION_ORDER,
    &CONV_RESAMPLE,
    &POOL,
    &NOISE_SCHEDULE,
    &DIFFUSION_STEPS,
];
/// Those of them that a network without a preset needs.
const NEEDED: Keys = &[
    &IMAGE_SIZE,
    &MODEL_CHANNELS,
    &OUT_CHANNELS,
    &NUM_RES_BLOCKS,
    &CHANNEL_MULT,
    &ATTENTION_RESOLUTIONS,
];

/// `kind = "unet-encoder"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "unet-encoder",
        summary: "The encoder of guided-diffusion's U-Net with a classifier on it, for noisy images: a preset, or any other shape written out.",
        keys: &[&WEIGHTS, &declaration::PREFIX, &declaration::PRESET],
        shared: SHAPE,
    },
    parse,
    Presets {
        all: presets,
        fitting,
    },
);

fn presets() -> Vec<Preset> {
    let all = presets::all().into_iter();
    all.filter_map(|preset| {
        let network = UNetEncoder {
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

fn fitting(tensors: &StoredTensors) -> Vec<String> {
    let fits = |preset: &presets::Preset| {
        let required = preset.network.state_dict();
        FileNames::fit(tensors, &[FileNames::PLAIN], &required, |_| false)
    };
    let fitting = presets::all().into_iter().filter(fits);
    fitting.map(|preset| preset.name).collect()
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    let (variant, config, schedule, steps) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name)?;
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
    let network = UNetEncoder { config, noise };
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
        out_channels: fields.get(&OUT_CHANNELS)?,
        num_res_blocks: fields.get(&NUM_RES_BLOCKS)?,
        channel_mult: fields.get(&CHANNEL_MULT)?,
        attention_resolutions: fields.get(&ATTENTION_RESOLUTIONS)?,
        num_heads: fields.get(&NUM_HEADS)?,
        num_head_channels: fields.get(&NUM_HEAD_CHANNELS),
        resblock_updown: fields.get(&RESBLOCK_UPDOWN)?,
        use_scale_shift_norm: fields.get(&USE_SCALE_SHIFT_NORM)?,
        use_new_attention_order: fields.get(&USE_NEW_ATTENTION_ORDER)?,
        conv_resample: fields.get(&CONV_RESAMPLE)?,
        pool: fields.get(&POOL)?,
    })
}

/// A network's shape, and the diffusion whose images it reads.
#[derive(Debug, Clone)]
struct UNetEncoder {
    config: Config,
    noise: Noise,
}

impl Architecture for UNetEncoder {
    const KIND: &'static str = KIND.doc.name;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.config.in_channels,
            side: self.config.image_size,
            normalization: Normalization::MinusOneToOne,
            noise: Some(self.noise.input()),
        }
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

    fn guides(&self) -> Option<u32> {
        Some(self.config.out_channels)
    }

    /// Upstream zeroes the last layers of residual and attention blocks, and of the head `adaptive`, and draws the positions of the head
    /// `attention` with variance `1 / C`.
    #[cfg(feature = "torch")]
    fn initial(&self, seed: u64) -> Initial {
        let zeroed: &[&str] = match self.config.pool {
            Pool::Adaptive => &["out_layers.3", "proj_out", "out.3"],
            Pool::Attention | Pool::Spatial | Pool::SpatialV2 => &["out_layers.3", "proj_out"],
        };
        let rule = Initial::new(seed, &self.tensors(), zeroed);
        let width = f64::from(self.config.feature_width());
        rule.with_normal(config::POSITIONS, width.sqrt().recip())
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        let mut weights = model.weight_map(place)?;
        Ok(Box::new(Extractor {
            network: Network::new(&model.architecture().config, &mut weights)?,
            device: place.device,
            input: model.input(),
        }))
    }
}

/// A network on its device, ready to give features.
#[cfg(feature = "torch")]
struct Extractor {
    network: Network,
    device: Device,
    input: InputSpec,
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
        if images.classes.is_some() {
            return Err(ForwardError::ClassLabelsUnexpected);
        }
        let x_t = images_to_tensor(images, self.input, self.device);
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let timestep = timestep_of_all(timestep, self.device);
        self.network
            .forward_taps(&x_t, &timestep, taps, until, visit)
    }

    fn class_gradient(
        &self,
        x_t: &Tensor,
        timestep: u32,
        classes: &[i64],
    ) -> Result<Tensor, ForwardError> {
        let timestep = timestep_of_all(timestep, self.device);
        class_gradient(x_t, classes, &mut |images| {
            let visit = &mut |_, _: &Tensor| {};
            let logits = self
                .network
                .forward_taps(images, &timestep, &[], Until::Output, visit)?;
            logits.ok_or(ForwardError::NoOutput)
        })
    }
}
