//! The parts of a complete artifact, opened: what readers of features and readers of images share.

use std::fs::File;
use std::path::PathBuf;

use rayon::prelude::*;

use super::error::StoreError;
use super::manifest::{FileEntry, Manifest};
use super::part::{part_index, part_name};
use super::part_reader::{MappedPart, Unusable, open_checked};
use super::root::Store;

/// A part whose bytes are those of the manifest.
pub(super) struct OpenedPart {
    /// Path of the part in the artifact's folder.
    pub(super) path: PathBuf,
    /// Its record batch, mapped from the file.
    pub(super) part: MappedPart,
    /// The file that was mapped.
    pub(super) file: File,
}

impl Store {
    /// Opens some parts of a complete artifact, in order. The first time in a process, all their bytes are read and compared with
    /// the digests in the manifest, several parts at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the bytes are not those that were committed.
    pub(super) fn open_parts(
        &self,
        manifest: &Manifest,
        chosen: impl Fn(&FileEntry) -> bool + Sync,
    ) -> Result<Vec<OpenedPart>, StoreError> {
        let chosen: Vec<&FileEntry> = part_entries(manifest)
            .into_iter()
            .filter(|entry| chosen(entry))
            .collect();
        let files = chosen
            .into_par_iter()
            .map(|entry| Ok((entry, self.open_file(manifest, entry)?)));
        let files: Vec<_> = files.collect::<Result<_, StoreError>>()?;
        let open = files.into_iter().map(|(entry, checked)| {
            let path = checked.path().to_owned();
            let opened = open_checked(checked, &manifest.recipe);
            let (part, file) = opened.map_err(|unusable| match unusable {
                Unusable::Damaged(reason) => corrupt(manifest, path.clone(), reason),
                Unusable::Unreadable(error) => StoreError::io("map", &path, None, error),
            })?;
            if part.batch.num_rows() as u64 != entry.rows {
                let reason = format!("does not have the {} rows of the manifest", entry.rows);
                return Err(corrupt(manifest, path, reason));
            }
            Ok(OpenedPart { path, part, file })
        });
        open.collect()
    }
}

/// The parts of an artifact in the order of their numbers, which from 100,000 on is not that of their names.
pub(super) fn part_entries(manifest: &Manifest) -> Vec<&FileEntry> {
    let parts = manifest.files.iter();
    let mut parts: Vec<&FileEntry> = parts
        .filter(|entry| part_index(&entry.name).is_some())
        .collect();
    parts.sort_by_key(|entry| part_index(&entry.name));
    parts
}

/// The error of an artifact without the parts that are asked for.
pub(super) fn no_parts(manifest: &Manifest) -> StoreError {
    StoreError::NoSuchFile {
        artifact: manifest.fingerprint,
        name: part_name(0),
        known: format!("{} files of other kinds", manifest.files.len()),
    }
}

/// The error of a file that is not what was committed.
pub(super) fn corrupt(manifest: &Manifest, file: PathBuf, reason: String) -> StoreError {
    StoreError::Corrupt {
        artifact: manifest.fingerprint,
        file,
        reason,
    }
}
