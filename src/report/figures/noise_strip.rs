//! Figure kind `noise-strip`: a few images of a dataset at growing noise, as a network sees them.

use std::sync::Arc;

use super::pending::pending;
use super::{Figure, FigureKind, NoiseStrip, Reference, RenderedFigure, Wanted, sheet};
use crate::report::config::{FILE_KEY, file_name};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::spec::fields::Located;
use crate::spec::{Fields, Key, KindDoc};

/// The kind.
pub const KIND: Kind = Kind;

/// See the module.
#[derive(Debug)]
pub struct Kind;

/// The most timesteps, and the most images, that can be told apart on a page.
const MOST: u32 = 20;

const DOC: KindDoc = KindDoc {
    name: "noise-strip",
    summary: "Some images of a dataset at growing noise, as a model sees them: one row an image, one column a timestep.",
    keys: &[
        &FILE_KEY,
        &Key::custom("dataset", "a dataset's name")
            .doc("The dataset that the images are taken from."),
        &Key::custom("model", "a model's name")
            .doc("The model whose size of images and schedule of noise are used."),
        &Key::custom("timesteps", "a list of 1 to 20 integers from 0")
            .doc("The timesteps of the noise, one column each, in this order.")
            .list_by_nature(),
        &Key::custom("count", "an integer from 1 to 20")
            .optional("4")
            .doc("How many images, from the beginning of the split."),
        &Key::custom("split", "a string")
            .optional("\"test\"")
            .doc("The split that the images are taken from."),
        &Key::custom("noise_seed", "an integer from 0")
            .optional("0")
            .doc("The seed of the noise."),
        &Key::custom("title", "a string")
            .optional("`Images at growing noise: NAME`")
            .doc("Stands above it."),
    ],
    shared: &[],
};

impl FigureKind for Kind {
    fn doc(&self) -> &'static KindDoc {
        &DOC
    }

    fn parse(&self, fields: &Fields<'_>) -> Option<Arc<dyn Figure>> {
        fields.check_keys(&DOC.all_keys(), &["kind"]);
        let file = file_name(fields, "file", ".svg");
        let (dataset, model) = (fields.text("dataset"), fields.text("model"));
        let timesteps = fields.counts("timesteps", 0..=u32::MAX);
        let count = fields.count("count", 1..=MOST).unwrap_or(4);
        let split = fields.text("split");
        let noise_seed = fields.seed("noise_seed").unwrap_or(0);
        let title = fields.text("title");
        if let Some(timesteps) = &timesteps
            && !(1..=MOST as usize).contains(&timesteps.len())
        {
            let message = format!(
                "`timesteps` of {} takes 1 to {MOST} timesteps, not {}",
                fields.context(),
                timesteps.len()
            );
            fields.misfit("timesteps", "spec::out-of-range", message, None);
        }
        let (file, dataset, model, timesteps) = (file?, dataset?, model?, timesteps?);
        fields.is_sound().then(|| {
            Arc::new(Strip {
                title: title.map_or_else(
                    || format!("Images at growing noise: {}", dataset.value),
                    |title| title.value,
                ),
                file,
                dataset,
                model,
                timesteps,
                count,
                split: split.map_or_else(|| "test".to_owned(), |split| split.value),
                noise_seed,
            }) as Arc<dyn Figure>
        })
    }
}

/// See the module.
#[derive(Debug)]
struct Strip {
    file: Located<String>,
    title: String,
    dataset: Located<String>,
    model: Located<String>,
    timesteps: Vec<u32>,
    count: u32,
    split: String,
    noise_seed: u64,
}

impl Figure for Strip {
    fn file(&self) -> &Located<String> {
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
            let why = format!("the images of `{}` are not there yet", self.dataset.value);
            return pending(&self.file, &self.title, &why);
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
        let (figure, mistakes) = parsed(&text, |fields| KIND.parse(fields));
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
        assert!(rendered.svg.contains("Columns: t = 0, t = 90, t = 500."));
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
            let (figure, mistakes) = parsed(&text, |fields| KIND.parse(fields));
            assert!(figure.is_none());
            assert!(
                mistakes[0].starts_with("spec::out-of-range"),
                "{mistakes:?}"
            );
        }
    }
}
