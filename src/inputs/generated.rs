//! The images of a dataset while a job runs: of an opened dataset, or out of the store, where a run has made them.

use std::ops::Range;
use std::sync::Arc;

use super::Inputs;
use crate::bug::Bug;
use crate::datasets::{DatasetError, Manifest, OpenDataset, ReadImage, Sample};
use crate::diffusion::noise::image_id;
use crate::imaging::Image;
use crate::message::Message;
use crate::plan::DatasetUse;
use crate::store::{ImageReader, Store, StoreError};

impl Inputs {
    /// Whether the images of a dataset of the plan can neither be read from disk nor are made by a run.
    pub fn is_absent(&self, dataset: &DatasetUse) -> bool {
        let opened = self.datasets.get(dataset.index).and_then(Option::as_ref);
        opened.is_none() && dataset.made.is_none()
    }

    /// A dataset of the plan whose images can be read. Of images that a run made, those in other parts of the artifact than `rows`
    /// are cannot.
    ///
    /// # Errors
    /// Samples that are not in the store, or whose bytes are not those that were committed.
    pub fn images(
        &self,
        dataset: &DatasetUse,
        store: &Store,
        rows: Range<usize>,
    ) -> Result<Arc<OpenDataset>, StoreError> {
        let opened = self.datasets.get(dataset.index).and_then(Option::as_ref);
        if let Some(opened) = opened {
            return Ok(Arc::clone(opened));
        }
        let facts = &dataset.facts;
        let (Some((_, fingerprint)), [split]) = (&dataset.made, facts.splits.as_slice()) else {
            let what = format!("dataset `{}` was not opened", dataset.name);
            return Err(Bug::new(what).into());
        };
        let reader = store.images(fingerprint, rows)?;
        let ids = (0..split.samples).map(image_id);
        Ok(Arc::new(OpenDataset::new(
            Manifest::generated(ids, &split.split, facts.digest.clone()),
            Box::new(Made { reader }),
        )))
    }
}

/// An image that a run made, of the bytes that the store keeps of it.
///
/// # Errors
/// Bytes that are no image.
pub fn made_image(reader: &ImageReader, row: usize, bytes: &[u8]) -> Result<Image, Message> {
    let what = || format!("`{}` of the samples does not decode", image_id(row));
    if reader.is_raw() {
        let image = Image::square(bytes);
        image.ok_or_else(|| format!("{}: its bytes are not those of a square", what()).into())
    } else {
        Image::decode(bytes).map_err(|error| format!("{}: {error}", what()).into())
    }
}

/// Images that a run made.
struct Made {
    reader: ImageReader,
}

impl Made {
    fn file(&self, row: usize) -> Result<&[u8], DatasetError> {
        let missing = || Bug::new(format!("the part with `{}` is not open", image_id(row)));
        Ok(self.reader.image(row).ok_or_else(missing)?)
    }
}

impl ReadImage for Made {
    fn read(&self, row: usize, _sample: &Sample) -> Result<Image, DatasetError> {
        made_image(&self.reader, row, self.file(row)?).map_err(DatasetError::Selection)
    }

    fn encoded(&self, row: usize, _sample: &Sample) -> Result<Option<Vec<u8>>, DatasetError> {
        let file = self.file(row)?;
        Ok((!self.reader.is_raw()).then(|| file.to_vec()))
    }
}
