//! What the store has. The planner needs nothing else of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::manifest::{Manifest, ManifestState, read_state};
use super::part::part_index;
use super::recipe::Recipe;
use super::root::Store;
use super::summary;

/// The note of an artifact about the instructions that computed it.
pub const INSTRUCTIONS: &str = "instructions";

/// What the store has at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// Complete artifacts. The sizes of their files were checked, or of very many their number; their bytes were not.
    pub artifacts: BTreeMap<Fingerprint, Entry>,
    /// Artifacts of which only some parts are committed.
    pub partial: BTreeMap<Fingerprint, Partial>,
    /// Of the artifacts that are wanted and that the store lacks, those that a remote has, with the size of their files in bytes. The store
    /// knows none; whoever has asked a remote puts them here.
    pub remote: BTreeMap<Fingerprint, u64>,
    /// Artifacts that do not count because they are damaged or were made by a newer release.
    pub problems: Vec<Problem>,
}

/// A complete artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What kind of artifact it is, which decides its files.
    pub kind: ArtifactKind,
    /// What the experiment that made it called it.
    pub label: String,
    /// All that decides its bytes.
    pub recipe: Recipe,
    /// Sum of the rows of its files.
    pub rows: u64,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// When it was made: RFC 3339, UTC.
    pub made_at: String,
    /// How long the making took, in seconds.
    pub wall_seconds: f64,
    /// The device that computed it, such as "cpu".
    pub device: String,
    /// The instructions of the processor that computed it, such as "AVX512"; `None` in artifacts of older releases.
    pub instructions: Option<String>,
}

/// An artifact that was begun and not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The kind of artifact that was begun.
    pub kind: ArtifactKind,
    /// Indexes of the parts that were committed. They are validated when the artifact is begun again.
    pub parts: BTreeSet<u32>,
}

/// Something that is wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Artifact that it concerns, where the folder's name shows it.
    pub fingerprint: Option<Fingerprint>,
    /// File that is wrong.
    pub file: PathBuf,
    /// How it is wrong, to be read after the file's name.
    pub reason: String,
}

impl Problem {
    /// That a file or a folder cannot be read.
    pub(super) fn unreadable(
        fingerprint: Option<Fingerprint>,
        path: &Path,
        error: &StoreError,
    ) -> Self {
        let (file, reason) = match error {
            StoreError::Io { path, source, .. } => {
                (path.clone(), format!("cannot be read: {source}"))
            }
            other => (path.to_owned(), other.to_string()),
        };
        Self {
            fingerprint,
            file,
            reason,
        }
    }
}

/// What was found in one artifact's folder.
enum Found {
    Complete(Box<Manifest>),
    /// One whose manifest was not read beyond its summary.
    Summed(Fingerprint, Box<Entry>),
    Partial(Fingerprint, Partial),
    Problem(Problem),
    Nothing,
}

/// How far a manifest is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Its summary, where it has one.
    Summaries,
    /// To its end.
    Manifests,
}

impl Store {
    /// Lists all artifacts: reads every manifest, of long ones the summary; hashes nothing.
    ///
    /// # Errors
    ///
    /// When the folder of all artifacts cannot be read. Anything below it that is damaged, or cannot be read, is not an error but a
    /// [`Problem`] in the listing.
    pub fn listing(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for found in self.survey(Depth::Summaries)? {
            match found {
                Found::Summed(fingerprint, entry) => {
                    listing.artifacts.insert(fingerprint, *entry);
                }
                Found::Complete(manifest) => {
                    listing
                        .artifacts
                        .insert(manifest.fingerprint, Entry::from(*manifest));
                }
                Found::Partial(fingerprint, partial) => {
                    listing.partial.insert(fingerprint, partial);
                }
                Found::Problem(problem) => listing.problems.push(problem),
                Found::Nothing => {}
            }
        }
        Ok(listing)
    }

