//! Features as one Parquet file, for tools that do not read Arrow IPC.

use std::fs::File;
use std::path::Path;

use arrow::ipc::reader::FileReader;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::commit::StagedFile;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::root::Store;

impl Store {
    /// Writes all parts of a feature artifact, after verifying them, into one Parquet file with the same columns and the
    /// same schema metadata. Returns the number of rows. The file appears only when it is whole.
    ///
    /// # Errors
    ///
    /// When the artifact is missing or damaged, or the file cannot be written.
    pub fn export(&self, fingerprint: &Fingerprint, target: &Path) -> Result<u64, StoreError> {
        let reader = self.features(fingerprint)?;
        let manifest = reader.manifest();
        let folder = self.artifact_folder(manifest.kind, fingerprint);
        let failed = |source| StoreError::io("write", target, None, source);
        let mut staged = Some(StagedFile::create(target, None)?);
        let mut writer = None;
        let mut rows = 0;
        for entry in &manifest.files {
            let path = folder.join(&entry.name);
            let broken = |reason: String| StoreError::Corrupt {
                artifact: *fingerprint,
                file: path.clone(),
                reason,
            };
            let file = File::open(&path).map_err(StoreError::reading(&path))?;
            let batches =
                FileReader::try_new(file, None).map_err(|error| broken(error.to_string()))?;
            for batch in batches {
                let batch = batch.map_err(|error| broken(error.to_string()))?;
                rows += batch.num_rows() as u64;
                let writing =
                    |error: parquet::errors::ParquetError| failed(std::io::Error::other(error));
                if let Some(output) = staged.take() {
                    let compression = Compression::ZSTD(ZstdLevel::default());
                    let properties = WriterProperties::builder()
                        .set_compression(compression)
                        .build();
                    let opened = ArrowWriter::try_new(output, batch.schema(), Some(properties))
                        .map_err(writing)?;
                    writer = Some(opened);
                }
                if let Some(writer) = &mut writer {
                    writer.write(&batch).map_err(writing)?;
                }
            }
        }
        let written = match writer {
            Some(writer) => writer
                .into_inner()
                .map_err(|error| failed(std::io::Error::other(error)))?,
            None => {
                return Err(StoreError::Corrupt {
                    artifact: *fingerprint,
                    file: folder,
                    reason: "has no rows".to_owned(),
                });
            }
        };
        written.commit()?;
        Ok(rows)
    }
}
