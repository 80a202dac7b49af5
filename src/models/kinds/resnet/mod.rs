//! `resnet`: ResNets of bottleneck blocks, such as ResNet-50, supervised or self-supervised (SimCLR, SwAV).
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it. It reads clean images, normalized by
//! ImageNet's mean and deviation. Weights may be under the names of torchvision, of SwAV or of VISSL.
//!
//! # Reference
//! He et al. 2015 (arXiv 1512.03385); pytorch/vision v0.26.0: torchvision/models/resnet.py, where the stride is that of the 3×3
//! convolution. Blocks are numbered from 1: the bottleneck blocks in order, then the pooled feature, then the logits.
//!
//! # Deviations
//! - torchvision's evaluation resizes the shorter side to 256 (bilinear) and crops 224; an extraction's default, `adm-center-crop`,
//!   has the whole shorter side in 224. Write `preprocess` to have torchvision's.
//! - Those of [`network`].

pub mod config;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use crate::imaging::Normalization;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, PresetInfo, WeightsSource, declaration,
};
use crate::spec::{Fields, Key, KindDoc};

/// The kind.
pub const KIND: Kind = Kind;

/// Reads the tables of ResNets.
#[derive(Debug)]
pub struct Kind;

const DOC: KindDoc = KindDoc {
    name: "resnet",
    summary: "A ResNet of bottleneck blocks, such as ResNet-50: a preset, or any other shape written out. It reads images without noise.",
    keys: &[
        Key::required(
            declaration::WEIGHTS,
            "a path or { synthetic = SEED }",
            "A `.safetensors` file or a PyTorch checkpoint, under the names of torchvision, SwAV or VISSL; or the synthetic rule: an untrained network that is the same everywhere.",
        ),
        declaration::PRESET,
        Key::optional(
            "layers",
            "a list of 4 integers from 1",
            "none",
            "Blocks in each of the four layers; ResNet-50 has [3, 4, 6, 3].",
        )
        .list(),
        Key::optional(
            "base_width",
            "an integer from 1",
            "64",
            "Channels after the first convolution.",
        ),
        Key::optional(
            "classes",
            "an integer from 1",
            "none",
            "Outputs of the linear layer at the end; absent for a network that was published without one.",
        ),
        Key::optional(
            "image_size",
            "an integer from 8",
            "224",
            "Side of the input in pixels.",
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
        let all = presets::all().into_iter();
        all.map(|preset| preset.name).collect()
    }

    fn preset(&self, name: &str) -> Option<Arc<dyn Model>> {
        let preset = presets::find(name)?;
        let weights = WeightsSource::Synthetic(0);
        Some(Arc::new(ResNet::new(preset.name, preset.network, weights)))
    }

    fn preset_info(&self, name: &str) -> Option<PresetInfo> {
        let preset = presets::find(name)?;
        Some(PresetInfo {
            title: preset.title,
            checkpoint: preset.checkpoint,
        })
    }

    fn fitting(&self, tensors: &StoredTensors) -> Vec<String> {
        let all = presets::all().into_iter();
        all.filter(|preset| preset.network.fits(tensors))
            .map(|preset| preset.name)
            .collect()
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
        let weights = declaration::weights(fields);
        let shape_keys = DOC.keys.get(SHAPE_KEYS_FROM..).unwrap_or_default();
        let (variant, config) = match declaration::preset(self, fields, shape_keys)? {
            Some(name) => {
                let preset = presets::find(&name)?;
                (preset.name, preset.network)
            }
            None => ("custom".to_owned(), parse_shape(fields)?),
        };
        if !fields.is_sound() {
            return None;
        }
        Some(Arc::new(ResNet::new(variant, config, weights?)))
    }
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    if !declaration::has_shape(fields, &["layers"]) {
        return None;
    }
    let layers = fields.counts("layers", 1..=256).and_then(|layers| {
        let count = layers.len();
        let layers = <[u32; 4]>::try_from(layers).ok();
        if layers.is_none() {
            fields.misfit(
                "layers",
                "graph::model-misfit",
                format!(
                    "`layers` of {} has {count} numbers, but a ResNet has 4 layers",
                    fields.context()
                ),
                Some("ResNet-50 is `layers = [3, 4, 6, 3]`".to_owned()),
            );
        }
        layers
    });
    let count = |key: &str, most: u32, least: u32, default: u32| {
        if fields.has(key) {
            fields.count(key, least..=most)
        } else {
            Some(default)
        }
    };
    let image_size = count("image_size", 4096, 8, 224);
    let base_width = count("base_width", 4096, 1, 64);
    let classes = if fields.has("classes") {
        fields.count("classes", 1..=1_000_000).map(Some)
    } else {
        Some(None)
    };
    Some(Config {
        image_size: image_size?,
        layers: layers?,
        base_width: base_width?,
        classes: classes?,
    })
}

/// A network as declared.
#[derive(Debug, Clone)]
struct ResNet {
    variant: String,
    config: Config,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
}

impl ResNet {
    fn new(variant: String, config: Config, weights: WeightsSource) -> Self {
        Self {
            variant,
            blocks: config.blocks(),
            config,
            weights,
        }
    }
}

impl Model for ResNet {
    fn kind(&self) -> &'static str {
        DOC.name
    }

    fn variant(&self) -> &str {
        &self.variant
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: self.config.image_size,
            normalization: Normalization::Imagenet,
            noise: None,
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
        json!({ "kind": DOC.name, "network": self.config })
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
        let weights = WeightMap::from_source(&self.weights, base)?.on(device);
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
