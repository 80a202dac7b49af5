//! Models that read latents, and the autoencoders that they name.

use crate::graph::Experiment;
use crate::graph::resolve::Names;
use crate::models::Model;
use crate::models::autoencoding::LatentShape;
use crate::models::declaration::AUTOENCODER;
use crate::spec::sections::RawNode;
use crate::spec::{Diagnostic, Fields};

/// Something is wrong, and was reported or is to be reported elsewhere.
pub(super) struct Reported;

/// The models in an order in which those that name an autoencoder stand behind all others, as in the file otherwise.
pub(super) fn behind_autoencoders(models: &[RawNode]) -> Vec<&RawNode> {
    let names_one = |node: &&RawNode| node.table.get(AUTOENCODER.name).is_some();
    let (readers, others): (Vec<&RawNode>, Vec<&RawNode>) = models.iter().partition(names_one);
    others.into_iter().chain(readers).collect()
}

/// The autoencoder that a model names, as an index into [`Experiment::models`]; `None` for one that reads images. Of several that a sweep
/// makes, the one whose latents have the shape that the model reads.
pub(super) fn autoencoder(
    fields: &Fields<'_>,
    experiment: &Experiment,
    models: &Names,
    model: &dyn Model,
) -> Result<Option<usize>, Reported> {
    if model.autoencoder().is_none() {
        return Ok(None);
    }
    let name = fields.located(&AUTOENCODER).ok_or(Reported)?;
    let report = |message: String, hint: String| {
        let diagnostic = Diagnostic::new("graph::model-misfit", name.span, message, "here");
        fields.report(diagnostic.hint(hint));
        Reported
    };
    let found = models.find(fields, AUTOENCODER.name, &name);
    let nodes = || {
        found
            .iter()
            .map(|&index| (index, &experiment.models[index].model))
    };
    let mut shapes = Vec::new();
    for (index, node) in nodes() {
        let Some(autoencoding) = node.autoencoding() else {
            return Err(report(
                format!(
                    "{} reads latents of an autoencoder, and model `{}` is a `{}` model",
                    fields.context(),
                    name.value,
                    node.kind()
                ),
                "name a model of kind `autoencoder`".to_owned(),
            ));
        };
        shapes.push((index, autoencoding.latent()));
    }
    let input = model.input();
    let wanted = LatentShape {
        channels: input.channels,
        side: input.side,
    };
    let mut fitting = shapes.iter().filter(|(_, shape)| *shape == wanted);
    match (fitting.next(), fitting.next(), shapes.first()) {
        (Some(&(index, _)), None, _) => Ok(Some(index)),
        (Some(_), Some(_), _) => Err(report(
            format!(
                "model `{}` is swept, and {} may read the latents of several of it",
                name.value,
                fields.context()
            ),
            "give each of its values a model of its own".to_owned(),
        )),
        (None, _, Some((first, shape))) => {
            let size = experiment.models[*first].model.input().side;
            let hint = match size.checked_div(shape.side) {
                Some(pixels) if shape.channels == wanted.channels => {
                    format!(
                        "`size = {}` in `{}` gives these",
                        wanted.side * pixels,
                        name.value
                    )
                }
                _ => "name another autoencoder".to_owned(),
            };
            Err(report(
                format!(
                    "{} reads latents of {wanted}, and those of autoencoder `{}` are {shape}",
                    fields.context(),
                    name.value
                ),
                hint,
            ))
        }
        // The name is not there, or its node has errors of its own.
        (None, _, None) => Err(Reported),
    }
}
