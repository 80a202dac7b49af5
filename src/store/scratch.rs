//! Files that can be made again at any time, such as archives without their compression. Losing them costs time only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::commit::{self, StagedFile};
use super::error::StoreError;
use super::listing::{Problem, entries};
use crate::atomic_file::{is_temporary, share};
use crate::checked_blocks::{BlockDigests, CheckedBlocks, DigestingBlocks, RECORD, damage_in};

/// A folder of such files.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// The files in `folder`, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The path of a file of a family, if it is there.
    pub fn find(&self, family: &str, name: &str) -> Option<PathBuf> {
        let path = self.path(family, name);
        path.is_file().then_some(path)
    }

    /// Keeps what `write` writes, whole or not at all, and removes the other files of its family. Gives the path of the file.
    ///
    /// # Errors
    ///
    /// The first error of `write`, or a file that cannot be written.
    pub fn keep(
        &self,
        family: &str,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        commit::make_folder(&self.folder).map_err(|error| plain(&error))?;
        let path = self.path(family, name);
        self.make_way(&path)?;
        let mut staged = Named(
            StagedFile::create(&path, None).map_err(|error| plain(&error))?,
            &path,
        );
        write(&mut staged)?;
        staged.0.commit().map_err(|error| plain(&error))?;
        self.give_up_others(family, &path);
        Ok(path)
    }

    /// The file of a family that [`Scratch::keep_blocks`] has kept, if it is there with its digests; see [`CheckedBlocks`].
    ///
    /// # Errors
    ///
    /// A file that cannot be opened, or has another length than was written.
    pub fn find_blocks(&self, family: &str, name: &str) -> io::Result<Option<CheckedBlocks>> {
        let path = self.path(family, name);
        let record = fs::read(record_of(&path)).ok();
        let Some(known) = record.and_then(|record| BlockDigests::from_bytes(&record)) else {
            return Ok(None);
        };
        match CheckedBlocks::open(&path, known) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// As [`Scratch::keep`], for a large file that is read in places: the digests of its blocks are kept beside it.
    ///
    /// # Errors
    ///
    /// As [`Scratch::keep`].
    pub fn keep_blocks(
        &self,
        family: &str,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<CheckedBlocks> {
        commit::make_folder(&self.folder).map_err(|error| plain(&error))?;
        let path = self.path(family, name);
        self.make_way(&record_of(&path))?;
        self.make_way(&path)?;
        let staged = StagedFile::create(&path, None).map_err(|error| plain(&error))?;
        let mut staged = DigestingBlocks::new(Named(staged, &path));
        write(&mut staged)?;
        let (Named(staged, _), digests) = staged.finish();
        // Without its digests the file counts for nothing, so it does not matter which of them a kill leaves.
        commit::write_file(&record_of(&path), &digests.to_bytes())
            .map_err(|error| plain(&error))?;
        staged.commit().map_err(|error| plain(&error))?;
        self.give_up_others(family, &path);
        CheckedBlocks::open(&path, digests)
    }

    /// Moves a folder aside that has the name of a file which is to be written: no rename replaces it.
    fn make_way(&self, path: &Path) -> io::Result<()> {
        let there = path.symlink_metadata();
        if there.is_ok_and(|there| there.is_dir()) {
            let aside = self.set_aside(path, "is not a regular file");
            aside.map_err(|error| plain(&error))?;
        }
        Ok(())
    }

    /// Compares every file that was kept with the digests of its blocks; what is wrong, ordered by path.
    pub fn verify(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for record in entries(&self.folder).unwrap_or_default() {
            let name = record.file_name().unwrap_or_default().to_string_lossy();
            let Some(name) = name.strip_suffix(RECORD).filter(|name| !is_temporary(name)) else {
                continue;
            };
            let file = self.folder.join(name);
            let reason = match fs::read(&record).map(|record| BlockDigests::from_bytes(&record)) {
                Err(error) => Some((record, format!("cannot be read: {error}"))),
                Ok(None) => Some((record, "is damaged".to_owned())),
                Ok(Some(known)) => {
                    let compared =
                        CheckedBlocks::open(&file, known).and_then(|checked| checked.compare_all());
                    compared.err().map(|error| match damage_in(&error) {
                        Some(damage) => (file, damage.reason.clone()),
                        None => (file, format!("cannot be read: {error}")),
                    })
                }
            };
            problems.extend(reason.map(|(file, reason)| Problem {
                fingerprint: None,
                file,
                reason,
            }));
        }
        problems
    }

    /// Moves a file of this folder into the quarantine beside it, and its digests away, so that it is made again. Gives its new place.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when moving fails.
    pub fn set_aside(&self, path: &Path, reason: &str) -> Result<PathBuf, StoreError> {
        let quarantine = self.folder.with_file_name("quarantine");
        commit::make_folder(&quarantine)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let note = format!("{} {reason}\n", path.display());
        let mut number = 1_u64;
        let folder = loop {
            let folder = quarantine.join(format!("{name}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    share(&folder);
                    break folder;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(StoreError::io("create the folder", &folder, None, error));
                }
            }
        };
        commit::write_file(&folder.join("reason.txt"), note.as_bytes())?;
        let to = folder.join(&*name);
        commit::rename(path, &to)?;
        match fs::remove_file(record_of(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &record_of(path), None, error))
            }
            _ => Ok(to),
        }
    }

    /// What others of the family were made of has changed since, so nobody asks for them again.
    fn give_up_others(&self, family: &str, kept: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let begins = format!("{family}-");
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&begins) && path != kept && path != record_of(kept) {
                // Whoever cannot remove it keeps a file too many.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn path(&self, family: &str, name: &str) -> PathBuf {
        self.folder.join(format!("{family}-{name}"))
    }
}

