//! Content digests of files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::DatasetError;

/// Gives the BLAKE3 digest of a file, in hexadecimal. The store's memo answers without reading where it can.
pub trait Digester: Sync {
    /// The BLAKE3 digest of one file, 64 hexadecimal digits.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError>;

    /// The digest of a range of a file's bytes, such as a member of an archive.
    ///
    /// # Errors
    /// A file that cannot be read, or that ends before the range does.
    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError>;

    /// The digests of all parts of a file, such as the rows of a table: `compute` gives them unless they are remembered.
    /// `question` says what the parts are and how they are hashed, `parts` how many there are.
    ///
    /// # Errors
    /// A file that cannot be looked at, and the error of `compute`.
    fn digest_parts(
        &self,
        path: &Path,
        question: &str,
        parts: usize,
        compute: &mut dyn FnMut() -> Result<Vec<[u8; 32]>, DatasetError>,
    ) -> Result<Vec<[u8; 32]>, DatasetError>;
}

/// A digester that reads every file.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainDigester;

impl Digester for PlainDigester {
    fn digest_file(&self, path: &Path) -> Result<String, DatasetError> {
        let mut hasher = blake3::Hasher::new();
        File::open(path)
            .and_then(|file| hasher.update_reader(file).map(|_| ()))
            .map_err(|source| DatasetError::io(path, source, GONE))?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<String, DatasetError> {
        let mut hasher = blake3::Hasher::new();
        let length = range.end.saturating_sub(range.start);
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(range.start))?;
            hasher.update_reader(file.take(length)).map(|_| ())
        });
        let read = read.and_then(|()| {
            if hasher.count() == length {
                Ok(())
            } else {
                Err(std::io::ErrorKind::UnexpectedEof.into())
            }
        });
        read.map_err(|source| DatasetError::io(path, source, GONE))?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn digest_parts(
        &self,
        _path: &Path,
        _question: &str,
        _parts: usize,
        compute: &mut dyn FnMut() -> Result<Vec<[u8; 32]>, DatasetError>,
    ) -> Result<Vec<[u8; 32]>, DatasetError> {
        compute()
    }
}

const GONE: &str = "the file is gone";
