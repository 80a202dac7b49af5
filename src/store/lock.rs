//! One maker an artifact: locks of the operating system on ranges of a few files.
//!
//! Such a lock ends with the process that holds it, however that process ends, so there are no stale locks. An artifact's lock is
//! a range of bytes that its fingerprint names, in one of sixteen files. So a process that makes thousands of artifacts at once, as
//! a scan of heads does, has sixteen files open and not one for each, and no file for each stays behind. The ranges lie far
//! behind the end of the files, which are empty. A range is as long as the number of the process that holds it, so
//! that whoever waits can say for whom.
//!
//! A file system without locks is worked on without them: artifacts are whole whoever writes them, and of two processes that make
//! the same one, one may find its unfinished files gone, and fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use crate::lock_file::{self, Range};

/// What a waiting process knows, handed to the callback of [`Store::begin`](super::Store::begin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Artifact that somebody else is making.
    pub fingerprint: Fingerprint,
    /// What the caller calls that artifact.
    pub label: &'a str,
    /// Who makes it: "process 4711 on node03", or "another process".
    pub holder: &'a str,
    /// How long it has been waited for; zero in the first call.
    pub waited: Duration,
}

/// What a waiting process does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Ask again in a while.
    Wait,
    /// Return [`StoreError::GaveUpWaiting`], for instance because the user pressed Ctrl-C.
    GiveUp,
}

/// Called when an artifact is locked, at once and then several times a second.
pub type OnWait<'a> = dyn FnMut(&Waiting<'_>) -> Patience + 'a;

/// The [`OnWait`] of those who have nobody to report to.
pub fn wait_quietly(_waiting: &Waiting<'_>) -> Patience {
    Patience::Wait
}

/// Files that the locks of all artifacts share.
const FILES: u8 = 16;

/// Bytes from one range to the next: more than any number of a process, which is 2^22 at most.
const WIDTH: u32 = 23;

/// The locks that this process holds in one store.
#[derive(Debug)]
pub(super) struct Locks {
    folder: PathBuf,
    state: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The files that are open, by their numbers: those in which something is locked.
    files: BTreeMap<u8, File>,
    /// What is locked.
    fingerprints: BTreeSet<Fingerprint>,
    /// The ranges, and how many fingerprints share each; two that do are locked together.
    ranges: BTreeMap<(u8, i64), usize>,
}

/// Where the lock of an artifact is: the number of the file, and where its range begins.
fn place(fingerprint: &Fingerprint) -> (u8, i64) {
    let digits = fingerprint.0;
    let number = digits[1..6].iter();
    let number = number.fold(0_i64, |number, &byte| number << 8 | i64::from(byte));
    (digits[0] % FILES, number << WIDTH)
}

impl Locks {
    /// The locks of the store whose folder of locks this is.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            state: Mutex::default(),
        }
    }

    fn path(&self, file: u8) -> PathBuf {
        self.folder.join(format!("artifacts-{file:02}.lock"))
    }

    /// Locks an artifact; false where another process, or another thread of this one, has it.
    fn take(&self, fingerprint: &Fingerprint) -> Result<bool, StoreError> {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if held.fingerprints.contains(fingerprint) {
            return Ok(false);
        }
        let (file, start) = place(fingerprint);
        if !held.ranges.contains_key(&(file, start)) {
            let path = self.path(file);
            let failed = |error| StoreError::io("lock", &path, None, error);
            let open = match held.files.remove(&file) {
                Some(open) => open,
                None => open(&path)?,
            };
            let taken = lock_file::try_lock_range(&open, Range::of_this_process(start));
            held.files.insert(file, open);
            match taken.map_err(failed) {
                Ok(true) => {}
                Err(StoreError::Io { source, .. }) if lock_file::has_no_locks(&source) => {}
                other => {
                    held.let_go_of(file);
                    return other;
                }
            }
        }
        *held.ranges.entry((file, start)).or_default() += 1;
        held.fingerprints.insert(*fingerprint);
        Ok(true)
    }

    fn give_back(&self, fingerprint: &Fingerprint) {
        let mut held = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, start) = place(fingerprint);
        held.fingerprints.remove(fingerprint);
        let Some(sharers) = held.ranges.get_mut(&(file, start)) else {
            return;
        };
        *sharers -= 1;
        if *sharers > 0 {
            return;
        }
        held.ranges.remove(&(file, start));
        if let Some(open) = held.files.get(&file) {
            // One that cannot be given back ends with the file, or with the process.
            let _ = lock_file::unlock_range(open, Range::of_this_process(start));
        }
        held.let_go_of(file);
    }

    /// Who has an artifact locked: "process 4711", or "another process".
    fn holder(&self, fingerprint: &Fingerprint) -> String {
        let (file, start) = place(fingerprint);
        let open = lock_file::open(&self.path(file)).ok();
        let process = open.and_then(|open| lock_file::holder_of_range(&open, start));
        process.map_or_else(
            || "another process".to_owned(),
            |process| format!("process {process}"),
        )
    }
}

impl Held {
    /// Closes a file in which nothing is locked.
    fn let_go_of(&mut self, file: u8) {
        let mut locked = self.ranges.range((file, i64::MIN)..=(file, i64::MAX));
        if locked.next().is_none() {
            self.files.remove(&file);
        }
    }
}

