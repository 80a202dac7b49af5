//! `samples`: images that a network of this experiment makes.
//!
//! There are no files: a run makes the images before anything reads them, and reads them from the cache. All of them are one split, and
//! they have no classes.

use std::sync::Arc;

use crate::datasets::{Dataset, DatasetError, DatasetKind, Environment, Generated, OpenDataset};
use crate::message::Message;
use crate::spec::fields::Spanned;
use crate::spec::{Fields, Key, Kind, KindDoc, Text};

const SAMPLES: Key<Text> =
    Key::text("samples", "a name of `[samples.NAME]`").doc("The samples that are its images.");
const SPLIT: Key<Text> = Key::text("split", "a split")
    .default("test")
    .doc("The split that all of them are.");

/// `kind = "samples"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "samples",
        summary: "Images that a network of this experiment makes, all in one split and without classes.",
        keys: &[&SAMPLES, &SPLIT],
        shared: &[],
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(Samples {
        of: fields.located(&SAMPLES)?,
        split: fields.get(&SPLIT)?,
    }))
}

#[derive(Debug)]
struct Samples {
    /// The name of the `[samples.NAME]`.
    of: Spanned<String>,
    split: String,
}

impl Dataset for Samples {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn generated(&self) -> Option<Generated<'_>> {
        Some(Generated {
            samples: &self.of,
            split: &self.split,
        })
    }

    fn open(
        &self,
        _environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let text = format!(
            "it has no files: its images are made by `[samples.{}]` in a run",
            self.of.value
        );
        let hint = "`repro list artifacts` shows what the cache has of them, and `repro cache export` writes them into a file";
        Err(DatasetError::Selection(Message::new(text).hint(hint)))
    }
}
