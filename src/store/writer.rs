//! Writing an artifact, part by part, table by table, and the manifest last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use rayon::prelude::*;

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::listing::entries;
use super::lock::{ArtifactLock, wait_quietly};
use super::manifest::{
    FileEntry, MANIFEST_FILE, MANIFEST_FORMAT, Made, Manifest, State, is_plain_name,
};
use super::names::table_file;
use super::part::{self, FeaturePart, part_index, part_name};
use super::part_reader::open_unverified;
use super::quarantine::SetAside;
use super::recipe::Recipe;
use super::root::Store;
use super::tables::encode;
use super::verify::digest_of;
use crate::atomic_file::is_temporary;
use crate::bug::Bug;
use crate::feature_type::FeatureType;

/// The right to make one artifact, and the means to. Dropping it without [`ArtifactWriter::finish`] leaves the
/// committed parts for the next attempt and nothing that counts as an artifact.
#[derive(Debug)]
pub struct ArtifactWriter {
    store: Store,
    recipe: Recipe,
    fingerprint: Fingerprint,
    label: String,
    folder: PathBuf,
    set_aside: Vec<SetAside>,
    /// Committed files by name.
    files: BTreeMap<String, FileEntry>,
    /// Rows that each part has to have, once the caller has said so.
    expected_rows: Option<Vec<u64>>,
    /// Width and type of the vectors, once a part is there.
    shape: Option<(usize, FeatureType)>,
    /// The right to make the artifact alone; `None` where others may write parts of it at the same time.
    lock: Option<ArtifactLock>,
    /// What computes the parts, such as "cpu".
    device: Option<String>,
}

/// What an earlier attempt has left, after validation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommittedParts {
    /// Parts that need not be made again.
    pub parts: BTreeSet<u32>,
    /// Files that looked like parts but did not validate, and were moved aside.
    pub set_aside: Vec<SetAside>,
}

impl ArtifactWriter {
    pub(super) fn new(
        store: Store,
        recipe: Recipe,
        label: &str,
        folder: PathBuf,
        lock: Option<ArtifactLock>,
        set_aside: Vec<SetAside>,
    ) -> Self {
        store.forget_verified(&folder);
        Self {
            fingerprint: recipe.fingerprint(),
            label: label.to_owned(),
            files: BTreeMap::new(),
            expected_rows: None,
            shape: None,
            lock,
            device: None,
            store,
            recipe,
            folder,
            set_aside,
        }
    }

    /// Artifact that is being made.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// All that decides the artifact's bytes.
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What was set aside when the artifact was begun: a damaged artifact of the same fingerprint, stray files.
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// Says what computes the parts that this writer writes from now on.
    pub fn computed_on(&mut self, device: &str) {
        self.device = Some(device.to_owned());
    }