/// The file with the digests of the blocks of another.
fn record_of(path: &Path) -> PathBuf {
    let mut record = path.as_os_str().to_owned();
    record.push(RECORD);
    record.into()
}

/// An error of the store as one of the system, which still names the file.
fn plain(error: &StoreError) -> io::Error {
    let kind = match error {
        StoreError::Io { source, .. } => source.kind(),
        StoreError::DiskFull { path, .. } => {
            let reason = format!("no room for {}", path.display());
            return io::Error::new(io::ErrorKind::StorageFull, reason);
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

/// A file that is written, with its name: what is copied into it can fail as well, and says so without a name.
struct Named<'a>(StagedFile, &'a Path);

impl Write for Named<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes);
        written.map_err(|error| plain(&StoreError::io("write", self.1, None, error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        flushed.map_err(|error| plain(&StoreError::io("write", self.1, None, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_whole_or_absent_and_replace_their_family() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("archives");
        let scratch = Scratch::new(&place);
        assert_eq!(scratch.find("birds", "1.tar"), None);
        let mut write = |out: &mut dyn Write| out.write_all(b"old");
        scratch.keep("birds", "1.tar", &mut write).unwrap();
        scratch.keep("dogs", "1.tar", &mut write).unwrap();
        let broken = scratch.keep("birds", "2.tar", &mut |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("the archive ends here"))
        });
        assert!(broken.is_err());
        assert_eq!(names(&place), ["birds-1.tar", "dogs-1.tar"]);
        let path = scratch.keep("birds", "2.tar", &mut write).unwrap();
        assert_eq!(scratch.find("birds", "2.tar"), Some(path));
        assert_eq!(names(&place), ["birds-2.tar", "dogs-1.tar"]);
        // A folder in the way goes to the quarantine.
        fs::create_dir(place.join("cats-1.tar")).unwrap();
        scratch.keep("cats", "1.tar", &mut write).unwrap();
        fs::create_dir(record_of(&place.join("cats-2.tar"))).unwrap();
        scratch.keep_blocks("cats", "2.tar", &mut write).unwrap();
        assert!(scratch.find_blocks("cats", "2.tar").unwrap().is_some());
        let aside = folder.path().join("quarantine");
        assert_eq!(names(&aside), ["cats-1.tar-1", "cats-2.tar.blocks-1"]);
    }
}
