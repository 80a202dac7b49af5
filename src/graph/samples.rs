//! `[samples.*]`: images that a model makes out of noise.

use super::{SamplesNode, Swept};
use crate::diffusion::respacing::Respacing;
use crate::models::Model;
use crate::spec::{Choice, Count, Fields, Key, KindDoc, Number, Seed, Text};

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
const SEED: Key<Seed> = Key::seed("seed").default(0).doc("Seed of the noise.");

/// `[samples.*]`.
pub const DOC: KindDoc = KindDoc {
    name: "samples",
    summary: "Images that a model makes out of noise: for figures of kind `sheet`, and for extractions by a dataset of kind `samples`. It has no `kind` key.",
    keys: &[&MODEL, &COUNT, &METHOD, &STEPS, &ETA, &SEED],
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

/// Reads one table.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    model_index: usize,
    model: &dyn Model,
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
    let (steps, count, seed) = (steps?, fields.get(&COUNT)?, fields.get(&SEED)?);
    let respacing = Respacing::Sections(vec![steps]);
    if let Err(error) = denoising.process(&respacing) {
        fields.invalid(STEPS.name, "spec::out-of-range", error.to_string(), None);
    }
    fields.is_sound().then(|| SamplesNode {
        name: name.to_owned(),
        model: model_index,
        count,
        method,
        respacing,
        seed,
        swept: Swept::default(),
    })
}
