//! `preprocess`: how images become the square that a network reads, by a name or step by step.
//!
//! A list is followed before anything runs: it has to end in the network's square for images of any shape.

use crate::imaging::preprocess::{Named, Number, Step};
use crate::imaging::{Filter, Normalization, Preprocess};
use crate::spec::fields::Located;
use crate::spec::{Diagnostic, Fields, Key, KindDoc, Value, suggest};

/// The key as `[extraction.*]` and `[pretrain.*]` have it.
pub const KEY: Key = Key::optional(
    "preprocess",
    "a word or a list of steps",
    "\"adm-center-crop\"",
    "How images become squares: `adm-center-crop`, `resize-center-crop`, or a list of the steps under `preprocess` below.",
)
.steps();

/// The key `normalize`.
pub const NORMALIZE: Key = Key::optional(
    "normalize",
    "`minus-one-to-one`, `zero-to-one` or `imagenet`",
    "the model's own",
    "How pixels become numbers: -1 to 1, 0 to 1, or with the mean of ImageNet's channels taken away and divided by their deviation. Every model knows what it was trained on.",
);

/// The longest side that a step may ask for.
const LONGEST: u32 = 16_384;
const SIDE: &str = "an integer from 1 to 16384";
const FILTERS: &str = "`bicubic`, `bilinear` or `box`";

/// Every step, named by the key that it begins with.
pub const STEPS: &[KindDoc] = &[
    KindDoc {
        name: "adm-center-crop",
        summary: "The centre as guided-diffusion cuts it: halved while the shorter side is at least twice as long, then bicubic, then cropped.",
        keys: &[Key::required(
            "adm-center-crop",
            SIDE,
            "Side of the square.",
        )],
    },
    KindDoc {
        name: "resize",
        summary: "The shorter side gets a length, the longer one keeps the shape: torchvision's `Resize`.",
        keys: &[
            Key::required("resize", SIDE, "The shorter side."),
            Key::optional(
                "filter",
                FILTERS,
                "\"bicubic\"",
                "The filter, antialiased where it shrinks.",
            ),
        ],
    },
    KindDoc {
        name: "center-crop",
        summary: "The square in the middle: torchvision's `CenterCrop`.",
        keys: &[Key::required(
            "center-crop",
            SIDE,
            "Side of the square, at most the shorter side of what the steps before it give.",
        )],
    },
    KindDoc {
        name: "random-resized-crop",
        summary: "A random part, resized to a square: torchvision's `RandomResizedCrop`. What is drawn is a function of seed, sample, view and draw.",
        keys: &[
            Key::required("random-resized-crop", SIDE, "Side of the square."),
            Key::optional(
                "scale",
                "two numbers above 0, at most 1",
                "[0.08, 1]",
                "The least and the most share of the image's area.",
            )
            .list(),
            Key::optional(
                "ratio",
                "two numbers above 0",
                "[0.75, 1.3333333333333333]",
                "The least and the most ratio of width to height.",
            )
            .list(),
            Key::optional(
                "filter",
                FILTERS,
                "\"bilinear\"",
                "The filter, antialiased where it shrinks.",
            ),
        ],
    },
    KindDoc {
        name: "flip",
        summary: "The mirror image, left and right exchanged.",
        keys: &[Key::required("flip", "`true`", "Always.")],
    },
    KindDoc {
        name: "random-flip",
        summary: "The mirror image or not, as a function of seed, sample, view and draw.",
        keys: &[Key::required(
            "random-flip",
            "a number from 0 to 1",
            "How often.",
        )],
    },
];

/// Reads `preprocess` of a table. `side` is the network's, where that is known. The default where the key is absent; `None` where
/// it is wrong.
pub(super) fn parse(fields: &Fields<'_>, side: Option<u32>) -> Option<Preprocess> {
    let Some(node) = fields.raw(KEY.name) else {
        return Some(Preprocess::default());
    };
    match &node.value {
        Value::Text(_) => fields
            .choice(KEY.name, Named::CHOICES)
            .map(Preprocess::Named),
        Value::List(items) => {
            let readers = fields.tables(KEY.name);
            let steps: Vec<Located<Step>> = readers.iter().filter_map(step).collect();
            if steps.len() < items.len() {
                return None;
            }
            let side = side?;
            follow(fields, &steps, side)
                .then(|| Preprocess::new(steps.into_iter().map(|step| step.value).collect(), side))
        }
        other => {
            fields.wrong_type_at(node.span, KEY.name, "a word or a list of steps", other);
            None
        }
    }
}

/// Reads `normalize` of a table; `None` where the model decides.
pub(super) fn parse_normalize(fields: &Fields<'_>) -> Option<Normalization> {
    fields.choice(NORMALIZE.name, Normalization::CHOICES)
}

