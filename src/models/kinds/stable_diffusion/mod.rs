//! `stable-diffusion`: Stable Diffusion's conditional U-Net, on the latents of its autoencoder, with a text or a learned condition.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it, with the residual blocks of
//! [`guided_diffusion`](super::guided_diffusion) and a transformer of its own; [`text`] is CLIP's text encoder, [`prompt`] what it reads, and
//! [`names`] how files name the tensors of both.
//!
//! # Reference
//! Rombach et al. 2022 (arXiv 2112.10752); CompVis/stable-diffusion@21f890f9da3cfbeaba8e2ac3c425ee9e998d5229. Blocks are numbered as in arXiv
//! 2307.08702: from 1, first the `input_blocks`, then `middle_block`, then the `output_blocks`, 25 of the published network.
//!
//! # Deviations
//! Listed in the files that make them.

pub mod config;
mod layout;
pub mod names;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;
pub mod prompt;
#[cfg(feature = "torch")]
mod running;
pub mod text;
#[cfg(feature = "torch")]
mod transformer;
#[cfg(feature = "torch")]
mod tuning;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use self::config::{Config, PIXELS_PER_LATENT};
use self::prompt::Prompt;
use crate::checked_file::CheckedFile;
use crate::diffusion::{Coefficients, Diffusion, Schedule};
use crate::imaging::Normalization;
use crate::message::Message;
use crate::models::checkpoint::comparison::{self, Required};
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::companions::Companion;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::tuning::TunableModel;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, NoiseInput, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::{Choice, Count, Custom, Fields, Key, KindDoc, Text};
#[cfg(feature = "torch")]
use {
    crate::models::checkpoint::weights::WeightError,
    crate::models::declared::{Loaded, Place},
    crate::models::tuning::{ActivationCheckpointing, Tuned},
    crate::models::{BlockIndex, Precision},
    tch::Device,
};

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path or { synthetic = SEED }",
)
.doc(
    "A checkpoint of Stable Diffusion v1 (`.ckpt` or `.safetensors`), the file of its U-Net alone, or that of diffusers' folder `unet`; or random weights by the synthetic rule.",
);
const PRESET: Key<Text> = Key::text(declaration::PRESET.name, "the name of a preset")
    .doc("A network with a name; `repro list models` shows them.");
const SIZE: Key<Count> = Key::count("size", 64..=2048)
    .optional("the preset's, 512 of `sd-v1`")
    .doc("Side of the images in pixels, a multiple of 64; that of the latents is an eighth of it.");
const TEXT_ENCODER: Key<Text> = Key::text("text_encoder", "a path")
    .optional("the file of `weights`; random beside random weights")
    .doc("The file of the text encoder, such as that of diffusers' folder `text_encoder`, where it is not in the file of `weights`.");
const CONDITION: Key<Choice<bool>> = Key::choice("condition", &[("text", false), ("learned", true)])
    .default(false)
    .doc("What the U-Net attends to: a text, or tokens that begin as those of the text and are learned together with a head that has `fine_tune`.");

/// Steps of the diffusion.
const STEPS: u32 = 1000;
/// The latents' side is halved so often.
const HALVINGS: u32 = 3;

/// `kind = "stable-diffusion"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "stable-diffusion",
        summary: "The U-Net of Stable Diffusion, on the latents of its autoencoder, with a text or a learned condition.",
        keys: &[
            &WEIGHTS,
            &PRESET,
            &declaration::AUTOENCODER,
            &SIZE,
            &TEXT_ENCODER,
            &prompt::PROMPT,
            &prompt::PROMPT_IDS,
            &prompt::TOKENIZER,
            &CONDITION,
        ],
        shared: &[],
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
        let network = StableDiffusion {
            config: preset.network,
            diffusion: Diffusion::new(Schedule::ScaledLinear, STEPS).ok()?,
            autoencoder: String::new(),
            text_encoder: None,
            prompt: Prompt::Null,
            is_learned: false,
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
        FileNames::fit(tensors, names::UNET, &required, |_| false)
    };
    let fitting = presets::all().into_iter().filter(fits);
    fitting.map(|preset| preset.name).collect()
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    declaration::refuse_initialization(fields, weights.as_ref());
    let preset = declaration::preset(&KIND, fields, &[])??;
    let preset = presets::find(&preset)?;
    let mut config = preset.network;
    if let Some(size) = fields.given(&SIZE) {
        let step = PIXELS_PER_LATENT << HALVINGS;
        if !size.is_multiple_of(step) {
            fields.invalid(
                SIZE.name,
                "graph::model-misfit",
                format!(
                    "`{}` of {} is {size}, and the latents of so many pixels cannot be halved {HALVINGS} times",
                    SIZE.name,
                    fields.context()
                ),
                Some(format!("take a multiple of {step}")),
            );
        }
        config.image_size = size / PIXELS_PER_LATENT;
    }
    let prompt = prompt::parse(fields, &config.text);
    let text_encoder = fields.given(&TEXT_ENCODER).map(PathBuf::from);
    let diffusion = Diffusion::new(Schedule::ScaledLinear, STEPS).ok()?;
    if !fields.is_sound() {
        return None;
    }
    let network = StableDiffusion {
        config,
        diffusion,
        autoencoder: fields.get(&declaration::AUTOENCODER)?,
        text_encoder: text_encoder.map(WeightsSource::File),
        prompt: prompt?,
        is_learned: fields.get(&CONDITION)?,
    };
    Some(Arc::new(Declared::new(
        preset.name,
        network,
        weights?,
        String::new(),
    )))
}

