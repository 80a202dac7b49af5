//! Classes of samples, and what leads the samples to them.

use super::Classifier;
use crate::models::class_condition::{MISFIT, SampleClasses};
use crate::models::{ClassInput, Model};
use crate::spec::{Choice, Count, Custom, Fields, Key, List, Number, Shape, Text, Value};

pub(super) const CLASSES: Key<Custom> = Key::custom(
    "classes",
    "`uniform`, `null` or a list of integers from 0",
)
.list_by_nature()
.shapes(&[Shape::Value(&WORD), Shape::Value(&LIST)])
.optional("`uniform` where the network has classes, else none")
.doc("The classes of the images: each equally likely, drawn by `seed` and the number of the image; those of a list, in turn; or none, of a network that has a number for that.");
const WORD: Key<Choice<bool>> = Key::choice(CLASSES_NAME, &[("uniform", false), ("null", true)]);
const LIST: Key<List<Count>> =
    Key::list(CLASSES_NAME, Count::within(0..=999_999)).items(1..=1_000_000);
const CLASSES_NAME: &str = "classes";
pub(super) const GUIDANCE: Key<Number> = Key::number("guidance", Number::from(0.0).to(1000.0))
    .optional("none")
    .doc("Guidance without a classifier: the factor of the difference that the class makes, with 1 for none. The network runs with the class and without one; it has to have a number that stands for no class.");
/// Key of the classifier, by its name in the experiment.
pub(in crate::graph) const CLASSIFIER: Key<Text> = Key::text("classifier", "the name of a model")
    .optional("none")
    .doc("A classifier of noisy images of the same size, such as a `unet-encoder`, whose gradient leads the samples to their classes.");
pub(super) const CLASSIFIER_SCALE: Key<Number> =
    Key::number("classifier_scale", Number::from(0.0).to(1000.0))
        .default(1.0)
        .doc("The factor of the gradient of `classifier`.");

/// What a table says of classes and guidance.
pub(super) struct Guided {
    pub(super) classes: Option<SampleClasses>,
    pub(super) guidance: Option<f64>,
    pub(super) classifier: Option<Classifier>,
}

/// Reads the four keys; `None` where something is wrong, which is reported.
pub(super) fn parse(
    fields: &Fields<'_>,
    model: &dyn Model,
    classifier: Option<(usize, &dyn Model)>,
) -> Option<Guided> {
    let scale = fields.get(&CLASSIFIER_SCALE);
    let guidance = fields.given(&GUIDANCE);
    let own = model.classes();
    if guidance.is_some() && own.and_then(|classes| classes.null).is_none() {
        let message = format!(
            "`guidance` of {} has no meaning: model `{}` has no number that stands for no class",
            fields.context(),
            model.variant()
        );
        let hint = "lead the samples by a `classifier`, or take a network that was trained without classes some of the time";
        fields.invalid(GUIDANCE.name, MISFIT, message, Some(hint.to_owned()));
    }
    if fields.has(CLASSIFIER_SCALE.name) && !fields.has(CLASSIFIER.name) {
        let message = format!(
            "`classifier_scale` of {} counts only beside `classifier`",
            fields.context()
        );
        let hint = Some("take it out".to_owned());
        fields.invalid(CLASSIFIER_SCALE.name, "spec::out-of-range", message, hint);
    }
    let led = classifier.and_then(|(_, other)| fits(fields, model, other));
    let known = match (own, led) {
        (Some(own), Some(of_classifier)) if own.count != of_classifier => {
            let message = format!(
                "the classifier of {} has {of_classifier} classes, and model `{}` has {}",
                fields.context(),
                model.variant(),
                own.count
            );
            fields.invalid(CLASSIFIER.name, "graph::model-misfit", message, None);
            None
        }
        (Some(own), _) => Some(own),
        (None, Some(count)) => Some(ClassInput { count, null: None }),
        (None, None) => None,
    };
    let classes = classes(fields, model, known, fields.has(CLASSIFIER.name));
    Some(Guided {
        classes: classes?,
        guidance,
        classifier: classifier
            .zip(scale)
            .map(|((model, _), scale)| Classifier { model, scale }),
    })
}

/// The classes of a classifier that fits the network; reports one that does not.
fn fits(fields: &Fields<'_>, model: &dyn Model, classifier: &dyn Model) -> Option<u32> {
    let (own, other) = (model.input(), classifier.input());
    let misfit = |why: String| {
        let message = format!("the classifier of {} {why}", fields.context());
        let hint = "name a `unet-encoder` of the same size that was trained for the same noise";
        fields.invalid(
            CLASSIFIER.name,
            "graph::model-misfit",
            message,
            Some(hint.to_owned()),
        );
        None
    };
    let Some(classes) = classifier.guides() else {
        return misfit(format!(
            "is a `{}` model, which tells no classes apart in noisy images",
            classifier.kind()
        ));
    };
    if (own.channels, own.side) != (other.channels, other.side) {
        return misfit(format!(
            "reads {} × {} × {}, and the network {} × {} × {}",
            other.channels, other.side, other.side, own.channels, own.side, own.side
        ));
    }
    let steps = own.noise.map_or(0, |noise| noise.steps);
    // Two schedules that agree at both ends and halfway are the same one.
    let alike = |timestep| model.coefficients(timestep) == classifier.coefficients(timestep);
    if own.noise != other.noise
        || ![0, steps / 2, steps.saturating_sub(1)]
            .into_iter()
            .all(alike)
    {
        return misfit("was trained for other noise than the network".to_owned());
    }
    Some(classes)
}

/// Reads `classes`; `Some(None)` where the samples have none. `awaits` is whether a classifier is named, which may be at fault itself.
#[expect(
    clippy::option_option,
    reason = "no classes are another thing than wrong ones"
)]
fn classes(
    fields: &Fields<'_>,
    model: &dyn Model,
    known: Option<ClassInput>,
    awaits: bool,
) -> Option<Option<SampleClasses>> {
    let given = fields.raw(CLASSES_NAME);
    let Some(known) = known else {
        if given.is_some() && !awaits {
            let message = format!(
                "`{CLASSES_NAME}` of {} has no meaning: model `{}` is given no class, and no classifier leads the samples",
                fields.context(),
                model.variant()
            );
            let hint = Some(format!(
                "leave `{CLASSES_NAME}` out, or name a `classifier`"
            ));
            fields.invalid(CLASSES_NAME, MISFIT, message, hint);
        }
        return Some(None);
    };
    let Some(given) = given else {
        return Some(Some(SampleClasses::Uniform));
    };
    if let Value::Text(_) = given.value {
        if !fields.given(&WORD)? {
            return Some(Some(SampleClasses::Uniform));
        }
        if known.null.is_some() {
            return Some(Some(SampleClasses::Null));
        }
        let message = format!(
            "model `{}` has no number that stands for no class",
            model.variant()
        );
        let hint = Some(format!(
            "`{CLASSES_NAME} = \"uniform\"` draws a class for each image"
        ));
        fields.invalid(CLASSES_NAME, MISFIT, message, hint);
        return None;
    }
    let list = fields.given(&LIST)?;
    if let Some(unknown) = list.iter().find(|class| **class >= known.count) {
        let message = format!(
            "`{CLASSES_NAME}` of {} names class {unknown}, and there are {}",
            fields.context(),
            known.count
        );
        let hint = Some(format!(
            "classes are numbered from 0 to {}",
            known.count - 1
        ));
        fields.invalid(CLASSES_NAME, "spec::out-of-range", message, hint);
        return None;
    }
    Some(Some(SampleClasses::InTurn(list)))
}
