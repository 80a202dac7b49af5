//! Checkpoints of trainings: what a training resumes from when it was stopped, or when more steps are wanted of it.
//!
//! Those of a network belong to no artifact, but to all trainings that differ only in their number of steps. Those of heads that
//! train together have a folder of their own, named by the heads, in the folder of all that read the same features: so experiments
//! that share features do not touch each other's. Heads that a killed run had still to finish are found by the list of heads that lies
//! in each folder. The name of a file has its step and the digest of its bytes, so that a damaged one is noticed without a second file.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::entries;
use super::lock::ArtifactLock;
use super::manifest::is_damage;
use super::recipe::Recipe;
use super::root::Store;
use super::verify::digest_of;
use crate::checked_file::{CheckError, CheckedFile};

/// How many are kept: the newest, and one to fall back on.
const KEPT: usize = 2;

/// Digits of the digest in a file name; 64 bits tell damage from the original.
const DIGEST_DIGITS: usize = 16;

/// The list of heads in the folder of their checkpoints.
const HEADS_FILE: &str = "heads.txt";

/// The checkpoints of one kind of training.
#[derive(Debug)]
pub struct Checkpoints {
    store: Store,
    folder: PathBuf,
    /// Of heads that train together.
    scan: Option<Scan>,
}

/// Heads that train together.
#[derive(Debug)]
struct Scan {
    heads: BTreeSet<String>,
    /// The folder of all that read the same features.
    of_all: PathBuf,
    /// That the folder is in use, and that of a killed run from which this one resumes.
    locks: Vec<ArtifactLock>,
    /// Where the heads may have been left: the folder itself, or that of a killed run.
    from: PathBuf,
}

/// One checkpoint, open.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps that were made when it was written.
    pub step: u32,
    /// The file, whose name has the step and a digest, and whose bytes have that digest.
    pub file: CheckedFile,
}

/// The name of a checkpoint's file, taken apart.
struct Named {
    step: u32,
    /// The first digits of the digest.
    digest: String,
    path: PathBuf,
}

impl Store {
    /// The checkpoints of trainings by this recipe, which is without their number of steps.
    pub fn checkpoints(&self, recipe: &Recipe) -> Checkpoints {
        let folder = self.root().join("checkpoints");
        Checkpoints {
            store: self.clone(),
            folder: folder.join(recipe.fingerprint().to_string()),
            scan: None,
        }
    }

    /// The checkpoints of heads that train together; `recipe` is what all heads share that could. What a killed run left of most of
    /// them is found, unless another process is at it.
    ///
    /// # Errors
    /// Locks cannot be taken.
    pub fn checkpoints_of(
        &self,
        recipe: &Recipe,
        heads: &[Fingerprint],
    ) -> Result<Checkpoints, StoreError> {
        let mut checkpoints = self.checkpoints(recipe);
        let of_all = checkpoints.folder.clone();
        let heads: BTreeSet<String> = heads.iter().map(ToString::to_string).collect();
        let all: Vec<&str> = heads.iter().map(String::as_str).collect();
        checkpoints.folder = of_all.join(Fingerprint::of(all.concat().as_bytes()).to_string());
        let mut scan = Scan {
            heads,
            from: checkpoints.folder.clone(),
            of_all,
            locks: Vec::new(),
        };
        scan.locks.extend(self.lock_folder(&checkpoints.folder)?);
        let shared = |folder: &Path| {
            let left = heads_of(folder).unwrap_or_default();
            left.intersection(&scan.heads).count()
        };
        let mut most = shared(&checkpoints.folder);
        for folder in entries(&scan.of_all).unwrap_or_default() {
            let count = if folder == checkpoints.folder {
                0
            } else {
                shared(&folder)
            };
            if count > most
                && let Some(lock) = self.lock_folder(&folder)?
            {
                most = count;
                scan.locks.truncate(1);
                scan.locks.push(lock);
                scan.from = folder;
            }
        }
        checkpoints.scan = Some(scan);
        Ok(checkpoints)
    }

    /// The lock of a folder of checkpoints; `None` where another process uses it.
    fn lock_folder(&self, folder: &Path) -> Result<Option<ArtifactLock>, StoreError> {
        // By its place in the store: another process may name the store by another path.
        let place = folder.strip_prefix(self.root()).unwrap_or(folder);
        let name = Fingerprint::of(place.as_os_str().as_encoded_bytes());
        ArtifactLock::try_acquire(&self.locks, name)
    }
}

