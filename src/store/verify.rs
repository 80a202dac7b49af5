//! Comparing the bytes on the disk with the digests in the manifests.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::Problem;
use super::manifest::{FileEntry, Manifest, is_damage, wrong_size};
use super::names::PRETRAINED_WEIGHTS;
use super::parts::corrupt;
use super::root::Store;
use crate::checked_file::{CheckError, CheckedFile};

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

    /// Opens a file of an artifact: the only way to its bytes. The first time in the life of this process (of this [`Store`] and its
    /// clones) all of them are read and compared with the digest in the manifest; later only if the file is another one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the bytes are not those that were committed.
    pub fn open_file(
        &self,
        manifest: &Manifest,
        entry: &FileEntry,
    ) -> Result<CheckedFile, StoreError> {
        let file = self
            .artifact_folder(manifest.kind, &manifest.fingerprint)
            .join(&entry.name);
        let opened = self.checked.open(&file, &entry.blake3.0);
        opened.map_err(|error| failed_check(manifest, file, error))
    }

    /// Opens the weights of a training that is done, after comparing them with their digest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::NoSuchFile`], or [`StoreError::Corrupt`].
    pub fn trained_weights(&self, fingerprint: &Fingerprint) -> Result<CheckedFile, StoreError> {
        let manifest = self.require_manifest(fingerprint)?;
        self.open_file(&manifest, manifest.require(PRETRAINED_WEIGHTS)?)
    }

    /// Opens a file that a user has named, if it has the digest that it had when it was looked at.
    ///
    /// # Errors
    ///
    /// See [`CheckError`].
    pub fn open_input(&self, path: &Path, digest: &[u8; 32]) -> Result<CheckedFile, CheckError> {
        self.checked.open(path, digest)
    }
}

/// The error of a file of an artifact that cannot be used.
pub(super) fn failed_check(manifest: &Manifest, file: PathBuf, error: CheckError) -> StoreError {
    let reason = match error {
        CheckError::Unreadable(source) if source.kind() == io::ErrorKind::NotFound => {
            "is missing".to_owned()
        }
        CheckError::Unreadable(source) => return StoreError::io("read", &file, None, source),
        CheckError::Differs => "does not have the digest that the manifest states".to_owned(),
        CheckError::NoFile | CheckError::Changed => error.to_string(),
    };
    corrupt(manifest, file, reason)
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
