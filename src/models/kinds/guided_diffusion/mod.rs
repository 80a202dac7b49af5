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

pub mod config;
mod layer;
mod layout;
#[cfg(feature = "torch")]
pub mod network;
#[cfg(feature = "torch")]
mod parts;
pub mod presets;
#[cfg(feature = "torch")]
mod tuning;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use crate::diffusion::respacing::Respacing;
use crate::diffusion::{Coefficients, Diffusion, DiffusionError, Schedule};
use crate::imaging::Normalization;
use crate::models::NoiseInput;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::denoising::DenoisingModel;
use crate::models::tuning::TunableModel;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, PresetInfo, WeightsSource, declaration,
};
use crate::numbers::to_u32;
use crate::spec::{Diagnostic, Fields, Key, KindDoc, Value};

/// The kind.
pub const KIND: Kind = Kind;

/// See the module.
#[derive(Debug)]
pub struct Kind;

const DOC: KindDoc = KindDoc {
    name: "guided-diffusion",
    summary: "The ADM U-Net of openai/guided-diffusion: a preset, or any other shape written out.",
    keys: &[
        Key::required(
            declaration::WEIGHTS,
            "a path, { synthetic = SEED } or { pretrain = NAME }",
            "A `.safetensors` file or a PyTorch checkpoint (`.pt`), the synthetic rule: an untrained network that is the same everywhere, or the `[pretrain.NAME]` that trains it.",
        ),
        declaration::PRESET,
        Key::optional(
            "image_size",
            "an integer",
            "none",
            "Side of the input in pixels.",
        ),
        Key::optional("in_channels", "1 or 3", "3", "Channels of the input."),
        Key::optional(
            "model_channels",
            "an integer",
            "none",
            "Width that `channel_mult` multiplies.",
        ),
        Key::optional(
            "num_res_blocks",
            "an integer",
            "none",
            "Residual blocks in each level of the encoder.",
        ),
        Key::optional(
            "channel_mult",
            "a list of numbers",
            "none",
            "Width of each level, as a multiple of `model_channels`.",
        )
        .list(),
        Key::optional(
            "attention_resolutions",
            "a list of integers",
            "none",
            "Sides in pixels at which blocks have attention.",
        )
        .list(),
        Key::optional(
            "num_heads",
            "an integer",
            "4",
            "Attention heads, where `num_head_channels` is absent.",
        ),
        Key::optional(
            "num_head_channels",
            "an integer",
            "none",
            "Channels of one attention head.",
        ),
        Key::optional(
            "resblock_updown",
            "a boolean",
            "true",
            "Whether residual blocks change the resolution.",
        ),
        Key::optional(
            "use_scale_shift_norm",
            "a boolean",
            "true",
            "Whether the timestep scales and shifts the normalised features.",
        ),
        Key::optional(
            "learn_sigma",
            "a boolean",
            "true",
            "Whether the output has a second set of channels for the variance.",
        ),
        Key::optional(
            "use_new_attention_order",
            "a boolean",
            "false",
            "The order of the channels of `qkv`.",
        ),
        Key::optional(
            "conv_resample",
            "a boolean",
            "true",
            "Whether plain resampling layers contain a convolution.",
        ),
        Key::optional(
            "noise_schedule",
            "`linear` or `cosine`",
            "\"linear\"",
            "How the noise grows with the timestep.",
        ),
        Key::optional(
            "diffusion_steps",
            "an integer",
            "1000",
            "Steps of the diffusion.",
        ),
    ],
};

/// Keys that a preset decides.
const SHAPE_KEYS_FROM: usize = 2;

