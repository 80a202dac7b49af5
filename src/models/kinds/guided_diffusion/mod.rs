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
#[cfg(feature = "torch")]
pub(super) mod parts;
pub mod presets;
#[cfg(feature = "torch")]
pub(super) mod tuning;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use self::keys::{
    ATTENTION_RESOLUTIONS, CHANNEL_MULT, CONV_RESAMPLE, DIFFUSION_STEPS, IMAGE_SIZE, IN_CHANNELS,
    MODEL_CHANNELS, NOISE_SCHEDULE, NUM_HEAD_CHANNELS, NUM_HEADS, NUM_RES_BLOCKS, RESBLOCK_UPDOWN,
    USE_NEW_ATTENTION_ORDER, USE_SCALE_SHIFT_NORM,
};
use crate::diffusion::respacing::Respacing;
use crate::diffusion::{Coefficients, Diffusion, DiffusionError, Schedule};
use crate::imaging::Normalization;
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::denoising::{DenoisingModel, TrainableModel};
use crate::models::tuning::TunableModel;
use crate::models::{
    BlockInfo, ClassInput, InputSpec, Model, ModelKind, NoiseInput, Preset, Presets, WeightsSource,
    declaration,
};
use crate::numbers::to_u32;
use crate::spec::{Boolean, Count, Custom, Diagnostic, Fields, Key, Keys, KindDoc};

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
        let diffusion = Diffusion::new(preset.noise_schedule, preset.diffusion_steps).ok()?;
        let model = GuidedDiffusion {
            blocks: preset.network.blocks(),
            variant: preset.name.clone(),
            config: preset.network,
            schedule: preset.noise_schedule,
            diffusion,
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
    Some(Arc::new(GuidedDiffusion {
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

/// A network as declared.
#[derive(Debug, Clone)]
struct GuidedDiffusion {
    variant: String,
    config: Config,
    schedule: Schedule,
    diffusion: Diffusion,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl GuidedDiffusion {
    /// Steps of the diffusion; the parser allows at most 100,000.
    fn diffusion_steps(&self) -> u32 {
        to_u32(self.diffusion.betas().len())
    }
}

impl Model for GuidedDiffusion {
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

    fn classes(&self) -> Option<ClassInput> {
        let count = self.config.num_classes?;
        Some(ClassInput { count, null: None })
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
        let weights = WeightMap::from_source(&self.weights, base, &|seed| self.initial(seed))?;
        let mut weights = weights.prefixed(&self.prefix).on(device);
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
            classes: self.config.num_classes,
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

    fn multiply_adds(&self) -> u64 {
        layout::UNetLayout::new(&self.config).multiply_adds()
    }

    fn trainable(&self) -> Option<&dyn TrainableModel> {
        Some(self)
    }
}

impl TrainableModel for GuidedDiffusion {
    #[cfg(feature = "torch")]
    fn begin_training(
        &self,
        seed: u64,
        device: tch::Device,
        precision: crate::models::Precision,
    ) -> Result<crate::models::denoising::Trainable, crate::models::checkpoint::weights::WeightError>
    {
        use crate::models::checkpoint::weights::WeightMap;
        let mut weights = WeightMap::initial(self.initial(seed))
            .on(device)
            .trainable();
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
        checkpointing: crate::models::tuning::ActivationCheckpointing,
    ) -> Result<crate::models::tuning::Tuned, crate::models::checkpoint::weights::WeightError> {
        tuning::begin(self, base, (device, precision), tap, checkpointing)
    }
}

#[cfg(feature = "torch")]
impl GuidedDiffusion {
    /// What a training begins with.
    fn initial(&self, seed: u64) -> crate::models::nn::initial::Initial {
        crate::models::nn::initial::Initial::new(seed, &self.config.state_dict(), ZEROED)
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
    /// How many classes it has; `None` where it is given none.
    classes: Option<u32>,
}

#[cfg(feature = "torch")]
impl Extractor {
    /// The timestep as the network takes it, one for all images, so that its rounding cannot depend on how many there are; and the
    /// classes of the images, `[N]`.
    fn conditions(
        &self,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<(tch::Tensor, Option<tch::Tensor>), crate::models::extractor::ForwardError> {
        use crate::models::extractor::ForwardError;
        use tch::{Kind, Tensor};
        let known = i64::from(self.classes.unwrap_or(0));
        if let Some(classes) = classes.filter(|_| self.classes.is_some())
            && classes.iter().any(|class| !(0..known).contains(class))
        {
            return Err(ForwardError::UnknownClass { count: known });
        }
        let timesteps = Tensor::full([1], i64::from(timestep), (Kind::Int64, self.device));
        let classes = classes.map(|classes| Tensor::from_slice(classes).to_device(self.device));
        Ok((timesteps, classes))
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
        let (timesteps, classes) = self.conditions(timestep, images.classes)?;
        self.network
            .forward_taps(&x_t, &timesteps, classes.as_ref(), taps, until, visit)
    }

    fn denoise(
        &self,
        x_t: &tch::Tensor,
        timestep: u32,
        classes: Option<&[i64]>,
    ) -> Result<tch::Tensor, crate::models::extractor::ForwardError> {
        use crate::models::extractor::{ForwardError, Until};
        let _guard = tch::no_grad_guard();
        let (timesteps, classes) = self.conditions(timestep, classes)?;
        let visit = &mut |_, _: &tch::Tensor| {};
        let output = self.network.forward_taps(
            x_t,
            &timesteps,
            classes.as_ref(),
            &[],
            Until::Output,
            visit,
        )?;
        output.ok_or(ForwardError::NoOutput)
    }
}
