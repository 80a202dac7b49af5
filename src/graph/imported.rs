//! Extractions of features that were computed elsewhere: no image is read and no network runs, so most keys do not apply.

use std::collections::BTreeSet;

use super::extraction::{
    BATCH_SIZE, BLOCK, DRAW, MODEL, ON_BAD_IMAGE, PRECISION, Place, SEED, TIMESTEP, VIEW,
};
use super::{Experiment, ExtractionNode, ModelNode, preprocess};
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::Precision;
use crate::models::class_condition::CLASS;
use crate::spec::{AnyKey, Diagnostic, Fields, Table, Value};

/// The keys that are about images and networks.
const OF_NETWORKS: [&dyn AnyKey; 12] = [
    &TIMESTEP,
    &CLASS,
    &BLOCK,
    &VIEW,
    &DRAW,
    &SEED,
    &preprocess::KEY,
    &preprocess::TEST_KEY,
    &preprocess::NORMALIZE,
    &PRECISION,
    &BATCH_SIZE,
    &ON_BAD_IMAGE,
];

/// What the models of one extraction are, so that a key for some of them is not for nothing.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    /// Whether one has noise, which `timestep` is for.
    pub(super) noise: bool,
    /// Whether one is given classes, which `class` is for.
    pub(super) classes: bool,
    /// Whether one is a network, which the keys of passes are for.
    pub(super) network: bool,
}

impl Beside {
    /// What the tables of an extraction name.
    pub(super) fn of(tables: &[Table], models: &[ModelNode]) -> Self {
        let name = |table: &Table| match table.get(MODEL.name).map(|entry| &entry.node.value) {
            Some(Value::Text(name)) => Some(name.clone()),
            _ => None,
        };
        let names: BTreeSet<String> = tables.iter().filter_map(name).collect();
        let named = || models.iter().filter(|node| names.contains(&node.name));
        Self {
            noise: named().any(|node| node.model.input().noise.is_some()),
            classes: named().any(|node| node.model.classes().is_some()),
            network: named().any(|node| node.model.imported().is_none()),
        }
    }
}

/// Whether the table has no key of a network, or another model that such keys are for; reports every one that does not apply.
pub(super) fn check(fields: &Fields<'_>, place: Place) -> bool {
    if place.beside.network {
        return true;
    }
    let mut is_sound = true;
    for key in OF_NETWORKS {
        let name = key.name();
        if !fields.has(name) {
            continue;
        }
        is_sound = false;
        let message = format!(
            "`{name}` of {} does not apply: its features were computed elsewhere",
            fields.context()
        );
        fields.report(
            Diagnostic::new(
                "graph::imported-misfit",
                fields.span_of(name),
                message,
                "here",
            )
            .hint(format!("leave `{name}` out")),
        );
    }
    is_sound
}

/// Takes away what keys for networks of the same extraction say.
pub(super) fn strip(node: &mut ExtractionNode) {
    node.timestep = None;
    node.class = None;
    node.view = View::Center;
    node.random = None;
    node.preprocess = Preprocess::default();
    node.test_preprocess = Preprocess::default();
    node.normalization = Normalization::default();
    node.precision = Precision::F32;
    node.batch_size = None;
    node.on_bad_image = super::OnBadImage::Fail;
}

/// What an extraction of imported features is called in labels; `None` for one of a network. `reduce` says what is made of each row.
pub(super) fn label(
    node: &ExtractionNode,
    experiment: &Experiment,
    reduce: &str,
) -> Option<String> {
    let model = &experiment.models[node.model];
    model.model.imported().map(|_| {
        let dataset = &experiment.datasets[node.dataset].name;
        format!("{}[{dataset} {} imported{reduce}]", node.name, model.name)
    })
}
