//! Files whose bytes were compared with a digest before anybody reads them: the one way to the bytes of an artifact, of weights and
//! of checkpoints.
//!
//! A [`CheckedFile`] is an open file. Its bytes were read once from that very file and had the digest that they have to have, so
//! whatever takes the place of its name afterwards is not read. There is no other way to make one. What is written into the file
//! after the check changes its stamp (size, inode, times), and [`CheckedFile::unchanged`] says so: readers ask it when they are done.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memmap2::Mmap;

/// All that shows, without reading it, whether a file is still the one that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// The number of the file in its file system.
    pub(crate) inode: u64,
    /// Modification of the content: seconds since 1970 and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// Modification of the status, which no program can set back.
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// An open file whose bytes had the digest that they have to have.
#[derive(Debug)]
pub struct CheckedFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    digest: [u8; 32],
}

/// Why the bytes of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is a folder, a device or something else that has no bytes of its own.
    #[error("is not a regular file")]
    NoFile,
    /// Its bytes are others than those that were expected.
    #[error("does not have the digest that it has to have")]
    Differs,
    /// It was written to while it was read.
    #[error("changed while it was read")]
    Changed,
}

/// Files are equal where they are the same bytes under the same name.
impl PartialEq for CheckedFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.digest == other.digest
    }
}

impl Eq for CheckedFile {}

impl CheckedFile {
    /// Opens a file and compares all its bytes with their BLAKE3 digest.
    ///
    /// # Errors
    /// See [`CheckError`].
    pub fn open(path: &Path, expected: &[u8; 32]) -> Result<Self, CheckError> {
        Self::open_where(path, |digest| digest == expected)
    }

    /// [`CheckedFile::open`], where of the digest not all is known.
    ///
    /// # Errors
    /// See [`CheckError`].
    pub(crate) fn open_where(
        path: &Path,
        is_right: impl FnOnce(&[u8; 32]) -> bool,
    ) -> Result<Self, CheckError> {
        let (file, stamp) = opened(path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file)?;
        let digest = *hasher.finalize().as_bytes();
        let checked = Self {
            path: path.to_owned(),
            file,
            stamp,
            digest,
        };
        // Before the digest is judged: what was written to meanwhile has the digest of no state that it was ever in.
        checked.unchanged()?;
        if is_right(&checked.digest) {
            Ok(checked)
        } else {
            Err(CheckError::Differs)
        }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails where the file was written to since it was opened: what was read of it since then may be anything.
    ///
    /// # Errors
    /// [`CheckError::Changed`], or a file that cannot be looked at.
    pub fn unchanged(&self) -> Result<(), CheckError> {
        let now = Stamp::of(&self.file.metadata()?);
        if now == self.stamp {
            Ok(())
        } else {
            Err(CheckError::Changed)
        }
    }

    /// All its bytes.
    ///
    /// # Errors
    /// [`CheckError::Changed`], or a file that cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, CheckError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        self.unchanged()?;
        Ok(bytes)
    }

    /// Its bytes, mapped into memory.
    ///
    /// # Errors
    /// A file that cannot be mapped.
    pub fn map(&self) -> io::Result<Mmap> {
        #[expect(unsafe_code, reason = "there is no safe way to map a file")]
        // SAFETY: the map is only read. Files of the store are never written to again, and weights must not be while they are
        // loaded: `unchanged` shows whether they were. A file that somebody shortens ends this process with a signal, and no memory
        // becomes invalid otherwise.
        unsafe {
            Mmap::map(&self.file)
        }
    }

    /// The open file, to be read at places. Whoever is done asks whether it is [`CheckedFile::unchanged`].
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The open file, to be kept.
    pub(crate) fn into_file(self) -> File {
        self.file
    }
}

/// Opens what is a file. A pipe is not waited for.
fn opened(path: &Path) -> Result<(File, Stamp), CheckError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(CheckError::NoFile);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(CheckError::NoFile);
    }
    Ok((file, Stamp::of(&metadata)))
}

/// Remembers which files were checked, so that each is read for that once in the life of a process.
#[derive(Debug, Default)]
pub(crate) struct CheckedFiles(Mutex<BTreeMap<(PathBuf, [u8; 32]), Stamp>>);

impl CheckedFiles {
    /// As [`CheckedFile::open`]; bytes that were compared before are not read again while the file has the same stamp.
    pub(crate) fn open(&self, path: &Path, expected: &[u8; 32]) -> Result<CheckedFile, CheckError> {
        let key = (path.to_owned(), *expected);
        let known = self.lock().get(&key).copied();
        if let Some(known) = known {
            let (file, stamp) = opened(path)?;
            if stamp == known {
                return Ok(CheckedFile {
                    path: key.0,
                    file,
                    stamp,
                    digest: key.1,
                });
            }
        }
        let checked = CheckedFile::open(path, expected)?;
        self.lock().insert(key, checked.stamp);
        Ok(checked)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(PathBuf, [u8; 32]), Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn only_the_right_bytes_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"right").unwrap();
        let digest = *blake3::hash(b"right").as_bytes();
        let checked = CheckedFile::open(&path, &digest).unwrap();
        assert_eq!(checked.read().unwrap(), b"right");
        assert_eq!(&checked.map().unwrap()[..], b"right");
        // Another file of that name is not the file that was checked.
        let other = folder.path().join("other");
        fs::write(&other, b"wrong").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(checked.into_file().metadata().unwrap().len(), 5);
        let refused = CheckedFile::open(&path, &digest);
        assert!(matches!(refused, Err(CheckError::Differs)), "{refused:?}");
        let refused = CheckedFile::open(folder.path(), &digest);
        assert!(matches!(refused, Err(CheckError::NoFile)), "{refused:?}");
        let refused = CheckedFile::open(&folder.path().join("none"), &digest);
        assert!(
            matches!(refused, Err(CheckError::Unreadable(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn what_is_written_into_an_open_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"right").unwrap();
        let digest = *blake3::hash(b"right").as_bytes();
        let checked = CheckedFile::open(&path, &digest).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(b"wrong").unwrap();
        assert!(matches!(checked.unchanged(), Err(CheckError::Changed)));
        assert!(matches!(checked.read(), Err(CheckError::Changed)));
    }

    #[test]
    fn what_was_checked_is_checked_again_only_where_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"right").unwrap();
        let digest = *blake3::hash(b"right").as_bytes();
        let known = CheckedFiles::default();
        known.open(&path, &digest).unwrap();
        known.open(&path, &digest).unwrap();
        fs::write(&path, b"wrong!").unwrap();
        let refused = known.open(&path, &digest);
        assert!(matches!(refused, Err(CheckError::Differs)), "{refused:?}");
    }
}
