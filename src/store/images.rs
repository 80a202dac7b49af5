//! Images that a run made, encoded, in parts: one row an image.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray, RecordBatch, StringArray};

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::manifest::FileEntry;
use super::part::{PartForm, schema};
use super::parts::{OpenedPart, corrupt, no_parts, part_entries};
use super::recipe::Recipe;
use super::root::Store;
use crate::numbers::to_usize;

/// The rows of one part of images. Both slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct ImagePart<'a> {
    /// One id for each image, in the order of the rows.
    pub ids: &'a [String],
    /// The images, each as the bytes of a PNG file, or as bare bytes where the recipe says so.
    pub images: &'a [Vec<u8>],
}

impl ImagePart<'_> {
    /// Lays out a part as a record batch, or returns how the part contradicts itself.
    pub(super) fn batch(self, recipe: &Recipe) -> Result<RecordBatch, String> {
        let (rows, images) = (self.ids.len(), self.images.len());
        if rows != images {
            return Err(format!("{rows} ids but {images} images"));
        }
        let schema = schema(recipe, PartForm::Images).ok_or("images have no such columns")?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(self.ids)),
            Arc::new(LargeBinaryArray::from_iter_values(self.images)),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| error.to_string())
    }
}

/// Some images of an artifact, mapped into memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ImageReader {
    /// The row of the first image of each part, and its images.
    parts: Arc<[(usize, LargeBinaryArray)]>,
    /// Whether images are bare bytes.
    is_raw: bool,
}

impl Store {
    /// Opens the parts of a complete artifact that hold some of its images. The first time in a process, all bytes of these parts
    /// are read and compared with the digests in the manifest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when there is no such artifact; [`StoreError::Corrupt`] when its bytes are not those
    /// that were committed.
    pub fn images(
        &self,
        fingerprint: &Fingerprint,
        rows: Range<usize>,
    ) -> Result<ImageReader, StoreError> {
        let manifest = self.require_manifest(fingerprint)?;
        // The name of each part that is wanted, and the row of its first image.
        let mut starts = Vec::new();
        let mut next = 0;
        for entry in part_entries(&manifest) {
            let end = next + to_usize(entry.rows);
            if next < rows.end && rows.start < end {
                starts.push((entry.name.as_str(), next));
            }
            next = end;
        }
        let names: BTreeSet<&str> = starts.iter().map(|(name, _)| *name).collect();
        let is_wanted = |entry: &FileEntry| names.contains(entry.name.as_str());
        let mut parts = Vec::new();
        let opened = self.open_parts(&manifest, is_wanted)?;
        for (OpenedPart { path, part, .. }, (_, start)) in opened.into_iter().zip(&starts) {
            let column = part.batch.column_by_name("image");
            let images = column.and_then(|column| column.as_binary_opt::<i64>());
            let images = images.ok_or_else(|| {
                corrupt(
                    &manifest,
                    path,
                    "does not have a column of images".to_owned(),
                )
            })?;
            parts.push((*start, images.clone()));
        }
        if parts.is_empty() && !rows.is_empty() {
            return Err(no_parts(&manifest));
        }
        Ok(ImageReader {
            parts: parts.into(),
            is_raw: manifest.recipe.fields()["format"] == "raw",
        })
    }
}

impl ImageReader {
    /// Whether images are bare bytes, row after row with their channels interleaved, and not the content of PNG files.
    pub fn is_raw(&self) -> bool {
        self.is_raw
    }

    /// The bytes of one image, as the content of a PNG file or bare, straight from the mapped file; `None` where its part is not open.
    pub fn image(&self, row: usize) -> Option<&[u8]> {
        let behind = self.parts.partition_point(|(start, _)| *start <= row);
        let (start, images) = self.parts.get(behind.checked_sub(1)?)?;
        let within = row - start;
        (within < images.len()).then(|| images.value(within))
    }
}