    /// Declares how many rows each part of a feature artifact has (`expected_rows[part]`), and returns the parts that
    /// an earlier attempt has committed. [`ArtifactWriter::finish`] will insist on every one of them.
    ///
    /// A part counts only if its bytes have the digest that they carry, it belongs to this fingerprint, has the same
    /// kind of vectors as the others, and has the expected number of rows. Anything else is moved to the quarantine.
    ///
    /// # Errors
    ///
    /// When moving a file aside fails.
    pub fn committed_parts(&mut self, expected_rows: &[u64]) -> Result<CommittedParts, StoreError> {
        let candidates: Vec<(u32, String, PathBuf)> = entries(&self.folder)?
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some((part_index(&name)?, name, path))
            })
            .filter(|(_, name, _)| !self.files.contains_key(name))
            .collect();
        let opened: Vec<_> = candidates
            .par_iter()
            .map(|(_, name, path)| {
                open_unverified(path, name, &self.recipe)
                    .map(|(part, entry)| ((part.width, part.feature_type), entry))
            })
            .collect();
        let mut committed = CommittedParts::default();
        for ((index, name, path), opened) in candidates.into_iter().zip(opened) {
            let expected = usize::try_from(index)
                .ok()
                .and_then(|index| expected_rows.get(index));
            let reason = match (opened, expected) {
                (Err(reason), _) => reason,
                (Ok(_), None) => format!(
                    "is not among the {} parts of this artifact",
                    expected_rows.len()
                ),
                (Ok((_, entry)), Some(expected)) if entry.rows != *expected => {
                    format!("has {} rows instead of {expected}", entry.rows)
                }
                (Ok((shape, _)), _) if self.shape.is_some_and(|known| known != shape) => {
                    "has vectors of another length or type than the parts before it".to_owned()
                }
                (Ok((shape, entry)), Some(_)) => {
                    self.shape = Some(shape);
                    self.files.insert(name, entry);
                    committed.parts.insert(index);
                    continue;
                }
            };
            committed
                .set_aside
                .push(self.store.set_aside(&self.fingerprint, &path, reason)?);
        }
        self.expected_rows = Some(expected_rows.to_vec());
        Ok(committed)
    }

    /// Writes and commits one feature part.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadContent`] when the part contradicts itself, the other parts or the declared number of rows;
    /// [`StoreError::DiskFull`].
    pub fn write_features(
        &mut self,
        part: u32,
        content: FeaturePart<'_>,
    ) -> Result<(), StoreError> {
        let name = part_name(part);
        let shape = (content.width, content.values.feature_type());
        if let Some((width, feature_type)) = self.shape.filter(|known| *known != shape) {
            return Err(self.bad(
                &name,
                format!(
                    "vectors of {} {:?} values, but the other parts have {width} {feature_type:?}",
                    shape.0, shape.1
                ),
            ));
        }
        if let Some(expected) = &self.expected_rows {
            let expected = usize::try_from(part)
                .ok()
                .and_then(|index| expected.get(index));
            let rows = content.ids.len() as u64;
            if expected != Some(&rows) {
                let expected =
                    expected.map_or("no such part".to_owned(), |rows| format!("{rows} rows"));
                return Err(self.bad(&name, format!("{rows} rows, but {expected} declared")));
            }
        }
        let target = self.folder.join(&name);
        let device = self.device.as_deref();
        let written = part::write(&target, &name, &self.recipe, device, content)?;
        let entry = match written {
            Some(entry) => entry,
            // Somebody else was first.
            None => match open_unverified(&target, &name, &self.recipe) {
                Ok((found, entry)) if (found.width, found.feature_type) == shape => entry,
                Ok(_) => {
                    let reason = "another process wrote vectors of another kind".to_owned();
                    return Err(self.bad(&name, reason));
                }
                Err(reason) => return Err(self.bad(&name, reason)),
            },
        };
        self.shape = Some(shape);
        self.files.insert(name, entry);
        Ok(())
    }

    /// Looks whether a part has been written meanwhile, by this writer or another; one that does not validate is set aside.
    ///
    /// # Errors
    ///
    /// When moving a file aside fails.
    pub fn has_part(&mut self, part: u32) -> Result<bool, StoreError> {
        let name = part_name(part);
        if self.files.contains_key(&name) {
            return Ok(true);
        }
        if !self.folder.join(&name).exists() {
            return Ok(false);
        }
        let expected = self.declared()?;
        Ok(self.committed_parts(&expected)?.parts.contains(&part))
    }

    fn declared(&self) -> Result<Vec<u64>, StoreError> {
        let undeclared = || Bug::new("nobody has declared which parts there are");
        Ok(self.expected_rows.clone().ok_or_else(undeclared)?)
    }

    /// Whether every declared part is there, looking again for those that others may have written.
    ///
    /// # Errors
    ///
    /// As [`ArtifactWriter::has_part`].
    pub fn is_complete(&mut self) -> Result<bool, StoreError> {
        let parts = u32::try_from(self.declared()?.len());
        let artifact = self.fingerprint;
        for part in 0..parts.map_err(|_| StoreError::TooManyParts { artifact })? {
            if !self.has_part(part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes and commits a table as `<name>.parquet`.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadContent`] when the name or the table cannot be written; [`StoreError::DiskFull`].
    pub fn write_table(&mut self, name: &str, batch: &RecordBatch) -> Result<(), StoreError> {
        let file = table_file(name);
        let bytes = encode(&self.recipe, batch).map_err(|reason| self.bad(&file, reason))?;
        self.write_file(file, &bytes, batch.num_rows() as u64)
    }

    /// Writes and commits a file of any bytes, such as `head.safetensors`.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadContent`] when the name is not a plain file name; [`StoreError::DiskFull`].
    pub fn write_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_file(name.to_owned(), bytes, 0)
    }

    /// Writes and commits a file that `write` writes to the path it is given; for what is too large to be in memory twice.
    ///
    /// # Errors
    ///
    /// As [`ArtifactWriter::write_bytes`].
    pub fn write_by_path(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&Path) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.check_name(name)?;
        let target = self.folder.join(name);
        let mut staged = commit::stage_by_path(&target, write)?;
        let read = |error| StoreError::io("read", &target, None, error);
        let entry = FileEntry {
            name: name.to_owned(),
            bytes: staged.len().map_err(read)?,
            blake3: digest_of(staged.path()).map_err(read)?,
            rows: 0,
            device: None,
        };
        commit::name_staged(staged, &target)?;
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), StoreError> {
        if is_plain_name(name) && part_index(name).is_none() {
            return Ok(());
        }
        Err(self.bad(
            name,
            "the name is not a plain file name, or is one of the store's own".to_owned(),
        ))
    }

    fn write_file(&mut self, name: String, bytes: &[u8], rows: u64) -> Result<(), StoreError> {
        self.check_name(&name)?;
        commit::write_file(&self.folder.join(&name), bytes)?;
        let entry = FileEntry {
            name: name.clone(),
            bytes: bytes.len() as u64,
            blake3: Fingerprint::of(bytes),
            rows,
            device: None,
        };
        self.files.insert(name, entry);
        Ok(())
    }

    /// Writes the manifest, which makes the artifact exist, and gives the lock back. A writer of parts takes the lock here; where another
    /// has finished the artifact meanwhile, its manifest is the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Incomplete`] when a part is missing: those that were declared, or, where none were, a gap in
    /// `0..n`. The committed files stay for the next attempt.
    pub fn finish(mut self, made: Made) -> Result<Manifest, StoreError> {
        if self.lock.is_none() {
            let path = self.store.lock_file(&self.fingerprint);
            let lock =
                ArtifactLock::acquire(&path, self.fingerprint, &self.label, &mut wait_quietly)?;
            self.lock = Some(lock);
            if let State::Complete(manifest) =
                self.store.state(self.recipe.kind(), &self.fingerprint)?
            {
                return Ok(*manifest);
            }
            if self.expected_rows.is_some() {
                self.is_complete()?;
            }
        }
        let incomplete = |reason| StoreError::Incomplete {
            artifact: self.fingerprint,
            reason,
        };
        let parts: BTreeSet<u32> = self
            .files
            .keys()
            .filter_map(|name| part_index(name))
            .collect();
        let wanted = self.expected_rows.as_ref().map_or(parts.len(), Vec::len);
        let wanted =
            u32::try_from(wanted).map_err(|_| incomplete("it has too many parts".to_owned()))?;
        let missing: Vec<String> = (0..wanted)
            .filter(|part| !parts.contains(part))
            .map(|part| part.to_string())
            .collect();
        if !missing.is_empty() {
            return Err(incomplete(format!(
                "part {} of {wanted} missing",
                missing.join(", ")
            )));
        }
        if self.files.is_empty() {
            return Err(incomplete("nothing was written".to_owned()));
        }
        if !made.wall_seconds.is_finite() {
            return Err(self.bad(
                MANIFEST_FILE,
                format!("a wall time of {} seconds", made.wall_seconds),
            ));
        }
        let files: Vec<FileEntry> = self.files.values().cloned().collect();
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            kind: self.recipe.kind(),
            fingerprint: self.fingerprint,
            label: self.label.clone(),
            recipe: self.recipe.clone(),
            rows: files.iter().map(|file| file.rows).sum(),
            files,
            made,
        };
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| self.bad(MANIFEST_FILE, error.to_string()))?;
        text.push(b'\n');
        commit::write_file(&self.folder.join(MANIFEST_FILE), &text)?;
        self.clear_temporary_files();
        Ok(manifest)
    }

    /// Removes what writers that were killed left, now that nobody needs to write any more. One that is left behind means nothing.
    fn clear_temporary_files(&self) {
        for path in entries(&self.folder).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_temporary(&name) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn bad(&self, name: &str, reason: String) -> StoreError {
        StoreError::BadContent {
            artifact: self.fingerprint,
            name: name.to_owned(),
            reason,
        }
    }
}
