//! Extractions of features that were computed elsewhere: no image is read and no network runs, so most keys do not apply.

use super::extraction::{
    BATCH_SIZE, BLOCK, DRAW, ON_BAD_IMAGE, PRECISION, Place, SEED, TIMESTEP, VIEW,
};
use super::{ExtractionNode, preprocess};
use crate::imaging::preprocess::View;
use crate::imaging::{Normalization, Preprocess};
use crate::models::{Model, Precision};
use crate::spec::{AnyKey, Diagnostic, Fields};

/// The keys that are about images and networks.
const OF_NETWORKS: [&dyn AnyKey; 11] = [
    &TIMESTEP,
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

/// Whether the table has no key of a network, or another model that such keys are for; reports every one that does not apply.
pub(super) fn check(fields: &Fields<'_>, place: Place, model: &dyn Model) -> bool {
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
            "`{name}` of {} does not apply: the features of model `{}` were computed elsewhere",
            fields.context(),
            model.variant()
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
    node.view = View::Center;
    node.random = None;
    node.preprocess = Preprocess::default();
    node.test_preprocess = Preprocess::default();
    node.normalization = Normalization::default();
    node.precision = Precision::F32;
    node.batch_size = None;
    node.on_bad_image = super::OnBadImage::Fail;
}
