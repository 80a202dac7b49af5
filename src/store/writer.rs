//! Writing an artifact, part by part, table by table, and the manifest last.

mod finish;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use rayon::prelude::*;

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use super::images::ImagePart;
use super::listing::entries;
use super::lock::ArtifactLock;
use super::manifest::{FileEntry, is_damage, is_plain_name};
use super::names::table_file;
use super::part::{self, ComputedOn, FeaturePart, PartForm, part_index, part_name};
use super::part_reader::{Unusable, open_unverified};
use super::quarantine::SetAside;
use super::recipe::Recipe;
use super::root::Store;
use super::tables::encode;
use super::verify::digest_of;
use crate::bug::Bug;

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
    /// Rows that each part has to have, once the caller has set it.
    expected_rows: Option<Vec<u64>>,
    /// What the rows of parts are, once a part is there.
    form: Option<PartForm>,
    /// The right to make the artifact alone; `None` where others may write parts of it at the same time.
    lock: Option<ArtifactLock>,
    /// What computes the parts.
    computed_on: Option<ComputedOn>,
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
        Self {
            fingerprint: recipe.fingerprint(),
            label: label.to_owned(),
            files: BTreeMap::new(),
            expected_rows: None,
            form: None,
            lock,
            computed_on: None,
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

    /// Sets what computes the parts that this writer writes from now on.
    pub fn computed_on(&mut self, computed_on: ComputedOn) {
        self.computed_on = Some(computed_on);
    }

    /// Declares how many rows each part of an artifact has (`expected_rows[part]`), and returns the parts that
    /// an earlier attempt has committed. [`ArtifactWriter::finish`] will insist on every one of them.
    ///
    /// A part counts only if its bytes have the digest that they carry, it belongs to this fingerprint, has the same
    /// kind of rows as the others, and has the expected number of rows. Anything else is moved to the quarantine.
    ///
    /// # Errors
    ///
    /// When a part cannot be read and may be sound all the same, or moving a file aside fails.
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
                open_unverified(path, name, &self.recipe).map(|(part, entry)| (part.form, entry))
            })
            .collect();
        let mut committed = CommittedParts::default();
        for ((index, name, path), opened) in candidates.into_iter().zip(opened) {
            let expected = usize::try_from(index)
                .ok()
                .and_then(|index| expected_rows.get(index));
            let reason = match (opened, expected) {
                (Err(Unusable::Damaged(reason)), _) => reason,
                // Another process has moved it away since the folder was listed.
                (Err(Unusable::Unreadable(_)), _) if path.symlink_metadata().is_err() => continue,
                (Err(Unusable::Unreadable(error)), _) if is_damage(&error) => {
                    format!("cannot be read: {error}")
                }
                (Err(Unusable::Unreadable(error)), _) => {
                    return Err(StoreError::io("read", &path, None, error));
                }
                (Ok(_), None) => format!(
                    "is not among the {} parts of this artifact",
                    expected_rows.len()
                ),
                (Ok((_, entry)), Some(expected)) if entry.rows != *expected => {
                    format!("has {} rows instead of {expected}", entry.rows)
                }
                (Ok((form, _)), _) if self.form.is_some_and(|known| known != form) => {
                    "has rows of another length or type than the parts before it".to_owned()
                }
                (Ok((form, entry)), Some(_)) => {
                    self.form = Some(form);
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

    /// Writes and commits one part of features.
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
        let (form, rows) = (content.form(), content.ids.len());
        self.write_part(part, form, rows, |recipe| content.batch(recipe))
    }

    /// Writes and commits one part of images.
    ///
    /// # Errors
    ///
    /// As [`ArtifactWriter::write_features`].
    pub fn write_images(&mut self, part: u32, content: ImagePart<'_>) -> Result<(), StoreError> {
        let rows = content.ids.len();
        self.write_part(part, PartForm::Images, rows, |recipe| content.batch(recipe))
    }

    fn write_part(
        &mut self,
        part: u32,
        form: PartForm,
        rows: usize,
        batch: impl FnOnce(&Recipe) -> Result<RecordBatch, String>,
    ) -> Result<(), StoreError> {
        let name = part_name(part);
        if let Some(known) = self.form.filter(|known| *known != form) {
            let reason = format!("rows of {form}, but the other parts have {known}");
            return Err(self.bad(&name, reason));
        }
        if let Some(expected) = &self.expected_rows {
            let expected = usize::try_from(part)
                .ok()
                .and_then(|index| expected.get(index));
            if expected != Some(&(rows as u64)) {
                let expected =
                    expected.map_or("no such part".to_owned(), |rows| format!("{rows} rows"));
                return Err(self.bad(&name, format!("{rows} rows, but {expected} declared")));
            }
        }
        let batch = batch(&self.recipe).map_err(|reason| self.bad(&name, reason))?;
        let target = self.folder.join(&name);
        let computed_on = self.computed_on.as_ref();
        let written = part::write(&target, &name, &self.recipe, computed_on, &batch)?;
        let entry = match written {
            Some(entry) => entry,
            // Somebody else was first.
            None => match open_unverified(&target, &name, &self.recipe) {
                Ok((found, entry)) if found.form == form => entry,
                Ok(_) => {
                    let reason = "another process wrote rows of another kind".to_owned();
                    return Err(self.bad(&name, reason));
                }
                Err(Unusable::Damaged(reason)) => return Err(self.bad(&name, reason)),
                Err(Unusable::Unreadable(error)) => {
                    return Err(StoreError::io("read", &target, None, error));
                }
            },
        };
        self.form = Some(form);
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
        let declared = self.expected_rows.clone();
        declared.ok_or_else(|| Bug::new("nobody has declared which parts there are").into())
    }

    /// Whether every declared part is there, looking again for those that others may have written.
    ///
    /// # Errors
    ///
    /// As [`ArtifactWriter::has_part`].
    pub fn is_complete(&mut self) -> Result<bool, StoreError> {
        let (parts, artifact) = (u32::try_from(self.declared()?.len()), self.fingerprint);
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
            instructions: None,
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
            instructions: None,
        };
        self.files.insert(name, entry);
        Ok(())
    }

    fn bad(&self, name: &str, reason: String) -> StoreError {
        StoreError::BadContent {
            artifact: self.fingerprint,
            name: name.to_owned(),
            reason,
        }
    }
}
