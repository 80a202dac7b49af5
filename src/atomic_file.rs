//! Files that appear whole or not at all: a temporary file in the same folder, fsync, rename, fsync of the folder.
//!
//! Every file that this program leaves for others is written here; `tests/suite/tidy.rs` holds that. A process that is killed may
//! leave a temporary file, whose name [`is_temporary`] recognizes. New files have the permissions of any new file (0666 less
//! the user's mask), where temporary files are private otherwise; in a folder that a group shares they are the group's too (`sharing`).

pub(crate) mod faults;
mod renaming;
mod sharing;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use faults::Operation;

pub(crate) use renaming::{rename, rename_if_absent};
pub(crate) use sharing::{is_anothers, share, share_file};

/// What the names of temporary files begin with.
pub const TEMPORARY: &str = ".tmp-";

/// Whether a file name is that of a file that was never committed.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Whether a file name is one that a file server gives to what was removed while somebody has it open. It goes when they close it, and
/// cannot be removed before.
pub(crate) fn is_kept_by_server(name: &str) -> bool {
    name.starts_with(".nfs")
}

/// How long ago a file was written to, by the clock of its file system: that of this machine may be another, or be set while it runs.
/// `None` where that cannot be told, as on a disk that is read-only.
pub(crate) fn age_of(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let unnamed = tempfile::tempfile_in(folder_of(path)).ok()?;
    let now = unnamed.metadata().and_then(|found| found.modified()).ok()?;
    now.duration_since(written).ok()
}

/// The folder that a file is in: `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file that does not have its name yet. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: BufWriter<OnDisk>,
    target: PathBuf,
}

/// What is behind the buffer.
#[derive(Debug)]
struct OnDisk(NamedTempFile);

