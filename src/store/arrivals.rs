//! Artifacts that come from elsewhere: made on another machine, and brought here file by file.
//!
//! The files are gathered in `arriving/<fingerprint>/`, each under its own name and as long as what has come of it, so that whoever begins
//! the same arrival again goes on from there. A file counts when its bytes have the digest that the manifest states; one that has come
//! whole and has another digest is removed. When all are right they get their places, and the manifest comes last, as in any artifact.
//!
//! An arrival holds the lock of its artifact. Parts that this cache has computed itself stay: where one of them has other bytes than the
//! manifest states, the arrival ends, and the artifact is finished here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::lock::ArtifactLock;
use super::manifest::{FileEntry, MANIFEST_FILE, Manifest, ManifestState};
use super::root::Store;
use super::verify::digest_of;
use crate::atomic_file;

/// Answer to [`Store::receive`].
#[derive(Debug)]
pub enum Arriving {
    /// The artifact is complete already.
    AlreadyThere,
    /// Somebody else makes it or brings it right now.
    Busy,
    /// The caller is the one to bring it.
    Begun(Box<Arrival>),
}

/// The right to bring one artifact, and what has come of it.
#[derive(Debug)]
pub struct Arrival {
    manifest: Manifest,
    /// The manifest's file.
    text: Vec<u8>,
    /// Where its files are gathered.
    gathered: PathBuf,
    /// Where they are to be.
    folder: PathBuf,
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    lock: ArtifactLock,
}

/// A file that is coming, open behind what has come of it.
#[derive(Debug)]
pub struct ArrivingFile {
    file: File,
    path: PathBuf,
    needed: u64,
}

impl Store {
    /// Asks for the right to bring an artifact whose manifest is known; `text` are the bytes of that manifest's file. Waits for nobody.
    ///
    /// # Errors
    ///
    /// When the store was opened for reading only, or the file system refuses.
    pub fn receive(&self, manifest: Manifest, text: Vec<u8>) -> Result<Arriving, StoreError> {
        self.require_writable()?;
        let (kind, fingerprint) = (manifest.kind, manifest.fingerprint);
        let Some(lock) = ArtifactLock::try_acquire(&self.locks, fingerprint)? else {
            return Ok(Arriving::Busy);
        };
        let folder = self.artifact_folder(kind, &fingerprint);
        match self.state(kind, &fingerprint)? {
            ManifestState::Complete(_) => return Ok(Arriving::AlreadyThere),
            ManifestState::Damaged { file, reason } => {
                let reason = format!("is damaged: {} {reason}", file.display());
                self.set_aside(&fingerprint, &folder, reason)?;
            }
            ManifestState::Absent => {}
        }
        let gathered = self.root.join("arriving").join(fingerprint.to_string());
        commit::make_folder(&gathered)?;
        Ok(Arriving::Begun(Box::new(Arrival {
            manifest,
            text,
            gathered,
            folder,
            lock,
        })))
    }
}

