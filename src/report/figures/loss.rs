//! Figure kind `loss`: the loss of a `[pretrain.NAME]` over its steps.
//!
//! A loss on single batches wavers more than it falls. So what was recorded is drawn faintly, with a line of means over its neighbors
//! through it. The scale is logarithmic unless a loss is zero or below.

mod curve;
mod plot;

use std::sync::Arc;

use self::curve::Curve;
use self::plot::{Plot, SIZE};
use super::canvas::{Words, draw};
use super::pending::pending;
use super::{Figure, FigureKind, Reference, RenderedFigure, ShownArtifact, Wanted, data};
use crate::report::axes::KnownAxes;
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::{ReportInput, TrainingCurve};
use crate::report::markdown;
use crate::report::number::significant;
use crate::report::selection::TITLE_KEY;
use crate::spec::fields::Spanned;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};
use crate::store::names::{CURVE, table_file};
use crate::text::{count, plural};

const OF: Key<Text> =
    Key::text("of", "a name of `[pretrain.NAME]`").doc("The training whose loss is shown.");
const TITLE: Key<Text> = TITLE_KEY.optional("`Training loss: NAME`");

/// `kind = "loss"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "loss",
        summary: "The loss of a network over the steps of its training, as it was recorded and as a mean over neighbors.",
        keys: &[&FILE_KEY, &OF, &TITLE],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>, _: &KnownAxes) -> Option<Arc<dyn Figure>> {
    let file = file_name(fields, &FILE_KEY, ".svg");
    let of = fields.located(&OF);
    let title = fields.get(&TITLE);
    let (file, of) = (file?, of?);
    fields.is_sound().then(|| {
        Arc::new(Loss {
            title: title.unwrap_or_else(|| format!("Training loss: {}", of.value)),
            file,
            of,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Loss {
    file: Spanned<String>,
    of: Spanned<String>,
    title: String,
}

impl Figure for Loss {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn references(&self) -> Vec<Reference> {
        vec![Reference {
            section: "pretrain",
            key: "of",
            name: self.of.clone(),
        }]
    }

    fn wanted(&self) -> Option<Wanted> {
        Some(Wanted::Curve {
            of: self.of.value.clone(),
        })
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let mut named = input
            .trainings
            .iter()
            .filter(|training| training.name == self.of.value);
        let Some(training) = named.next() else {
            let why = format!("the network of `{}` is not trained yet", self.of.value);
            return pending(input, &self.file, &self.title, &why);
        };
        let Some(curve) = Curve::of(training) else {
            let why = format!(
                "no loss of `{}` that was recorded is a finite number",
                self.of.value
            );
            return pending(input, &self.file, &self.title, &why);
        };
        let mut notes = notes(training, &curve);
        let others = named.count();
        if others > 0 {
            notes.push(format!(
                "{} more of the same name; the first is shown.",
                plural(others, "training")
            ));
        }
        let plot = Plot::of(&curve);
        let length = format!(
            "{} and {}",
            plural_of(training.steps, "step"),
            plural_of(training.images, "image")
        );
        let scale = if plot.is_logarithmic() {
            " (logarithmic)"
        } else {
            ""
        };
        let alternative = format!("training loss of {} over {length}", self.of.value);
        let words = Words {
            title: &self.title,
            subtitle: &format!("loss{scale} by step · {length} in all"),
            description: &format!("{alternative}. {}", curve.in_words()),
        };
        let place = format!("figure `{}`", self.file.value);
        let svg = draw(&place, SIZE, words, |canvas| plot.paint(canvas))?;
        Ok(RenderedFigure {
            title: self.title.clone(),
            file: self.file.value.clone(),
            alternative,
            caption: self.caption(training, &curve, &length),
            notes,
            fixed: Vec::new(),
            sql: None,
            rows: Vec::new(),
            data: Some(data::of_curve(training)),
            artifact: Some(ShownArtifact::of(
                "pretraining",
                &training.fingerprint,
                &table_file(CURVE),
            )),
            svg: Some(svg),
        })
    }
}

impl Loss {
    fn caption(&self, training: &TrainingCurve, curve: &Curve, length: &str) -> String {
        let name = markdown::code(&self.of.value);
        let recorded = plural(curve.points.len(), "recorded step");
        let lines = match curve.window {
            1 => format!("The loss of the training {name} at {recorded}"),
            window => format!(
                "The loss of the training {name} at {recorded} (faint), and its mean over {window} of them, those around each (line)"
            ),
        };
        let end = curve.smooth.last().map_or_else(String::new, |last| {
            format!(" It ends at {}.", significant(last.1))
        });
        let rates = || training.points.iter().map(|point| point.learning_rate);
        let rate = match (rates().reduce(f64::min), rates().reduce(f64::max)) {
            (Some(lowest), Some(highest)) if lowest < highest => format!(
                ", at learning rates from {} to {}",
                significant(lowest),
                significant(highest)
            ),
            (Some(only), _) => format!(", at a learning rate of {}", significant(only)),
            _ => String::new(),
        };
        format!("{lines}, over {length}{rate}.{end}")
    }
}

/// What a reader must know besides.
fn notes(training: &TrainingCurve, curve: &Curve) -> Vec<String> {
    let lost: Vec<u64> = training
        .points
        .iter()
        .filter(|point| !point.loss.is_finite())
        .map(|point| point.step)
        .collect();
    let first = lost.first().map(|first| {
        format!(
            "Losses that are no finite number are left out: {}, the first of them step {}.",
            plural(lost.len(), "step"),
            count(*first)
        )
    });
    let short = curve
        .points
        .last()
        .filter(|(last, _)| *last < training.points.last().map_or(0, |point| point.step))
        .map(|(last, _)| format!("The line ends at step {}.", count(*last)));
    first.into_iter().chain(short).collect()
}

fn plural_of(number: u64, noun: &str) -> String {
    plural(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::input::TrainingPoint;
    use crate::report::testing::{input, parsed};

    fn figure() -> Arc<dyn Figure> {
        let text = "kind = \"loss\"\nfile = \"a.svg\"\nof = \"unet\"\n";
        let (figure, mistakes) =
            parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        figure.unwrap()
    }

    fn trained(losses: impl Iterator<Item = f64>) -> ReportInput {
        let points = losses.zip(0..).map(|(loss, number)| TrainingPoint {
            step: 10 * number,
            loss,
            learning_rate: 1e-4,
            gradient_norm: 1.0,
        });
        let points: Vec<TrainingPoint> = points.collect();
        let mut input = input(Vec::new());
        input.trainings = vec![TrainingCurve {
            name: "unet".to_owned(),
            fingerprint: "cd".repeat(32),
            steps: 10 * points.len() as u64,
            images: 1280 * points.len() as u64,
            points,
        }];
        input
    }

    #[test]
    fn a_curve_says_how_it_was_made_and_where_it_lies() {
        let input = trained((0..400).map(|number| 1.0 / (1.0 + f64::from(number))));
        let rendered = figure().render(&input).unwrap();
        assert_eq!(
            rendered.caption,
            "The loss of the training `unet` at 400 recorded steps (faint), and its mean over 9 of them, those around each (line), over 4,000 steps and 512,000 images, at a learning rate of 0.0001. It ends at 0.00251."
        );
        assert_eq!(
            rendered.artifact.as_ref().unwrap().file,
            format!("artifacts/pretraining/cd/{}/curve.parquet", "cd".repeat(32))
        );
        assert!(rendered.drawing().contains("(logarithmic)"));
        assert_eq!((rendered.sql, rendered.notes.len()), (None, 0));
    }

    #[test]
    fn losses_that_are_no_numbers_are_left_out_and_told() {
        let losses = [1.0, f64::NAN, 0.5, f64::INFINITY];
        let rendered = figure().render(&trained(losses.into_iter())).unwrap();
        assert_eq!(
            rendered.notes,
            [
                "Losses that are no finite number are left out: 2 steps, the first of them step 10.",
                "The line ends at step 20."
            ]
        );
        let rendered = figure().render(&trained([f64::NAN].into_iter())).unwrap();
        assert!(rendered.caption.contains("is a finite number"));
    }

    #[test]
    fn a_loss_of_zero_has_a_linear_scale() {
        let rendered = figure().render(&trained([1.0, 0.0].into_iter())).unwrap();
        assert!(!rendered.drawing().contains("logarithmic"));
    }

    #[test]
    fn a_training_that_is_not_there_leaves_a_card_that_says_so() {
        let rendered = figure().render(&input(Vec::new())).unwrap();
        assert_eq!(rendered.caption, "the network of `unet` is not trained yet");
        assert_eq!(rendered.artifact, None);
    }
}
