//! Cached features of one split, as metrics read them.

use std::ops::Range;

use half::f16;

use super::{NodeError, SKIPPED};
use crate::feature_type::FeatureType;
use crate::graph::OnBadImage;
use crate::message::Message;
use crate::metrics::FeatureSource;
use crate::plan::Extract;
use crate::store::{FeatureReader, Store};

/// The features of the samples of one split.
pub(crate) struct SplitFeatures {
    name: String,
    reader: FeatureReader,
    /// Part and row of each sample.
    places: Vec<(usize, usize)>,
    split: String,
}

impl SplitFeatures {
    /// Opens them. Images that were left out are an error unless the extraction allows it.
    ///
    /// # Errors
    /// A store that cannot be read, or images that did not decode.
    pub(crate) fn open(store: &Store, extract: &Extract, split: &str) -> Result<Self, NodeError> {
        let reader = store.features(&extract.fingerprint)?;
        let mut places = Vec::new();
        for (number, part) in reader.parts().iter().enumerate() {
            for (row, (id, of_split)) in part.ids().zip(part.splits()).enumerate() {
                if of_split == SKIPPED && extract.node.on_bad_image == OnBadImage::Fail {
                    return Err(NodeError::Values(
                        Message::new(format!(
                            "image `{id}` did not decode when these features were made"
                        ))
                        .hint("fix the image, or set `on_bad_image = \"skip\"`"),
                    ));
                }
                if of_split == split {
                    places.push((number, row));
                }
            }
        }
        let node = &extract.node;
        let timestep = node.timestep.map(|t| format!("timestep {t}, "));
        let name = format!(
            "the features of extraction `{}` ({}block {}, {})",
            node.name,
            timestep.unwrap_or_default(),
            node.block.0,
            extract.fingerprint.short()
        );
        Ok(Self {
            name,
            reader,
            places,
            split: split.to_owned(),
        })
    }

    /// The ids of the samples, in their order.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let parts = self.reader.parts().iter();
        let rows = parts.flat_map(|part| part.ids().zip(part.splits()));
        rows.filter(|(_, split)| *split == self.split)
            .map(|(id, _)| id)
    }

    /// Whether the samples are those of other features. Only that as many are there is left for metrics to see.
    ///
    /// # Errors
    /// The first sample that differs, where there are as many.
    pub(crate) fn has_samples_of(&self, other: &Self) -> Result<(), NodeError> {
        if self.places.len() != other.places.len() {
            return Ok(());
        }
        let mut rows = self.ids().zip(other.ids()).enumerate();
        match rows.find(|(_, (own, its))| own != its) {
            None => Ok(()),
            Some((row, (own, its))) => Err(NodeError::Values(
                Message::new(format!(
                    "{} and {} are not of the same images: sample {} of split `{}` is `{own}` in the former and `{its}` in the latter; an image that did not decode may be missing from one",
                    self.name,
                    other.name,
                    row + 1,
                    self.split,
                ))
                .hint("remove these features from the cache, and run the experiment again"),
            )),
        }
    }
}

impl FeatureSource for SplitFeatures {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn rows(&self) -> usize {
        self.places.len()
    }

    fn width(&self) -> usize {
        self.reader.width()
    }

    fn read(&self, rows: Range<usize>, into: &mut [f32]) -> Result<(), String> {
        let kind = self.reader.feature_type();
        let mut bytes = vec![0; self.width() * kind.bytes()];
        let places = self.places.get(rows).ok_or("rows that are not there")?;
        for (&(part, row), target) in places.iter().zip(into.chunks_exact_mut(self.width())) {
            let part = self.reader.parts().get(part).ok_or("a part is missing")?;
            if !part.copy_row(row, &mut bytes) {
                return Err("a row of features cannot be read".to_owned());
            }
            match kind {
                FeatureType::F32 => {
                    for (value, word) in target.iter_mut().zip(bytes.chunks_exact(4)) {
                        *value = f32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
                    }
                }
                FeatureType::F16 => {
                    for (value, word) in target.iter_mut().zip(bytes.chunks_exact(2)) {
                        *value = f16::from_ne_bytes([word[0], word[1]]).to_f32();
                    }
                }
            }
        }
        Ok(())
    }
}
