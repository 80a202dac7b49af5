//! Figure kind `noise-strip`: a few images of a dataset at growing noise, as a network sees them.

use std::sync::Arc;

use super::pending::pending;
use super::{Figure, FigureKind, NoiseStrip, Reference, RenderedFigure, Wanted, sheet};
use crate::report::axes::KnownAxes;
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::selection::TITLE_KEY;
use crate::spec::fields::Spanned;
use crate::spec::{Count, Fields, Key, Kind, KindDoc, List, Seed, Text};

/// The most timesteps, and the most images, that can be told apart on a page.
const MOST: u32 = 20;

const DATASET: Key<Text> = Key::text("dataset", "the name of a dataset")
    .doc("The dataset that the images are taken from.");
const MODEL: Key<Text> = Key::text("model", "the name of a model")
    .doc("The model whose size of images and schedule of noise are used.");
const TIMESTEPS: Key<List<Count>> = Key::list("timesteps", Count::within(0..=u32::MAX))
    .items(1..=MOST as usize)
    .doc("The timesteps of the noise, one column each, in this order.");
const COUNT: Key<Count> = Key::count("count", 1..=MOST)
    .default(4)
    .doc("How many images, from the beginning of the split.");
const SPLIT: Key<Text> = Key::text("split", "a split")
    .default("test")
    .doc("The split that the images are taken from.");
const NOISE_SEED: Key<Seed> = Key::seed("noise_seed")
    .default(0)
    .doc("The seed of the noise.");
const TITLE: Key<Text> = TITLE_KEY.optional("`Images at growing noise: NAME`");

/// `kind = "noise-strip"`.
pub const KIND: FigureKind = Kind::new(
    KindDoc {
        name: "noise-strip",
        summary: "Some images of a dataset at growing noise, as a model sees them: one row an image, one column a timestep.",
        keys: &[
            &FILE_KEY,
            &DATASET,
            &MODEL,
            &TIMESTEPS,
            &COUNT,
            &SPLIT,
            &NOISE_SEED,
            &TITLE,
        ],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>, _: &KnownAxes) -> Option<Arc<dyn Figure>> {
    let file = file_name(fields, &FILE_KEY, ".svg");
    let dataset = fields.located(&DATASET);
    let model = fields.located(&MODEL);
    let timesteps = fields.get(&TIMESTEPS);
    let (file, dataset, model, timesteps) = (file?, dataset?, model?, timesteps?);
    let title = fields.get(&TITLE);
    let (count, split) = (fields.get(&COUNT)?, fields.get(&SPLIT)?);
    let noise_seed = fields.get(&NOISE_SEED)?;
    fields.is_sound().then(|| {
        Arc::new(Strip {
            title: title.unwrap_or_else(|| format!("Images at growing noise: {}", dataset.value)),
            file,
            dataset,
            model,
            timesteps,
            count,
            split,
            noise_seed,
        }) as Arc<dyn Figure>
    })
}

#[derive(Debug)]
struct Strip {
    file: Spanned<String>,
    title: String,
    dataset: Spanned<String>,
    model: Spanned<String>,
    timesteps: Vec<u32>,
    count: u32,
    split: String,
    noise_seed: u64,
}

impl Figure for Strip {
    fn file(&self) -> &Spanned<String> {
        &self.file
    }

    fn references(&self) -> Vec<Reference> {
        vec![
            Reference {
                section: "dataset",
                key: "dataset",
                name: self.dataset.clone(),
            },
            Reference {
                section: "model",
                key: "model",
                name: self.model.clone(),
            },
        ]
    }

    fn wanted(&self) -> Option<Wanted> {
        Some(Wanted::NoiseStrip(NoiseStrip {
            dataset: self.dataset.value.clone(),
            model: self.model.value.clone(),
            timesteps: self.timesteps.clone(),
            count: self.count,
            split: self.split.clone(),
            noise_seed: self.noise_seed,
        }))
    }

    fn render(&self, input: &ReportInput) -> Result<RenderedFigure, ReportError> {
        let found = input
            .sheets
            .iter()
            .find(|sheet| sheet.name == self.file.value);
        let Some(found) = found else {
            let dataset = &self.dataset.value;
            let why = if input.absent_datasets.contains(dataset) {
                format!("the images of `{dataset}` are not on disk")
            } else {
                format!("the images of `{dataset}` are not there yet")
            };
            return pending(input, &self.file, &self.title, &why);
        };
        let mut strip = found.clone();
        if strip.column_labels.is_empty() {
            // Beyond ten columns there is room for the number alone.
            let sign = if self.timesteps.len() > 10 {
                ""
            } else {
                "t = "
            };
            let labels = self.timesteps.iter();
            strip.column_labels = labels.map(|timestep| format!("{sign}{timestep}")).collect();
        }
        let mut rendered = sheet::rendered(&self.file, &self.title, &strip, None)?;
        rendered.fixed = vec![
            format!("model {}", self.model.value),
            format!("dataset {}", self.dataset.value),
            format!("split {}", self.split),
            format!("noise seed {}", self.noise_seed),
        ];
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::input::ImageSheet;
    use crate::report::testing::{input, parsed};

    const STRIP: &str =
        "kind = \"noise-strip\"\nfile = \"a.svg\"\ndataset = \"fashion\"\nmodel = \"unet\"\n";

    #[test]
    fn a_strip_says_what_it_wants_and_shows_the_sheet_of_its_file() {
        let text = format!("{STRIP}timesteps = [0, 90, 500]\ncount = 2\n");
        let (figure, mistakes) = parsed(&text, |fields| {
            KIND.read_with(fields, &KnownAxes::default())
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let figure = figure.unwrap();
        let wanted = NoiseStrip {
            dataset: "fashion".to_owned(),
            model: "unet".to_owned(),
            timesteps: vec![0, 90, 500],
            count: 2,
            split: "test".to_owned(),
            noise_seed: 0,
        };
        assert_eq!(figure.wanted(), Some(Wanted::NoiseStrip(wanted)));
        let mut input = input(Vec::new());
        assert!(
            figure
                .render(&input)
                .unwrap()
                .caption
                .contains("not there yet")
        );
        input.sheets = vec![ImageSheet {
            name: "a.svg".to_owned(),
            caption: "2 images of `fashion`".to_owned(),
            channels: 3,
            side: 1,
            pixels: vec![vec![1, 2, 3]; 6],
            columns: 3,
            ..ImageSheet::default()
        }];
        let rendered = figure.render(&input).unwrap();
        assert!(
            rendered
                .drawing()
                .contains("Columns: t = 0, t = 90, t = 500.")
        );
        assert!(rendered.fixed.contains(&"noise seed 0".to_owned()));
    }

    #[test]
    fn a_strip_needs_timesteps_and_takes_no_more_than_fit() {
        for timesteps in [
            "[]",
            "[-1]",
            "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]",
        ] {
            let text = format!("{STRIP}timesteps = {timesteps}\n");
            let (figure, mistakes) = parsed(&text, |fields| {
                KIND.read_with(fields, &KnownAxes::default())
            });
            assert!(figure.is_none());
            assert!(
                mistakes[0].starts_with("spec::out-of-range"),
                "{mistakes:?}"
            );
        }
    }
}
