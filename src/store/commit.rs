//! Files that appear whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::StoreError;

const TEMPORARY: &str = ".tmp-";

/// Whether a file name is that of an uncommitted file.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// A file that does not have its name yet. Dropping it removes it.
#[derive(Debug)]
pub(super) struct StagedFile {
    file: BufWriter<NamedTempFile>,
    target: PathBuf,
    needed: Option<u64>,
}

impl StagedFile {
    /// Begins the file that is to be called `target`; `needed` is its size in bytes, where known, for the message
    /// when the disk is full.
    pub(super) fn create(target: &Path, needed: Option<u64>) -> Result<Self, StoreError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY}{name}-"))
            // Temporary files are private by default; a store may be shared, so the user's umask decides.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| StoreError::io("create a file for", target, needed, error))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
            target: target.to_owned(),
            needed,
        })
    }

    /// Gives the file its name, once all its bytes are on the disk.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        let Self {
            file,
            target,
            needed,
        } = self;
        let failed = |error| StoreError::io("write", &target, needed, error);
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&target).map_err(|error| failed(error.error))?;
        sync_folder_of(&target)
    }

    /// [`StagedFile::commit`], unless there is a file of that name already; says whether the name was free.
    pub(super) fn commit_if_absent(self) -> Result<bool, StoreError> {
        let Self {
            file,
            target,
            needed,
        } = self;
        let failed = |error| StoreError::io("write", &target, needed, error);
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        match file.persist_noclobber(&target) {
            Ok(_) => sync_folder_of(&target).map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(error.error)),
        }
    }

    /// The error to report when writing to this file failed.
    pub(super) fn failure(&self, error: io::Error) -> StoreError {
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

/// Writes a whole file atomically.
pub(super) fn write_file(target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let needed = u64::try_from(bytes.len()).ok();
    let mut staged = StagedFile::create(target, needed)?;
    staged
        .write_all(bytes)
        .map_err(|error| staged.failure(error))?;
    staged.commit()
}

/// A file of a folder that `write` writes by its path and that has no name of its own yet; dropping it removes it. Its bytes are on the disk.
pub(super) fn stage_by_path(
    target: &Path,
    write: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<NamedTempFile, StoreError> {
    let file = StagedFile::create(target, None)?;
    let failed = |error| StoreError::io("write", target, None, error);
    let file = file
        .file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    write(file.path())
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    Ok(file)
}

/// Gives such a file its name.
pub(super) fn name_staged(file: NamedTempFile, target: &Path) -> Result<(), StoreError> {
    file.persist(target)
        .map_err(|error| StoreError::io("write", target, None, error.error))?;
    sync_folder_of(target)
}

/// Writes a file that may be lost or damaged by a power cut, though by nothing else; for what can be computed anew and has a
/// digest of its own.
pub(super) fn write_file_unsynced(target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let needed = u64::try_from(bytes.len()).ok();
    let mut staged = StagedFile::create(target, needed)?;
    staged
        .write_all(bytes)
        .and_then(|()| staged.flush())
        .map_err(|error| staged.failure(error))?;
    let failed = |error| StoreError::io("write", target, needed, error);
    let file = staged
        .file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.persist(target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Makes a folder and those above it, each of them lasting once this returns.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(StoreError::io("create the folder", path, None, error)),
        Ok(()) => sync_folder_of(path),
    }
}

/// Renames within the file system, lasting once this returns.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::io("move away", from, None, error))?;
    sync_folder_of(from)?;
    sync_folder_of(to)
}

/// Makes the name of `path` last; a rename without this may be undone by a power cut.
fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io("write", folder, None, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("table.parquet");
        let mut staged = StagedFile::create(&target, None).unwrap();
        staged.write_all(b"half").unwrap();
        staged.flush().unwrap();
        assert!(!target.exists());
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 1);
        assert!(is_temporary(names[0].to_str().unwrap()));
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        write_file(&target, b"whole").unwrap();
        write_file(&target, b"other").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"other");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_are_made_with_those_above_them() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b/c");
        make_folder(&inner).unwrap();
        make_folder(&inner).unwrap();
        assert!(inner.is_dir());
    }
}