/// Reads one step.
fn step(fields: &Fields<'_>) -> Option<Located<Step>> {
    let names = || STEPS.iter().map(|step| step.name);
    let Some(doc) = STEPS.iter().find(|step| fields.has(step.name)) else {
        let (span, found) = fields.entries().first().map_or_else(
            || (fields.span(), String::new()),
            |entry| (entry.key_span, entry.key.clone()),
        );
        let hint = suggest::hint(&found, names());
        let message = format!("{} names no step", fields.context());
        fields.report(
            Diagnostic::new("graph::preprocess-misfit", span, message, "no step").maybe_hint(hint),
        );
        return None;
    };
    fields.check_keys(doc.keys, &[]);
    let length = || fields.count(doc.name, 1..=LONGEST);
    let filter = |default| fields.choice("filter", Filter::CHOICES).unwrap_or(default);
    let step = match doc.name {
        "adm-center-crop" => length().map(|side| Step::AdmCenterCrop { side }),
        "resize" => {
            let filter = filter(Filter::Bicubic);
            length().map(|side| Step::Resize { side, filter })
        }
        "center-crop" => length().map(|side| Step::CenterCrop { side }),
        "random-resized-crop" => {
            let filter = filter(Filter::Bilinear);
            let scale = bounds(fields, "scale", [0.08, 1.0], 1.0);
            let ratio = bounds(fields, "ratio", [3.0 / 4.0, 4.0 / 3.0], 1e6);
            length().map(|side| Step::RandomResizedCrop {
                side,
                scale,
                ratio,
                filter,
            })
        }
        "flip" => match fields.boolean("flip") {
            Some(false) => {
                let hint = Some("leave the step out".to_owned());
                let message = format!("{} does nothing", fields.context());
                fields.misfit("flip", "graph::preprocess-misfit", message, hint);
                None
            }
            flip => flip.map(|_| Step::Flip),
        },
        _ => fields
            .number("random-flip", 0.0..=1.0)
            .map(|probability| Step::RandomFlip {
                probability: Number(probability),
            }),
    };
    let span = fields.span_of(doc.name);
    fields
        .is_sound()
        .then_some(step)
        .flatten()
        .map(|value| Located { value, span })
}

/// A list of the least and the most.
fn bounds(fields: &Fields<'_>, key: &str, default: [f64; 2], most: f64) -> [Number; 2] {
    let Some(node) = fields.raw(key) else {
        return default.map(Number);
    };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    let numbers: Vec<f64> = items
        .iter()
        .filter_map(|item| match item.value {
            Value::Number(number) => Some(number),
            #[expect(clippy::cast_precision_loss, reason = "larger ones are refused below")]
            Value::Integer(integer) => Some(integer as f64),
            _ => None,
        })
        .collect();
    match (numbers.as_slice(), items.len()) {
        (&[low, high], 2) if low > 0.0 && low <= high && high <= most => [low, high].map(Number),
        _ => {
            fields.report(Diagnostic::new(
                "spec::out-of-range",
                node.span,
                format!("`{key}` of {} must be two numbers, the least and the most, above 0 and at most {most}", fields.context()),
                "out of range",
            ));
            default.map(Number)
        }
    }
}

/// What is known of an image between two steps.
#[derive(Clone, Copy)]
enum Known {
    /// Nothing: it has its own shape.
    Nothing,
    /// Its shorter side.
    Shorter(u32),
    /// It is a square.
    Square(u32),
}

/// Whether the steps give the network's square for every image; reports the first that cannot.
fn follow(fields: &Fields<'_>, steps: &[Located<Step>], side: u32) -> bool {
    let misfit = |span, message: String, hint: String| {
        fields
            .report(Diagnostic::new("graph::preprocess-misfit", span, message, "here").hint(hint));
        false
    };
    let mut known = Known::Nothing;
    for step in steps {
        known = match (&step.value, known) {
            (Step::AdmCenterCrop { side } | Step::RandomResizedCrop { side, .. }, _) => {
                Known::Square(*side)
            }
            (Step::Resize { side, .. }, Known::Square(_)) => Known::Square(*side),
            (Step::Resize { side, .. }, _) => Known::Shorter(*side),
            (Step::CenterCrop { side }, Known::Nothing) => {
                return misfit(
                    step.span,
                    format!("images smaller than {side} pixels have no such centre"),
                    format!("put {{ resize = {side} }} before it"),
                );
            }
            (&Step::CenterCrop { side }, Known::Shorter(shorter) | Known::Square(shorter)) => {
                if side > shorter {
                    return misfit(
                        step.span,
                        format!(
                            "the steps before leave a shorter side of {shorter} pixels, which has no centre of {side}"
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
        .map_or_else(|| fields.span_of(KEY.name), |step| step.span);
    let wants = format!("{} wants squares of {side} pixels", fields.context());
    match known {
        Known::Square(found) if found == side => true,
        Known::Square(found) => misfit(
            last,
            format!("the steps end in squares of {found} pixels, but the network of {wants}"),
            format!("end in {side}"),
        ),
        _ => misfit(
            last,
            format!("the steps end in images that are no squares, but the network of {wants}"),
            format!("end in {{ center-crop = {side} }}"),
        ),
    }
}