/// Opens a file of locks. Anything but a regular file in its place is moved away; a link is not followed.
fn open(path: &Path) -> Result<File, StoreError> {
    let first = lock_file::open(path);
    let failed = |error| StoreError::io("lock", path, None, error);
    match first {
        Ok(open) => Ok(open),
        Err(_) if path.symlink_metadata().is_ok_and(|found| !found.is_file()) => {
            let mut number = 1_u32;
            let aside = loop {
                let aside = path.with_extension(format!("aside-{number}"));
                if aside.symlink_metadata().is_err() {
                    break aside;
                }
                number += 1;
            };
            commit::rename(path, &aside)?;
            lock_file::open(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Holding this is the right to make one artifact. Dropping it gives the right back.
#[derive(Debug)]
pub(super) struct ArtifactLock {
    locks: Arc<Locks>,
    fingerprint: Fingerprint,
}

impl ArtifactLock {
    /// Takes the lock, waiting for its holder while `on_wait` has the patience.
    pub(super) fn acquire(
        locks: &Arc<Locks>,
        fingerprint: Fingerprint,
        label: &str,
        on_wait: &mut OnWait<'_>,
    ) -> Result<Self, StoreError> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(250);
        let mut pause = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lock) = Self::try_acquire(locks, fingerprint)? {
                return Ok(lock);
            }
            let holder = locks.holder(&fingerprint);
            if on_wait(&Waiting {
                fingerprint,
                label,
                holder: &holder,
                waited,
            }) == Patience::GiveUp
            {
                return Err(StoreError::GaveUpWaiting {
                    artifact: fingerprint,
                    holder,
                });
            }
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Takes the lock, or returns `None` where somebody else holds it.
    pub(super) fn try_acquire(
        locks: &Arc<Locks>,
        fingerprint: Fingerprint,
    ) -> Result<Option<Self>, StoreError> {
        Ok(locks.take(&fingerprint)?.then(|| Self {
            locks: Arc::clone(locks),
            fingerprint,
        }))
    }
}

impl Drop for ArtifactLock {
    fn drop(&mut self) {
        self.locks.give_back(&self.fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(Locks::new(folder.path().to_owned()));
        // Two openings of a store are as two processes.
        let (ours, theirs) = (open(), open());
        let fingerprint = Fingerprint::of(b"x");
        let held = ArtifactLock::acquire(&ours, fingerprint, "x", &mut wait_quietly).unwrap();
        for locks in [&ours, &theirs] {
            assert!(
                ArtifactLock::try_acquire(locks, fingerprint)
                    .unwrap()
                    .is_none()
            );
        }

        let mut calls = Vec::new();
        let error = ArtifactLock::acquire(&theirs, fingerprint, "the label", &mut |waiting| {
            calls.push((
                waiting.label.to_owned(),
                waiting.holder.to_owned(),
                waiting.waited,
            ));
            if calls.len() < 3 {
                Patience::Wait
            } else {
                Patience::GiveUp
            }
        })
        .unwrap_err();
        let holder = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        assert_eq!(calls[0].0, "the label");
        assert_eq!(calls[0].1, holder);
        assert_eq!(calls[0].2, Duration::ZERO);
        assert!(calls[1].2 < calls[2].2);

        drop(held);
        assert!(
            ArtifactLock::try_acquire(&theirs, fingerprint)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn thousands_take_sixteen_files() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Arc::new(Locks::new(folder.path().to_owned()));
        let held: Vec<ArtifactLock> = (0..2000_u32)
            .map(|number| {
                let fingerprint = Fingerprint::of(&number.to_le_bytes());
                ArtifactLock::try_acquire(&locks, fingerprint)
                    .unwrap()
                    .unwrap()
            })
            .collect();
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files(), usize::from(FILES));
        assert_eq!(locks.state.lock().unwrap().files.len(), usize::from(FILES));
        drop(held);
        assert!(locks.state.lock().unwrap().files.is_empty());
        assert_eq!(files(), usize::from(FILES));
    }

    #[test]
    fn fingerprints_that_share_a_range_are_held_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(Locks::new(folder.path().to_owned()));
        let (ours, theirs) = (open(), open());
        let mut digits = Fingerprint::of(b"x").0;
        let one = Fingerprint(digits);
        digits[31] ^= 1;
        let other = Fingerprint(digits);
        let first = ArtifactLock::try_acquire(&ours, one).unwrap().unwrap();
        let second = ArtifactLock::try_acquire(&ours, other).unwrap().unwrap();
        drop(first);
        assert!(ArtifactLock::try_acquire(&theirs, one).unwrap().is_none());
        drop(second);
        assert!(ArtifactLock::try_acquire(&theirs, one).unwrap().is_some());
    }

    #[test]
    fn a_folder_or_a_link_in_the_place_of_a_file_is_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Arc::new(Locks::new(folder.path().to_owned()));
        let fingerprint = Fingerprint::of(b"x");
        let path = locks.path(place(&fingerprint).0);
        let target = folder.path().join("elsewhere");
        std::fs::create_dir(&path).unwrap();
        drop(
            ArtifactLock::try_acquire(&locks, fingerprint)
                .unwrap()
                .unwrap(),
        );
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        drop(
            ArtifactLock::try_acquire(&locks, fingerprint)
                .unwrap()
                .unwrap(),
        );
        assert!(path.symlink_metadata().unwrap().is_file() && !target.exists());
    }
}
