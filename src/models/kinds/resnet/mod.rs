//! `resnet`: ResNets of bottleneck blocks, such as ResNet-50, supervised or self-supervised (SimCLR, SwAV, DINO, MoCo v3).
//!
//! [`config`] says what a network looks like and which blocks it has, [`network`] runs it. It reads clean images, normalized by
//! ImageNet's mean and deviation. [`layouts`] lists whose names of tensors are read.
//!
//! # Reference
//! He et al. 2015 (arXiv 1512.03385); pytorch/vision v0.26.0: torchvision/models/resnet.py, where the stride is that of the 3×3
//! convolution. Blocks are numbered from 1: the bottleneck blocks in order, then the pooled feature, then the logits. Block 0 is the
//! first convolution, after its ReLU.
//!
//! Images become squares as in torchvision's evaluation (pytorch/vision v0.26.0: references/classification/presets.py,
//! `ClassificationPresetEval`), which SimCLR, SwAV and MoCo v3 evaluate ResNet-50 with too: the shorter side becomes 256 pixels,
//! bilinear and antialiased, and the middle 224 are cropped. DINO resizes bicubic (facebookresearch/dino@7c446df: eval_linear.py).
//!
//! # Deviations
//! - A network of another side than 224 has the same proportion, 8 to 7, rounded down, which nobody states.
//! - Those of [`network`].

pub mod config;
pub mod layouts;
#[cfg(feature = "torch")]
pub mod network;
pub mod presets;

use std::sync::Arc;

use serde_json::json;

use self::config::Config;
use self::layouts::Layout;
use crate::imaging::{Filter, Normalization, Preprocess};
use crate::models::checkpoint::file_names::{BATCH_COUNT, FileNames};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::declared::{self, Architecture, Declared, Tensors};
use crate::models::{BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, declaration};
use crate::spec::{Count, Custom, Fields, Key, Keys, KindDoc, List};
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
    "A `.safetensors` file or a PyTorch checkpoint, under the names of torchvision, SwAV, VISSL, DINO or MoCo v3, or as a training script saves torchvision's network; or random weights, by the synthetic rule or by torchvision's initialization.",
);
const LAYERS: Key<List<Count>> = Key::list("layers", Count::within(1..=256))
    .items(4..=4)
    .optional("the preset's")
    .doc("Blocks in each of the four layers; ResNet-50 has [3, 4, 6, 3].");
const BASE_WIDTH: Key<Count> = Key::count("base_width", 1..=4096)
    .default(64)
    .doc("Channels after the first convolution.");
const CLASSES: Key<Count> = Key::count("classes", 1..=1_000_000).optional("none").doc(
    "Outputs of the linear layer at the end; absent for a network that was published without one.",
);
const IMAGE_SIZE: Key<Count> = Key::count("image_size", 8..=4096)
    .default(224)
    .doc("Side of the input in pixels.");

/// The keys that a preset decides.
const SHAPE: Keys = &[&LAYERS, &BASE_WIDTH, &CLASSES, &IMAGE_SIZE];

/// `kind = "resnet"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "resnet",
        summary: "A ResNet of bottleneck blocks, such as ResNet-50: a preset, or any other shape written out. It reads images without noise.",
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
        let network = ResNet {
            config: preset.network,
            filter: preset.resize_filter,
        };
        declared::preset(preset.name, preset.title, preset.checkpoint, network)
    })
    .collect()
}

/// Where a file has the names of one publisher, that publisher's networks; where it has the network's own names, which any file may have been
/// given, every one that fits, those first that are published so.
fn fitting(tensors: &StoredTensors) -> Vec<String> {
    let all = presets::all().into_iter();
    let fitting = all.filter(|preset| preset.network.fits(tensors));
    let (own, other): (Vec<_>, Vec<_>) =
        fitting.partition(|preset| preset.layout.is_some_and(|layout| layout.is_of(tensors)));
    let is_plain = Layout::Torchvision.is_of(tensors);
    let other = other
        .into_iter()
        .filter(|_| is_plain || own.is_empty())
        .map(|preset| preset.name)
        .collect::<Vec<_>>();
    own.into_iter()
        .map(|preset| preset.name)
        .chain(other)
        .collect()
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = declaration::weights(fields);
    let prefix = declaration::prefix(fields, weights.as_ref());
    let (variant, config, filter) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name)?;
            (preset.name, preset.network, preset.resize_filter)
        }
        None => ("custom".to_owned(), parse_shape(fields)?, Filter::Bilinear),
    };
    if !fields.is_sound() {
        return None;
    }
    let network = ResNet { config, filter };
    Some(Arc::new(Declared::new(variant, network, weights?, prefix)))
}

/// A network that is written out.
fn parse_shape(fields: &Fields<'_>) -> Option<Config> {
    if !declaration::has_shape(fields, &[&LAYERS]) {
        return None;
    }
    Some(Config {
        image_size: fields.get(&IMAGE_SIZE)?,
        layers: <[u32; 4]>::try_from(fields.get(&LAYERS)?).ok()?,
        base_width: fields.get(&BASE_WIDTH)?,
        classes: fields.get(&CLASSES),
    })
}

/// A network's shape, and how images are prepared for it.
#[derive(Debug, Clone)]
struct ResNet {
    config: Config,
    /// By which images are resized unless an experiment says otherwise.
    filter: Filter,
}

impl Architecture for ResNet {
    const KIND: &'static str = KIND.doc.name;
    const FILE_NAMES: &'static [FileNames] = layouts::FILE_NAMES;

    fn is_skipped(name: &str) -> bool {
        name.ends_with(BATCH_COUNT)
    }

    fn input(&self) -> InputSpec {
        InputSpec {
            channels: 3,
            side: self.config.image_size,
            normalization: Normalization::Imagenet,
            noise: None,
        }
    }

    fn preprocess(&self) -> Preprocess {
        let side = self.config.image_size;
        Preprocess::resize_then_crop(side * 8 / 7, side, self.filter)
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
        Initial::kaiming(seed, &self.tensors())
    }

    #[cfg(feature = "torch")]
    fn load(model: &Declared<Self>, place: Place<'_>) -> Loaded {
        clean::load(
            model,
            place,
            |resnet, weights| Network::new(&resnet.config, weights),
            Network::forward_taps,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_preprocessed_as_torchvision_evaluates() {
        let name = |side, filter| {
            let config = Config {
                image_size: side,
                layers: [3, 4, 6, 3],
                base_width: 64,
                classes: None,
            };
            ResNet { config, filter }.preprocess().name()
        };
        let (bilinear, bicubic) = (Filter::Bilinear, Filter::Bicubic);
        assert_eq!(name(224, bilinear), "resize 256 bilinear, center-crop 224");
        assert_eq!(name(224, bicubic), "resize 256 bicubic, center-crop 224");
        assert_eq!(name(64, bilinear), "resize 73 bilinear, center-crop 64");
    }
}
