//! `preprocess`: how images become the square that a network reads, by a name or step by step.
//!
//! A list is followed before anything runs: it has to end in the network's square for images of any shape.

use crate::imaging::preprocess::{Named, Number as Number64, Step};
use crate::imaging::{Filter, Normalization, Preprocess};
use crate::models::Model;
use crate::spec::fields::Spanned;
use crate::spec::{
    Boolean, Choice, Count, Diagnostic, Fields, Key, Kind, KindDoc, List, Number, Parse, WordOr,
    WordOrNode, suggest,
};

/// The key as `[extraction.*]` and `[pretrain.*]` have it.
pub const KEY: Key<WordOr<Named>> = Key::word_or("preprocess", Named::CHOICES, "a list of steps", step_kinds)
    .optional("the model's own")
    .doc(
        "How images that are trained on become squares: by a name, or by a list of the steps under `preprocess` below. Every model knows what its authors evaluated it with; `repro list models NAME` shows it.",
    );

/// How images become squares that are predicted or held out.
pub const TEST_KEY: Key<WordOr<Named>> =
    Key::word_or("test_preprocess", Named::CHOICES, "a list of steps", step_kinds)
        .optional("`preprocess` without what it draws: random crops become `adm-center-crop`, and random flips are left out")
        .doc("How images become squares that are predicted or in a validation split. Nothing in it may be random.");

/// The key `normalize`.
pub const NORMALIZE: Key<Choice<Normalization>> =
    Key::choice("normalize", Normalization::CHOICES)
        .optional("the model's own")
        .doc("How pixels become numbers: -1 to 1, 0 to 1, or with the mean of ImageNet's channels taken away and divided by their deviation. Every model knows what it was trained on.");

/// A side in pixels; no step may ask for a longer one.
const SIDE: Count = Count::within(1..=16_384);
const FILTER: Key<Choice<Filter>> = Key::choice("filter", Filter::CHOICES)
    .default(Filter::Bicubic)
    .doc("The filter, antialiased where it shrinks.");
const ADM_CENTER_CROP: Key<Count> = Key::of("adm-center-crop", SIDE).doc("Side of the square.");
const ADM_RANDOM_CROP: Key<Count> = Key::of("adm-random-crop", SIDE).doc("Side of the square.");
const FRACTION: Key<List<Number>> = Key::list("fraction", Number::above(0.0).to(1.0))
    .items(2..=2)
    .default(&[0.8, 1.0])
    .doc("The least and the most share of the shorter side that the square covers.");
const RESIZE: Key<Count> = Key::of("resize", SIDE).doc("The shorter side.");
const CENTER_CROP: Key<Count> = Key::of("center-crop", SIDE)
    .doc("Side of the square, at most the shorter side of what the steps before it give.");
const STRETCH: Key<Count> = Key::of("stretch", SIDE).doc("Side of the square.");
const RANDOM_RESIZED_CROP: Key<Count> =
    Key::of("random-resized-crop", SIDE).doc("Side of the square.");
const SCALE: Key<List<Number>> = Key::list("scale", Number::above(0.0).to(1.0))
    .items(2..=2)
    .default(&[0.08, 1.0])
    .doc("The least and the most share of the image's area.");
const RATIO: Key<List<Number>> = Key::list("ratio", Number::above(0.0).to(1e6))
    .items(2..=2)
    .default(&[3.0 / 4.0, 4.0 / 3.0])
    .doc("The least and the most ratio of width to height.");
const CROP_FILTER: Key<Choice<Filter>> = FILTER.default(Filter::Bilinear);
const FLIP: Key<Boolean> = Key::boolean("flip").doc("Always.");
const RANDOM_FLIP: Key<Number> =
    Key::number("random-flip", Number::from(0.0).to(1.0)).doc("How often.");

fn step_kinds() -> Vec<&'static KindDoc> {
    STEPS.iter().map(|kind| &kind.doc).collect()
}