impl Arrival {
    /// What comes.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files that are not here with all their bytes, each with the bytes that have come of it.
    ///
    /// # Errors
    ///
    /// A part that was computed here and has other bytes ([`StoreError::BadContent`]), and a file system that refuses.
    pub fn lacking(&self) -> Result<Vec<(FileEntry, u64)>, StoreError> {
        let mut lacking = Vec::new();
        for entry in &self.manifest.files {
            let gathered = self.gathered.join(&entry.name);
            if self.is_in_place(entry)? {
                continue;
            }
            let come = match fs::metadata(&gathered) {
                Ok(found) if found.is_file() => found.len(),
                Ok(_) => {
                    remove(&gathered)?;
                    0
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(StoreError::io("read", &gathered, None, error)),
            };
            if come < entry.bytes {
                lacking.push((entry.clone(), come));
            } else if !gathered.exists() || !self.has_come(entry)? {
                lacking.push((entry.clone(), 0));
            }
        }
        Ok(lacking)
    }

    /// Opens a file to add to what has come of it.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn open(&self, entry: &FileEntry) -> Result<ArrivingFile, StoreError> {
        let path = self.gathered.join(&entry.name);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| {
            StoreError::io("create a file for", &path, Some(entry.bytes), error)
        })?;
        atomic_file::share_file(&file, &path);
        Ok(ArrivingFile {
            file,
            path,
            needed: entry.bytes,
        })
    }

    /// Whether all bytes of a file have come and have the digest that the manifest states; removes the file where they have another.
    ///
    /// # Errors
    ///
    /// When it cannot be read or removed.
    pub fn has_come(&self, entry: &FileEntry) -> Result<bool, StoreError> {
        let path = self.gathered.join(&entry.name);
        if digest_of(&path).map_err(StoreError::reading(&path))? == entry.blake3 {
            return Ok(true);
        }
        remove(&path)?;
        Ok(false)
    }

    /// Gives all files their places and writes the manifest, which makes the artifact exist. All of them have to have come.
    ///
    /// # Errors
    ///
    /// [`StoreError::Incomplete`] where one is lacking; a part that somebody has computed here meanwhile; a file system that refuses.
    pub fn finish(self) -> Result<Manifest, StoreError> {
        let artifact = self.manifest.fingerprint;
        if let Some((entry, _)) = self.lacking()?.first() {
            let reason = format!("{} has not come", entry.name);
            return Err(StoreError::Incomplete { artifact, reason });
        }
        commit::make_folder(&self.folder)?;
        for entry in &self.manifest.files {
            let (from, to) = (
                self.gathered.join(&entry.name),
                self.folder.join(&entry.name),
            );
            if !from.exists() {
                continue;
            }
            let failed = |error| StoreError::io("write", &to, Some(entry.bytes), error);
            sync(&from).map_err(failed)?;
            let is_named = atomic_file::rename_if_absent(&from, &to).map_err(failed)?;
            if !is_named && !self.is_in_place(entry)? {
                return Err(self.conflict(entry));
            }
        }
        commit::write_file(&self.folder.join(MANIFEST_FILE), &self.text)?;
        // What is left in it has its place already.
        let _ = fs::remove_dir_all(&self.gathered);
        Ok(self.manifest)
    }

    /// Whether a file has its place already, with the right bytes. What stands there with others is in the way: it goes where it was
    /// written before a manifest that never came; a part stays.
    fn is_in_place(&self, entry: &FileEntry) -> Result<bool, StoreError> {
        let path = self.folder.join(&entry.name);
        if path.symlink_metadata().is_err() {
            return Ok(false);
        }
        if digest_of(&path).is_ok_and(|found| found == entry.blake3) {
            return Ok(true);
        }
        if self.manifest.kind.has_parts() {
            return Err(self.conflict(entry));
        }
        remove(&path)?;
        Ok(false)
    }

    fn conflict(&self, entry: &FileEntry) -> StoreError {
        StoreError::BadContent {
            artifact: self.manifest.fingerprint,
            name: entry.name.clone(),
            reason: "this cache has a part of that name with other bytes".to_owned(),
        }
    }

    /// The fingerprint of what comes.
    pub fn fingerprint(&self) -> Fingerprint {
        self.manifest.fingerprint
    }
}

impl ArrivingFile {
    /// Adds bytes. They are not safe from a power cut before the artifact is finished; a lost one shows in the digest.
    ///
    /// # Errors
    ///
    /// [`StoreError::DiskFull`], or another refusal of the file system.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| StoreError::io("write", &self.path, Some(self.needed), error))
    }
}

/// Removes a file or a folder.
fn remove(path: &Path) -> Result<(), StoreError> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|error| StoreError::io("remove", path, None, error))
}

