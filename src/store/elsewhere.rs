//! Manifests that go to and come from elsewhere, and what is known of artifacts that a remote has and whose bytes nothing here needs.
//!
//! `elsewhere/<fingerprint>.json` is such an artifact's manifest, as it came. A report names everything that it stands on, so it reads them
//! where the artifact itself is not here; nothing else does. Losing one costs a line of a report's provenance.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commit;
use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::manifest::{MANIFEST_FILE, Manifest, OF_ANOTHER, parse};
use super::root::Store;

impl Manifest {
    /// The manifest of an artifact out of the bytes of its file, which came from elsewhere.
    ///
    /// # Errors
    ///
    /// Why it cannot be that, to be read after its name.
    pub fn received(
        kind: ArtifactKind,
        fingerprint: &Fingerprint,
        text: &[u8],
    ) -> Result<Self, String> {
        let manifest = match parse(Path::new(MANIFEST_FILE), text) {
            Ok(parsed) => parsed?,
            Err(newer) => return Err(newer.to_string()),
        };
        if !manifest.is_of(kind, fingerprint) {
            return Err(OF_ANOTHER.to_owned());
        }
        let names: BTreeSet<&str> = manifest
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect();
        if names.len() < manifest.files.len() {
            return Err("lists a file twice".to_owned());
        }
        Ok(manifest)
    }
}

impl Store {
    /// The bytes of an artifact's manifest, as they are on the disk; `None` where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn manifest_text(
        &self,
        kind: ArtifactKind,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.artifact_folder(kind, fingerprint).join(MANIFEST_FILE);
        match fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("read", &path, None, error)),
        }
    }

    /// Keeps the manifest of an artifact that a remote has; `text` are the bytes of its file.
    ///
    /// # Errors
    ///
    /// When writing fails, or the store was opened for reading only.
    pub fn keep_elsewhere(&self, fingerprint: &Fingerprint, text: &[u8]) -> Result<(), StoreError> {
        self.require_writable()?;
        let path = self.elsewhere_file(fingerprint);
        if fs::read(&path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        commit::write_file(&path, text)
    }

    /// The manifest of a complete artifact, or else of one that a remote was seen to have.
    ///
    /// # Errors
    ///
    /// As [`Store::manifest`]. What is kept of a remote and cannot be read counts as absent.
    pub fn known_manifest(
        &self,
        kind: ArtifactKind,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Manifest>, StoreError> {
        if let Some(here) = self.manifest(fingerprint)? {
            return Ok(Some(here));
        }
        let text = fs::read(self.elsewhere_file(fingerprint)).ok();
        Ok(text.and_then(|text| Manifest::received(kind, fingerprint, &text).ok()))
    }

    fn elsewhere_file(&self, fingerprint: &Fingerprint) -> PathBuf {
        self.root
            .join("elsewhere")
            .join(format!("{fingerprint}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Begin, Made, Recipe, wait_quietly};

    #[test]
    fn what_is_elsewhere_is_known_until_it_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let there = Store::open(folder.path().join("there")).unwrap();
        let here = Store::open(folder.path().join("here")).unwrap();
        let recipe = Recipe::new(ArtifactKind::Head, 1, &"fields").unwrap();
        let fingerprint = recipe.fingerprint();
        let begun = there.begin(&recipe, "it", &mut wait_quietly).unwrap();
        let Begin::Writer(mut writer) = begun else {
            panic!("it is there");
        };
        writer.write_bytes("content", b"right").unwrap();
        let manifest = writer.finish(Made::default()).unwrap();
        let text = there
            .manifest_text(ArtifactKind::Head, &fingerprint)
            .unwrap()
            .unwrap();

        let known = || {
            here.known_manifest(ArtifactKind::Head, &fingerprint)
                .unwrap()
        };
        assert_eq!(known(), None);
        here.keep_elsewhere(&fingerprint, &text).unwrap();
        assert_eq!(known(), Some(manifest));
        assert_eq!(here.manifest(&fingerprint).unwrap(), None);
        assert!(here.listing().unwrap().artifacts.is_empty());
        let mut damaged = text;
        damaged[40] ^= 1;
        fs::write(here.elsewhere_file(&fingerprint), damaged).unwrap();
        assert_eq!(known(), None);
    }
}