/// Every step, named by the key that it begins with.
pub const STEPS: &[&Kind<Parse<Step>>] = &[
    &Kind::new(
        KindDoc {
            name: ADM_CENTER_CROP.name,
            summary: "The center as guided-diffusion cuts it: halved while the shorter side is at least twice as long, then bicubic, then cropped.",
            keys: &[&ADM_CENTER_CROP],
            shared: &[],
        },
        |fields| {
            let side = fields.get(&ADM_CENTER_CROP)?;
            Some(Step::AdmCenterCrop { side })
        },
    ),
    &Kind::new(
        KindDoc {
            name: ADM_RANDOM_CROP.name,
            summary: "A random square as guided-diffusion cuts it: the shorter side gets a random length, as `adm-center-crop` resizes, and the square lies anywhere. What is drawn is a function of seed, sample, view and draw.",
            keys: &[&ADM_RANDOM_CROP, &FRACTION],
            shared: &[],
        },
        |fields| {
            let fraction = bounds(fields, &FRACTION);
            Some(Step::AdmRandomCrop {
                side: fields.get(&ADM_RANDOM_CROP)?,
                fraction: fraction?,
            })
        },
    ),
    &Kind::new(
        KindDoc {
            name: RESIZE.name,
            summary: "The shorter side gets a length, the longer one keeps the shape: torchvision's `Resize`.",
            keys: &[&RESIZE, &FILTER],
            shared: &[],
        },
        |fields| {
            Some(Step::Resize {
                side: fields.get(&RESIZE)?,
                filter: fields.get(&FILTER)?,
            })
        },
    ),
    &Kind::new(
        KindDoc {
            name: CENTER_CROP.name,
            summary: "The square in the middle: torchvision's `CenterCrop`.",
            keys: &[&CENTER_CROP],
            shared: &[],
        },
        |fields| {
            let side = fields.get(&CENTER_CROP)?;
            Some(Step::CenterCrop { side })
        },
    ),
    &Kind::new(
        KindDoc {
            name: STRETCH.name,
            summary: "The whole image becomes a square, whatever its shape, between the four nearest pixels and without rounding to 8 bits: as PyTorch resizes for FID. The last step of a list.",
            keys: &[&STRETCH],
            shared: &[],
        },
        |fields| {
            let side = fields.get(&STRETCH)?;
            Some(Step::Stretch { side })
        },
    ),
    &Kind::new(
        KindDoc {
            name: RANDOM_RESIZED_CROP.name,
            summary: "A random part, resized to a square: torchvision's `RandomResizedCrop`. What is drawn is a function of seed, sample, view and draw.",
            keys: &[&RANDOM_RESIZED_CROP, &SCALE, &RATIO, &CROP_FILTER],
            shared: &[],
        },
        |fields| {
            let (scale, ratio) = (bounds(fields, &SCALE), bounds(fields, &RATIO));
            Some(Step::RandomResizedCrop {
                side: fields.get(&RANDOM_RESIZED_CROP)?,
                scale: scale?,
                ratio: ratio?,
                filter: fields.get(&CROP_FILTER)?,
            })
        },
    ),
    &Kind::new(
        KindDoc {
            name: FLIP.name,
            summary: "The mirror image, left and right exchanged.",
            keys: &[&FLIP],
            shared: &[],
        },
        |fields| {
            if fields.get(&FLIP)? {
                return Some(Step::Flip);
            }
            let hint = Some("leave the step out".to_owned());
            let message = format!("{} does nothing", fields.context());
            fields.invalid(FLIP.name, "graph::preprocess-misfit", message, hint);
            None
        },
    ),
    &Kind::new(
        KindDoc {
            name: RANDOM_FLIP.name,
            summary: "The mirror image or not, as a function of seed, sample, view and draw.",
            keys: &[&RANDOM_FLIP],
            shared: &[],
        },
        |fields| {
            let probability = Number64(fields.get(&RANDOM_FLIP)?);
            Some(Step::RandomFlip { probability })
        },
    ),
];

/// Reads `preprocess` of a table; the model's own where the key is absent. `None` where it is wrong, or where there is no model to
/// ask.
pub(super) fn parse(fields: &Fields<'_>, model: Option<&dyn Model>) -> Option<Preprocess> {
    if !fields.has(KEY.name) {
        return model.map(Model::preprocess);
    }
    given(fields, &KEY, model.map(|model| model.input().side))
}

/// Reads `test_preprocess` beside `preprocess`, whose deterministic part it is where it is absent. `None` where it is wrong, or where
/// `side` is not known.
pub(super) fn parse_test(
    fields: &Fields<'_>,
    preprocess: &Preprocess,
    side: Option<u32>,
) -> Option<Preprocess> {
    if !fields.has(TEST_KEY.name) {
        return Some(preprocess.without_chance(side?));
    }
    let test = given(fields, &TEST_KEY, side)?;
    if test.is_random() {
        let message = format!(
            "`{}` of {} is random, so that predictions would depend on one draw",
            TEST_KEY.name,
            fields.context()
        );
        let hint = test.without_chance(side?).name();
        let hint = format!("leave out what is random; without it: {hint}");
        fields.invalid(
            TEST_KEY.name,
            "graph::preprocess-misfit",
            message,
            Some(hint),
        );
        return None;
    }
    Some(test)
}

