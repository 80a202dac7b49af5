//! Features and samples as one Parquet file, for tools that do not read Arrow IPC.

use std::io;
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::commit::StagedFile;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::parts::no_parts;
use super::root::Store;
use crate::atomic_file;

impl Store {
    /// Writes all parts of an artifact of features or samples, after verifying them, into one Parquet file with the same columns and the
    /// same schema metadata. Returns the number of rows. The file appears only when it is whole. A file that is there is replaced only
    /// with `replace`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] where there is a file; when the artifact is missing or damaged, or the file cannot be written.
    pub fn export(
        &self,
        fingerprint: &Fingerprint,
        target: &Path,
        replace: bool,
    ) -> Result<u64, StoreError> {
        let exists = || StoreError::Exists {
            path: target.to_owned(),
        };
        if !replace && target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let manifest = self.require_manifest(fingerprint)?;
        let parts = self.open_parts(&manifest, |_| true)?;
        let Some(first) = parts.first() else {
            return Err(no_parts(&manifest));
        };
        let failed = |source| StoreError::io("write", target, None, source);
        let writing = |error: ParquetError| failed(io::Error::other(error));
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .build();
        atomic_file::clear_abandoned(target);
        let staged = StagedFile::create(target, None)?;
        let schema = first.part.batch.schema();
        let mut writer = ArrowWriter::try_new(staged, schema, Some(properties)).map_err(writing)?;
        let mut rows = 0;
        for opened in &parts {
            let batch = &opened.part.batch;
            rows += batch.num_rows() as u64;
            writer.write(batch).map_err(writing)?;
        }
        let written = writer.into_inner().map_err(writing)?;
        if replace {
            written.commit()?;
        } else if !written.commit_if_absent()? {
            // Somebody has made the file meanwhile.
            return Err(exists());
        }
        Ok(rows)
    }
}
