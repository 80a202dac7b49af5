//! Checkpoints of trainings: what a training resumes from when it was stopped, or when more steps are wanted of it.
//!
//! They belong to no artifact, but to all trainings that differ only in their number of steps. The name of a file has its
//! step and the digest of its bytes, so that a damaged one is noticed without a second file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::entries;
use super::recipe::Recipe;
use super::root::Store;
use super::verify::digest_of;
use crate::checked_file::{CheckError, CheckedFile};

/// How many are kept: the newest, and one to fall back on.
const KEPT: usize = 2;

/// Digits of the digest in a file name; 64 bits tell damage from the original.
const DIGEST_DIGITS: usize = 16;

/// The checkpoints of one kind of training.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// One checkpoint, open.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps that were made when it was written.
    pub step: u32,
    /// The file, whose name has the step and a digest, and whose bytes have that digest.
    pub file: CheckedFile,
}

/// The name of a checkpoint's file, taken apart.
struct Named {
    step: u32,
    /// The first digits of the digest.
    digest: String,
    path: PathBuf,
}

impl Store {
    /// The checkpoints of trainings by this recipe, which is without their number of steps.
    pub fn checkpoints(&self, trunk: &Recipe) -> Checkpoints {
        let folder = self.root().join("checkpoints");
        Checkpoints {
            folder: folder.join(trunk.fingerprint().to_string()),
        }
    }
}

impl Checkpoints {
    /// The newest one that is whole and has at most so many steps, open. Damaged and unreadable ones are passed over; they are named in the second
    /// part of the answer.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(&self, at_most: u32) -> Result<(Option<Checkpoint>, Vec<PathBuf>), StoreError> {
        let mut damaged = Vec::new();
        for Named { step, digest, path } in self.all()?.into_iter().rev() {
            if step > at_most {
                continue;
            }
            let is_right = |found: &[u8; 32]| Fingerprint(*found).to_string().starts_with(&digest);
            match CheckedFile::open_where(&path, is_right) {
                Ok(file) => return Ok((Some(Checkpoint { step, file }), damaged)),
                // A training with another number of steps shares the folder and may have removed it.
                Err(CheckError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => damaged.push(path),
            }
        }
        Ok((None, damaged))
    }

    /// Keeps a checkpoint, and lets go of older ones but the last.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or the file system refuses.
    pub fn write(&self, step: u32, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_by_path(step, &mut |path| fs::write(path, bytes))
    }

    /// Keeps a checkpoint that `write` writes to the path it is given, as [`Checkpoints::write`] does; for what is too large to be in
    /// memory twice.
    ///
    /// # Errors
    /// As [`Checkpoints::write`].
    pub fn write_by_path(
        &self,
        step: u32,
        write: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        commit::make_folder(&self.folder)?;
        let whole = self.folder.join(format!("step-{step:08}"));
        let staged = commit::stage_by_path(&whole, write)?;
        let digest = digest_of(staged.path())
            .map_err(|error| StoreError::io("read", &whole, None, error))?
            .to_string();
        let digest = digest.get(..DIGEST_DIGITS).unwrap_or_default();
        let name = format!("step-{step:08}-{digest}.safetensors");
        commit::name_staged(staged, &self.folder.join(name))?;
        let mut older = self.all()?;
        older.retain(|named| named.step <= step);
        let surplus = older.len().saturating_sub(KEPT);
        for Named { path, .. } in older.into_iter().take(surplus) {
            match fs::remove_file(&path) {
                // A training with another number of steps shares the folder and may have been faster.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, None, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets go of all of them: what they were for is done.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &self.folder, None, error))
            }
            _ => Ok(()),
        }
    }

    /// All of them with their digests, by step.
    fn all(&self) -> Result<Vec<Named>, StoreError> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for path in entries(&self.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let parts = name
                .strip_prefix("step-")
                .and_then(|name| name.strip_suffix(".safetensors"))
                .and_then(|name| name.split_once('-'));
            let Some((step, digest)) = parts else {
                continue;
            };
            if let Ok(step) = step.parse()
                && digest.len() == DIGEST_DIGITS
            {
                let digest = digest.to_owned();
                found.push(Named { step, digest, path });
            }
        }
        found.sort_by_key(|named| named.step);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ArtifactKind;

    #[test]
    fn the_newest_whole_one_counts_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let recipe = Recipe::new(ArtifactKind::Pretraining, 1, &1).unwrap();
        let checkpoints = store.checkpoints(&recipe);
        assert_eq!(checkpoints.newest(100).unwrap(), (None, Vec::new()));
        for step in [10, 20, 30] {
            checkpoints.write(step, &[1; 100]).unwrap();
        }
        let steps = |at_most| {
            let (newest, damaged) = checkpoints.newest(at_most).unwrap();
            (newest.map(|checkpoint| checkpoint.step), damaged.len())
        };
        assert_eq!(steps(100), (Some(30), 0));
        assert_eq!(steps(29), (Some(20), 0));
        assert_eq!(steps(19), (None, 0));
        let newest = checkpoints.newest(100).unwrap().0.unwrap();
        let path = newest.file.path().to_owned();
        fs::write(&path, [1; 99]).unwrap();
        assert_eq!(steps(100), (Some(20), 1));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(steps(100), (Some(20), 1));
    }
}
