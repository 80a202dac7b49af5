//! `[pretrain.*]`: the training of a diffusion network, from which a model takes its weights.
//!
//! The network is that of the model with `weights = { pretrain = "NAME" }`.

use super::{PretrainNode, Swept, preprocess};
use crate::models::{Model, class_condition};
use crate::spec::{Count, Fields, Key, KindDoc, Text};
use crate::trainer::pretraining::{self, Pretraining};

/// Key of the dataset, by its name in the experiment.
pub(super) const DATASET: Key<Text> = Key::text("dataset", "the name of a dataset")
    .doc("The images; their classes are not looked at.");
pub(super) const SPLIT: Key<Text> = Key::text("split", "a split")
    .default("train")
    .doc("The split to train on.");
const CHECKPOINT_EVERY: Key<Count> = Key::count("checkpoint_every", 1..=1_000_000)
    .default(500)
    .doc("Steps between checkpoints, from which a stopped training resumes.");

/// `[pretrain.*]`.
pub const DOC: KindDoc = KindDoc {
    name: "pretrain",
    summary: "The training of a diffusion network. The model that says `weights = { pretrain = \"NAME\" }` is trained, and has the averaged weights. It has no `kind` key.",
    keys: &[&DATASET, &SPLIT, &preprocess::KEY, &CHECKPOINT_EVERY],
    shared: pretraining::config::KEYS,
};

/// Reads one table, for the model that it trains.
pub(super) fn parse(
    fields: &Fields<'_>,
    name: &str,
    (dataset, model_index): (usize, usize),
    model: &dyn Model,
) -> Option<PretrainNode> {
    let trainable = model.denoising().filter(|one| one.trainable().is_some());
    let Some(denoising) = trainable else {
        let why = match model.denoising() {
            Some(_) => "nothing here trains it",
            None => "it predicts no noise",
        };
        fields.invalid(
            DATASET.name,
            "graph::model-misfit",
            format!(
                "{} cannot train a `{}` model: {why}",
                fields.context(),
                model.kind()
            ),
            Some("train a `guided-diffusion` model".to_owned()),
        );
        return None;
    };
    if model.classes().is_some() {
        fields.invalid(
            DATASET.name,
            class_condition::MISFIT,
            format!(
                "{} cannot train model `{}`: it is class-conditional, and trainings are without classes",
                fields.context(),
                model.variant()
            ),
            Some("train a network without classes".to_owned()),
        );
        return None;
    }
    let training = Pretraining::parse(fields, denoising.learns_variance());
    let preprocess = preprocess::parse(fields, Some(model));
    let checkpoint_every = fields.get(&CHECKPOINT_EVERY)?;
    let split = fields.get(&SPLIT)?;
    let (training, preprocess) = (training?, preprocess?);
    fields.is_sound().then(|| PretrainNode {
        name: name.to_owned(),
        dataset,
        model: model_index,
        split,
        place: fields.span_of(SPLIT.name),
        preprocess,
        training,
        checkpoint_every,
        swept: Swept::default(),
    })
}
