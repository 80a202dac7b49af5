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
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockIndex, BlockInfo, InputSpec, Model, ModelKind, Precision, Preset, Presets, WeightsSource,
    declaration,
};
use crate::numbers::to_u32;
use crate::spec::{Choice, Count, Custom, Fields, Key, KindDoc, Text};

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
    all.map(|preset| Preset {
        name: preset.name.clone(),
        title: preset.title,
        checkpoint: preset.checkpoint,
        model: Arc::new(Autoencoder {
            variant: preset.name,
            blocks: preset.network.blocks(preset.size),
            config: preset.network,
            size: preset.size,
            precision: Precision::F32,
            weights: WeightsSource::Synthetic(0),
            prefix: String::new(),
        }),
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
    let size = size.unwrap_or(preset.size);
    Some(Arc::new(Autoencoder {
        variant: preset.name,
        blocks: preset.network.blocks(size),
        config: preset.network,
        size,
        precision: precision?,
        weights: weights?,
        prefix,
    }))
}

/// A network as declared.
#[derive(Debug, Clone)]
struct Autoencoder {
    variant: String,
    config: Config,
    /// Side of an image in pixels.
    size: u32,
    /// Of latents that other models read.
    precision: Precision,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl Model for Autoencoder {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: config::IMAGE_CHANNELS,
            side: self.size,
            normalization: Normalization::MinusOneToOne,
            noise: None,
        }
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: layouts::FILE_NAMES,
            skipped: |_| false,
            prefix: &self.prefix,
        })
    }

    fn precisions(&self) -> &'static [Precision] {
        // Feature maps of published weights go beyond the largest number of `f16`.
        &[Precision::F32, Precision::Bf16]
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
        json!({ "kind": KIND.doc.name, "network": self.config, "size": self.size })
    }

    fn autoencoding(&self) -> Option<&dyn AutoencodingModel> {
        Some(self)
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        let mut weights = self.weight_map(base, device, precision)?;
        let network = network::Encoder::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
        }))
    }
}

impl AutoencodingModel for Autoencoder {
    fn latent_block(&self) -> BlockIndex {
        BlockIndex(to_u32(self.blocks.len()))
    }

    fn latent(&self) -> LatentShape {
        LatentShape {
            channels: self.config.latent_channels,
            side: self.config.latent_side(self.size),
        }
    }

    fn latent_precision(&self) -> Precision {
        self.precision
    }

    fn decoder_multiply_adds(&self) -> u64 {
        self.config.decoder_multiply_adds(self.size)
    }

    #[cfg(feature = "torch")]
    fn load_decoder(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<
        Box<dyn crate::models::autoencoding::Decode>,
        crate::models::checkpoint::weights::WeightError,
    > {
        let mut weights = self.weight_map(base, device, precision)?;
        let decoder = network::Decoder::new(&self.config, &mut weights)?;
        Ok(Box::new(decoder))
    }
}

#[cfg(feature = "torch")]
impl Autoencoder {
    /// The parameters, ready to be taken.
    fn weight_map(
        &self,
        base: &std::path::Path,
        device: tch::Device,
        precision: Precision,
    ) -> Result<
        crate::models::checkpoint::weights::WeightMap,
        crate::models::checkpoint::weights::WeightError,
    > {
        use crate::models::checkpoint::weights::WeightMap;
        use crate::models::nn::initial::Initial;
        let initial = |seed| Initial::new(seed, &self.config.state_dict(), &[]);
        let weights = WeightMap::from_source(&self.weights, base, &initial)?.on(device);
        let weights = weights.prefixed(&self.prefix);
        let mut weights = weights.named_as_in(layouts::FILE_NAMES, layouts::PROBE);
        weights.convolve_in(precision);
        Ok(weights)
    }
}

/// An encoder on its device, ready to give features.
#[cfg(feature = "torch")]
struct Extractor {
    network: network::Encoder,
    device: tch::Device,
    input: InputSpec,
}

#[cfg(feature = "torch")]
impl crate::models::extractor::Network for Extractor {
    fn forward(
        &self,
        images: crate::models::extractor::Images<'_>,
        taps: &[BlockIndex],
        until: crate::models::extractor::Until,
        visit: &mut dyn FnMut(BlockIndex, &tch::Tensor),
    ) -> Result<Option<tch::Tensor>, crate::models::extractor::ForwardError> {
        let _guard = tch::no_grad_guard();
        if images.classes.is_some() {
            return Err(crate::models::extractor::ForwardError::ClassLabelsUnexpected);
        }
        let x = crate::models::extractor::images_to_tensor(images, self.input, self.device);
        self.network.forward_taps(&x, taps, until, visit)
    }
}
