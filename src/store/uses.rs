//! Who uses what: for each experiment that was run here, the artifacts that its last run wanted.
//!
//! `uses/<digest>.json` is one experiment, by its file and what overrode it; the digest is that of both. Each run writes its own again, so
//! there are as many as experiments. `repro cache ls` and `repro cache gc` read them. A record that is lost or unreadable costs
//! no bytes: what nothing refers to is removed only if somebody asks for it.

use std::collections::BTreeSet;
use std::fs;

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
}

impl Store {
    /// Writes down what a run wants, in place of what an earlier run of the same experiment wanted.
    ///
    /// # Errors
    ///
    /// When writing fails, or the store was opened for reading only.
    pub fn record_use(&self, used: &Use) -> Result<(), StoreError> {
        self.require_writable()?;
        let folder = self.uses_folder();
        commit::make_folder(&folder)?;
        let path = folder.join(format!("{}.json", Fingerprint::of(used.file.as_bytes())));
        let text = serde_json::to_vec_pretty(used)
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
            let bytes = fs::read(&path).map_err(|error| error.to_string());
            let read = bytes.and_then(|bytes| {
                serde_json::from_slice::<Use>(&bytes).map_err(|error| error.to_string())
            });
            match read {
                Ok(used) => uses.push(used),
                Err(reason) => unreadable.push(format!("{}: {reason}", path.display())),
            }
        }
        uses.sort_by(|left, right| left.file.cmp(&right.file));
        Ok((uses, unreadable))
    }

    fn uses_folder(&self) -> std::path::PathBuf {
        self.root.join("uses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_of_an_experiment_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.uses().unwrap(), (Vec::new(), Vec::new()));
        let used = |file: &str, wanted: &[&[u8]]| Use {
            file: file.to_owned(),
            experiment: "it".to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            artifacts: wanted.iter().map(|bytes| Fingerprint::of(bytes)).collect(),
        };
        store.record_use(&used("b.toml", &[b"1"])).unwrap();
        store.record_use(&used("a.toml", &[b"1", b"2"])).unwrap();
        store.record_use(&used("b.toml", &[b"3"])).unwrap();
        let expected = vec![used("a.toml", &[b"1", b"2"]), used("b.toml", &[b"3"])];
        assert_eq!(store.uses().unwrap(), (expected, Vec::new()));
        fs::write(store.uses_folder().join("x.json"), "{").unwrap();
        assert_eq!(store.uses().unwrap().1.len(), 1);
        let reader = Store::open_read_only(folder.path()).unwrap();
        assert!(reader.record_use(&used("c.toml", &[])).is_err());
    }
}
