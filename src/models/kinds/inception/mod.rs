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
use crate::models::checkpoint::comparison::Required;
use crate::models::checkpoint::file_names::BATCH_COUNT;
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, Preset, Presets, WeightsSource, declaration,
};
use crate::spec::{Count, Custom, Fields, Key, Keys, KindDoc, OneOf};

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
    all.map(|preset| Preset {
        name: preset.name.clone(),
        title: preset.title,
        checkpoint: preset.checkpoint,
        model: Arc::new(Inception::new(
            preset.name,
            preset.network,
            WeightsSource::Synthetic(0),
            String::new(),
        )),
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
    let (variant, network) = match declaration::preset(&KIND, fields, SHAPE)? {
        Some(name) => {
            let preset = presets::find(&name)?;
            (preset.name, preset.network)
        }
        None => ("custom".to_owned(), parse_shape(fields)?),
    };
    if !fields.is_sound() {
        return None;
    }
    Some(Arc::new(Inception::new(variant, network, weights?, prefix)))
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

/// A network as declared.
#[derive(Debug, Clone)]
struct Inception {
    variant: String,
    config: Config,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
    /// What stands before the names in the file of weights.
    prefix: String,
}

impl Inception {
    fn new(variant: String, config: Config, weights: WeightsSource, prefix: String) -> Self {
        Self {
            variant,
            blocks: config.blocks(),
            config,
            weights,
            prefix,
        }
    }
}

impl Model for Inception {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        &self.variant
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

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn required(&self) -> Option<Required<'_>> {
        Some(Required {
            tensors: self.config.state_dict(),
            known: config::FILE_NAMES,
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