/// A network's shape, what it reads and what conditions it.
#[derive(Debug, Clone)]
struct StableDiffusion {
    config: Config,
    diffusion: Diffusion,
    /// The name of the autoencoder; empty for a network that stands in no experiment.
    autoencoder: String,
    /// Where the text encoder's weights come from; `None` where that is as for the U-Net's.
    text_encoder: Option<WeightsSource>,
    prompt: Prompt,
    /// Whether the condition is learned.
    is_learned: bool,
}

impl StableDiffusion {
    fn required_text(&self) -> Required<'_> {
        Required {
            tensors: self.config.text.state_dict(),
            known: names::TEXT,
            skipped: |name| name == names::POSITION_IDS,
            prefix: "",
        }
    }
}

impl Architecture for StableDiffusion {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = names::UNET;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: self.config.in_channels,
            side: self.config.image_size,
            normalization: Normalization::MinusOneToOne,
            noise: Some(NoiseInput { steps: STEPS }),
        }
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
        json!({
            "kind": Self::KIND,
            "network": self.config,
            "noise_schedule": Schedule::ScaledLinear,
            "diffusion_steps": STEPS,
            "prompt": self.prompt.identity(),
            "learned": self.is_learned,
        })
    }

    fn coefficients(&self, timestep: u32) -> Option<Coefficients> {
        self.diffusion.coefficients(timestep)
    }

    fn check_file(model: &Declared<Self>, path: &Path) -> Result<(), Message> {
        let own = model.architecture();
        comparison::check(path, &model.needs(own.tensors()))?;
        if own.text_encoder.is_some() {
            return Ok(());
        }
        comparison::check(path, &own.required_text()).map_err(|problem| {
            Message::new(format!("it has no text encoder: {}", problem.text))
                .hint("name its file by `text_encoder`")
        })
    }

    fn companions(&self) -> Vec<Companion> {
        let mut companions = Vec::new();
        if let Some(WeightsSource::File(path)) = &self.text_encoder {
            companions.push(Companion {
                key: TEXT_ENCODER.name,
                path: path.clone(),
            });
        }
        let files = self.prompt.files().into_iter();
        companions.extend(files.map(|path| Companion {
            key: prompt::TOKENIZER.name,
            path,
        }));
        companions
    }

    fn check_companion(&self, companion: &Companion, base: &Path) -> Result<(), Message> {
        if companion.key == TEXT_ENCODER.name {
            comparison::check(&base.join(&companion.path), &self.required_text())
        } else {
            let ids = self.prompt.ids(base, &self.config.text);
            ids.map(|_| ())
        }
    }

    fn with_companions(&self, opened: &[Arc<CheckedFile>]) -> Option<Self> {
        let mut opened = opened.iter().cloned();
        let text_encoder = match &self.text_encoder {
            Some(WeightsSource::File(_)) => opened.next().map(WeightsSource::Opened),
            other => other.clone(),
        };
        Some(Self {
            text_encoder,
            prompt: self.prompt.with_files(opened.collect()),
            ..self.clone()
        })
    }

    fn tunable(model: &Declared<Self>) -> Option<&dyn TunableModel> {
        model.architecture().is_learned.then_some(model)
    }

    fn needs_tuning(&self) -> bool {
        self.is_learned
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        running::load(model, place)
    }
}

impl TunableModel for Declared<StableDiffusion> {
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
