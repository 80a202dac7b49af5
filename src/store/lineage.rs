//! What was made from what: which artifacts may hold what a damaged one made of them.
//!
//! The recipe of an artifact names its inputs by their fingerprints. Whoever reads an artifact compares its bytes first, so what this
//! release makes was made from sound bytes, but for what was changed on the disk after the comparison; and earlier releases did not
//! compare the weights of a training. When a byte changed nobody knows, so everything that was made from the artifact counts.
//!
//! Damage is recorded in `damaged/`, one file an artifact, since neither the artifact nor its place in the quarantine need be there
//! when somebody asks. An artifact that was made again is right; what was made from the one before is older than it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::{Problem, entries};
use super::lock::ArtifactLock;
use super::manifest::{MANIFEST_FILE, Manifest};
use super::quarantine::{SetAside, WHOLE};
use super::recipe::Recipe;
use super::root::Store;

/// Digits of a fingerprint.
const DIGITS: usize = 64;

/// An artifact that was made from a damaged one, by way of others or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The artifact.
    pub fingerprint: Fingerprint,
    /// Its folder.
    pub folder: PathBuf,
    /// The artifact that was damaged.
    pub origin: Fingerprint,
}

impl Recipe {
    /// The fingerprints that the recipe names, among them those of the artifact's inputs: 64 hexadecimal digits that stand alone.
    pub(super) fn named(&self) -> BTreeSet<Fingerprint> {
        let words = self
            .json()
            .split(|character: char| !character.is_ascii_alphanumeric());
        words
            .filter(|word| word.len() == DIGITS)
            .filter_map(|word| word.parse().ok())
            .collect()
    }
}

impl Store {
    /// The complete artifacts that were made from a damaged one: from those that `problems` are about, and from those that were found
    /// damaged earlier and that were not made again, or only later. Ordered by folder.
    ///
    /// # Errors
    ///
    /// When a folder or a manifest cannot be read.
    pub fn derived(&self, problems: &[Problem]) -> Result<Vec<Derived>, StoreError> {
        let (manifests, _) = self.manifests()?;
        let now = problems.iter().filter_map(|problem| problem.fingerprint);
        let now: BTreeSet<Fingerprint> = now.collect();
        let before = self.damaged_before()?;
        if now.is_empty() && before.is_empty() {
            return Ok(Vec::new());
        }
        let by_name: BTreeMap<Fingerprint, &Manifest> = manifests
            .iter()
            .map(|manifest| (manifest.fingerprint, manifest))
            .collect();
        let mut users: BTreeMap<Fingerprint, Vec<&Manifest>> = BTreeMap::new();
        for manifest in &manifests {
            for input in manifest.recipe.named() {
                users.entry(input).or_default().push(manifest);
            }
        }
        let users_of = |input: &Fingerprint| users.get(input).into_iter().flatten().copied();
        let mut open: Vec<(&Manifest, Fingerprint)> = Vec::new();
        for origin in now.union(&before) {
            // What is not damaged now was made again, and what is older than that was made from the damaged one.
            let again = by_name.get(origin).filter(|_| !now.contains(origin));
            let users = users_of(origin).filter(|user| match again {
                Some(again) => self.is_older(user, again),
                None => true,
            });
            open.extend(users.map(|user| (user, *origin)));
        }
        let mut found: BTreeMap<PathBuf, Derived> = BTreeMap::new();
        while let Some((manifest, origin)) = open.pop() {
            let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
            if now.contains(&manifest.fingerprint) || found.contains_key(&folder) {
                continue;
            }
            open.extend(users_of(&manifest.fingerprint).map(|user| (user, origin)));
            let derived = Derived {
                fingerprint: manifest.fingerprint,
                folder: folder.clone(),
                origin,
            };
            found.insert(folder, derived);
        }
        Ok(found.into_values().collect())
    }

    /// Moves an artifact that was made from a damaged one aside, so that it can be made again; `None` where another process holds
    /// its lock, or it is gone.
    ///
    /// # Errors
    ///
    /// When moving fails, or the store was opened for reading only.
    pub fn set_aside_derived(&self, derived: &Derived) -> Result<Option<SetAside>, StoreError> {
        self.require_writable()?;
        let artifact = &derived.fingerprint;
        let Some(_lock) = ArtifactLock::try_acquire(&self.lock_file(artifact))? else {
            return Ok(None);
        };
        if !derived.folder.is_dir() {
            return Ok(None);
        }
        let reason = format!("was made from {}, which was damaged", derived.origin);
        self.set_aside(artifact, &derived.folder, reason).map(Some)
    }

    /// The artifact that a path is a file of, and the digest that its manifest has for that; `None` for a path outside of the store's
    /// artifacts, and for a file that no manifest lists.
    ///
    /// # Errors
    ///
    /// When the manifest is damaged or cannot be read.
    pub fn listed(&self, path: &Path) -> Result<Option<(Fingerprint, [u8; 32])>, StoreError> {
        let Ok(root) = std::path::absolute(&self.root) else {
            return Ok(None);
        };
        let within = std::path::absolute(path).ok();
        let within = within
            .as_deref()
            .and_then(|path| path.strip_prefix(root).ok());
        let folder = within.and_then(Path::parent).and_then(name_of);
        let (Some(name), Some(fingerprint)) = (
            within.and_then(name_of),
            folder.and_then(|folder| folder.parse().ok()),
        ) else {
            return Ok(None);
        };
        let manifest = self.manifest(&fingerprint)?;
        let entry = manifest.as_ref().and_then(|manifest| manifest.file(name));
        Ok(entry.map(|entry| (fingerprint, entry.blake3.0)))
    }

