//! What killed runs leave, removed when the store is opened for writing and nobody else has it open.
//!
//! Every process that has the store open holds a shared lock on one file, `locks/store.lock`; whoever gets it for itself alone knows
//! that nobody writes. The file has a sign for each opening for writing and another for each that ended, so that a
//! store in which nobody was killed is not searched. Damage is not removed: it lies in the quarantine.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::checkpoints;
use super::fingerprint::Fingerprint;
use super::listing::entries;
use super::root::{FOLDERS, Store};
use crate::atomic_file::is_temporary;
use crate::lock_file;

/// What stands in the file for an opening for writing, and for its end.
const OPENED: u8 = b'+';
const CLOSED: u8 = b'-';

/// Holding this, the process has the store open.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    is_writer: bool,
}

/// What killed runs left in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// How many files.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

impl Opened {
    /// Marks the store as open for reading; `None` where that cannot be marked, as on a disk that is read-only.
    pub(super) fn for_reading(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        file.lock_shared().ok()?;
        Some(Self {
            file,
            is_writer: false,
        })
    }

    /// Marks the store as open for writing, and first calls `clean` if somebody was killed and nobody else has it open. Where there
    /// are no such locks nothing is ever removed.
    pub(super) fn for_writing(path: &Path, clean: impl FnOnce()) -> Option<Self> {
        let mut file = lock_file::open(path).ok()?;
        match file.try_lock() {
            Ok(()) => {
                let mut signs = Vec::new();
                file.read_to_end(&mut signs).ok()?;
                let (opened, closed): (Vec<u8>, Vec<u8>) =
                    signs.into_iter().partition(|sign| *sign == OPENED);
                if opened.len() != closed.len() {
                    clean();
                }
                file.set_len(0).ok()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(_)) => return None,
        }
        // From alone to shared, or after whoever cleans.
        file.lock_shared().ok()?;
        let mut opened = Self {
            file: append(path)?,
            is_writer: true,
        };
        opened.file.lock_shared().ok()?;
        opened.sign(OPENED);
        Some(opened)
    }

    /// Marks the store as open by this process alone; `None` where somebody else has it open, and where there are no such locks.
    pub(super) fn alone(path: &Path) -> Option<Self> {
        let file = lock_file::open(path).ok()?;
        file.try_lock().ok()?;
        Some(Self {
            file,
            is_writer: false,
        })
    }

    fn sign(&mut self, sign: u8) {
        // A sign that is missing, as on a full disk, makes the next opening search.
        let _ = self.file.write_all(&[sign]);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_writer {
            self.sign(CLOSED);
        }
    }
}

/// The file for signs, each written behind the last whoever writes.
fn append(path: &Path) -> Option<File> {
    File::options().append(true).open(path).ok()
}

impl Store {
    /// What killed runs left here; what runs that are under way are writing counts too.
    pub fn leftovers(&self) -> Leftovers {
        let mut found = Leftovers::default();
        self.each_leftover(&mut |path| {
            for file in files_in(path) {
                found.files += 1;
                found.bytes += file.metadata().map_or(0, |metadata| metadata.len());
            }
        });
        found
    }

    /// Removes what killed runs left. The caller knows that nobody else has the store open.
    pub(super) fn remove_leftovers(&self) {
        self.each_leftover(&mut |path| {
            // What cannot be removed stays, and does no harm.
            let _ = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        });
        for training in list(&self.root.join("checkpoints")) {
            // Only one that is empty.
            let _ = fs::remove_dir(training);
        }
    }

    /// Every file or folder that killed runs left: files that have no name yet, files of locks, checkpoints and arrivals of what is done.
    fn each_leftover(&self, found: &mut dyn FnMut(&Path)) {
        temporary_in(&self.root, found);
        for folder in FOLDERS {
            temporary_in(&self.root.join(folder), found);
        }
        for kind in list(&self.root.join("artifacts")) {
            for artifact in list(&kind).iter().flat_map(|prefix| list(prefix)) {
                temporary_in(&artifact, found);
            }
        }
        for path in list(&self.root.join("locks")) {
            let name = name_of(&path);
            let of_one_artifact = name.strip_suffix(".lock");
            let of_one_artifact =
                of_one_artifact.is_some_and(|name| name.parse::<Fingerprint>().is_ok());
            if of_one_artifact || (name.starts_with("job-") && path.is_dir()) {
                found(&path);
            }
        }
        for arrival in list(&self.root.join("arriving")) {
            if self.is_done(&name_of(&arrival)) {
                found(&arrival);
            }
        }
        for training in list(&self.root.join("checkpoints")) {
            if self.is_done(&name_of(&training)) {
                found(&training);
                continue;
            }
            temporary_in(&training, found);
            for scan in list(&training).into_iter().filter(|path| path.is_dir()) {
                let heads = checkpoints::heads_of(&scan);
                if heads.is_some_and(|heads| heads.iter().all(|head| self.is_done(head))) {
                    found(&scan);
                } else {
                    temporary_in(&scan, found);
                }
            }
        }
    }

    /// Whether the artifact of this fingerprint is complete.
    pub(super) fn is_done(&self, fingerprint: &str) -> bool {
        let fingerprint = fingerprint.parse::<Fingerprint>();
        fingerprint.is_ok_and(|fingerprint| matches!(self.manifest(&fingerprint), Ok(Some(_))))
    }
}

fn temporary_in(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for path in list(folder) {
        if is_temporary(&name_of(&path)) {
            found(&path);
        }
    }
}

/// What is in a folder; nothing where it cannot be read.
fn list(folder: &Path) -> Vec<PathBuf> {
    entries(folder).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The file itself, or the files below a folder.
pub(super) fn files_in(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() && !path.is_symlink() {
        list(path)
            .iter()
            .flat_map(|inner| files_in(inner))
            .collect()
    } else {
        vec![path.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_when_somebody_was_killed_and_nobody_has_the_store_open() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        drop(Store::open(&root).unwrap());
        let job = root.join("locks/job-x");
        let left = [
            root.join("archives/.tmp-birds-1.tar-x"),
            root.join("uses/.tmp-x.json-x"),
            root.join("artifacts/head/00/x/.tmp-head.safetensors-x"),
            root.join("locks")
                .join(format!("{}.lock", Fingerprint::of(b"x"))),
            job.join("00000.lock"),
        ];
        let leave = || {
            for path in &left {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "1234").unwrap();
            }
        };
        let there = || left.iter().filter(|path| path.exists()).count();
        leave();
        // Nobody was killed, so nobody looks.
        let open = Store::open(&root).unwrap();
        assert_eq!(there(), 5);
        assert_eq!(
            open.leftovers(),
            Leftovers {
                files: 5,
                bytes: 20
            }
        );
        // The sign of the one that is open, and of one that was killed.
        fs::write(root.join("locks/store.lock"), "++").unwrap();
        let beside = Store::open(&root).unwrap();
        assert_eq!(there(), 5, "somebody has it open");
        drop((open, beside));
        let reader = Store::open_read_only(&root).unwrap();
        drop(Store::open(&root).unwrap());
        assert_eq!(there(), 5, "somebody reads it");
        drop(reader);
        drop(Store::open(&root).unwrap());
        assert_eq!(there(), 0);
        assert!(!job.exists());
        assert_eq!(fs::read(root.join("locks/store.lock")).unwrap(), b"+-");
    }
}
