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
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::file_names::BATCH_COUNT;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::{Count, Custom, Fields, Key, Keys, KindDoc, List};

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
    all.map(|preset| Preset {
        name: preset.name.clone(),
        title: preset.title,
        checkpoint: preset.checkpoint,
        model: Arc::new(ResNet::new(
            preset.name,
            (preset.network, preset.resize_filter),
            WeightsSource::Synthetic(0),
            String::new(),
        )),
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
    let (variant, shape) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name)?;
            (preset.name, (preset.network, preset.resize_filter))
        }
        None => (
            "custom".to_owned(),
            (parse_shape(fields)?, Filter::Bilinear),
        ),
    };
    if !fields.is_sound() {
        return None;
    }
    Some(Arc::new(ResNet::new(variant, shape, weights?, prefix)))
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

/// A network as declared.
#[derive(Debug, Clone)]
struct ResNet {
    variant: String,
    config: Config,
    /// By which images are resized unless an experiment says otherwise.
    filter: Filter,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl ResNet {
    fn new(
        variant: String,
        (config, filter): (Config, Filter),
        weights: WeightsSource,
        prefix: String,
    ) -> Self {
        Self {
            variant,
            blocks: config.blocks(),
            config,
            filter,
            weights,
            prefix,
        }
    }
}

impl Model for ResNet {
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
            normalization: Normalization::Imagenet,
            noise: None,
        }
    }

    fn preprocess(&self) -> Preprocess {
        let side = self.config.image_size;
        Preprocess::resize_then_crop(side * 8 / 7, side, self.filter)
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: layouts::FILE_NAMES,
            skipped: |name| name.ends_with(BATCH_COUNT),
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
        let initial = |seed| Initial::kaiming(seed, &self.config.state_dict());
        let weights = WeightMap::from_source(&self.weights, base, &initial)?.on(device);
        let weights = weights.prefixed(&self.prefix);
        let mut weights = weights.named_as_in(layouts::FILE_NAMES, layouts::PROBE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_preprocessed_as_torchvision_evaluates() {
        let name = |side, filter| {
            let network = Config {
                image_size: side,
                layers: [3, 4, 6, 3],
                base_width: 64,
                classes: None,
            };
            let (weights, prefix) = (WeightsSource::Synthetic(0), String::new());
            let model = ResNet::new("custom".to_owned(), (network, filter), weights, prefix);
            model.preprocess().name()
        };
        let (bilinear, bicubic) = (Filter::Bilinear, Filter::Bicubic);
        assert_eq!(name(224, bilinear), "resize 256 bilinear, center-crop 224");
        assert_eq!(name(224, bicubic), "resize 256 bicubic, center-crop 224");
        assert_eq!(name(64, bilinear), "resize 73 bilinear, center-crop 64");
    }
}
