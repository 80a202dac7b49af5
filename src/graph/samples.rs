//! `[samples.*]`: images that a model makes out of noise.

use super::SamplesNode;
use crate::diffusion::respacing::Respacing;
use crate::models::Model;
use crate::spec::{Fields, Key};

/// The keys of a sheet of samples.
pub const KEYS: &[Key] = &[
    Key::required("model", "the name of a model", "The network."),
    Key::optional("count", "an integer from 1", "64", "How many images."),
    Key::optional(
        "method",
        "`ddim` or `ancestral`",
        "\"ddim\"",
        "How a step back is taken: by the noise that the network sees, or by a draw from what it predicts.",
    ),
    Key::optional(
        "steps",
        "an integer from 1",
        "50",
        "Steps from noise to image, spread evenly over those of the diffusion.",
    ),
    Key::optional(
        "eta",
        "a number in [0, 1]",
        "0",
        "How random a step of `ddim` is.",
    ),
    Key::optional("seed", "an integer from 0", "0", "Seed of the noise."),
];

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
    /// The word that users type.
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
    let ancestral = fields.choice("method", &[("ddim", false), ("ancestral", true)]);
    let eta = fields.number("eta", 0.0..=1.0);
    let method = if ancestral == Some(true) {
        if eta.is_some() {
            let message = format!("`eta` of {} counts only in `ddim`", fields.context());
            let hint = Some("take it out".to_owned());
            fields.misfit("eta", "spec::out-of-range", message, hint);
        }
        SampleMethod::Ancestral
    } else {
        SampleMethod::Ddim {
            eta: eta.unwrap_or(0.0),
        }
    };
    let all_steps = model.input().noise.map_or(100_000, |noise| noise.steps);
    let steps = fields
        .count("steps", 1..=all_steps)
        .unwrap_or(50.min(all_steps));
    let count = fields.count("count", 1..=10_000).unwrap_or(64);
    let seed = fields.seed("seed").unwrap_or(0);
    let Some(denoising) = model.denoising() else {
        fields.misfit(
            "model",
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
    let respacing = Respacing::Sections(vec![steps]);
    if let Err(error) = denoising.process(&respacing) {
        fields.misfit("steps", "spec::out-of-range", error.to_string(), None);
    }
    fields.is_sound().then(|| SamplesNode {
        name: name.to_owned(),
        model: model_index,
        count,
        method,
        respacing,
        seed,
    })
}
