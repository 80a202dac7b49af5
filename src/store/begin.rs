//! Initializer an artifact: who gets to make it, and what is left of earlier attempts.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::commit;
use super::error::StoreError;
use super::listing::entries;
use super::lock::{ArtifactLock, OnWait};
use super::manifest::{MANIFEST_FILE, Manifest, ManifestState};
use super::part::part_index;
use super::recipe::Recipe;
use super::root::Store;
use super::writer::ArtifactWriter;
use crate::atomic_file::{age_of, is_kept_by_server, is_temporary};

/// Answer to [`Store::begin`].
#[derive(Debug)]
pub enum Begin {
    /// The artifact is complete: it was before, or another process finished it while this one waited.
    AlreadyThere(Box<Manifest>),
    /// The caller is the one to make it.
    Writer(Box<ArtifactWriter>),
}

impl Store {
    /// Asks for the right to make an artifact. Waits while another process makes it, as long as `on_wait` agrees.
    ///
    /// A damaged artifact of the same fingerprint is set aside first; see [`ArtifactWriter::set_aside`].
    ///
    /// # Errors
    ///
    /// When the store was opened for reading only, the waiting was given up, a newer release made the artifact, or
    /// the file system refuses.
    pub fn begin(
        &self,
        recipe: &Recipe,
        label: &str,
        on_wait: &mut OnWait<'_>,
    ) -> Result<Begin, StoreError> {
        self.require_writable()?;
        let fingerprint = recipe.fingerprint();
        let lock = ArtifactLock::acquire(&self.locks, fingerprint, label, on_wait)?;
        let folder = self.artifact_folder(recipe.kind(), &fingerprint);
        let mut set_aside = Vec::new();
        match self.state(recipe.kind(), &fingerprint)? {
            ManifestState::Complete(manifest) => return Ok(Begin::AlreadyThere(manifest)),
            ManifestState::Damaged { file, reason } => {
                let reason = format!("is damaged: {} {reason}", file.display());
                set_aside.push(self.set_aside(&fingerprint, &folder, reason)?);
            }
            ManifestState::Absent => {}
        }
        commit::make_folder(&folder)?;
        self.tidy(recipe)?;
        Ok(Begin::Writer(Box::new(ArtifactWriter::new(
            self.clone(),
            recipe.clone(),
            label,
            folder,
            Some(lock),
            set_aside,
        ))))
    }

    /// Asks to write parts of an artifact, beside others that may do the same at the same moment.
    ///
    /// No lock is taken: a part proves itself, and of two writers of the same part the first one wins. Only
    /// [`ArtifactWriter::finish`] takes the lock, for the moment in which it writes the manifest.
    ///
    /// # Errors
    ///
    /// As [`Store::begin`], but for the waiting.
    pub fn begin_parts(&self, recipe: &Recipe, label: &str) -> Result<Begin, StoreError> {
        self.require_writable()?;
        let fingerprint = recipe.fingerprint();
        let folder = self.artifact_folder(recipe.kind(), &fingerprint);
        let mut set_aside = Vec::new();
        match self.state(recipe.kind(), &fingerprint)? {
            ManifestState::Complete(manifest) => return Ok(Begin::AlreadyThere(manifest)),
            // Under the lock and by a second look: another writer may be setting it aside right now.
            ManifestState::Damaged { .. } => set_aside.extend(self.quarantine(&fingerprint)?),
            ManifestState::Absent => {}
        }
        commit::make_folder(&folder)?;
        self.tidy(recipe)?;
        Ok(Begin::Writer(Box::new(ArtifactWriter::new(
            self.clone(),
            recipe.clone(),
            label,
            folder,
            None,
            set_aside,
        ))))
    }

    /// Clears what an attempt that did not finish left in an artifact's folder. Temporary files mean nothing and go, but for those of
    /// parts that somebody may still be writing; parts stay, to be validated; anything else was written before a manifest that never
    /// came, would be overwritten by this attempt or be in its way, and goes: it says nothing about the disk.
    fn tidy(&self, recipe: &Recipe) -> Result<(), StoreError> {
        for path in entries(&self.artifact_folder(recipe.kind(), &recipe.fingerprint()))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_kept_by_server(&name) {
                continue;
            }
            if is_temporary(&name) {
                if recipe.kind().has_parts() && is_fresh(&path) {
                    continue;
                }
                remove(&path)?;
            } else if part_index(&name).is_none() && name != MANIFEST_FILE {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes a file or a folder; one that is gone already counts as removed.
fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, None, error))
        }
        _ => Ok(()),
    }
}

/// A temporary file of a part that nobody has written to for so long belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// Whether somebody may still be writing the file. A file that is gone counts as fresh.
fn is_fresh(path: &Path) -> bool {
    age_of(path).is_none_or(|age| age < ABANDONED_AFTER)
}
