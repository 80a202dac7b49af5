//! Removing artifacts: only by who has the store for itself alone, and so that a removal that is interrupted leaves nothing half there.
//!
//! A folder is renamed first, to a name that means nothing, and then deleted; what a killed removal leaves is deleted by
//! whoever opens the store alone next (`clean.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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

/// A folder of checkpoints, of one training or of all heads that share their features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoints {
    /// The digest of what the trainings share, which is the folder's name.
    pub name: Fingerprint,
    /// Size of all files below, in bytes.
    pub bytes: u64,
    /// When a file below was last written; `None` where the file system does not say.
    pub written: Option<SystemTime>,
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

    /// The checkpoints of all trainings, by name.
    ///
    /// # Errors
    ///
    /// When their folder cannot be read.
    pub fn kept_checkpoints(&self) -> Result<Vec<KeptCheckpoints>, StoreError> {
        let folders = entries(&self.checkpoints_folder())?.into_iter();
        let kept = folders.filter_map(|folder| {
            let name = folder.file_name()?.to_str()?.parse().ok()?;
            let files = files_in(&folder).into_iter();
            let written = files.filter_map(|file| fs::metadata(file).ok()?.modified().ok());
            Some(KeptCheckpoints {
                name,
                bytes: bytes_below(&folder),
                written: written.max(),
            })
        });
        Ok(kept.collect())
    }

    fn checkpoints_folder(&self) -> PathBuf {
        self.root.join("checkpoints")
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

    /// Removes the checkpoints of a training. Those that are not there are no error.
    ///
    /// # Errors
    ///
    /// As [`Alone::remove`].
    pub fn remove_checkpoints(&self, name: &Fingerprint) -> Result<(), StoreError> {
        let folder = self.store.checkpoints_folder().join(name.to_string());
        self.remove_folder(&folder, &format!("checkpoints-{name}"))
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
        if let Some(parent) = folder.parent()
            && parent != self.store.checkpoints_folder()
        {
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
    fn checkpoints_are_removed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.kept_checkpoints().unwrap(), []);
        let recipe = |text: &str| Recipe::new(ArtifactKind::Head, 1, &json!(text)).unwrap();
        for text in ["one", "two"] {
            store.checkpoints(&recipe(text)).write(3, b"1234").unwrap();
        }
        let kept = store.kept_checkpoints().unwrap();
        assert_eq!(kept.iter().map(|one| one.bytes).collect::<Vec<_>>(), [4, 4]);
        assert!(kept.iter().all(|one| one.written.is_some()));
        drop(store);
        let alone = Store::open_alone(folder.path()).unwrap().unwrap();
        let one = recipe("one").fingerprint();
        alone.remove_checkpoints(&one).unwrap();
        alone.remove_checkpoints(&one).unwrap();
        let kept = alone.store().kept_checkpoints().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].name, recipe("two").fingerprint());
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