impl ModelKind for Kind {
    fn doc(&self) -> &'static KindDoc {
        &DOC
    }

    fn presets(&self) -> Vec<String> {
        let all = presets::all().unwrap_or_default();
        all.into_iter().map(|preset| preset.name).collect()
    }

    fn preset(&self, name: &str) -> Option<Arc<dyn Model>> {
        let preset = presets::find(name).ok()?;
        let diffusion = Diffusion::new(preset.noise_schedule, preset.diffusion_steps).ok()?;
        Some(Arc::new(GuidedDiffusion {
            blocks: preset.network.blocks(),
            variant: preset.name,
            config: preset.network,
            schedule: preset.noise_schedule,
            diffusion,
            weights: WeightsSource::Synthetic(0),
        }))
    }

    fn preset_info(&self, name: &str) -> Option<PresetInfo> {
        let preset = presets::find(name).ok()?;
        Some(PresetInfo {
            title: preset.title,
            checkpoint: preset.checkpoint,
        })
    }

    fn fitting(&self, tensors: &StoredTensors) -> Vec<String> {
        presets::fitting(tensors).unwrap_or_default()
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
        let weights = declaration::weights(fields);
        let shape_keys = DOC.keys.get(SHAPE_KEYS_FROM..).unwrap_or_default();
        let (variant, config, schedule, steps) =
            if let Some(name) = declaration::preset(self, fields, shape_keys)? {
                let preset = presets::find(&name).ok()?;
                (
                    preset.name,
                    preset.network,
                    preset.noise_schedule,
                    preset.diffusion_steps,
                )
            } else {
                let schedule = fields.choice(
                    "noise_schedule",
                    &[("linear", Schedule::Linear), ("cosine", Schedule::Cosine)],
                );
                let steps = fields.count("diffusion_steps", 1..=100_000).unwrap_or(1000);
                (
                    "custom".to_owned(),
                    parse_shape(fields)?,
                    schedule.unwrap_or(Schedule::Linear),
                    steps,
                )
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
                fields.misfit(
                    "diffusion_steps",
                    "spec::out-of-range",
                    error.to_string(),
                    None,
                );
                return None;
            }
        };
        if config.num_classes.is_some() {
            fields.misfit(
                "preset",
                "graph::class-conditional",
                format!("model `{variant}` is class-conditional: it cannot run without the classes that it is to predict"),
                Some("take an unconditional network".to_owned()),
            );
        }
        if !fields.is_sound() {
            return None;
        }
        Some(Arc::new(GuidedDiffusion {
            blocks: config.blocks(),
            variant,
            config,
            schedule,
            diffusion,
            weights: weights?,
        }))
    }
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    let required = [
        "image_size",
        "model_channels",
        "num_res_blocks",
        "channel_mult",
        "attention_resolutions",
    ];
    if !declaration::has_shape(fields, &required) {
        return None;
    }
    let flag = |key: &str, default: bool| {
        if fields.has(key) {
            fields.boolean(key)
        } else {
            Some(default)
        }
    };
    Some(Config {
        image_size: fields.count("image_size", 4..=4096)?,
        in_channels: if fields.has("in_channels") {
            fields.count("in_channels", 1..=3)?
        } else {
            3
        },
        model_channels: fields.count("model_channels", 1..=65_536)?,
        num_res_blocks: fields.count("num_res_blocks", 1..=64)?,
        channel_mult: parse_multipliers(fields)?,
        attention_resolutions: fields.counts("attention_resolutions", 1..=4096)?,
        num_heads: if fields.has("num_heads") {
            fields.count("num_heads", 1..=1024)?
        } else {
            4
        },
        num_head_channels: if fields.has("num_head_channels") {
            Some(fields.count("num_head_channels", 1..=65_536)?)
        } else {
            None
        },
        resblock_updown: flag("resblock_updown", true)?,
        use_scale_shift_norm: flag("use_scale_shift_norm", true)?,
        learn_sigma: flag("learn_sigma", true)?,
        num_classes: None,
        use_new_attention_order: flag("use_new_attention_order", false)?,
        conv_resample: flag("conv_resample", true)?,
    })
}

fn parse_multipliers(fields: &Fields<'_>) -> Option<Vec<f64>> {
    let node = fields.raw("channel_mult")?;
    let Value::List(items) = &node.value else {
        fields.wrong_type_at(node.span, "channel_mult", "a list of numbers", &node.value);
        return None;
    };
    let mut multipliers = Vec::new();
    for item in items {
        match &item.value {
            Value::Integer(integer) => {
                multipliers.push(f64::from(i32::try_from(*integer).unwrap_or(i32::MAX)));
            }
            Value::Number(number) => multipliers.push(*number),
            other => {
                fields.wrong_type_at(item.span, "channel_mult", "a list of numbers", other);
                return None;
            }
        }
    }
    Some(multipliers)
}

