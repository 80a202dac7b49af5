//! Opening a store, and the paths within it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clean::Opened;
use super::commit;
use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::lock::Locks;
use super::memo::Memo;
use super::names::artifact_path;
use super::scratch::Scratch;
use super::unusable::{cannot_write, refused, unusable};
use crate::atomic_file;
use crate::checked_file::CheckedFiles;

/// Format of the store that this release writes; the number in the file `FORMAT`.
///
/// History: 1, the first.
pub const STORE_FORMAT: u64 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_WORD: &str = "repro-store";
/// Every folder of a store.
pub(super) const FOLDERS: [&str; 11] = [
    "archives",
    "arriving",
    "artifacts",
    "checkpoints",
    "damaged",
    "elsewhere",
    "locks",
    "memo",
    "quarantine",
    "runs",
    "uses",
];

/// What to do where a store has lost its `FORMAT`. The rest of it is as good as it was: every artifact has its own manifest.
const REPAIR: &str = "if this release made it, put the line `repro-store 1` into that file and run `repro cache verify`; else name the folder of a store";

/// A folder of artifacts. Cheap to clone; clones share what they know to be verified.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) root: PathBuf,
    writable: bool,
    /// Files that this process has compared with their digests.
    pub(super) checked: Arc<CheckedFiles>,
    /// The artifacts that this process makes now.
    pub(super) locks: Arc<Locks>,
    /// That this process has the store open, as long as any clone of it is there.
    opened: Option<Arc<Opened>>,
}

