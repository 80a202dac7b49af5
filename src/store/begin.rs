//! Beginning an artifact: who gets to make it, and what is left of earlier attempts.

use std::fs;

use super::commit;
use super::error::StoreError;
use super::listing::entries;
use super::lock::{ArtifactLock, OnWait};
use super::manifest::{Manifest, State};
use super::part::part_index;
use super::quarantine::SetAside;
use super::recipe::Recipe;
use super::root::Store;
use super::writer::ArtifactWriter;

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
        let lock =
            ArtifactLock::acquire(&self.lock_file(&fingerprint), fingerprint, label, on_wait)?;
        let folder = self.artifact_folder(recipe.kind(), &fingerprint);
        let mut set_aside = Vec::new();
        match self.state(recipe.kind(), &fingerprint)? {
            State::Complete(manifest) => return Ok(Begin::AlreadyThere(manifest)),
            State::Damaged { file, reason } => {
                let reason = format!("is damaged: {} {reason}", file.display());
                set_aside.push(self.set_aside(&fingerprint, &folder, reason)?);
            }
            State::Absent => {}
        }
        commit::make_folder(&folder)?;
        set_aside.extend(self.tidy(recipe)?);
        Ok(Begin::Writer(Box::new(ArtifactWriter::new(
            self.clone(),
            recipe.clone(),
            label,
            folder,
            lock,
            set_aside,
        ))))
    }

    /// [`Store::begin`] for several artifacts that one pass makes together. The answers are in the order of `wanted`.
    ///
    /// The locks are taken in the order of the fingerprints, whatever the order of `wanted`, so that two processes
    /// with overlapping wishes cannot wait for each other. Each lock takes one file descriptor.
    ///
    /// # Errors
    ///
    /// As [`Store::begin`]; and [`StoreError::BegunTwice`] when an artifact is named twice. No lock is held then.
    pub fn begin_many(
        &self,
        wanted: &[(Recipe, String)],
        on_wait: &mut OnWait<'_>,
    ) -> Result<Vec<Begin>, StoreError> {
        let mut order: Vec<(usize, &Recipe, &str)> = wanted
            .iter()
            .enumerate()
            .map(|(index, (recipe, label))| (index, recipe, label.as_str()))
            .collect();
        order.sort_by_key(|(_, recipe, _)| recipe.fingerprint());
        for pair in order.windows(2) {
            if let [(_, first, _), (_, second, _)] = pair
                && first.fingerprint() == second.fingerprint()
            {
                return Err(StoreError::BegunTwice {
                    artifact: first.fingerprint(),
                });
            }
        }
        let mut begun = Vec::with_capacity(order.len());
        for (index, recipe, label) in order {
            begun.push((index, self.begin(recipe, label, on_wait)?));
        }
        begun.sort_by_key(|(index, _)| *index);
        Ok(begun.into_iter().map(|(_, begin)| begin).collect())
    }

    /// Clears what an attempt that did not finish left in an artifact's folder. Temporary files mean nothing and go;
    /// parts stay, to be validated; anything else would be overwritten by this attempt or be in its way.
    fn tidy(&self, recipe: &Recipe) -> Result<Vec<SetAside>, StoreError> {
        let fingerprint = recipe.fingerprint();
        let mut set_aside = Vec::new();
        for path in entries(&self.artifact_folder(recipe.kind(), &fingerprint))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if commit::is_temporary(&name) {
                fs::remove_file(&path)
                    .map_err(|error| StoreError::io("remove", &path, None, error))?;
            } else if part_index(&name).is_none() {
                let reason = "was left by a run that did not finish".to_owned();
                set_aside.push(self.set_aside(&fingerprint, &path, reason)?);
            }
        }
        Ok(set_aside)
    }
}
