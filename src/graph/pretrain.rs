//! `[pretrain.*]`: the training of a diffusion network, from which a model takes its weights.
//!
//! The network is that of the model which says `weights = { pretrain = "NAME" }`.

use super::{PretrainNode, Swept, preprocess};
use crate::models::Model;
use crate::spec::{Fields, Key};
use crate::trainer::pretraining::Pretraining;

/// The keys of a pretraining besides those of [`Pretraining`].
pub const KEYS: &[Key] = &[
    Key::required(
        "dataset",
        "the name of a dataset",
        "The images; their classes are not looked at.",
    ),
    Key::optional("split", "a split", "\"train\"", "The split to train on."),
    preprocess::KEY,
    Key::optional(
        "checkpoint_every",
        "an integer from 1",
        "500",
        "Steps after which all that is needed to go on is kept.",
    ),
];

/// Reads one table, for the model that it trains.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    (dataset, model_index): (usize, usize),
    model: &dyn Model,
) -> Option<PretrainNode> {
    let Some(denoising) = model.denoising() else {
        fields.misfit(
            "dataset",
            "graph::model-misfit",
            format!(
                "{} cannot train a `{}` model: it predicts no noise",
                fields.context(),
                model.kind()
            ),
            Some("train a `guided-diffusion` model".to_owned()),
        );
        return None;
    };
    let training = Pretraining::parse(fields, denoising.learns_variance());
    let preprocess = preprocess::parse(fields, Some(model.input().side));
    let checkpoint_every = fields
        .count("checkpoint_every", 1..=1_000_000)
        .unwrap_or(500);
    let split = fields
        .text("split")
        .map_or_else(|| "train".to_owned(), |split| split.value);
    let (training, preprocess) = (training?, preprocess?);
    fields.is_sound().then(|| PretrainNode {
        name: name.to_owned(),
        dataset,
        model: model_index,
        split,
        preprocess,
        training,
        checkpoint_every,
        swept: Swept::default(),
    })
}
