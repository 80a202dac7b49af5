//! Content digests of files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::DatasetError;

/// Gives the BLAKE3 digest of a file, in hexadecimal. The store's memo answers without reading where it can.
pub trait Digester: Sync {
    /// The digest of one file.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError>;

    /// The digest of a range of a file's bytes.
    ///
    /// # Errors
    /// A file that cannot be read, or has not as many bytes.
    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError>;
}

/// A digester that reads every file.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDigester;

impl Digester for PlainDigester {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        let failed = |source| DatasetError::io(path, source, "the file is gone");
        let mut hasher = blake3::Hasher::new();
        let file = File::open(path).map_err(failed)?;
        hasher.update_reader(file).map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError> {
        let failed = |source| DatasetError::io(path, source, "the file is gone");
        let length = range.end.saturating_sub(range.start);
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        hasher.update_reader(file.take(length)).map_err(failed)?;
        if hasher.count() != length {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}
