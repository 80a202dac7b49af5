//! `mage`: MAGE's encoder, which reads an image as words of a tokenizer.
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it. It reads clean images of 256 × 256 pixels,
//! between 0 and 1, whose shorter side was resized to 292 before the middle was cropped, as in the reference.
//!
//! # Reference
//! Li et al. 2022 (arXiv 2211.09117); LTH14/mage@1becb14475354fc40df35ba7c7c7bf418a137cd3: models_vit_mage.py, main_linprobe.py. Blocks are
//! numbered from 1: the tokenizer's first convolution, its levels, what is compared with the codebook, the embedded tokens, the
//! blocks of the transformer, their normalized tokens, and the normalized mean of the image's tokens, which linear probes read
//! (`--global_pool`); there they have batch normalization before them.
//!
//! # Deviations
//! - Names of published checkpoints follow the code that writes them; no published file was read. Of weights that are not in a file, only
//!   those by the synthetic rule can be had.
//! - Those of [`network`].

pub mod config;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;
#[cfg(feature = "torch")]
mod residual;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use crate::imaging::{Filter, Normalization, Preprocess};
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, INITIALIZATION, InputSpec, Model, ModelKind, Preset, Presets, WeightsSource,
    declaration,
};
use crate::spec::{Custom, Fields, Key, KindDoc, Text};

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path or { synthetic = SEED }",
)
.doc(
    "A PyTorch checkpoint of MAGE with its tokenizer under `vqgan.`, or the same tensors in a `.safetensors` file; or random weights by the synthetic rule.",
);
const PRESET: Key<Text> = Key::text(declaration::PRESET.name, "the name of a preset")
    .doc("A network with a name; `repro list models` shows them.");

/// `kind = "mage"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "mage",
        summary: "MAGE's encoder: a tokenizer makes words of an image, and a transformer reads them. It reads images without noise.",
        keys: &[&WEIGHTS, &PRESET],
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
        checkpoint: None,
        model: Arc::new(Mage::new(
            preset.name,
            preset.network,
            WeightsSource::Synthetic(0),
        )),
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
    if let Some(WeightsSource::Initialization(_)) = weights {
        fields.invalid(
            WEIGHTS.name,
            "graph::model-misfit",
            format!(
                "`{INITIALIZATION}` of {} does not apply: how the network begins its training is not known here",
                fields.context()
            ),
            Some("write `weights = { synthetic = 1 }`".to_owned()),
        );
        return None;
    }
    let name = declaration::preset(&KIND, fields, &[])??;
    let preset = presets::find(&name)?;
    if !fields.is_sound() {
        return None;
    }
    Some(Arc::new(Mage::new(preset.name, preset.network, weights?)))
}

/// A network as declared.
#[derive(Debug, Clone)]
struct Mage {
    variant: String,
    config: Config,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
}

impl Mage {
    fn new(variant: String, config: Config, weights: WeightsSource) -> Self {
        Self {
            variant,
            blocks: config.blocks(),
            config,
            weights,
        }
    }
}

impl Model for Mage {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: config::IMAGE_SIZE,
            normalization: Normalization::ZeroToOne,
            noise: None,
        }
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::resize_then_crop(292, config::IMAGE_SIZE, Filter::Bicubic)
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: config::FILE_NAMES,
            skipped: |_| false,
            prefix: "",
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
        json!({ "kind": KIND.doc.name, "network": self.config })
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
        use crate::models::nn::initial::Initial;
        let initial = |seed| Initial::new(seed, &self.config.state_dict(), &[]);
        let weights = WeightMap::from_source(&self.weights, base, &initial)?.on(device);
        let mut weights = weights.named_as_in(config::FILE_NAMES, config::PROBE);
        weights.convolve_in(precision);
        let network = network::Network::new(&self.config, &mut weights)?;
        Ok(Box::new(Extractor {
            network,
            device,
            input: self.input(),
        }))
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
        let _guard = tch::no_grad_guard();
        if images.classes.is_some() {
            return Err(crate::models::extractor::ForwardError::ClassLabelsUnexpected);
        }
        let x = crate::models::extractor::images_to_tensor(images, self.input, self.device);
        self.network.forward_taps(&x, taps, until, visit)
    }
}
