//! `vit`: vision transformers, supervised (timm's names, or Flax's), of DINO, MAE, MoCo v3 and DINOv2.
//!
//! [`config`] says what a network looks like and what can be tapped, [`positions`] what its position embeddings are for another size of
//! images, [`network`] runs it. It reads clean images. Block 0 is what enters the first block, block N the output of the Nth; then come the
//! last normalization, vectors that are made of it, and the logits.
//!
//! # Reference
//! Dosovitskiy et al. 2020 (arXiv 2010.11929); huggingface/pytorch-image-models v1.0.31: timm/models/vision_transformer.py; and the
//! repositories of DINO, MAE, MoCo v3 and DINOv2, which [`network`] names.
//!
//! Images become squares as their authors evaluate with: the shorter side to 256 pixels, bicubic, the middle 224 cropped, ImageNet's mean and
//! deviation (facebookresearch/dino@7c446df: eval_linear.py; mae@efb2a80: main_linprobe.py; moco-v3@c349e6e: main_lincls.py;
//! dinov2@b8931f7: dinov2/data/transforms.py); of supervised networks to 248 pixels, mean and deviation 0.5 (timm's `crop_pct` 0.9).
//!
//! # Deviations
//! - An input of another side than 224 has the same proportion between the two sides, rounded down, which nobody states.
//! - MoCo v3's evaluation resizes bilinearly; here it is bicubic as for the others.
//! - The initialization is that of DINO for all of them; MAE and MoCo v3 draw from Xavier's uniform distribution.
//! - Synthetic weights of a network with layer scale have positions and scales that are 16 times as large as the rule makes them, so that they
//!   matter.
//! - Those of [`network`] and [`positions`].

pub mod config;
mod keys;
#[cfg(feature = "torch")]
pub mod network;
pub mod positions;
pub mod presets;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use self::presets::Images;
use crate::imaging::{Filter, Normalization, Preprocess};
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::KindDoc;
#[cfg(feature = "torch")]
use {
    self::network::Network,
    crate::models::checkpoint::synthetic,
    crate::models::clean,
    crate::models::declared::{Loaded, Place},
    crate::models::nn::initial::Initial,
};

/// What a network without a preset is called.
const CUSTOM: &str = "custom";

/// `kind = "vit"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "vit",
        summary: "A vision transformer, such as ViT-B/16 of DINO or MAE, or DINOv2: a preset, or any other shape written out. It reads images without noise.",
        keys: &[
            &keys::WEIGHTS,
            &declaration::PREFIX,
            &declaration::PRESET,
            &keys::IMAGE_SIZE,
        ],
        shared: keys::SHAPE,
    },
    keys::parse,
    Presets {
        all: presets,
        fitting,
    },
);

fn presets() -> Vec<Preset> {
    let all = presets::all().into_iter();
    all.map(|preset| {
        let network = Vit {
            config: preset.network,
            images: preset.images,
        };
        declared::preset(preset.name, preset.title, preset.checkpoint, network)
    })
    .collect()
}

/// A network of any shape, with synthetic weights of seed 0, that reads images as most of them do.
pub fn custom(config: Config) -> Arc<dyn Model> {
    let images = Images::Imagenet;
    let weights = WeightsSource::Synthetic(0);
    Arc::new(Declared::new(
        CUSTOM.to_owned(),
        Vit { config, images },
        weights,
        String::new(),
    ))
}

/// The networks that a file fits. Several may have the same tensors; a prefix that only one of them is published with tells them apart.
fn fitting(tensors: &StoredTensors) -> Vec<String> {
    let all = presets::all().into_iter();
    let fitting: Vec<_> = all.filter(|preset| preset.network.fits(tensors)).collect();
    let is_published_so = |preset: &presets::Preset| {
        let names = FileNames::of(tensors, config::FILE_NAMES, &preset.network.probe());
        !names.prefix.is_empty() && names.prefix == preset.prefix
    };
    let is_told = fitting.iter().any(is_published_so);
    fitting
        .into_iter()
        .filter(|preset| !is_told || is_published_so(preset))
        .map(|preset| preset.name)
        .collect()
}

/// A network's shape, and how images are prepared for it.
#[derive(Debug, Clone)]
struct Vit {
    config: Config,
    images: Images,
}

impl Architecture for Vit {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = config::FILE_NAMES;

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: self.config.image_size,
            normalization: match self.images {
                // Mean and deviation 0.5.
                Images::Half => Normalization::MinusOneToOne,
                Images::Imagenet => Normalization::Imagenet,
            },
            noise: None,
        }
    }

    fn preprocess(&self) -> Preprocess {
        let side = self.config.image_size;
        let shorter = match self.images {
            // 248 of 224.
            Images::Half => side * 31 / 28,
            Images::Imagenet => side * 8 / 7,
        };
        Preprocess::resize_then_crop(shorter, side, Filter::Bicubic)
    }

    fn blocks(&self) -> Vec<BlockInfo> {
        self.config.blocks()
    }

    fn tensors(&self) -> Tensors {
        self.config.state_dict()
    }

    fn identity(&self) -> serde_json::Value {
        json!({ "kind": Self::KIND, "network": self.config })
    }

    #[cfg(feature = "torch")]
    fn initial(&self, seed: u64) -> Initial {
        Initial::transformer(seed, &self.tensors())
    }

    /// The positions that the authors compute, and those that matter where there is layer scale.
    #[cfg(feature = "torch")]
    fn computed(&self, weights: &WeightsSource) -> Vec<(String, Vec<f32>)> {
        /// Exact in 32 bits.
        const LARGER: f32 = 16.0;
        const POSITIONS: &str = "pos_embed";
        let mut computed = Vec::new();
        if let (WeightsSource::Synthetic(seed), true) = (weights, self.config.layer_scale) {
            let scales = self.config.scales();
            let near_zero = |name: &String| name == POSITIONS || scales.contains(name);
            for (name, shape) in self.tensors() {
                if near_zero(&name) {
                    // Of one axis, the rule makes values near 0.
                    let length = shape.iter().product();
                    let values = synthetic::fill(&name, &[length], *seed).into_iter();
                    computed.push((name, values.map(|value| value * LARGER).collect()));
                }
            }
        }
        let positions = positions::computed(&self.config);
        computed.extend(positions.map(|values| (POSITIONS.to_owned(), values)));
        computed
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        clean::load(
            model,
            place,
            |vit, weights| Network::new(&vit.config, weights),
            Network::forward_taps,
        )
    }
}
