//! Who uses what: for each experiment that was run here, the artifacts that its last run wanted.
//!
//! `uses/<digest>.json` is one experiment, by its file and what overrode it; the digest is that of both. A run writes its own again, so
//! there are as many as experiments; it leaves a record that says the same and is not a day old. `repro cache ls` and `repro cache gc` read
//! them. A record that is lost or unreadable costs no bytes: what nothing refers to is removed only if somebody asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::entries;
use super::root::Store;

/// What the last run of an experiment wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The experiment file with what overrode it, as it is typed behind `repro run`.
    pub file: String,
    /// The experiment's name.
    pub experiment: String,
    /// When the run began: RFC 3339, UTC.
    pub at: String,
    /// All artifacts that it wanted, whether it made them or found them.
    pub artifacts: BTreeSet<Fingerprint>,
    /// What its trainings find their checkpoints by; `None` in records of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<BTreeSet<Fingerprint>>,
    /// What earlier runs wanted and it did not, with the beginning of the last run that did, as far as it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<Fingerprint, String>,
}

impl Store {
    /// Writes down what a run wants, in place of what an earlier run of the same experiment wanted. A record that says the same stays
    /// if it is of `fresh_from` or later.
    ///
    /// # Errors
    ///
    /// When writing fails, or the store was opened for reading only.
    pub fn record_use(&self, mut used: Use, fresh_from: &str) -> Result<(), StoreError> {
        self.require_writable()?;
        let folder = self.uses_folder();
        let path = folder.join(format!("{}.json", Fingerprint::of(used.file.as_bytes())));
        // One that cannot be read is replaced.
        if let Ok(before) = read(&path) {
            let says_the_same =
                before.artifacts == used.artifacts && before.checkpoints == used.checkpoints;
            if says_the_same && before.at.as_str() >= fresh_from {
                return Ok(());
            }
            used.earlier = before.earlier;
            for fingerprint in before.artifacts {
                used.earlier.insert(fingerprint, before.at.clone());
            }
            used.earlier.retain(|one, _| !used.artifacts.contains(one));
        }
        commit::make_folder(&folder)?;
        let text = serde_json::to_vec_pretty(&used)
            .map_err(|error| StoreError::io("write", &path, None, error.into()))?;
        commit::write_file(&path, &text)
    }

    /// What the last runs of all experiments wanted, ordered by file; and the records that cannot be read.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn uses(&self) -> Result<(Vec<Use>, Vec<String>), StoreError> {
        let (mut uses, mut unreadable) = (Vec::new(), Vec::new());
        for path in entries(&self.uses_folder())? {
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            match read(&path) {
                Ok(used) => uses.push(used),
                Err(reason) => unreadable.push(format!("{}: {reason}", path.display())),
            }
        }
        uses.sort_by(|left, right| left.file.cmp(&right.file));
        Ok((uses, unreadable))
    }

    fn uses_folder(&self) -> PathBuf {
        self.root.join("uses")
    }
}

fn read(path: &Path) -> Result<Use, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "2026-01-02T00:00:00Z";

    fn used(file: &str, at: &str, wanted: &[&[u8]]) -> Use {
        Use {
            file: file.to_owned(),
            experiment: "it".to_owned(),
            at: at.to_owned(),
            artifacts: wanted.iter().map(|bytes| Fingerprint::of(bytes)).collect(),
            checkpoints: None,
            earlier: BTreeMap::new(),
        }
    }

    #[test]
    fn the_last_run_of_an_experiment_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.uses().unwrap(), (Vec::new(), Vec::new()));
        let record = |used: Use| store.record_use(used, DAY).unwrap();
        record(used("b.toml", DAY, &[b"1"]));
        record(used("a.toml", DAY, &[b"1", b"2"]));
        let later = "2026-01-03T00:00:00Z";
        record(used("b.toml", later, &[b"3"]));
        let mut last = used("b.toml", later, &[b"3"]);
        last.earlier = BTreeMap::from([(Fingerprint::of(b"1"), DAY.to_owned())]);
        let expected = vec![used("a.toml", DAY, &[b"1", b"2"]), last];
        assert_eq!(store.uses().unwrap(), (expected, Vec::new()));
        fs::write(store.uses_folder().join("x.json"), "{").unwrap();
        assert_eq!(store.uses().unwrap().1.len(), 1);
        let reader = Store::open_read_only(folder.path()).unwrap();
        assert!(reader.record_use(used("c.toml", DAY, &[]), DAY).is_err());
    }

    #[test]
    fn a_record_that_says_the_same_is_left_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let at = |moment: &str| {
            store
                .record_use(used("a.toml", moment, &[b"1"]), DAY)
                .unwrap();
            store.uses().unwrap().0[0].at.clone()
        };
        assert_eq!(at("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
        assert_eq!(at("2026-01-02T12:00:00Z"), "2026-01-02T12:00:00Z");
        assert_eq!(at("2026-01-02T13:00:00Z"), "2026-01-02T12:00:00Z");
    }
}
