//! Where a file of a dataset is: on the disk, or within an archive there.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::listing::broken_link;
use super::source::{Source, part};
use crate::bug::Bug;
use crate::datasets::{DatasetError, Digester};

/// The remedy for a file of the cache that cannot be read.
const GONE: &str = "it was there when the archive was opened";

/// A file, or a member of an archive. Cheap to clone and to hold a million of.
#[derive(Debug, Clone)]
pub(in crate::datasets) struct Location(Place);

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Member { archive: Arc<Archive>, place: usize },
}

impl Location {
    /// A file of the disk, whether it is there or not.
    pub(in crate::datasets) fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// A member of an archive that is a plain file.
    pub(super) fn member(archive: &Arc<Archive>, place: usize) -> Self {
        let archive = Arc::clone(archive);
        Self(Place::Member { archive, place })
    }

    /// Its path for messages; a member's begins with that of the archive.
    pub(in crate::datasets) fn path(&self) -> PathBuf {
        match &self.0 {
            Place::File(path) => path.clone(),
            Place::Member { archive, place } => archive.path.join(archive.index.name(*place)),
        }
    }

    /// Its path, where it is a file of the disk; it need not be there.
    pub(in crate::datasets) fn on_disk(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Member { .. } => None,
        }
    }

    /// Whether the file is there.
    pub(in crate::datasets) fn is_file(&self) -> bool {
        match &self.0 {
            Place::File(path) => path.is_file(),
            Place::Member { .. } => true,
        }
    }

    /// Why it is a link that leads nowhere; `None` where it is something else.
    pub(in crate::datasets) fn broken_link(&self) -> Option<String> {
        match &self.0 {
            Place::File(path) => broken_link(path),
            Place::Member { .. } => None,
        }
    }

    /// The file, whole.
    ///
    /// # Errors
    /// A file that is missing, cannot be read, or has more than `most` bytes.
    pub(in crate::datasets) fn read(&self, most: u64, hint: &str) -> Result<Vec<u8>, DatasetError> {
        let failed = |source| DatasetError::io(&self.path(), source, hint);
        let bytes = match &self.0 {
            Place::File(path) => {
                let mut bytes = Vec::new();
                File::open(path)
                    .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
                    .map_err(failed)?;
                Some(bytes).filter(|bytes| bytes.len() as u64 <= most)
            }
            Place::Member { archive, place } => {
                let (content, _) = archive.index.member(*place);
                if content.end.saturating_sub(content.start) > most {
                    None
                } else {
                    Some(archive.source.read(&content).map_err(failed)?)
                }
            }
        };
        bytes.ok_or_else(|| DatasetError::Malformed {
            path: self.path(),
            problem: format!("it has more than {most} bytes"),
            hint: hint.to_owned(),
        })
    }

    /// The BLAKE3 digest of the file's content, in hexadecimal.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(in crate::datasets) fn digest(
        &self,
        digester: &dyn Digester,
    ) -> Result<String, DatasetError> {
        match &self.0 {
            Place::File(path) => digester.digest_file(path).or_else(|error| {
                // What is there in place of the content, so that it differs from the content once that is there.
                let broken = self.broken_link().ok_or(error)?;
                Ok(blake3::hash(broken.as_bytes()).to_hex().to_string())
            }),
            Place::Member { archive, place } => {
                let (content, _) = archive.index.member(*place);
                match &archive.source {
                    Source::File { path, .. } => digester.digest_range(path, content),
                    Source::Unpacked(blocks) => self.remembered(digester, blocks.path(), &content),
                    Source::Memory(bytes) => {
                        let bytes = part(bytes, content);
                        let bytes = bytes.map_err(|source: io::Error| DatasetError::Io {
                            path: self.path(),
                            source,
                        })?;
                        Ok(blake3::hash(bytes).to_hex().to_string())
                    }
                }
            }
        }
    }

    /// The digest of a member of an archive that was unpacked to `path`: it is computed from bytes that were compared.
    fn remembered(
        &self,
        digester: &dyn Digester,
        path: &Path,
        content: &Range<u64>,
    ) -> Result<String, DatasetError> {
        let question = format!("BLAKE3 of bytes {} to {}", content.start, content.end);
        let digests = digester.digest_parts(path, &question, 1, &mut || {
            let bytes = self.read(u64::MAX, GONE)?;
            Ok(vec![*blake3::hash(&bytes).as_bytes()])
        })?;
        let [digest] = digests.as_slice() else {
            return Err(Bug::new("one part has not one digest").into());
        };
        Ok(blake3::Hash::from_bytes(*digest).to_hex().to_string())
    }
}
