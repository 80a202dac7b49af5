//! Files that can be made again at any time, such as archives without their compression. Losing them costs time only.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::commit::{self, StagedFile};
use super::error::StoreError;

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
        commit::make_folder(&self.folder).map_err(plain)?;
        let path = self.path(family, name);
        let mut staged = StagedFile::create(&path, None).map_err(plain)?;
        write(&mut staged)?;
        staged.commit().map_err(plain)?;
        self.give_up_others(family, &path);
        Ok(path)
    }

    /// What others of the family were made of has changed since, so nobody asks for them again.
    fn give_up_others(&self, family: &str, kept: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let begins = format!("{family}-");
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&begins) && path != kept {
                // Whoever cannot remove it keeps a file too many.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn path(&self, family: &str, name: &str) -> PathBuf {
        self.folder.join(format!("{family}-{name}"))
    }
}

fn plain(error: StoreError) -> io::Error {
    match error {
        StoreError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
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
    }
}
