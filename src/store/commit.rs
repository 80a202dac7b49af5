//! Files, folders and renames of the store that are whole and last: [`crate::atomic_file`] with the store's errors.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::atomic_file::{self, AtomicFile};

/// A file that does not have its name yet. Dropping it removes it.
#[derive(Debug)]
pub(super) struct StagedFile {
    file: AtomicFile,
    target: PathBuf,
    needed: Option<u64>,
}

impl StagedFile {
    /// Begins the file that is to be called `target`; `needed` is its size in bytes, where known, for the message
    /// when the disk is full.
    pub(super) fn create(target: &Path, needed: Option<u64>) -> Result<Self, StoreError> {
        let file = AtomicFile::create_in_cache(target)
            .map_err(|error| StoreError::io("create a file for", target, needed, error))?;
        Ok(Self {
            file,
            target: target.to_owned(),
            needed,
        })
    }

    /// Gives the file its name, once all its bytes are on the disk.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        let committed = self.file.commit();
        committed.map_err(|error| StoreError::io("write", &self.target, self.needed, error))
    }

    /// [`StagedFile::commit`], unless there is a file of that name already; returns whether the name was free.
    pub(super) fn commit_if_absent(self) -> Result<bool, StoreError> {
        let committed = self.file.commit_if_absent();
        committed.map_err(|error| StoreError::io("write", &self.target, self.needed, error))
    }

    /// [`StagedFile::commit`] without waiting for the disk.
    fn commit_unsynced(self) -> Result<(), StoreError> {
        let committed = self.file.commit_unsynced();
        committed.map_err(|error| StoreError::io("write", &self.target, self.needed, error))
    }

    /// The error to report when writing to this file failed.
    fn failure(&self, error: io::Error) -> StoreError {
        StoreError::io("write", &self.target, self.needed, error)
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file with these bytes that does not have its name yet.
fn stage(target: &Path, bytes: &[u8]) -> Result<StagedFile, StoreError> {
    let mut staged = StagedFile::create(target, Some(bytes.len() as u64))?;
    match staged.write_all(bytes) {
        Ok(()) => Ok(staged),
        Err(error) => Err(staged.failure(error)),
    }
}

/// Writes a whole file atomically.
pub(super) fn write_file(target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    stage(target, bytes)?.commit()
}

/// Writes a file that may be lost or damaged by a power cut, though by nothing else; for what can be computed again and has a
/// digest of its own.
pub(super) fn write_file_unsynced(target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    stage(target, bytes)?.commit_unsynced()
}

/// A file that `write` writes by its path and that has no name of its own yet; dropping it removes it.
pub(super) fn stage_by_path(
    target: &Path,
    write: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<AtomicFile, StoreError> {
    AtomicFile::by_path(target, write).map_err(|error| StoreError::io("write", target, None, error))
}

/// Gives such a file its name.
pub(super) fn name_staged(file: AtomicFile, target: &Path) -> Result<(), StoreError> {
    file.commit_as(target)
        .map_err(|error| StoreError::io("write", target, None, error))
}

/// Makes a folder and those above it, each of them lasting once this returns.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::io("look at the folder", path, None, error);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        // Whatever else is the matter with it would be told of the folders above.
        Err(error) if !is_absence(&error) => return Err(unreadable(error)),
        _ => {}
    }
    // The folder of a bare name is the working folder, which is there.
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_folder(parent)?;
    }
    // In turns and not by recursion: somebody who removes it all the time would end the stack.
    loop {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::metadata(path) {
                    Ok(found) if found.is_dir() => return Ok(()),
                    // Somebody made it, and somebody else removed it again.
                    Err(error) if is_absence(&error) && !path.is_symlink() => {
                        std::thread::yield_now();
                    }
                    Err(error) if !is_absence(&error) => return Err(unreadable(error)),
                    _ => return Err(StoreError::io("create the folder", path, None, error)),
                }
            }
            Err(error) => return Err(StoreError::io("create the folder", path, None, error)),
            Ok(()) => {
                atomic_file::share(path);
                return atomic_file::sync_folder_of(path)
                    .map_err(|error| StoreError::io("write", path, None, error));
            }
        }
    }
}

/// Whether an error says that nothing has the name.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Renames within the file system, lasting once this returns.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    atomic_file::rename(from, to).map_err(|error| StoreError::io("move away", from, None, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b/c");
        make_folder(&inner).unwrap();
        make_folder(&inner).unwrap();
        assert!(inner.is_dir());
        // What is in the way is named, and so is a link to nowhere, which no folder replaces.
        let taken = folder.path().join("taken");
        fs::write(&taken, "").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        for name in ["taken", "link", "taken/below"] {
            let error = make_folder(&folder.path().join(name)).unwrap_err();
            assert!(
                error.to_string().contains("taken") || name == "link",
                "{error}"
            );
        }
    }
}
