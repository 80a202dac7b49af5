//! `onnx`: any network that was exported to ONNX, whose named outputs are its taps. ONNX Runtime runs it.
//!
//! [`mod@file`] reads what the file says of its network, [`declared`] compares that with the experiment, [`network`] runs it in ONNX
//! Runtime, which [`runtime`] loads. `repro models inspect` prints the table of an experiment for a file.
//!
//! An experiment states side and taps, although the file has them: checking and planning then need no file, as for every other model, and
//! what a file of dynamic sizes leaves open is stated in the same place. A run compares them with the file before it computes anything.
//!
//! # Deviations
//! - ONNX Runtime computes every output of the file up to the last that is asked for in its own order; a pass that asks for an early tap
//!   alone may take as long as one for all.
//! - How many multiplications a pass has is not known, so a forecast goes by the time that the model was measured to take.
//! - The file decides what the network computes in. Only inputs and outputs of f32 are read.

pub mod declared;
pub mod file;
#[cfg(feature = "onnx")]
pub mod network;
#[cfg(feature = "onnx")]
pub mod runtime;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use self::declared::{Tap, compare};
use self::file::{Description, OnnxFault};
use crate::imaging::Normalization;
use crate::message::Message;
use crate::models::{
    BlockInfo, InputSpec, Model, ModelKind, Precision, Presets, WeightsSource, declaration,
};
use crate::spec::{Boolean, Choice, Count, Custom, Fields, Key, KindDoc, List, OneOf, Text};

const WEIGHTS: Key<Text> =
    Key::text(declaration::WEIGHTS.name, "a path").doc("The ONNX file, numbers included.");
const IMAGE_SIZE: Key<Count> =
    Key::count("image_size", 1..=4096).doc("Height and width of the input in pixels.");
const IN_CHANNELS: Key<OneOf> = Key::one_of("in_channels", &[1, 3])
    .default(3)
    .doc("Channels of the input.");
const NORMALIZE: Key<Choice<Normalization>> = Key::choice("normalize", Normalization::CHOICES)
    .doc("How pixels become the numbers that the network reads.");
const TAPS: Key<Custom> =
    Key::custom("taps", "a list of tables with `name` and `shape`").list_by_nature().doc(
        "The outputs that are its blocks, from 1 in this order; `repro models inspect` shows those of a file.",
    );
const NAME: Key<Text> =
    Key::text("name", "the name of an output").doc("The output's name in the file.");
const SHAPE: Key<List<Count>> = Key::list("shape", Count::within(1..=1_000_000))
    .items(1..=3)
    .doc("Its shape for one image: `[C, H, W]` of a feature map, `[L, D]` of tokens, `[D]` of a vector.");
const CLASS_TOKEN: Key<Boolean> = Key::boolean("class_token")
    .default(false)
    .doc("Whether the first token is a class token.");
const REGISTERS: Key<Count> = Key::count("registers", 0..=1024)
    .default(0)
    .doc("How many tokens before those of the patches belong to none, the class token aside; a mean of tokens leaves them out.");

/// `kind = "onnx"`.
pub const KIND: ModelKind = ModelKind::with(
    KindDoc {
        name: "onnx",
        summary: "A network in an ONNX file, with its named outputs as blocks. It reads images without noise.",
        keys: &[&WEIGHTS, &IMAGE_SIZE, &IN_CHANNELS, &NORMALIZE, &TAPS],
        shared: &[],
    },
    parse,
    Presets::NONE,
);

/// Why the network of an ONNX file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file is none, or more than is read.
    #[error("{}: {fault}", path.display())]
    Fault {
        /// Where it was opened.
        path: std::path::PathBuf,
        /// What is wrong with it.
        fault: OnnxFault,
    },
    /// The file is not what the experiment says, or holds what is not run.
    #[error("{0}")]
    Misfit(Message),
    /// ONNX Runtime is not there, or refuses.
    #[error("{0}")]
    Runtime(Message),
}

impl From<OnnxError> for Message {
    fn from(error: OnnxError) -> Self {
        match error {
            OnnxError::Misfit(message) | OnnxError::Runtime(message) => message,
            OnnxError::Fault { .. } => Self::new(error.to_string()),
        }
    }
}

#[cfg(feature = "torch")]
impl From<OnnxError> for crate::models::checkpoint::weights::WeightError {
    fn from(error: OnnxError) -> Self {
        Self::Unusable(error.into())
    }
}

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Model>> {
    let weights = fields.get(&WEIGHTS);
    let side = fields.get(&IMAGE_SIZE);
    let channels = fields.get(&IN_CHANNELS);
    let normalization = fields.get(&NORMALIZE);
    let taps = taps(fields)?;
    if !fields.is_sound() {
        return None;
    }
    let input = InputSpec {
        channels: channels?,
        side: side?,
        normalization: normalization?,
        noise: None,
    };
    Some(model(input, taps, WeightsSource::File(weights?.into())))
}