    /// Manifests of all complete artifacts, ordered by kind and fingerprint, and what is wrong with the others.
    pub(super) fn manifests(&self) -> Result<(Vec<Manifest>, Vec<Problem>), StoreError> {
        let mut manifests = Vec::new();
        let mut problems = Vec::new();
        for found in self.survey(Depth::Manifests)? {
            match found {
                Found::Complete(manifest) => manifests.push(*manifest),
                Found::Problem(problem) => problems.push(problem),
                Found::Summed(..) | Found::Partial(..) | Found::Nothing => {}
            }
        }
        Ok((manifests, problems))
    }

    fn survey(&self, depth: Depth) -> Result<Vec<Found>, StoreError> {
        let mut folders = Vec::new();
        let mut unreadable = Vec::new();
        entries(&self.root.join("artifacts"))?;
        // Whatever cannot be read hides what is in it, and nothing else.
        let mut list = |folder: &Path| {
            entries(folder).unwrap_or_else(|error| {
                unreadable.push(Found::Problem(Problem::unreadable(None, folder, &error)));
                Vec::new()
            })
        };
        for kind in ArtifactKind::ALL {
            let folder = self.root.join("artifacts").join(kind.name());
            for prefix in list(&folder) {
                for artifact in list(&prefix) {
                    folders.push((*kind, artifact));
                }
            }
        }
        let mut found: Vec<Found> = folders
            .par_iter()
            .map(|(kind, folder)| look_at(*kind, folder, depth))
            .collect();
        found.extend(unreadable);
        Ok(found)
    }
}

impl From<Manifest> for Entry {
    fn from(manifest: Manifest) -> Self {
        Self {
            bytes: manifest.bytes(),
            kind: manifest.kind,
            label: manifest.label,
            recipe: manifest.recipe,
            rows: manifest.rows,
            made_at: manifest.made.at,
            wall_seconds: manifest.made.wall_seconds,
            device: manifest.made.device,
            instructions: manifest.made.notes.get(INSTRUCTIONS).cloned(),
        }
    }
}

fn look_at(kind: ArtifactKind, folder: &Path, depth: Depth) -> Found {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    // A folder with another name is not of this store's making, so it is nobody's artifact.
    let Ok(fingerprint) = name.parse::<Fingerprint>() else {
        return Found::Nothing;
    };
    let problem = |file, reason| {
        Found::Problem(Problem {
            fingerprint: Some(fingerprint),
            file,
            reason,
        })
    };
    if depth == Depth::Summaries
        && let Some(entry) = summary::read(folder, kind, &fingerprint)
    {
        return Found::Summed(fingerprint, Box::new(entry));
    }
    match read_state(folder, kind, &fingerprint) {
        Ok(ManifestState::Complete(manifest)) => Found::Complete(manifest),
        Ok(ManifestState::Damaged { file, reason }) => problem(file, reason),
        Ok(ManifestState::Absent) => {
            let files = match entries(folder) {
                Ok(files) => files,
                Err(error) => {
                    return Found::Problem(Problem::unreadable(Some(fingerprint), folder, &error));
                }
            };
            let parts: BTreeSet<u32> = files
                .iter()
                .filter_map(|file| part_index(&file.file_name()?.to_string_lossy()))
                .collect();
            if parts.is_empty() {
                Found::Nothing
            } else {
                Found::Partial(fingerprint, Partial { kind, parts })
            }
        }
        Err(StoreError::NewerFormat {
            path,
            found,
            supported,
        }) => problem(
            path,
            format!("has format {found}, but this release reads formats up to {supported}"),
        ),
        Err(error) => Found::Problem(Problem::unreadable(Some(fingerprint), folder, &error)),
    }
}

/// What is in a folder, sorted by name; nothing where the folder does not exist or is a file.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(StoreError::io("read", folder, None, error)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(StoreError::reading(folder))?;
    paths.sort();
    Ok(paths)
}
