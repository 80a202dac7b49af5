//! Comparing the bytes on the disk with the digests in the manifests.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::Problem;
use super::manifest::{FileEntry, Manifest, is_damage, wrong_size};
use super::root::Store;

impl Store {
    /// Reads and hashes every file of every complete artifact, and returns what is wrong with them, ordered by path.
    /// An empty list means that every artifact is what it was when it was committed.
    ///
    /// Nothing is moved or changed; see [`Store::quarantine`] for that.
    pub fn verify(&self) -> Result<Vec<Problem>, StoreError> {
        let (manifests, mut problems) = self.manifests()?;
        let found: Vec<Vec<Problem>> = manifests
            .par_iter()
            .map(|manifest| self.damage(manifest))
            .collect::<Result<_, _>>()?;
        problems.extend(found.into_iter().flatten());
        problems.sort_by(|left, right| left.file.cmp(&right.file));
        Ok(problems)
    }

    /// What is wrong with the files of one artifact, judged again from their bytes.
    pub(super) fn damage(&self, manifest: &Manifest) -> Result<Vec<Problem>, StoreError> {
        let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
        let mut problems = Vec::new();
        for entry in &manifest.files {
            let file = folder.join(&entry.name);
            match wrong_bytes(&file, entry) {
                Ok(None) => {}
                Ok(Some(reason)) => problems.push(Problem {
                    fingerprint: Some(manifest.fingerprint),
                    file,
                    reason,
                }),
                // Other files are looked at all the same.
                Err(error @ StoreError::Io { .. }) => {
                    problems.push(Problem::unreadable(
                        Some(manifest.fingerprint),
                        &file,
                        &error,
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(problems)
    }

    /// Verifies the chosen files of an artifact, each once in the life of this process (of this [`Store`] and its
    /// clones): reading features again for another head must not cost another pass over all bytes.
    pub(super) fn verify_files(
        &self,
        manifest: &Manifest,
        chosen: impl Fn(&FileEntry) -> bool + Sync,
    ) -> Result<(), StoreError> {
        let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
        manifest
            .files
            .par_iter()
            .filter(|entry| chosen(entry))
            .try_for_each(|entry| {
                let file = folder.join(&entry.name);
                let key = (file.clone(), entry.blake3.0);
                if self
                    .verified
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .contains(&key)
                {
                    return Ok(());
                }
                if let Some(reason) = wrong_bytes(&file, entry)? {
                    return Err(StoreError::Corrupt {
                        artifact: manifest.fingerprint,
                        file,
                        reason,
                    });
                }
                self.verified
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(key);
                Ok(())
            })
    }

    /// Forgets what was verified of an artifact whose files are about to change.
    pub(super) fn forget_verified(&self, folder: &Path) {
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(file, _)| !file.starts_with(folder));
    }
}

/// How a file differs from what the manifest has for it, to be read after the file's name.
fn wrong_bytes(file: &Path, entry: &FileEntry) -> Result<Option<String>, StoreError> {
    if let Some(reason) = wrong_size(file, entry)? {
        return Ok(Some(reason));
    }
    let found = match digest_of(file) {
        Ok(found) => found,
        Err(error) if is_damage(&error) => return Ok(Some(format!("cannot be read: {error}"))),
        Err(error) => return Err(StoreError::io("read", file, None, error)),
    };
    Ok((found != entry.blake3)
        .then(|| "does not have the digest that the manifest states".to_owned()))
}

/// BLAKE3 digest of a whole file.
pub(super) fn digest_of(path: &Path) -> io::Result<Fingerprint> {
    let mut digest = blake3::Hasher::new();
    digest.update_reader(File::open(path)?)?;
    Ok(Fingerprint(*digest.finalize().as_bytes()))
}
