//! Content digests of files.

use std::path::Path;

use super::DatasetError;

/// Gives the BLAKE3 digest of a file, in hexadecimal. The store's memo answers without reading where it can.
pub trait Digester: Sync {
    /// The digest of one file.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError>;
}

/// A digester that reads every file.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDigester;

impl Digester for PlainDigester {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(path)
            .map_err(|source| DatasetError::io(path, source, "the file is gone"))?;
        hasher
            .update_reader(file)
            .map_err(|source| DatasetError::io(path, source, "the file is gone"))?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}
