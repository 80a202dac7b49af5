//! Reading features: mapped into memory and handed out without a copy, or copied out of the file row by row.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Float16Array, Float32Array, RecordBatch, StringArray, UInt32Array,
};
use half::f16;
use memmap2::{Mmap, UncheckedAdvice};

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::kept_file::KeptFile;
use super::manifest::Manifest;
use super::part::PartForm;
use super::part_reader::MappedPart;
use super::parts::{OpenedPart, corrupt, no_parts};
use super::root::Store;
use crate::feature_type::FeatureType;

/// A feature artifact, mapped into memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FeatureReader {
    manifest: Arc<Manifest>,
    parts: Arc<[FeaturePartReader]>,
    width: usize,
    feature_type: FeatureType,
}

/// One part of a feature artifact. Everything it gives points into the mapped file.
#[derive(Debug, Clone)]
pub struct FeaturePartReader {
    columns: Columns,
    width: usize,
    map: Arc<Mmap>,
    file: Option<Arc<KeptFile>>,
}

/// The columns of a part. They are found when it is opened, so that none can be missing later.
#[derive(Debug, Clone)]
struct Columns {
    ids: StringArray,
    splits: StringArray,
    views: StringArray,
    /// `None` where the samples have no classes.
    labels: Option<UInt32Array>,
    draws: UInt32Array,
    /// The vectors, one behind the other.
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    F32(Float32Array),
    F16(Float16Array),
}

impl Columns {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let column = |name| batch.column_by_name(name);
        let texts = |name| column(name)?.as_string_opt().cloned();
        let numbers = |name| column(name)?.as_primitive_opt().cloned();
        let values = column("feature")?.as_fixed_size_list_opt()?.values();
        let values = match values.as_primitive_opt() {
            Some(wide) => Values::F32(wide.clone()),
            None => Values::F16(values.as_primitive_opt()?.clone()),
        };
        Some(Self {
            ids: texts("id")?,
            splits: texts("split")?,
            views: texts("view")?,
            labels: Some(numbers("label")?).filter(|labels| labels.null_count() == 0),
            draws: numbers("draw")?,
            values,
        })
    }
}

fn texts(column: &StringArray) -> impl ExactSizeIterator<Item = &str> {
    (0..column.len()).map(|row| column.value(row))
}

impl Store {
    /// Opens a complete feature artifact. The first time in a process, all its bytes are read and compared with the
    /// digests in the manifest, several parts at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] when there is no such artifact; [`StoreError::Corrupt`] when its bytes are not those
    /// that were committed, and then [`Store::quarantine`] is what to do.
    pub fn features(&self, fingerprint: &Fingerprint) -> Result<FeatureReader, StoreError> {
        let manifest = self.require_manifest(fingerprint)?;
        let mut parts = Vec::new();
        let mut shape = None;
        for opened in self.open_parts(&manifest, |_| true)? {
            let OpenedPart { path, part, file } = opened;
            let MappedPart { batch, form, map } = part;
            let PartForm::Features { width, values, .. } = form else {
                return Err(no_parts(&manifest));
            };
            if *shape.get_or_insert((width, values)) != (width, values) {
                return Err(corrupt(
                    &manifest,
                    path,
                    "does not have the shape that the other parts have".to_owned(),
                ));
            }
            let columns = Columns::of(&batch).ok_or_else(|| {
                let reason = "lacks a column, or has one of another type".to_owned();
                corrupt(&manifest, path, reason)
            })?;
            parts.push(FeaturePartReader {
                columns,
                width,
                map,
                file: KeptFile::keep(file).map(Arc::new),
            });
        }
        let (width, feature_type) = shape.ok_or_else(|| no_parts(&manifest))?;
        Ok(FeatureReader {
            manifest: Arc::new(manifest),
            parts: parts.into(),
            width,
            feature_type,
        })
    }
}

impl FeatureReader {
    /// What the artifact is and how it was made.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[FeaturePartReader] {
        &self.parts
    }

    /// Rows over all parts.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(FeaturePartReader::rows).sum()
    }

    /// Length of one feature vector.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Type of the values.
    pub const fn feature_type(&self) -> FeatureType {
        self.feature_type
    }
}

impl FeaturePartReader {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.ids.len()
    }

    /// Length of one feature vector.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Sample ids, one a row.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        texts(&self.columns.ids)
    }

    /// The id of one sample, by its row.
    pub fn id(&self, row: usize) -> &str {
        self.columns.ids.value(row)
    }

    /// Splits, one a row.
    pub fn splits(&self) -> impl ExactSizeIterator<Item = &str> {
        texts(&self.columns.splits)
    }

    /// Views, one a row.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &str> {
        texts(&self.columns.views)
    }

    /// Class indexes, `[rows]`; `None` where the samples have no classes.
    pub fn labels(&self) -> Option<&[u32]> {
        let labels = self.columns.labels.as_ref();
        labels.map(|labels| &labels.values()[..])
    }

    /// Indexes of the noise draws, `[rows]`.
    pub fn draws(&self) -> &[u32] {
        self.columns.draws.values()
    }

    /// The vectors, row-major `[rows, width]`, straight from the mapped file; `None` where they are half precision.
    pub fn values_f32(&self) -> Option<&[f32]> {
        match &self.columns.values {
            Values::F32(values) => Some(values.values()),
            Values::F16(_) => None,
        }
    }

    /// The vectors, row-major `[rows, width]`, straight from the mapped file; `None` where they are single precision.
    pub fn values_f16(&self) -> Option<&[f16]> {
        match &self.columns.values {
            Values::F16(values) => Some(values.values()),
            Values::F32(_) => None,
        }
    }

    /// The bytes of one vector as they are in the mapped file, in the machine's byte order; `None` where there is no such row.
    pub fn bytes_of_row(&self, row: usize) -> Option<&[u8]> {
        let (buffer, values) = match &self.columns.values {
            Values::F32(values) => (values.values().inner(), FeatureType::F32),
            Values::F16(values) => (values.values().inner(), FeatureType::F16),
        };
        let bytes = self.width * values.bytes();
        buffer.as_slice().get(row * bytes..(row + 1) * bytes)
    }

    /// Copies the bytes of one vector, which are as many as `out` has; whether there is such a row.
    ///
    /// They are read from the file, so that none of its pages become memory of this program, or where that is not possible
    /// (too many files are open) from the mapping.
    pub fn copy_row(&self, row: usize, out: &mut [u8]) -> bool {
        let of_length = |bytes: &&[u8]| bytes.len() == out.len();
        let Some(bytes) = self.bytes_of_row(row).filter(of_length) else {
            return false;
        };
        // The batch points into the mapping, and what is mapped is the file from its beginning.
        let offset = (bytes.as_ptr() as usize).checked_sub(self.map.as_ptr() as usize);
        let offset = offset.filter(|offset| offset + bytes.len() <= self.map.len());
        let read = self.file.as_deref().zip(offset);
        if !read.is_some_and(|(file, offset)| file.read(offset as u64, out)) {
            out.copy_from_slice(bytes);
        }
        true
    }

    /// Releases the memory of what was read of the mapped file. It is read again when it is asked for again.
    pub fn forget(&self) {
        #[expect(unsafe_code, reason = "there is no safe way to let pages go")]
        // SAFETY: the mapping is shared and nobody writes through it, so its pages hold what the file holds, and the file of
        // a committed part never changes.
        let told = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        // It is advice: where it is not taken, the memory stays with the file system's cache.
        drop(told);
    }
}
