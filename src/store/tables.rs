//! Everything tabular that is not a feature: Parquet, compressed, with the recipe in the file's metadata.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::names::table_file;
use super::part::file_metadata;
use super::recipe::Recipe;
use super::root::Store;
use super::verify::failed_check;
use crate::contained::contained;
use crate::numbers::to_usize;

/// The bytes of a Parquet file that holds `batch`. The same batch always gives the same bytes.
pub(super) fn encode(recipe: &Recipe, batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let metadata = file_metadata(recipe)
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value))
        .collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))
        .map_err(|error| error.to_string())?;
    writer.write(batch).map_err(|error| error.to_string())?;
    writer.into_inner().map_err(|error| error.to_string())
}

impl Store {
    /// Reads the table `name` (with or without `.parquet`) of a complete artifact, after verifying its bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::NoSuchFile`], or [`StoreError::Corrupt`].
    pub fn table(&self, fingerprint: &Fingerprint, name: &str) -> Result<RecordBatch, StoreError> {
        let name = table_file(name);
        let manifest = self.require_manifest(fingerprint)?;
        let entry = manifest.require(&name)?;
        let checked = self.open_file(&manifest, entry)?;
        let path = checked.path().to_owned();
        let file = checked.file().try_clone();
        let file = file.map_err(StoreError::reading(&path))?;
        // The bytes are those that were committed, so a failure here is one of reading, not damage.
        let unreadable = |error: String| StoreError::BadTable {
            reason: format!("{}: {error}", path.display()),
        };
        let rows = to_usize(entry.rows).max(1);
        let read = || -> Result<(SchemaRef, Vec<RecordBatch>), String> {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file);
            let builder = builder.map_err(|error| error.to_string())?;
            let schema = builder.schema().clone();
            let reader = builder.with_batch_size(rows).build();
            let reader = reader.map_err(|error| error.to_string())?;
            let batches = reader.collect::<Result<Vec<_>, _>>();
            Ok((schema, batches.map_err(|error| error.to_string())?))
        };
        let (schema, batches) = contained(read).and_then(|read| read).map_err(unreadable)?;
        let unchanged = checked.unchanged();
        unchanged.map_err(|error| failed_check(&manifest, path.clone(), error))?;
        concat_batches(&schema, &batches).map_err(|error| unreadable(error.to_string()))
    }

    /// Reads the file `name` of a complete artifact, after verifying its bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::NoSuchFile`], or [`StoreError::Corrupt`].
    pub fn bytes(&self, fingerprint: &Fingerprint, name: &str) -> Result<Vec<u8>, StoreError> {
        let manifest = self.require_manifest(fingerprint)?;
        let checked = self.open_file(&manifest, manifest.require(name)?)?;
        let bytes = checked.read();
        bytes.map_err(|error| failed_check(&manifest, checked.path().to_owned(), error))
    }
}