/// Reads `taps`. Reports a list that is empty, and names that stand twice.
fn taps(fields: &Fields<'_>) -> Option<Vec<Tap>> {
    fields.get(&TAPS)?;
    let tables = fields.tables(TAPS.name);
    let mut taps: Vec<Tap> = Vec::new();
    for table in &tables {
        table.check_keys(&[&NAME, &SHAPE, &CLASS_TOKEN, &REGISTERS], &[]);
        let (name, shape) = (table.get(&NAME), table.get(&SHAPE));
        let (class_token, registers) = (table.get(&CLASS_TOKEN), table.get(&REGISTERS));
        let (name, shape, class_token) = (name?, shape?, class_token?);
        let registers = registers?;
        let own = u32::from(class_token) + registers;
        let count = match *shape.as_slice() {
            [count, _] => count,
            _ => 0,
        };
        if own > 0 && count <= own {
            let message = format!(
                "{} has {own} tokens that are of no patch, and its shape has {count} tokens",
                table.context()
            );
            let hint = "tokens have the shape `[L, D]`, with all of them counted".to_owned();
            let key = [REGISTERS.name, CLASS_TOKEN.name][usize::from(registers == 0)];
            table.invalid(key, "graph::model-misfit", message, Some(hint));
            return None;
        }
        if taps.iter().any(|tap| tap.name == name) {
            let message = format!(
                "`{name}` stands twice among the taps of {}",
                fields.context()
            );
            table.invalid(NAME.name, "graph::model-misfit", message, None);
            return None;
        }
        taps.push(Tap {
            name,
            shape,
            class_token,
            registers,
        });
    }
    if taps.is_empty() {
        let message = format!("{} has no taps", fields.context());
        let hint = "`repro models inspect FILE` shows the outputs of a file".to_owned();
        fields.invalid(TAPS.name, "graph::model-misfit", message, Some(hint));
        return None;
    }
    Some(taps)
}

/// The network of an ONNX file.
pub fn model(input: InputSpec, taps: Vec<Tap>, weights: WeightsSource) -> Arc<dyn Model> {
    Arc::new(Onnx::new(input, taps, weights))
}

/// A network as declared.
#[derive(Debug, Clone)]
struct Onnx {
    input: InputSpec,
    taps: Vec<Tap>,
    blocks: Vec<BlockInfo>,
    weights: WeightsSource,
}

impl Onnx {
    fn new(input: InputSpec, taps: Vec<Tap>, weights: WeightsSource) -> Self {
        Self {
            input,
            blocks: declared::blocks(&taps),
            taps,
            weights,
        }
    }

    /// What the bytes of a file say, if that is what is declared here.
    fn description(&self, path: &Path, bytes: &[u8]) -> Result<Description, OnnxError> {
        let description = Description::read(bytes).map_err(|fault| OnnxError::Fault {
            path: path.to_owned(),
            fault,
        })?;
        match compare(path, &description, self.input, &self.taps) {
            None => Ok(description),
            Some(misfit) => Err(OnnxError::Misfit(misfit)),
        }
    }
}

impl Model for Onnx {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn variant(&self) -> &str {
        KIND.doc.name
    }

    fn input(&self) -> InputSpec {
        self.input
    }

    fn blocks(&self) -> &[BlockInfo] {
        &self.blocks
    }

    fn parameter_count(&self) -> u64 {
        0
    }

    fn counts_parameters(&self) -> bool {
        false
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
        json!({
            "kind": KIND.doc.name,
            "image_size": self.input.side,
            "in_channels": self.input.channels,
            "normalize": self.input.normalization.name(),
            "taps": self.taps,
        })
    }

    fn precisions(&self) -> &'static [Precision] {
        &[Precision::F32]
    }

    fn check_file(&self, path: &Path) -> Result<(), Message> {
        let bytes = declared::mapped(path)
            .map_err(|error| Message::new(format!("{} cannot be read: {error}", path.display())))?;
        self.description(path, &bytes)?;
        Ok(())
    }

    #[cfg(feature = "torch")]
    fn load(
        &self,
        base: &Path,
        device: tch::Device,
        _precision: Precision,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        self.loaded(base, device)
    }
}

#[cfg(feature = "onnx")]
impl Onnx {
    fn loaded(
        &self,
        base: &Path,
        device: tch::Device,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        use crate::checked_file::CheckedFile;
        use crate::models::checkpoint::weights::WeightError;
        let file = match &self.weights {
            WeightsSource::File(path) => {
                let path = base.join(path);
                let file = CheckedFile::open_where(&path, |_| true);
                Arc::new(file.map_err(|problem| WeightError::check(&path, problem))?)
            }
            WeightsSource::Opened(file) => Arc::clone(file),
            WeightsSource::Synthetic(_)
            | WeightsSource::Initialization(_)
            | WeightsSource::Pretrained(_)
            | WeightsSource::Imported(_)
            | WeightsSource::None => return Err(WeightError::NotGiven),
        };
        let path = file.path();
        let bytes = file
            .map()
            .map_err(|error| WeightError::check(path, error.into()))?;
        let description = self.description(path, &bytes)?;
        let network = network::Network::new(&bytes, &description, self.input, &self.taps, device)?;
        file.unchanged()
            .map_err(|problem| WeightError::check(path, problem))?;
        Ok(Box::new(network))
    }
}

#[cfg(all(feature = "torch", not(feature = "onnx")))]
impl Onnx {
    #[expect(clippy::unused_self, reason = "the other build has a use for it")]
    fn loaded(
        &self,
        _base: &Path,
        _device: tch::Device,
    ) -> Result<
        Box<dyn crate::models::extractor::Network>,
        crate::models::checkpoint::weights::WeightError,
    > {
        let message = Message::new("this program was built without ONNX Runtime")
            .hint("build it with the feature `onnx`, which is on unless it is turned off");
        Err(OnnxError::Runtime(message).into())
    }
}

#[cfg(test)]
mod tests;
