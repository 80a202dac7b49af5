//! `inception`: Inception-v3 as it is used to compare generated images, by FID and what stands beside it.
//!
//! [`stages`] says what a network looks like, [`config`] which blocks it has, [`network`] runs it. Blocks are numbered from 1: layers, pools and
//! mixed blocks in order; behind `Mixed_6d` the part of it that sFID reads (`spatial`), and at the end the pooled feature (`pool3`), which FID reads, and the
//! logits, which Inception Scores read. The four widths of pytorch-fid (64, 192, 768, 2048) are `pool = 1` of the blocks `maxpool1`,
//! `maxpool2` and `Mixed_6e`, and `pool3`.
//!
//! Images of any size become 299 × 299 by `stretch-bilinear`, and their values lie from -1 to 1.
//!
//! # Reference
//! Szegedy et al. 2015 (arXiv 1512.00567); mseitzer/pytorch-fid@b9c1811: src/pytorch_fid/inception.py, which has the weights of
//! TensorFlow's graph of December 2015 under torchvision's names. Logits without a bias: openai/guided-diffusion@22e0df8:
//! evaluations/evaluator.py (`_create_softmax_graph`), and torch-fidelity 0.4.0 (`logits_unbiased`).
//!
//! # Deviations
//! - Only the network for FID is built: a file of torchvision's classifier loads, with `classes = 1000` and without its auxiliary
//!   network, but pools are those of FID.
//! - Random weights by `initialization` follow the rule for ResNets, not torchvision's truncated normal.
//! - Those of [`network`].

pub mod config;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;
pub mod stages;

use std::sync::Arc;

use serde_json::json;

use self::config::{Config, SIDE};
use crate::imaging::preprocess::Named;
use crate::imaging::{Normalization, Preprocess};
use crate::models::checkpoint::file_names::{BATCH_COUNT, FileNames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, declaration};
use crate::spec::{Count, Custom, Fields, Key, Keys, KindDoc, OneOf};
#[cfg(feature = "torch")]
use {
    self::network::Network,
    crate::models::clean,
    crate::models::declared::{Loaded, Place},
    crate::models::nn::initial::Initial,
};

const WEIGHTS: Key<Custom> = Key::custom(
    declaration::WEIGHTS.name,
    "a path, { synthetic = SEED } or { initialization = SEED }",
)
.shapes(declaration::PUBLISHED_OR_RANDOM)
.doc(
    "A `.safetensors` file or a PyTorch checkpoint, under the names of torchvision, as pytorch-fid publishes it; or random weights.",
);
const CHANNEL_DIVISOR: Key<OneOf> = Key::one_of("channel_divisor", &[1, 2, 4, 8, 16])
    .optional("the preset's")
    .doc("What every number of channels is divided by; 1 for the published network.");
const CLASSES: Key<Count> = Key::count("classes", 1..=1_000_000)
    .default(1008)
    .doc("Outputs of the linear layer at the end.");

/// The keys that a preset decides.
const SHAPE: Keys = &[&CHANNEL_DIVISOR, &CLASSES];

/// `kind = "inception"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "inception",
        summary: "Inception-v3 for FID: a preset, or one with fewer channels. It reads images of any size, stretched to 299 × 299, without noise.",
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
    all.map(|preset| {
        let network = Inception(preset.network);
        declared::preset(preset.name, preset.title, preset.checkpoint, network)
    })
    .collect()
}

fn fitting(tensors: &StoredTensors) -> Vec<String> {
    let all = presets::all().into_iter();
    let fitting = all.filter(|preset| preset.network.fits(tensors));
    fitting.map(|preset| preset.name).collect()
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    let (variant, config) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name)?;
            (preset.name, preset.network)
        }
        None => ("custom".to_owned(), parse_shape(fields)?),
    };
    if !fields.is_sound() {
        return None;
    }
    let network = Inception(config);
    Some(Arc::new(Declared::new(variant, network, weights?, prefix)))
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    if !declaration::has_shape(fields, &[&CHANNEL_DIVISOR]) {
        return None;
    }
    Some(Config {
        channel_divisor: fields.get(&CHANNEL_DIVISOR)?,
        classes: fields.get(&CLASSES)?,
    })
}

/// A network's shape.
#[derive(Debug, Clone)]
struct Inception(Config);

impl Architecture for Inception {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = config::FILE_NAMES;

    fn is_skipped(name: &str) -> bool {
        name.ends_with(BATCH_COUNT)
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: SIDE,
            normalization: Normalization::MinusOneToOne,
            noise: None,
        }
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::Named(Named::StretchBilinear)
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
    fn initial(&self, seed: u64) -> Initial {
        Initial::kaiming(seed, &self.tensors())
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