fn sync(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ArtifactKind, Begin, Made, Recipe, wait_quietly};

    /// A store with one artifact, and that artifact's manifest and its file.
    fn there(folder: &Path, content: &[u8]) -> (Store, Manifest, Vec<u8>) {
        let store = Store::open(folder).unwrap();
        let recipe = Recipe::new(ArtifactKind::Head, 1, &"fields").unwrap();
        let begun = store.begin(&recipe, "it", &mut wait_quietly).unwrap();
        let Begin::Writer(mut writer) = begun else {
            panic!("it is there");
        };
        writer.write_bytes("content", content).unwrap();
        writer.write_bytes("empty", b"").unwrap();
        let manifest = writer.finish(Made::default()).unwrap();
        let text = store.manifest_text(ArtifactKind::Head, &recipe.fingerprint());
        (store, manifest, text.unwrap().unwrap())
    }

    fn begun(store: &Store, manifest: &Manifest, text: &[u8]) -> Box<Arrival> {
        match store.receive(manifest.clone(), text.to_vec()).unwrap() {
            Arriving::Begun(arrival) => arrival,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_artifact_arrives_in_pieces_over_several_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let (_, manifest, text) = there(&folder.path().join("there"), b"right");
        let here = Store::open(folder.path().join("here")).unwrap();
        let arrival = begun(&here, &manifest, &text);
        assert!(matches!(
            here.receive(manifest.clone(), text.clone()).unwrap(),
            Arriving::Busy
        ));
        let entry = manifest.file("content").unwrap();
        let come = |arrival: &Arrival| -> Vec<(String, u64)> {
            let lacking = arrival.lacking().unwrap().into_iter();
            lacking.map(|(entry, come)| (entry.name, come)).collect()
        };
        let (content, empty) = ("content".to_owned(), "empty".to_owned());
        assert_eq!(come(&arrival), [(content.clone(), 0), (empty.clone(), 0)]);
        arrival.open(entry).unwrap().add(b"rig").unwrap();
        drop(arrival);
        assert!(here.listing().unwrap().artifacts.is_empty());

        let arrival = begun(&here, &manifest, &text);
        assert_eq!(come(&arrival), [(content, 3), (empty.clone(), 0)]);
        arrival.open(entry).unwrap().add(b"ht").unwrap();
        assert!(arrival.has_come(entry).unwrap());
        assert_eq!(come(&arrival), [(empty, 0)]);
        arrival.open(manifest.file("empty").unwrap()).unwrap();
        assert_eq!(come(&arrival), []);
        assert_eq!(arrival.finish().unwrap(), manifest);
        assert!(matches!(
            here.receive(manifest.clone(), text.clone()).unwrap(),
            Arriving::AlreadyThere
        ));
        assert_eq!(here.verify().unwrap(), []);
        let found = here.manifest_text(ArtifactKind::Head, &manifest.fingerprint);
        assert_eq!(found.unwrap().unwrap(), text);
        assert_eq!(
            fs::read_dir(here.root().join("arriving")).unwrap().count(),
            0
        );
    }

    #[test]
    fn wrong_bytes_never_get_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let (_, manifest, text) = there(&folder.path().join("there"), b"right");
        let here = Store::open(folder.path().join("here")).unwrap();
        let arrival = begun(&here, &manifest, &text);
        let entry = manifest.file("content").unwrap();
        arrival.open(entry).unwrap().add(b"wrong").unwrap();
        assert!(!arrival.has_come(entry).unwrap());
        // Not even where nobody asked.
        arrival.open(entry).unwrap().add(b"wrong").unwrap();
        arrival.open(manifest.file("empty").unwrap()).unwrap();
        assert!(matches!(
            arrival.finish(),
            Err(StoreError::Incomplete { .. })
        ));
        assert!(here.listing().unwrap().artifacts.is_empty());
    }

    #[test]
    fn leftovers_of_what_is_there_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (store, manifest, _) = there(&folder.path().join("there"), b"right");
        let of = |name: String| {
            let path = store.root().join("arriving").join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("content"), b"rig").unwrap();
            path
        };
        let done = of(manifest.fingerprint.to_string());
        let open = of("1".repeat(64));
        store.remove_leftovers();
        assert_eq!((done.exists(), open.exists()), (false, true));
    }
}
