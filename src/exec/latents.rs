//! Latents in the store, as networks read them in place of images: mapped, and found by the row of the image.

use super::{NodeError, SKIPPED};
use crate::datasets::{DatasetError, Manifest};
use crate::plan::Extract;
use crate::store::{FeatureReader, Store};

/// The latents of the images of a dataset.
pub(super) struct LatentRows {
    reader: FeatureReader,
    /// Part and row of each image by its row in the manifest; `None` for one that has none here.
    places: Vec<Option<(usize, usize)>>,
}

impl LatentRows {
    /// Opens them.
    ///
    /// # Errors
    /// An artifact that is missing or damaged; rows that are not those of the manifest.
    pub(super) fn open(
        store: &Store,
        latents: &Extract,
        manifest: &Manifest,
    ) -> Result<Self, NodeError> {
        let reader = store.features(&latents.fingerprint)?;
        let order = manifest.reading_order(latents.shown.split.as_deref());
        let other = || NodeError::bug("latents of other images than those of the dataset");
        if order.len() != reader.rows() || reader.width() != latents.shape.values() {
            return Err(other());
        }
        let mut places = vec![None; manifest.samples.len()];
        let mut order = order.into_iter();
        for (number, part) in reader.parts().iter().enumerate() {
            for (row, (id, split)) in part.ids().zip(part.splits()).enumerate() {
                let image = order.next().ok_or_else(other)?;
                if manifest.samples[image].id != id {
                    return Err(other());
                }
                if split != SKIPPED {
                    places[image] = Some((number, row));
                }
            }
        }
        Ok(Self { reader, places })
    }

    /// Copies the latent of an image, `[C, H, W]`, out of the mapped file.
    ///
    /// # Errors
    /// An image without one, which did not decode.
    pub(super) fn read(&self, image: usize, id: &str) -> Result<Vec<f32>, DatasetError> {
        let width = self.reader.width();
        let place = self.places.get(image).copied().flatten();
        let values = place.and_then(|(part, row)| {
            let values = self.reader.parts().get(part)?.values_f32()?;
            values.get(row * width..(row + 1) * width)
        });
        let values = values.ok_or_else(|| DatasetError::NoLatent { id: id.to_owned() })?;
        Ok(values.to_vec())
    }
}