/// Reads a key that is there.
fn given(fields: &Fields<'_>, key: &Key<WordOr<Named>>, side: Option<u32>) -> Option<Preprocess> {
    // Of a wrong value nobody knows what it leads to, so no default stands in for it.
    match fields.given(key)? {
        WordOrNode::Word(named) => Some(Preprocess::Named(named)),
        WordOrNode::List(_) => {
            let readers = fields.tables(key.name);
            let steps: Vec<Spanned<Step>> = readers.iter().filter_map(step).collect();
            if steps.len() < readers.len() {
                return None;
            }
            let side = side?;
            follow(fields, key.name, &steps, side)
                .then(|| Preprocess::new(steps.into_iter().map(|step| step.value).collect(), side))
        }
    }
}

/// Reads one step.
fn step(fields: &Fields<'_>) -> Option<Spanned<Step>> {
    let names = || STEPS.iter().map(|step| step.doc.name);
    let Some(kind) = STEPS.iter().find(|step| fields.has(step.doc.name)) else {
        let (span, found) = fields.entries().first().map_or_else(
            || (fields.span(), String::new()),
            |entry| (entry.key_span, entry.key.clone()),
        );
        let hint = suggest::hint(&found, names());
        let message = format!("{} does not name a step", fields.context());
        fields.report(
            Diagnostic::new("graph::preprocess-misfit", span, message, "no step").maybe_hint(hint),
        );
        return None;
    };
    let value = kind.read(fields).filter(|_| fields.is_sound())?;
    let span = fields.span_of(kind.doc.name);
    Some(Spanned { value, span })
}

/// The least and the most of a list of two.
fn bounds(fields: &Fields<'_>, key: &Key<List<Number>>) -> Option<[Number64; 2]> {
    let [low, high] = fields.get(key)?.try_into().ok()?;
    if low > high {
        let message = format!(
            "`{}` of {} begins with the larger number",
            key.name,
            fields.context()
        );
        let hint = format!("write `{} = [{high}, {low}]`", key.name);
        fields.invalid(key.name, "spec::out-of-range", message, Some(hint));
        return None;
    }
    Some([low, high].map(Number64))
}

/// What is known of an image between two steps.
#[derive(Clone, Copy)]
enum Known {
    /// Nothing: it has its own shape.
    Nothing,
    /// Its shorter side, in pixels.
    Shorter(u32),
    /// It is a square.
    Square(u32),
}

/// Whether the steps give the network's square for every image; reports the first that cannot.
fn follow(fields: &Fields<'_>, key: &str, steps: &[Spanned<Step>], side: u32) -> bool {
    let misfit = |span, message: String, hint: String| {
        fields
            .report(Diagnostic::new("graph::preprocess-misfit", span, message, "here").hint(hint));
        false
    };
    let mut known = Known::Nothing;
    for (place, step) in steps.iter().enumerate() {
        if let Step::Stretch { .. } = step.value
            && place + 1 < steps.len()
        {
            let message = "what it gives is not rounded to 8 bits, so that no step can follow";
            return misfit(step.span, message.to_owned(), "put it last".to_owned());
        }
        known = match (&step.value, known) {
            (
                Step::AdmCenterCrop { side }
                | Step::AdmRandomCrop { side, .. }
                | Step::RandomResizedCrop { side, .. }
                | Step::Stretch { side },
                _,
            )
            | (Step::Resize { side, .. }, Known::Square(_)) => Known::Square(*side),
            (Step::Resize { side, .. }, _) => Known::Shorter(*side),
            (Step::CenterCrop { side }, Known::Nothing) => {
                return misfit(
                    step.span,
                    format!("images smaller than {side} pixels have no such center"),
                    format!("put {{ resize = {side} }} before it"),
                );
            }
            (&Step::CenterCrop { side }, Known::Shorter(shorter) | Known::Square(shorter)) => {
                if side > shorter {
                    return misfit(
                        step.span,
                        format!(
                            "the steps before leave a shorter side of {shorter} pixels, which has no center of {side}"
                        ),
                        format!("at most {shorter} here, or at least {side} before it"),
                    );
                }
                Known::Square(side)
            }
            (Step::Flip | Step::RandomFlip { .. }, known) => known,
        };
    }
    let last = steps
        .last()
        .map_or_else(|| fields.span_of(key), |step| step.span);
    let wants = format!("{} needs squares of {side} pixels", fields.context());
    match known {
        Known::Square(found) if found == side => true,
        Known::Square(found) => misfit(
            last,
            format!("the steps end in squares of {found} pixels, but the network of {wants}"),
            format!("end in {side}"),
        ),
        _ => misfit(
            last,
            format!("the steps end in images that are not square, but the network of {wants}"),
            format!("end in {{ center-crop = {side} }}"),
        ),
    }
}
