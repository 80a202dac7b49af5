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
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::file_names::FileNames;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::KindDoc;

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
    all.map(|preset| Preset {
        name: preset.name.clone(),
        title: preset.title,
        checkpoint: preset.checkpoint,
        model: Arc::new(Vit::new(
            preset.name,
            preset.network,
            preset.images,
            WeightsSource::Synthetic(0),
            String::new(),
        )),
    })
    .collect()
}

/// A network of any shape, with synthetic weights of seed 0, that reads images as most of them do.
pub fn custom(config: Config) -> Arc<dyn Model> {
    Arc::new(Vit::new(
        CUSTOM.to_owned(),
        config,
        Images::Imagenet,
        WeightsSource::Synthetic(0),
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

/// A network as declared.
#[derive(Debug, Clone)]
struct Vit {
    variant: String,
    config: Config,
    images: Images,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl Vit {
    fn new(
        variant: String,
        config: Config,
        images: Images,
        weights: WeightsSource,
        prefix: String,
    ) -> Self {
        Self {
            variant,
            blocks: config.blocks(),
            config,
            images,
            weights,
            prefix,
        }
    }
}

impl Model for Vit {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

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

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: config::FILE_NAMES,
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
        let initial = |seed| Initial::transformer(seed, &self.config.state_dict());
        let weights = WeightMap::from_source(&self.weights, base, &initial)?.on(device);
        let weights = weights.prefixed(&self.prefix);
        let weights = weights.named_as_in(config::FILE_NAMES, &self.config.probe());
        let mut weights = self.with_computed(weights);
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
impl Vit {
    /// Random weights with the positions that the authors compute, and with those that matter where there is layer scale.
    fn with_computed(
        &self,
        mut weights: crate::models::checkpoint::weights::WeightMap,
    ) -> crate::models::checkpoint::weights::WeightMap {
        /// Exact in 32 bits.
        const LARGER: f32 = 16.0;
        const POSITIONS: &str = "pos_embed";
        let seed = match self.weights {
            WeightsSource::Synthetic(seed) => Some(seed),
            _ => None,
        };
        if let (Some(seed), true) = (seed, self.config.layer_scale) {
            let scales = self.config.scales();
            let all = self.config.state_dict();
            let near_zero = all
                .iter()
                .filter(|(name, _)| name == POSITIONS || scales.contains(name));
            for (name, shape) in near_zero {
                // Of one axis, the rule makes values near 0.
                let length = shape.iter().product();
                let values = crate::models::checkpoint::synthetic::fill(name, &[length], seed);
                let values = values.into_iter().map(|value| value * LARGER).collect();
                weights = weights.with_computed(name, values);
            }
        }
        match positions::computed(&self.config) {
            Some(values) => weights.with_computed(POSITIONS, values),
            None => weights,
        }
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
