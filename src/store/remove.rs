//! Removing artifacts: only by who has the store for itself alone, and so that a removal that is interrupted leaves nothing half there.
//!
//! A folder is renamed first, to a name that means nothing, and then deleted; what a killed removal leaves is deleted by
//! whoever opens the store alone next (`clean.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::clean::{Opened, files_in};
use super::commit;
use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::listing::{Listing, entries};
use super::root::Store;
use crate::atomic_file::TEMPORARY;

/// The store, which nobody else has open.
#[derive(Debug)]
pub struct Alone {
    store: Store,
    /// Nobody else has it open as long as this is there.
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    opened: Opened,
}

impl Store {
    /// Opens the store at `root` for removing; `None` where another process has it open, or where that cannot be known because the file
    /// system has no locks.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_alone(root: impl Into<PathBuf>) -> Result<Option<Alone>, StoreError> {
        // Makes sure that it is a store and can be written to, and cleans it.
        let store = Self::open(root)?.without_opening();
        let opened = Opened::alone(&store.opened_file());
        Ok(opened.map(|opened| Alone { store, opened }))
    }

    /// Bytes of an artifact's folder, complete or not.
    pub fn bytes_of(&self, kind: ArtifactKind, fingerprint: &Fingerprint) -> u64 {
        bytes_below(&self.artifact_folder(kind, fingerprint))
    }

    /// Bytes in the quarantine.
    pub fn quarantined_bytes(&self) -> u64 {
        bytes_below(&self.quarantine_folder())
    }
}

impl Alone {
    /// The store, to read what is in it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Removes an artifact, complete or not. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// When the folder cannot be moved. What cannot be deleted afterwards is no artifact any more and goes later.
    pub fn remove(&self, kind: ArtifactKind, fingerprint: &Fingerprint) -> Result<(), StoreError> {
        let folder = self.store.artifact_folder(kind, fingerprint);
        self.remove_folder(&folder, &fingerprint.to_string())
    }

    /// Removes everything that was set aside as damaged. That it was damaged stays recorded.
    ///
    /// # Errors
    ///
    /// As [`Alone::remove`].
    pub fn empty_quarantine(&self) -> Result<(), StoreError> {
        for folder in entries(&self.store.quarantine_folder())? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            self.remove_folder(&folder, &name)?;
        }
        Ok(())
    }

    fn remove_folder(&self, folder: &Path, name: &str) -> Result<(), StoreError> {
        if !folder.exists() {
            return Ok(());
        }
        let gone = self
            .store
            .quarantine_folder()
            .join(format!("{TEMPORARY}removed-{name}"));
        // One of an earlier removal that was killed.
        let _ = fs::remove_dir_all(&gone);
        commit::rename(folder, &gone)?;
        let _ = fs::remove_dir_all(&gone);
        // The folder of the first two digits, where this was the last.
        if let Some(parent) = folder.parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

impl Listing {
    /// These artifacts and all that they were made from, by way of others too.
    pub fn with_inputs(&self, roots: BTreeSet<Fingerprint>) -> BTreeSet<Fingerprint> {
        let mut open: Vec<Fingerprint> = roots.iter().copied().collect();
        let mut found = roots;
        while let Some(fingerprint) = open.pop() {
            let Some(entry) = self.artifacts.get(&fingerprint) else {
                continue;
            };
            for input in entry.recipe.named() {
                if self.has(&input) && found.insert(input) {
                    open.push(input);
                }
            }
        }
        found
    }

    /// Whether there is an artifact of this name, complete or not.
    pub fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.artifacts.contains_key(fingerprint) || self.partial.contains_key(fingerprint)
    }

    /// The artifacts whose names begin with some digits: reports have no more of them.
    pub fn named_by(&self, digits: &[String]) -> BTreeSet<Fingerprint> {
        let names: BTreeMap<String, Fingerprint> = self
            .artifacts
            .keys()
            .map(|fingerprint| (fingerprint.to_string(), *fingerprint))
            .collect();
        let begin = digits.iter().flat_map(|digits| {
            names
                .range(digits.clone()..)
                .take_while(move |(name, _)| name.starts_with(digits.as_str()))
        });
        begin.map(|(_, fingerprint)| *fingerprint).collect()
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let files = files_in(folder).into_iter();
    files
        .filter_map(|file| fs::symlink_metadata(file).ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{Begin, Made, Recipe, wait_quietly};

    fn make(store: &Store, fields: &serde_json::Value) -> Fingerprint {
        let recipe = Recipe::new(ArtifactKind::Head, 1, fields).unwrap();
        let begun = store.begin(&recipe, "it", &mut wait_quietly).unwrap();
        let Begin::Writer(mut writer) = begun else {
            panic!("it is there");
        };
        writer.write_bytes("content", b"right").unwrap();
        writer.finish(Made::default()).unwrap();
        recipe.fingerprint()
    }

    #[test]
    fn only_who_is_alone_removes_and_inputs_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let weights = make(&store, &json!("weights"));
        let features = make(
            &store,
            &json!({ "weights": format!("pretraining:{weights}") }),
        );
        let head = make(&store, &json!({ "features": [features.to_string()] }));
        let other = make(&store, &json!("other"));
        let listing = store.listing().unwrap();
        let reached = listing.with_inputs(BTreeSet::from([head]));
        assert_eq!(reached, BTreeSet::from([head, features, weights]));
        let digits = other.to_string()[..16].to_owned();
        assert_eq!(listing.named_by(&[digits]), BTreeSet::from([other]));
        assert!(store.bytes_of(ArtifactKind::Head, &other) > 5);

        assert!(Store::open_alone(folder.path()).unwrap().is_none());
        drop(store);
        let alone = Store::open_alone(folder.path()).unwrap().unwrap();
        alone.remove(ArtifactKind::Head, &other).unwrap();
        alone.remove(ArtifactKind::Head, &other).unwrap();
        let listing = alone.store().listing().unwrap();
        assert!(!listing.has(&other) && listing.has(&head));
        assert!(alone.store().verify().unwrap().is_empty());
        assert_eq!(alone.store().leftovers().files, 0);
    }

    #[test]
    fn a_removal_that_was_killed_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let gone = folder.path().join("quarantine/.tmp-removed-x");
        fs::create_dir(&gone).unwrap();
        fs::write(gone.join("part-00000.arrow"), "1234").unwrap();
        fs::write(folder.path().join("locks/store.lock"), "+").unwrap();
        drop(Store::open(folder.path()).unwrap());
        assert!(!gone.exists());
    }
}
