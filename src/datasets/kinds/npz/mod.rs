//! `npz`: images in an archive of NumPy arrays, as guided-diffusion writes its samples and publishes reference batches.
//!
//! One array has the images; another may have their labels. All others, such as the means and covariances in published reference batches,
//! are left alone. Images of `numpy.savez` are read where they lie, one at a time; those of `numpy.savez_compressed` are unpacked into
//! memory, all of them. `arrays.rs` reads them.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8: scripts/image_sample.py, evaluations/README.md.

mod arrays;
mod labels;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::bug::Bug;
use crate::datasets::{
    Dataset, DatasetError, DatasetKind, Environment, Manifest, OpenDataset, Sample,
};
use crate::spec::{Fields, Key, Kind, KindDoc, Text};

const FILE: Key<Text> = Key::text("file", "a path").doc(
    "An archive that `numpy.savez` wrote; a compressed one is held in memory. Relative to the folder that `repro` runs in.",
);
const SPLIT: Key<Text> = Key::text("split", "a split")
    .default("test")
    .doc("The split that all of them are.");
const IMAGES: Key<Text> = Key::text("images", "the name of an array")
    .default("arr_0")
    .doc("The images: bytes of shape `[N, H, W, 3]`, or `[N, H, W, 1]` or `[N, H, W]` where they are gray.");
const LABELS: Key<Text> = Key::text("labels", "the name of an array")
    .optional("`arr_1` if it is there")
    .doc("The classes: integers from 0, one for each image. Without labels there are no classes.");

/// `kind = "npz"`.
pub const KIND: DatasetKind = Kind::new(
    KindDoc {
        name: "npz",
        summary: "Images in an archive of NumPy arrays, all in one split, as guided-diffusion writes samples and publishes reference batches.",
        keys: &[&FILE, &SPLIT, &IMAGES, &LABELS],
        shared: &[],
    },
    parse,
);

/// What labels are called where nothing else is said.
const DEFAULT_LABELS: &str = "arr_1";

const HINT: &str =
    "`file` is an archive that `numpy.savez` wrote; `repro list kinds npz` tells what is in it";

/// What is wrong with an array, in words that follow its name, and a hint.
type Wrong = (String, &'static str);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(Npz {
        file: fields.get(&FILE)?.into(),
        split: fields.get(&SPLIT)?,
        images: fields.get(&IMAGES)?,
        labels: fields.get(&LABELS),
    }))
}

#[derive(Debug)]
struct Npz {
    file: PathBuf,
    split: String,
    images: String,
    /// `None` for [`DEFAULT_LABELS`], which need not be there.
    labels: Option<String>,
}

impl Dataset for Npz {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn splits(&self) -> Option<Vec<String>> {
        Some(vec![self.split.clone()])
    }

    fn open(
        &self,
        environment: &Environment<'_>,
        _upstream: Option<Arc<OpenDataset>>,
    ) -> Result<OpenDataset, DatasetError> {
        let path = environment.base.join(&self.file);
        let opened = arrays::open(&path, &self.images, self.labels.as_deref(), DEFAULT_LABELS)?;
        let (images, labels) = (opened.images, opened.labels);
        let question = format!(
            "BLAKE3 of each image in the array {} behind its height, width and channels",
            self.images
        );
        let digests =
            environment
                .digester
                .digest_parts(&path, &question, images.count, &mut || images.digests())?;
        if digests.len() != images.count {
            return Err(Bug::new("there are not as many digests as images").into());
        }
        let sample = |(row, digest): (usize, [u8; 32])| Sample {
            id: format!("{}/{row:05}", self.split),
            split: self.split.clone(),
            label: labels
                .as_ref()
                .and_then(|labels| labels.get(row).copied())
                .unwrap_or_default(),
            content: blake3::Hash::from_bytes(digest).to_hex().to_string(),
        };
        let samples = digests.into_iter().enumerate().map(sample).collect();
        let last = labels.iter().flatten().max();
        let classes = last.map_or_else(Vec::new, |last| {
            (0..=*last).map(|label| label.to_string()).collect()
        });
        Ok(OpenDataset::new(
            Manifest::new(classes, samples),
            Box::new(images),
        ))
    }
}