impl Store {
    /// Opens the store at `root` for reading and writing; makes it where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] when `root` is a file, is not writable, or is a folder with other things in it;
    /// [`StoreError::NewerFormat`] when a newer release made it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let mut store = Self::at(root.into(), true);
        let root = &store.root;
        if root.exists() && !root.is_dir() {
            return Err(unusable(root, "it is not a folder", "name another folder"));
        }
        if !root.exists() {
            fs::create_dir_all(root).map_err(|error| cannot_write(root, &error))?;
            atomic_file::share(root);
        }
        if !store.has_format()? {
            if let Some(stranger) = store.stranger()? {
                let reason = format!("it has no {FORMAT_FILE} file, but holds `{stranger}`");
                return Err(unusable(
                    root,
                    &reason,
                    "name an empty folder, or one that does not exist yet",
                ));
            }
            let format = format!("{FORMAT_WORD} {STORE_FORMAT}\n");
            commit::write_file(&root.join(FORMAT_FILE), format.as_bytes())
                .map_err(refused(root))?;
        }
        for folder in FOLDERS {
            commit::make_folder(&root.join(folder)).map_err(refused(root))?;
        }
        // Folders that exist already say nothing about the right to write into them.
        commit::StagedFile::create(&root.join("locks").join("probe"), None)
            .map_err(refused(root))?;
        let opened = Opened::for_writing(&store.opened_file(), || store.remove_leftovers());
        store.opened = opened.map(Arc::new);
        Ok(store)
    }

    /// Opens the store at `root` for reading. A store that does not exist is an empty one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] when `root` is a file or a folder of other things; [`StoreError::NewerFormat`] when a
    /// newer release made it.
    pub fn open_read_only(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let mut store = Self::at(root.into(), false);
        let root = &store.root;
        if !root.exists() {
            return Ok(store);
        }
        if !root.is_dir() {
            return Err(unusable(root, "it is not a folder", "name another folder"));
        }
        if !store.has_format()?
            && let Some(stranger) = store.stranger()?
        {
            let reason = format!("it has no {FORMAT_FILE} file, but holds `{stranger}`");
            return Err(unusable(root, &reason, "name the folder of a store"));
        }
        store.opened = Opened::for_reading(&store.opened_file()).map(Arc::new);
        Ok(store)
    }

    /// Whether a folder is that of a store, of whatever format.
    pub fn is_at(root: &Path) -> bool {
        root.join(FORMAT_FILE).is_file()
    }

    /// Removes a store that was just made and in which nothing was kept, so that a command that could not begin leaves nothing. One
    /// that holds anything stays.
    pub fn remove_unused(self) {
        let root = self.root.clone();
        drop(self);
        let is_empty =
            |folder: &Path| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        let others = FOLDERS.iter().filter(|folder| **folder != "locks");
        if !others.clone().all(|folder| is_empty(&root.join(folder))) {
            return;
        }
        // Whatever cannot be removed stays, and so does what is in the way of the last line.
        for lock in fs::read_dir(root.join("locks"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = fs::remove_file(lock.path());
        }
        for folder in FOLDERS {
            let _ = fs::remove_dir(root.join(folder));
        }
        let _ = fs::remove_file(root.join(FORMAT_FILE));
        let _ = fs::remove_dir(root);
    }

    fn at(root: PathBuf, writable: bool) -> Self {
        Self {
            locks: Arc::new(Locks::new(root.join("locks"))),
            root,
            writable,
            checked: Arc::default(),
            opened: None,
        }
    }

    /// The same store, which does not count as open any more: for who takes it for itself alone.
    pub(super) fn without_opening(mut self) -> Self {
        self.opened = None;
        self
    }

    /// The file whose lock says that the store is open.
    pub(super) fn opened_file(&self) -> PathBuf {
        self.root.join("locks").join("store.lock")
    }

    /// Folder of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder for the records of runs.
    pub fn runs_folder(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Digests of input files that were computed before.
    pub fn memo(&self) -> Memo {
        Memo::new(self.root.join("memo"))
    }

    /// What was made of datasets' archives, and can be made again.
    pub fn archives(&self) -> Scratch {
        Scratch::new(self.root.join("archives"))
    }

    /// Folder of an artifact, whether it exists or not. Whoever reads a file in it does so by [`Store::open_file`].
    pub(super) fn artifact_folder(&self, kind: ArtifactKind, fingerprint: &Fingerprint) -> PathBuf {
        self.root
            .join(artifact_path(kind.name(), &fingerprint.to_string()))
    }

    /// Folder of the records of damage.
    pub(super) fn damaged_folder(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// Folder of damaged things.
    pub(super) fn quarantine_folder(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Refuses to continue where the store was opened for reading only.
    pub(super) fn require_writable(&self) -> Result<(), StoreError> {
        if self.writable {
            Ok(())
        } else {
            Err(StoreError::ReadOnly {
                path: self.root.clone(),
            })
        }
    }

    /// Whether there is a `FORMAT` file; fails where it names a format that this release cannot read.
    fn has_format(&self) -> Result<bool, StoreError> {
        let path = self.root.join(FORMAT_FILE);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                let reason = format!("its {FORMAT_FILE} file cannot be read: {error}");
                return Err(unusable(&self.root, &reason, REPAIR));
            }
        };
        let number = text
            .trim()
            .strip_prefix(FORMAT_WORD)
            .and_then(|rest| rest.trim().parse::<u64>().ok());
        match number {
            Some(STORE_FORMAT) => Ok(true),
            Some(found) if found > STORE_FORMAT => Err(StoreError::NewerFormat {
                path,
                found,
                supported: STORE_FORMAT,
            }),
            _ => {
                let shown: String = text.trim().chars().take(40).collect();
                let reason = format!("its {FORMAT_FILE} file says `{}`", shown.escape_debug());
                let remedy = if self.root.join("artifacts").is_dir() {
                    REPAIR
                } else {
                    "name the folder of a store"
                };
                Err(unusable(&self.root, &reason, remedy))
            }
        }
    }

    /// Something in the folder that no store would have put there. Hidden files and what file systems put at their
    /// root do not count.
    fn stranger(&self) -> Result<Option<String>, StoreError> {
        for entry in fs::read_dir(&self.root).map_err(StoreError::reading(&self.root))? {
            let name = entry
                .map_err(StoreError::reading(&self.root))?
                .file_name()
                .to_string_lossy()
                .into_owned();
            let harmless = name.starts_with('.') || name == "lost+found";
            if !harmless && name != FORMAT_FILE && !FOLDERS.contains(&name.as_str()) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_twice_gives_the_same_store() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b/store");
        Store::open(&root).unwrap();
        Store::open(&root).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("FORMAT")).unwrap(),
            "repro-store 1\n"
        );
        Store::open_read_only(&root).unwrap();
    }

    #[test]
    fn a_store_in_which_nothing_was_kept_can_be_removed_and_another_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        assert!(!Store::is_at(&root));
        let store = Store::open(&root).unwrap();
        assert!(Store::is_at(&root));
        store.remove_unused();
        assert!(!root.exists());
        let store = Store::open(&root).unwrap();
        store.memo().keep_note("cats", &1).unwrap();
        store.remove_unused();
        assert!(Store::is_at(&root));
        assert_eq!(Store::open(&root).unwrap().memo().note("cats"), Some(1));
    }

    #[test]
    fn a_newer_format_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("FORMAT"), "repro-store 2\n").unwrap();
        for opened in [
            Store::open(folder.path()),
            Store::open_read_only(folder.path()),
        ] {
            let message = opened.unwrap_err().to_string();
            assert!(
                message.contains("has format 2") && message.contains("newer release"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_and_a_path_below_a_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("store")] {
            let error = Store::open(&path).unwrap_err();
            assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
        assert!(Store::open_read_only(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }

    #[test]
    fn a_folder_of_other_things_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let message = Store::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("thesis.tex"), "{message}");
        assert!(Store::open_read_only(folder.path()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_store_that_was_interrupted_while_being_made_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("artifacts")).unwrap();
        fs::write(folder.path().join(".tmp-FORMAT-x"), "repro").unwrap();
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn an_absent_store_is_an_empty_one_and_stays_absent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("none");
        let store = Store::open_read_only(&root).unwrap();
        assert!(store.listing().unwrap().artifacts.is_empty());
        assert!(!root.exists());
        assert!(matches!(
            store.require_writable(),
            Err(StoreError::ReadOnly { .. })
        ));
    }
}