/// The heads whose checkpoints are in a folder; `None` where it has no list of them.
pub(super) fn heads_of(folder: &Path) -> Option<BTreeSet<String>> {
    let text = fs::read_to_string(folder.join(HEADS_FILE)).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

impl Checkpoints {
    /// The newest one that is whole and has at most so many steps, open. Damaged ones are passed over and moved to the quarantine; one
    /// that cannot be read now is passed over and stays. Where they lay is the second part of the answer.
    pub fn newest(&self, at_most: u32) -> (Option<Checkpoint>, Vec<PathBuf>) {
        let mut damaged = Vec::new();
        let from = self.scan.as_ref().map_or(&self.folder, |scan| &scan.from);
        // A folder that cannot be read has nothing to resume from; whether it can be written to is another matter.
        for Named { step, digest, path } in all(from).unwrap_or_default().into_iter().rev() {
            if step > at_most {
                continue;
            }
            let is_right = |found: &[u8; 32]| Fingerprint(*found).to_string().starts_with(&digest);
            let reason = match CheckedFile::open_where(&path, is_right) {
                Ok(file) => return (Some(Checkpoint { step, file }), damaged),
                // A training with another number of steps shares the folder and may have removed it.
                Err(CheckError::Unreadable(error))
                    if error.kind() == io::ErrorKind::NotFound
                        && path.symlink_metadata().is_err() =>
                {
                    continue;
                }
                Err(CheckError::Unreadable(error)) if !is_damage(&error) => {
                    damaged.push(path);
                    continue;
                }
                Err(CheckError::Unreadable(error)) => format!("cannot be read: {error}"),
                Err(_) => "does not have the digest that its name states".to_owned(),
            };
            // Passed over all the same where it cannot be moved.
            let of = Fingerprint::of(path.as_os_str().as_encoded_bytes());
            let _ = self.store.set_aside(&of, &path, reason);
            damaged.push(path);
        }
        (None, damaged)
    }

    /// Keeps a checkpoint, and lets go of older ones but the last.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or the file system refuses.
    pub fn write(&self, step: u32, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_by_path(step, &mut |path| fs::write(path, bytes))
    }

    /// Keeps a checkpoint that `write` writes to the path it is given, as [`Checkpoints::write`] does; for what is too large to be in
    /// memory twice.
    ///
    /// # Errors
    /// As [`Checkpoints::write`].
    pub fn write_by_path(
        &self,
        step: u32,
        write: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.make_folder()?;
        let whole = self.folder.join(format!("step-{step:08}"));
        let staged = commit::stage_by_path(&whole, write)?;
        let digest = digest_of(staged.path())
            .map_err(|error| StoreError::io("read", &whole, None, error))?
            .to_string();
        let digest = digest.get(..DIGEST_DIGITS).unwrap_or_default();
        let name = format!("step-{step:08}-{digest}.safetensors");
        commit::name_staged(staged, &self.folder.join(name))?;
        let mut older = all(&self.folder)?;
        older.retain(|named| named.step <= step);
        let surplus = older.len().saturating_sub(KEPT);
        for Named { path, .. } in older.into_iter().take(surplus) {
            match fs::remove_file(&path) {
                // A training with another number of steps shares the folder and may have been faster.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path, None, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder, with the list of heads where they train together.
    fn make_folder(&self) -> Result<(), StoreError> {
        let Some(scan) = &self.scan else {
            return commit::make_folder(&self.folder);
        };
        let list = self.folder.join(HEADS_FILE);
        if list.is_file() {
            return Ok(());
        }
        let text: String = scan.heads.iter().flat_map(|head| [head, "\n"]).collect();
        let mut tries = 3;
        loop {
            let made = commit::make_folder(&self.folder)
                .and_then(|()| commit::write_file(&list, text.as_bytes()));
            match made {
                // Whoever was done before has removed the folder above, which was empty.
                Err(StoreError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && tries > 0 =>
                {
                    tries -= 1;
                }
                made => return made,
            }
        }
    }

    /// Lets go of all of them: what they were for is done. What a killed run left of the same heads goes too, unless it has others
    /// that are still to be trained.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        remove(&self.folder)?;
        let Some(scan) = &self.scan else {
            return Ok(());
        };
        let heads = heads_of(&scan.from).unwrap_or_default();
        if scan.from != self.folder && heads.iter().all(|head| self.store.is_done(head)) {
            remove(&scan.from)?;
        }
        // Only where nobody else has checkpoints in it.
        let _ = fs::remove_dir(&scan.of_all);
        Ok(())
    }
}

/// Removes a folder. A file server keeps what somebody has open under another name in it; then the folder stays, means nothing any more,
/// and goes with what killed runs left (`clean.rs`).
fn remove(folder: &Path) -> Result<(), StoreError> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
    match fs::remove_dir_all(folder) {
        Err(error) if !matches!(error.kind(), DirectoryNotEmpty | NotFound | ResourceBusy) => {
            Err(StoreError::io("remove", folder, None, error))
        }
        _ => Ok(()),
    }
}

/// All checkpoints in a folder with their digests, by step.
fn all(folder: &Path) -> Result<Vec<Named>, StoreError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let parts = name
            .strip_prefix("step-")
            .and_then(|name| name.strip_suffix(".safetensors"))
            .and_then(|name| name.split_once('-'));
        let Some((step, digest)) = parts else {
            continue;
        };
        if let Ok(step) = step.parse()
            && digest.len() == DIGEST_DIGITS
        {
            let digest = digest.to_owned();
            found.push(Named { step, digest, path });
        }
    }
    found.sort_by_key(|named| named.step);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ArtifactKind;

    #[test]
    fn the_newest_whole_one_counts_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let recipe = Recipe::new(ArtifactKind::Pretraining, 1, &1).unwrap();
        let checkpoints = store.checkpoints(&recipe);
        assert_eq!(checkpoints.newest(100), (None, Vec::new()));
        for step in [10, 20, 30] {
            checkpoints.write(step, &[1; 100]).unwrap();
        }
        let steps = |at_most| {
            let (newest, damaged) = checkpoints.newest(at_most);
            (newest.map(|checkpoint| checkpoint.step), damaged.len())
        };
        assert_eq!(steps(100), (Some(30), 0));
        assert_eq!(steps(29), (Some(20), 0));
        assert_eq!(steps(19), (None, 0));
        let newest = checkpoints.newest(100).0.unwrap();
        let path = newest.file.path().to_owned();
        fs::write(&path, [1; 99]).unwrap();
        assert_eq!(steps(100), (Some(20), 1));
        // It lies in the quarantine now.
        assert_eq!(steps(100), (Some(20), 0));
        let newest = checkpoints.newest(100).0.unwrap();
        let path = newest.file.path().to_owned();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(steps(100), (None, 1));
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        assert_eq!(steps(100), (None, 1));
        assert_eq!(
            fs::read_dir(folder.path().join("quarantine"))
                .unwrap()
                .count(),
            3
        );
    }

    #[test]
    fn scans_have_folders_of_their_own_and_find_what_was_left_of_their_heads() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let recipe = Recipe::new(ArtifactKind::Head, 1, &1).unwrap();
        let [one, two, three] = [b"1", b"2", b"3"].map(|name| Fingerprint::of(name));
        let of = |heads: &[Fingerprint]| store.checkpoints_of(&recipe, heads).unwrap();
        let first = of(&[one, two]);
        first.write(5, b"first").unwrap();
        let other = of(&[three]);
        other.write(7, b"other").unwrap();
        let step = |checkpoints: &Checkpoints| checkpoints.newest(100).0.map(|found| found.step);
        assert_eq!((step(&first), step(&other)), (Some(5), Some(7)));
        other.clear().unwrap();
        assert_eq!((step(&first), step(&other)), (Some(5), None));
        // In use, so nobody takes it over.
        assert_eq!(step(&of(&[two])), None);
        drop(first);
        let left = of(&[two]);
        assert_eq!(step(&left), Some(5));
        left.clear().unwrap();
        drop(left);
        // By another path it is the same folder, and in use as well.
        let used = of(&[one]);
        let elsewhere = Store::open(folder.path().join(".")).unwrap();
        let other = elsewhere.checkpoints_of(&recipe, &[one, three]).unwrap();
        assert_eq!(step(&other), None);
        drop((used, other));
        // The other head of it was not trained yet.
        assert_eq!(step(&of(&[one])), Some(5));
    }
}
