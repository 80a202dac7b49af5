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
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, declaration};
use crate::spec::{Custom, Fields, Key, KindDoc, Text};
#[cfg(feature = "torch")]
use {
    self::network::Network,
    crate::models::clean,
    crate::models::declared::{Loaded, Place},
};

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
    all.map(|preset| declared::preset(preset.name, preset.title, None, Mage(preset.network)))
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
    declaration::refuse_initialization(fields, weights.as_ref());
    let name = declaration::preset(&KIND, fields, &[])??;
    let preset = presets::find(&name)?;
    if !fields.is_sound() {
        return None;
    }
    let network = Mage(preset.network);
    Some(Arc::new(Declared::new(
        preset.name,
        network,
        weights?,
        String::new(),
    )))
}

/// A network's shape.
#[derive(Debug, Clone)]
struct Mage(Config);

impl Architecture for Mage {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = config::FILE_NAMES;

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

    fn blocks(&self) -> Vec<BlockInfo> {
        self.0.blocks()
    }

    fn tensors(&self) -> Tensors {
        self.0.state_dict()
    }

    fn identity(&self) -> serde_json::Value {
        json!({ "kind": Self::KIND, "network": self.0 })
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        clean::load(
            model,
            place,
            |Self(config), weights| Network::new(config, weights),
            Network::forward_taps,
        )
    }
}
