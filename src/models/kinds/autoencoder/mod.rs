//! `autoencoder`: the autoencoder that makes the latents which Stable Diffusion and DiT read.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it, [`layouts`] knows how files name its tensors. It
//! reads images of any size that is a multiple of 8, between -1 and 1, as guided-diffusion crops them; its last block is the latent.
//! Other models name it by `autoencoder` and read its latents; as a model of its own, an extraction may read any of its blocks.
//!
//! # Reference
//! Rombach et al. 2022 (arXiv 2112.10752). Blocks are numbered from 1: the first convolution, the residual blocks and convolutions of the
//! levels, the middle, the last convolution, the moments (`quant_conv`), and the latent: the mean, multiplied by 0.18215.
//!
//! # Deviations
//! - Those of [`network`].
//! - Of weights that are not in a file, only those by the synthetic rule can be had.

pub mod config;
pub mod layouts;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;

use std::sync::Arc;

use serde_json::json;

use self::config::{Config, PIXELS_PER_PLACE};
use crate::imaging::Normalization;
use crate::models::autoencoding::{AutoencodingModel, LatentShape};
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{
    BlockIndex, BlockInfo, InputSpec, Model, ModelKind, Precision, Preset, Presets, declaration,
};
use crate::numbers::to_u32;
use crate::spec::{Choice, Count, Custom, Fields, Key, KindDoc, Text};
#[cfg(feature = "torch")]
use {
    self::network::{Decoder, Encoder},
    crate::models::autoencoding::Decode,
    crate::models::checkpoint::weights::WeightError,
    crate::models::clean,
    crate::models::declared::{Loaded, Place},
};

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path or { synthetic = SEED }",
)
.doc(
    "A `.safetensors` file or a PyTorch checkpoint, under the names of diffusers or of CompVis, alone or within a checkpoint of Stable Diffusion; or random weights by the synthetic rule.",
);
const PRESET: Key<Text> = Key::text(declaration::PRESET.name, "the name of a preset")
    .doc("A network with a name; `repro list models` shows them.");
const SIZE: Key<Count> = Key::count("size", 8..=4096).optional("the preset's").doc(
    "Side in pixels of the images that it reads, a multiple of 8. Latents have an eighth of it.",
);
const PRECISION: Key<Choice<Precision>> = Key::choice(
    "precision",
    &[("f32", Precision::F32), ("bf16", Precision::Bf16)],
)
.default(Precision::F32)
.doc("What it computes in where other models read its latents; an extraction that taps it has a `precision` of its own.");

/// `kind = "autoencoder"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "autoencoder",
        summary: "The autoencoder of Stable Diffusion v1 and DiT, whose latents other models read. It reads images without noise.",
        keys: &[&WEIGHTS, &declaration::PREFIX, &PRESET, &SIZE, &PRECISION],
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
    all.map(|preset| {
        let network = Autoencoder {
            config: preset.network,
            size: preset.size,
            precision: Precision::F32,
        };
        declared::preset(preset.name, preset.title, preset.checkpoint, network)
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
    let size = fields.get(&SIZE);
    if let Some(size) = size.filter(|size| size % PIXELS_PER_PLACE != 0) {
        fields.invalid(
            SIZE.name,
            "spec::out-of-range",
            format!(
                "`{}` of {} is {size}, which is not a multiple of {PIXELS_PER_PLACE}",
                SIZE.name,
                fields.context()
            ),
            Some(format!(
                "{} is one",
                size / PIXELS_PER_PLACE * PIXELS_PER_PLACE
            )),
        );
    }
    let precision = fields.get(&PRECISION);
    let name = declaration::preset(&KIND, fields, &[])??;
    let preset = presets::find(&name)?;
    if !fields.is_sound() {
        return None;
    }
    let network = Autoencoder {
        config: preset.network,
        size: size.unwrap_or(preset.size),
        precision: precision?,
    };
    Some(Arc::new(Declared::new(
        preset.name,
        network,
        weights?,
        prefix,
    )))
}

/// A network's shape, and what it is given and computes in.
#[derive(Debug, Clone)]
struct Autoencoder {
    config: Config,
    /// Side of an image in pixels.
    size: u32,
    /// Of latents that other models read.
    precision: Precision,
}

impl Architecture for Autoencoder {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = layouts::FILE_NAMES;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: config::IMAGE_CHANNELS,
            side: self.size,
            normalization: Normalization::MinusOneToOne,
            noise: None,
        }
    }

    fn precisions(&self) -> &'static [Precision] {
        // Feature maps of published weights go beyond the largest number of `f16`.
        &[Precision::F32, Precision::Bf16]
    }

    fn blocks(&self) -> Vec<BlockInfo> {
        self.config.blocks(self.size)
    }

    fn tensors(&self) -> Tensors {
        self.config.state_dict()
    }

    fn identity(&self) -> serde_json::Value {
        json!({ "kind": Self::KIND, "network": self.config, "size": self.size })
    }

    fn autoencoding(model: &Declared<Self>) -> Option<&dyn AutoencodingModel> {
        Some(model)
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        clean::load(
            model,
            place,
            |autoencoder, weights| Encoder::new(&autoencoder.config, weights),
            Encoder::forward_taps,
        )
    }
}

impl AutoencodingModel for Declared<Autoencoder> {
    fn latent_block(&self) -> BlockIndex {
        BlockIndex(to_u32(self.blocks().len()))
    }

    fn latent(&self) -> LatentShape {
        let Autoencoder { config, size, .. } = self.architecture();
        LatentShape {
            channels: config.latent_channels,
            side: config.latent_side(*size),
        }
    }

    fn latent_precision(&self) -> Precision {
        self.architecture().precision
    }

    fn decoder_multiply_adds(&self) -> u64 {
        let Autoencoder { config, size, .. } = self.architecture();
        config.decoder_multiply_adds(*size)
    }

    #[cfg(feature = "torch")]
    fn load_decoder(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<Box<dyn Decode>, WeightError> {
        let place = Place {
            base,
            device,
            precision,
        };
        let mut weights = self.weight_map(place)?;
        let decoder = Decoder::new(&self.architecture().config, &mut weights)?;
        Ok(Box::new(decoder))
    }
}