    /// Records that an artifact was found damaged.
    pub(super) fn record_damage(
        &self,
        fingerprint: &Fingerprint,
        note: &str,
    ) -> Result<(), StoreError> {
        let folder = self.damaged_folder();
        commit::make_folder(&folder)?;
        commit::write_file(&folder.join(fingerprint.to_string()), note.as_bytes())
    }

    /// Artifacts that were set aside as a whole, by this release or one that kept no record.
    fn damaged_before(&self) -> Result<BTreeSet<Fingerprint>, StoreError> {
        let recorded = entries(&self.damaged_folder())?;
        let recorded = recorded
            .iter()
            .filter_map(|path| name_of(path)?.parse().ok());
        let mut damaged: BTreeSet<Fingerprint> = recorded.collect();
        for path in entries(&self.quarantine_folder())? {
            let name = name_of(&path).and_then(|name| name.get(..DIGITS));
            let fingerprint = name.and_then(|name| name.parse().ok());
            if let Some(fingerprint) = fingerprint.filter(|_| path.join(WHOLE).is_dir()) {
                damaged.insert(fingerprint);
            }
        }
        Ok(damaged)
    }

    /// Whether an artifact was finished before another was. Clocks of manifests have seconds; within one the file system decides.
    fn is_older(&self, one: &Manifest, other: &Manifest) -> bool {
        if one.made.at != other.made.at {
            return one.made.at < other.made.at;
        }
        let written = |manifest: &Manifest| -> Option<SystemTime> {
            let folder = self.artifact_folder(manifest.kind, &manifest.fingerprint);
            let manifest = fs::metadata(folder.join(MANIFEST_FILE)).ok()?;
            manifest.modified().ok()
        };
        written(one) < written(other)
    }
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ArtifactKind, Begin, Made, wait_quietly};
    use serde_json::json;

    fn recipe(fields: &serde_json::Value) -> Recipe {
        Recipe::new(ArtifactKind::Head, 1, fields).unwrap()
    }

    fn make(store: &Store, recipe: &Recipe, second: u32) {
        let begun = store.begin(recipe, "it", &mut wait_quietly).unwrap();
        let Begin::Writer(mut writer) = begun else {
            panic!("it is there");
        };
        writer.write_bytes("content", b"right").unwrap();
        let made = Made {
            at: format!("2026-01-01T00:00:{second:02}Z"),
            ..Made::default()
        };
        writer.finish(made).unwrap();
    }

    fn names(derived: &[Derived]) -> BTreeSet<Fingerprint> {
        derived.iter().map(|derived| derived.fingerprint).collect()
    }

    #[test]
    fn what_was_made_from_a_damaged_artifact_is_found_and_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let weights = recipe(&json!("weights"));
        let of = |recipe: &Recipe| recipe.fingerprint().to_string();
        let features = recipe(&json!({ "weights": format!("pretraining:{}", of(&weights)) }));
        let head = recipe(&json!({ "features": [of(&features)] }));
        let other = recipe(&json!({ "features": ["f".repeat(64)] }));
        for (second, recipe) in [&weights, &features, &head, &other].into_iter().enumerate() {
            make(&store, recipe, u32::try_from(second).unwrap());
        }
        assert_eq!(store.derived(&[]).unwrap(), []);
        let file = store.artifact_folder(ArtifactKind::Head, &weights.fingerprint());
        fs::write(file.join("content"), b"wrong").unwrap();
        let problems = store.verify().unwrap();
        let expected = BTreeSet::from([features.fingerprint(), head.fingerprint()]);
        assert_eq!(names(&store.derived(&problems).unwrap()), expected);

        // The damaged one is gone, and so is the quarantine; then it is made again.
        store.quarantine(&weights.fingerprint()).unwrap().unwrap();
        fs::remove_dir_all(store.quarantine_folder()).unwrap();
        fs::create_dir(store.quarantine_folder()).unwrap();
        assert_eq!(names(&store.derived(&[]).unwrap()), expected);
        make(&store, &weights, 10);
        let derived = store.derived(&[]).unwrap();
        assert_eq!(names(&derived), expected);
        assert!(
            derived
                .iter()
                .all(|one| one.origin == weights.fingerprint())
        );
        for one in &derived {
            store.set_aside_derived(one).unwrap().unwrap();
        }
        make(&store, &features, 11);
        assert_eq!(store.derived(&[]).unwrap(), []);
        make(&store, &head, 12);
        assert_eq!(store.derived(&[]).unwrap(), []);
        assert_eq!(store.verify().unwrap(), []);
    }

    #[test]
    fn what_older_releases_set_aside_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let weights = recipe(&json!("weights"));
        let features = recipe(&json!({ "weights": weights.fingerprint().to_string() }));
        make(&store, &features, 1);
        make(&store, &weights, 2);
        assert_eq!(store.derived(&[]).unwrap(), []);
        let aside = store
            .quarantine_folder()
            .join(format!("{}-1", weights.fingerprint()));
        fs::create_dir_all(&aside).unwrap();
        fs::write(aside.join("part-00000.arrow"), b"a part alone").unwrap();
        assert_eq!(store.derived(&[]).unwrap(), []);
        fs::create_dir(aside.join(WHOLE)).unwrap();
        let expected = BTreeSet::from([features.fingerprint()]);
        assert_eq!(names(&store.derived(&[]).unwrap()), expected);
    }
}
