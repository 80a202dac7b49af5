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
    ATTENTION_RESOLUTIONS, CHANNEL_MULT, CONV_RESAMPLE, DIFFUSION_STEPS, IMAGE_SIZE, IN_CHANNELS,
    MODEL_CHANNELS, NOISE_SCHEDULE, NUM_HEAD_CHANNELS, NUM_HEADS, NUM_RES_BLOCKS, RESBLOCK_UPDOWN,
    USE_NEW_ATTENTION_ORDER, USE_SCALE_SHIFT_NORM,
};
use crate::diffusion::{Coefficients, Diffusion, Schedule};
use crate::imaging::Normalization;
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, NoiseInput, Preset, Presets, WeightsSource, declaration,
};
use crate::numbers::to_u32;
use crate::spec::{Choice, Count, Custom, Diagnostic, Fields, Key, Keys, KindDoc};

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
        let (schedule, steps) = (preset.noise_schedule, preset.diffusion_steps);
        let model = UNetEncoder {
            blocks: preset.network.blocks(),
            variant: preset.name.clone(),
            config: preset.network,
            schedule,
            diffusion: Diffusion::new(schedule, steps).ok()?,
            weights: WeightsSource::Synthetic(0),
            prefix: String::new(),
        };
        Some(Preset {
            name: preset.name,
            title: preset.title,
            checkpoint: preset.checkpoint,
            model: Arc::new(model),
        })
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
    for misfit in config.validate() {
        fields.report(Diagnostic::new(
            "graph::model-misfit",
            fields.span(),
            format!("{}: {misfit}", fields.context()),
            "this model",
        ));
    }
    let diffusion = match Diffusion::new(schedule, steps) {
        Ok(diffusion) => diffusion,
        Err(error) => {
            let message = error.to_string();
            fields.invalid(DIFFUSION_STEPS.name, "spec::out-of-range", message, None);
            return None;
        }
    };
    if !fields.is_sound() {
        return None;
    }
    Some(Arc::new(UNetEncoder {
        blocks: config.blocks(),
        variant,
        config,
        schedule,
        diffusion,
        weights: weights?,
        prefix,
    }))
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

/// A network as declared.
#[derive(Debug, Clone)]
struct UNetEncoder {
    variant: String,
    config: Config,
    schedule: Schedule,
    diffusion: Diffusion,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl UNetEncoder {
    /// Steps of the diffusion; the parser allows at most 100,000.
    fn diffusion_steps(&self) -> u32 {
        to_u32(self.diffusion.betas().len())
    }
}

impl Model for UNetEncoder {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.config.in_channels,
            side: self.config.image_size,
            normalization: Normalization::MinusOneToOne,
            noise: Some(NoiseInput {
                steps: self.diffusion_steps(),
            }),
        }
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: &[FileNames::PLAIN],
            skipped: |_| false,
            prefix: &self.prefix,
        })
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
        json!({
            "kind": KIND.doc.name,
            "network": self.config,
            "noise_schedule": self.schedule,
            "diffusion_steps": self.diffusion_steps(),
        })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.diffusion.coefficients(timestep)
    }

    fn guides(&self) -> Option<u32> {
        Some(self.config.out_channels)
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: crate::models::Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        use crate::models::checkpoint::weights::WeightMap;
        let weights = WeightMap::from_source(&self.weights, base, &|seed| self.initial(seed))?;
        let mut weights = weights.prefixed(&self.prefix).on(device);
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
        }))
    }
}

#[cfg(feature = "torch")]
impl UNetEncoder {
    /// What a training begins with: upstream zeroes the last layers of residual and attention blocks, and of the head `adaptive`, and
    /// draws the positions of the head `attention` with variance `1 / C`.
    fn initial(&self, seed: u64) -> crate::models::nn::initial::Initial {
        use crate::models::nn::initial::Initial;
        let zeroed: &[&str] = match self.config.pool {
            Pool::Adaptive => &["out_layers.3", "proj_out", "out.3"],
            Pool::Attention | Pool::Spatial | Pool::SpatialV2 => &["out_layers.3", "proj_out"],
        };
        let rule = Initial::new(seed, &self.config.state_dict(), zeroed);
        let width = f64::from(self.config.feature_width());
        rule.with_normal(config::POSITIONS, width.sqrt().recip())
    }
}

/// A network on its device, ready to give features.
#[cfg(feature = "torch")]
struct Extractor {
    network: network::Network,
    device: tch::Device,
    input: InputSpec,
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
        use crate::models::extractor::{ForwardError, images_to_tensor};
        let _guard = tch::no_grad_guard();
        if images.classes.is_some() {
            return Err(ForwardError::ClassLabelsUnexpected);
        }
        let x_t = images_to_tensor(images, self.input, self.device);
        // One for all images, so that its rounding cannot depend on how many there are.
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let kind = (tch::Kind::Int64, self.device);
        let timesteps = tch::Tensor::full([1], i64::from(timestep), kind);
        self.network
            .forward_taps(&x_t, &timesteps, taps, until, visit)
    }

    fn class_gradient(
        &self,
        x_t: &tch::Tensor,
        timestep: u32,
        classes: &[i64],
    ) -> Result<tch::Tensor, crate::models::extractor::ForwardError> {
        use crate::models::extractor::{ForwardError, Until};
        use crate::models::guidance::class_gradient;
        let kind = (tch::Kind::Int64, self.device);
        let timesteps = tch::Tensor::full([1], i64::from(timestep), kind);
        class_gradient(x_t, classes, &mut |images| {
            let visit = &mut |_, _: &tch::Tensor| {};
            let logits =
                self.network
                    .forward_taps(images, &timesteps, &[], Until::Output, visit)?;
            logits.ok_or(ForwardError::NoOutput)
        })
    }
}
