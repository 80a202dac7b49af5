//! Figure kind `sheet`: the images of a `[samples.NAME]`, side by side.

use std::sync::Arc;

use super::canvas::Words;
use super::pending::pending;
use super::{Figure, FigureKind, Reference, RenderedFigure, ShownArtifact, Wanted, mosaic};
use crate::report::axes::KnownAxes;
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::{ImageSheet, ReportInput};
use crate::report::markdown;
use crate::report::selection::TITLE_KEY;
use crate::spec::fields::Spanned;
use crate::spec::{Count, Fields, Key, Kind, KindDoc, Text};

const OF: Key<Text> =
    Key::text("of", "a name of `[samples.NAME]`").doc("The samples that are shown.");
const COUNT: Key<Count> = Key::count("count", 1..=400)
    .default(64)
    .doc("How many of them are shown at most, from the first.");
const TITLE: Key<Text> = TITLE_KEY.optional("`Samples: NAME`");

/// `kind = "sheet"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "sheet",
        summary: "Images sampled from a network, side by side, each of their pixels a square.",
        keys: &[&FILE_KEY, &OF, &COUNT, &TITLE],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>, _: &KnownAxes) -> Option<Arc<dyn Figure>> {
    let file = file_name(fields, &FILE_KEY, ".svg");
    let of = fields.located(&OF);
    let title = fields.get(&TITLE);
    let (file, of, count) = (file?, of?, fields.get(&COUNT)?);
    fields.is_sound().then(|| {
        Arc::new(Sheet {
            title: title.unwrap_or_else(|| format!("Samples: {}", of.value)),
            file,
            of,
            count,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Sheet {
    file: Spanned<String>,
    of: Spanned<String>,
    count: u32,
    title: String,
}

impl Figure for Sheet {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn references(&self) -> Vec<Reference> {
        vec![Reference {
            section: "samples",
            key: "of",
            name: self.of.clone(),
        }]
    }

    fn wanted(&self) -> Option<Wanted> {
        Some(Wanted::Sheet {
            of: self.of.value.clone(),
            count: self.count,
        })
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let Some(sheet) = input
            .sheets
            .iter()
            .find(|sheet| sheet.name == self.file.value)
        else {
            let why = format!("the samples `{}` are not there yet", self.of.value);
            return pending(input, &self.file, &self.title, &why);
        };
        let artifact = (!sheet.fingerprint.is_empty())
            .then(|| ShownArtifact::of("samples", &sheet.fingerprint, ""));
        rendered(&self.file, &self.title, sheet, artifact)
    }
}

/// Renders a sheet of images as a figure.
///
/// # Errors
/// A sheet that cannot be drawn.
pub(super) fn rendered(
    file: &Spanned<String>,
    title: &str,
    sheet: &ImageSheet,
    artifact: Option<ShownArtifact>,
) -> Result<RenderedFigure, ReportError> {
    let plain = sheet.caption.replace('`', "");
    let alternative = format!("images side by side: {plain}");
    let labels = |what: &str, labels: &[String]| match labels {
        [] => String::new(),
        labels => format!(" {what}: {}.", labels.join(", ")),
    };
    let words = Words {
        title,
        subtitle: &plain,
        description: &format!(
            "{alternative}.{}{}",
            labels("Columns", &sheet.column_labels),
            labels("Rows", &sheet.row_labels)
        ),
    };
    Ok(RenderedFigure {
        title: title.to_owned(),
        file: file.value.clone(),
        svg: Some(mosaic::paint(
            &format!("figure `{}`", file.value),
            sheet,
            words,
        )?),
        alternative,
        caption: format!("{}.", markdown::prose(sheet.caption.trim_end_matches('.'))),
        notes: Vec::new(),
        fixed: Vec::new(),
        sql: None,
        rows: Vec::new(),
        data: None,
        artifact,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{input, parsed};

    fn figure() -> Arc<dyn Figure> {
        let text = "kind = \"sheet\"\nfile = \"a.svg\"\nof = \"faces\"\n";
        let (figure, mistakes) =
            parsed(text, |fields| KIND.read_with(fields, &KnownAxes::default()));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        figure.unwrap()
    }

    #[test]
    fn a_sheet_shows_the_samples_that_it_names() {
        let mut input = input(Vec::new());
        let sheet = |name: &str, caption: &str| ImageSheet {
            name: name.to_owned(),
            fingerprint: "ab".repeat(32),
            caption: caption.to_owned(),
            channels: 1,
            side: 2,
            pixels: vec![vec![0, 50, 100, 250]; 2],
            columns: 2,
            ..ImageSheet::default()
        };
        input.sheets = vec![
            sheet("other.svg", "b"),
            sheet("a.svg", "2 samples of `a_b`"),
        ];
        let rendered = figure().render(&input).unwrap();
        assert_eq!(rendered.title, "Samples: faces");
        assert_eq!(rendered.caption, "2 samples of `a_b`.");
        assert_eq!(
            rendered.alternative,
            "images side by side: 2 samples of a_b"
        );
        assert!(
            rendered
                .artifact
                .unwrap()
                .file
                .starts_with("artifacts/samples/ab/abab")
        );
        assert_eq!(rendered.sql, None);
    }

    #[test]
    fn samples_that_are_not_there_leave_a_card_that_says_so() {
        let rendered = figure().render(&input(Vec::new())).unwrap();
        assert!(rendered.caption.contains("`faces` are not there yet"));
        assert!(rendered.drawing().contains("faces are not there yet"));
        assert_eq!(rendered.artifact, None);
    }

    #[test]
    fn the_samples_are_named_with_their_place() {
        let figure = figure();
        assert_eq!(figure.references()[0].section, "samples");
        assert_eq!(figure.references()[0].name.value, "faces");
        assert!(figure.question().is_none());
        assert_eq!(
            figure.wanted(),
            Some(Wanted::Sheet {
                of: "faces".to_owned(),
                count: 64,
            })
        );
    }
}