impl Write for OnDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at_once = faults::at_write(bytes.len())?;
        self.0.write(bytes.get(..at_once).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AtomicFile {
    /// Begins the file that is to be called `target`, in a folder of the user's, which has to exist. What killed processes left of files
    /// of this name is removed: nobody else would.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        clear_abandoned(target);
        Self::create_in_cache(target)
    }

    /// [`AtomicFile::create`] in the cache, where opening it removes what killed processes left.
    pub(crate) fn create_in_cache(target: &Path) -> io::Result<Self> {
        faults::at(Operation::Create)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY}{name}-"))
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder_of(target))?;
        share_file(file.as_file(), target);
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, OnDisk(file)),
            target: target.to_owned(),
        })
    }

    /// [`AtomicFile::create_in_cache`], with what `write` writes to the path it is given, which has to be the same file afterwards.
    pub(crate) fn by_path(
        target: &Path,
        write: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        let file = Self::create_in_cache(target)?;
        faults::at(Operation::Write)?;
        write(file.path())?;
        Ok(file)
    }

    /// Where the bytes are until the file has its name.
    pub(crate) fn path(&self) -> &Path {
        self.file.get_ref().0.path()
    }

    /// Bytes written so far, those in memory included.
    pub(crate) fn len(&mut self) -> io::Result<u64> {
        self.file.flush()?;
        Ok(self.file.get_ref().0.as_file().metadata()?.len())
    }

    /// Gives the file its name, in place of whatever has it. Once this returns, no power cut takes it back.
    pub(crate) fn commit(self) -> io::Result<()> {
        let target = self.target.clone();
        self.commit_as(&target)
    }

    /// [`AtomicFile::commit`] under another name in the same folder, for names that depend on the content.
    pub(crate) fn commit_as(self, target: &Path) -> io::Result<()> {
        let file = self.into_synced()?;
        named(file, target)?;
        sync_folder_of(target)
    }

    /// [`AtomicFile::commit`], unless there is a file of that name already; returns whether the name was free.
    pub(crate) fn commit_if_absent(self) -> io::Result<bool> {
        let target = self.target.clone();
        let file = self.into_synced()?;
        faults::at(Operation::Rename)?;
        match file.persist_noclobber(&target) {
            Ok(_) => sync_folder_of(&target).map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    }

    /// [`AtomicFile::commit`] without waiting for the disk: a power cut may lose or damage the file, though nothing else does. For
    /// what can be computed again and has a digest of its own.
    pub(crate) fn commit_unsynced(self) -> io::Result<()> {
        let target = self.target.clone();
        named(self.into_inner()?, &target)
    }

    fn into_inner(self) -> io::Result<NamedTempFile> {
        let file = self.file.into_inner();
        let file = file.map_err(io::IntoInnerError::into_error)?;
        Ok(file.0)
    }

    fn into_synced(self) -> io::Result<NamedTempFile> {
        let file = self.into_inner()?;
        faults::at(Operation::Sync)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// Gives a temporary file its name, in place of whatever has it.
fn named(file: NamedTempFile, target: &Path) -> io::Result<()> {
    faults::at(Operation::Rename)?;
    // Not by `persist`, which makes the system call without the C library, where tests cannot see it.
    let mut path = file.into_temp_path();
    fs::rename(&path, target)?;
    path.disable_cleanup(true);
    Ok(())
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a whole file.
pub(crate) fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()
}

/// A temporary file that nobody has written to for so long belongs to a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// Writes a whole file, unless it has these bytes already; returns whether it was written.
pub(crate) fn write_if_different(target: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(target).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    write(target, bytes).map(|()| true)
}

/// Removes what killed processes left of files that were to be called `target`: hidden ones that nobody wrote to for ten minutes.
pub(crate) fn clear_abandoned(target: &Path) {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let begins = format!("{TEMPORARY}{name}-");
    for entry in fs::read_dir(folder_of(target))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&begins)
            && age_of(&entry.path()).is_some_and(|age| age > ABANDONED_AFTER)
        {
            // One that cannot be removed does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the name of `path` last; a new name without this may be undone by a power cut.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    faults::at(Operation::SyncFolder)?;
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_a_killed_process_left_of_a_file_of_the_users_goes_with_the_next_and_nothing_else_does()
    {
        let folder = tempfile::tempdir().unwrap();
        let now = fs::metadata(folder.path()).unwrap().modified().unwrap();
        let long_ago = now - 2 * ABANDONED_AFTER;
        let left = [
            ".tmp-out.safetensors-a1b2c3",
            ".tmp-other.safetensors-a1b2c3",
            "out.safetensors",
        ];
        for name in left {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(long_ago).unwrap();
        }
        // Of somebody who writes it now.
        fs::write(folder.path().join(".tmp-out.safetensors-d4e5f6"), b"").unwrap();
        let target = folder.path().join("out.safetensors");
        drop(AtomicFile::create_in_cache(&target).unwrap());
        assert_eq!(names(folder.path()).len(), 4);
        drop(AtomicFile::create(&target).unwrap());
        let mut kept = names(folder.path());
        kept.sort();
        let expected = [
            ".tmp-other.safetensors-a1b2c3",
            ".tmp-out.safetensors-d4e5f6",
            "out.safetensors",
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_file_appears_only_when_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("table.parquet");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(file.len().unwrap(), 4);
        assert!(!target.exists());
        let left = names(folder.path());
        assert!(left.len() == 1 && is_temporary(&left[0]), "{left:?}");
        drop(file);
        assert!(names(folder.path()).is_empty());

        write(&target, b"whole").unwrap();
        write(&target, b"other").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"other");
        assert_eq!(names(folder.path()), ["table.parquet"]);
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("part");
        for (bytes, was_free) in [(b"one", true), (b"two", false)] {
            let mut file = AtomicFile::create(&target).unwrap();
            file.write_all(bytes).unwrap();
            assert_eq!(file.commit_if_absent().unwrap(), was_free);
        }
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["part"]);
    }

    #[test]
    fn equal_bytes_are_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("report.md");
        assert!(write_if_different(&target, b"one").unwrap());
        assert!(!write_if_different(&target, b"one").unwrap());
        let left = |name: &str, seconds| {
            let file = File::create(folder.path().join(name)).unwrap();
            let times = fs::FileTimes::new();
            let time = fs::metadata(&target).unwrap().modified().unwrap();
            let time = time - Duration::from_secs(seconds);
            file.set_times(times.set_modified(time)).unwrap();
        };
        left(".tmp-report.md-old", 700);
        left(".tmp-report.md-new", 7);
        left(".tmp-other.md-old", 700);
        assert!(write_if_different(&target, b"two").unwrap());
        let mut names = names(folder.path());
        names.sort();
        assert_eq!(
            names,
            [".tmp-other.md-old", ".tmp-report.md-new", "report.md"]
        );
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn a_file_written_by_path_takes_the_name_that_its_content_gives() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("step");
        let mut file =
            AtomicFile::by_path(&target, &mut |path| fs::write(path, b"weights")).unwrap();
        assert_eq!(file.len().unwrap(), 7);
        file.commit_as(&folder.path().join("step-7")).unwrap();
        assert_eq!(names(folder.path()), ["step-7"]);
    }

    #[test]
    fn a_new_file_has_the_permissions_of_any_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
    }
}
