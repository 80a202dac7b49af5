//! `[samples.*]`: images that a model makes out of noise.

mod guided;

use super::extraction::PRECISION;
use super::{SamplesNode, Swept};
use crate::diffusion::respacing::Respacing;
use crate::models::Model;
use crate::spec::{Choice, Count, Fields, Key, KindDoc, Number, Seed, Text};

pub(super) use guided::CLASSIFIER;
use guided::{CLASSES, CLASSIFIER_SCALE, GUIDANCE};

/// Key of the model, by its name in the experiment.
pub(super) const MODEL: Key<Text> = Key::text("model", "the name of a model").doc("The network.");
const COUNT: Key<Count> = Key::count("count", 1..=10_000_000)
    .default(64)
    .doc("How many images.");
/// Whether it is ancestral.
const METHOD: Key<Choice<bool>> = Key::choice("method", &[("ddim", false), ("ancestral", true)])
    .default(false)
    .doc("How a step back is taken: by the noise that the network sees, or by a draw from what it predicts.");
const STEPS: Key<Count> = Key::count("steps", 1..=100_000).default(50).doc(
    "Steps from noise to image, spread evenly over those of the diffusion, which are the most.",
);
const ETA: Key<Number> = Key::number("eta", Number::from(0.0).to(1.0))
    .default(0.0)
    .doc("How random a step of `ddim` is.");
const SEED: Key<Seed> = Key::seed("seed")
    .default(0)
    .doc("Seed of the noise, and of classes that are drawn.");
const FORMAT: Key<Choice<ImageFormat>> = Key::choice(
    "format",
    &[("png", ImageFormat::Png), ("raw", ImageFormat::Raw)],
)
.default(ImageFormat::Png)
.doc("How the cache keeps an image: as a PNG file, or as its bare bytes, row after row with its channels interleaved, which takes more room and less time.");

/// `[samples.*]`.
pub const DOC: KindDoc = KindDoc {
    name: "samples",
    summary: "Images that a model makes out of noise: for figures of kind `sheet`, and for extractions by a dataset of kind `samples`. It has no `kind` key.",
    keys: &[
        &MODEL,
        &COUNT,
        &METHOD,
        &STEPS,
        &ETA,
        &CLASSES,
        &GUIDANCE,
        &CLASSIFIER,
        &CLASSIFIER_SCALE,
        &PRECISION,
        &FORMAT,
        &SEED,
    ],
    shared: &[],
};

/// How samples are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleMethod {
    /// Draws from what the network predicts, with its variance where it predicts one, else with β.
    Ancestral,
    /// Song et al. 2021.
    Ddim {
        /// How random a step is, from 0 to 1.
        eta: f64,
    },
}

impl SampleMethod {
    /// The word for it in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ancestral => "ancestral",
            Self::Ddim { .. } => "ddim",
        }
    }
}

/// How an image that a run makes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// As the bytes of a PNG file.
    Png,
    /// As bare bytes, `[H, W, C]`.
    Raw,
}

impl ImageFormat {
    /// The word for it in experiment files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Raw => "raw",
        }
    }
}

/// A classifier that leads samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classifier {
    /// The model, as an index into [`Experiment::models`](super::Experiment::models).
    pub model: usize,
    /// The factor of its gradient.
    pub scale: f64,
}

/// Reads one table; `classifier` is the model that it names, with its index.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    (model_index, model): (usize, &dyn Model),
    classifier: Option<(usize, &dyn Model)>,
) -> Option<SamplesNode> {
    let method = if fields.get(&METHOD)? {
        if fields.has(ETA.name) {
            let message = format!("`eta` of {} counts only in `ddim`", fields.context());
            let hint = Some("take it out".to_owned());
            fields.invalid(ETA.name, "spec::out-of-range", message, hint);
        }
        SampleMethod::Ancestral
    } else {
        SampleMethod::Ddim {
            eta: fields.get(&ETA)?,
        }
    };
    let all_steps = model.input().noise.map_or(100_000, |noise| noise.steps);
    let steps = if fields.has(STEPS.name) {
        fields
            .get(&STEPS)
            .and_then(|_| fields.get(&STEPS.at_most(all_steps)))
    } else {
        fields.get(&STEPS).map(|steps| steps.min(all_steps))
    };
    let Some(denoising) = model.denoising() else {
        fields.invalid(
            MODEL.name,
            "graph::model-misfit",
            format!(
                "{} cannot be taken from a `{}` model: it predicts no noise",
                fields.context(),
                model.kind()
            ),
            Some("name a `guided-diffusion` model".to_owned()),
        );
        return None;
    };
    let guided = guided::parse(fields, model, classifier);
    let (steps, count, seed) = (steps?, fields.get(&COUNT)?, fields.get(&SEED)?);
    let (precision, format) = (fields.get(&PRECISION)?, fields.get(&FORMAT)?);
    if !model.precisions().contains(&precision) {
        let message = format!(
            "model `{}` does not compute in {}",
            model.variant(),
            precision.name()
        );
        fields.invalid(PRECISION.name, "graph::model-misfit", message, None);
    }
    let respacing = Respacing::Sections(vec![steps]);
    if let Err(error) = denoising.process(&respacing) {
        fields.invalid(STEPS.name, "spec::out-of-range", error.to_string(), None);
    }
    let guided = guided?;
    fields.is_sound().then(|| SamplesNode {
        name: name.to_owned(),
        model: model_index,
        count,
        method,
        respacing,
        classes: guided.classes,
        guidance: guided.guidance,
        classifier: guided.classifier,
        precision,
        format,
        seed,
        swept: Swept::default(),
    })
}