/// A network as declared.
#[derive(Debug, Clone)]
struct GuidedDiffusion {
    variant: String,
    config: Config,
    schedule: Schedule,
    diffusion: Diffusion,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
}

impl GuidedDiffusion {
    /// Steps of the diffusion; the parser allows at most 100,000.
    fn diffusion_steps(&self) -> u32 {
        to_u32(self.diffusion.betas().len())
    }
}

impl Model for GuidedDiffusion {
    fn kind(&self) -> &'static str {
        DOC.name
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
            "kind": DOC.name,
            "network": self.config,
            "noise_schedule": self.schedule,
            "diffusion_steps": self.diffusion_steps(),
        })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.diffusion.coefficients(timestep)
    }

    fn denoising(&self) -> Option<&dyn DenoisingModel> {
        Some(self)
    }

    fn tunable(&self) -> Option<&dyn TunableModel> {
        Some(self)
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
        let mut weights = WeightMap::from_source(&self.weights, base)?.on(device);
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
        }))
    }
}

impl DenoisingModel for GuidedDiffusion {
    fn process(&self, respacing: &Respacing) -> Result<Diffusion, DiffusionError> {
        Diffusion::respaced(self.schedule, self.diffusion_steps(), respacing)
    }

    fn learns_variance(&self) -> bool {
        self.config.learn_sigma
    }

    #[cfg(feature = "torch")]
    fn begin_training(
        &self,
        seed: u64,
        device: tch::Device,
        precision: crate::models::Precision,
    ) -> Result<crate::models::denoising::Trainable, crate::models::checkpoint::weights::WeightError>
    {
        use crate::models::checkpoint::weights::WeightMap;
        use crate::models::nn::initial::Initial;
        let rule = Initial::new(seed, &self.config.state_dict(), ZEROED);
        let mut weights = WeightMap::initial(rule).on(device).trainable();
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(crate::models::denoising::Trainable {
            network: Box::new(network),
            parameters: weights.into_parameters(),
        })
    }
}

impl TunableModel for GuidedDiffusion {
    #[cfg(feature = "torch")]
    fn begin_tuning(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: crate::models::Precision,
        tap: crate::models::BlockIndex,
        retention: crate::models::tuning::MapRetention,
    ) -> Result<crate::models::tuning::Tuned, crate::models::checkpoint::weights::WeightError> {
        tuning::begin(self, base, (device, precision), tap, retention)
    }
}

/// The layers that upstream begins with zeros, by the endings of their paths.
#[cfg(feature = "torch")]
const ZEROED: &[&str] = &["out_layers.3", "proj_out", "out.2"];

#[cfg(feature = "torch")]
impl crate::models::denoising::Denoise for network::Network {
    fn denoise(
        &self,
        x_t: &tch::Tensor,
        timesteps: &tch::Tensor,
    ) -> Result<tch::Tensor, crate::models::extractor::ForwardError> {
        use crate::models::extractor::{ForwardError, Until};
        let output = self.forward_taps(x_t, timesteps, None, &[], Until::Output, &mut |_, _| {})?;
        output.ok_or(ForwardError::NoOutput)
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
        use crate::models::extractor::ForwardError;
        use tch::{Kind, Tensor};
        let _guard = tch::no_grad_guard();
        let x_t = crate::models::extractor::images_to_tensor(images, self.input, self.device);
        // One for all images, so that its rounding cannot depend on how many there are.
        let timestep = images.timestep.ok_or(ForwardError::TimestepMissing)?;
        let timestep = i64::from(timestep);
        let timesteps = Tensor::full([1], timestep, (Kind::Int64, self.device));
        let classes = images
            .classes
            .map(|classes| Tensor::from_slice(classes).to_device(self.device));
        self.network
            .forward_taps(&x_t, &timesteps, classes.as_ref(), taps, until, visit)
    }
}
