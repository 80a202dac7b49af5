//! Where a query reads: files that manifests list, and only after their bytes were compared with the manifests' digests.
//!
//! What is damaged or cannot be read is left out, and told with the rows that the answer lacks because of it. Artifacts of kinds that the
//! query does not touch are not looked at.

use std::path::PathBuf;

use rayon::prelude::*;

use super::{FEATURES_PREFIX, FEWEST_DIGITS, LOGITS_FILE, LOGITS_PREFIX, RESULTS, named};
use crate::store::error::StoreError;
use crate::store::fingerprint::{ArtifactKind, Fingerprint};
use crate::store::listing::Problem;
use crate::store::manifest::{FileEntry, MANIFEST_FILE, Manifest, of_damaged};
use crate::store::names::table_file;
use crate::store::part::part_index;
use crate::store::query_result::{Lacking, QueryError};
use crate::store::results::ResultRow;
use crate::store::root::Store;

/// One query's way to the files.
pub(super) struct Reading<'a> {
    store: &'a Store,
    /// The complete artifacts.
    pub(super) manifests: &'a [Manifest],
    problems: &'a [Problem],
    lacking: &'a mut dyn FnMut(&Lacking),
}

/// Why an artifact's files are not read.
struct Damage {
    file: PathBuf,
    reason: String,
}

impl<'a> Reading<'a> {
    /// `manifests` and `problems` are what the store lists now.
    pub(super) fn new(
        store: &'a Store,
        manifests: &'a [Manifest],
        problems: &'a [Problem],
        lacking: &'a mut dyn FnMut(&Lacking),
    ) -> Self {
        Self {
            store,
            manifests,
            problems,
            lacking,
        }
    }

    /// Tells what the list of all artifacts lacks.
    pub(super) fn list_all(&mut self) {
        for problem in self.problems {
            (self.lacking)(&Lacking {
                table: "artifacts".to_owned(),
                file: problem.file.clone(),
                reason: problem.reason.clone(),
                rows: Some(1),
            });
        }
    }

    /// The rows of all tables of results, of this release and of others.
    pub(super) fn results(&mut self) -> Result<Vec<ResultRow>, QueryError> {
        let file = table_file(RESULTS);
        let mut rows = Vec::new();
        let found = self.files(RESULTS, ArtifactKind::Metric, &file)?;
        for manifest in found {
            let table = self.store.table(&manifest.fingerprint, RESULTS)?;
            rows.extend(ResultRow::from_batch(&table).map_err(|error| match error {
                StoreError::BadTable { reason } => StoreError::BadTable {
                    reason: format!("artifact {}: {reason}", manifest.fingerprint.short()),
                },
                other => other,
            })?);
        }
        Ok(rows)
    }

    /// The sound files of a table over all heads; none where no head has it.
    pub(super) fn heads(&mut self, table: &str) -> Result<Vec<PathBuf>, QueryError> {
        let file = table_file(table);
        let found = self.files(table, ArtifactKind::Head, &file)?;
        let path = |manifest: &Manifest| {
            let folder = self
                .store
                .artifact_folder(manifest.kind, &manifest.fingerprint);
            folder.join(&file)
        };
        Ok(found.into_iter().map(path).collect())
    }

    /// The parts of the artifact of features that a table's name speaks of, if it speaks of exactly one.
    pub(super) fn features(&mut self, table: &str) -> Result<Option<Vec<PathBuf>>, QueryError> {
        let is_part = |entry: &FileEntry| part_index(&entry.name).is_some();
        let all = self.manifests.iter();
        let all = all.filter(|manifest| manifest.kind == ArtifactKind::Features);
        self.one(
            table,
            (FEATURES_PREFIX, ArtifactKind::Features),
            all,
            &is_part,
        )
    }

    /// The logits of the head that a table's name speaks of, if it speaks of those of exactly one.
    pub(super) fn logits(&mut self, table: &str) -> Result<Option<PathBuf>, QueryError> {
        let is_logits = |entry: &FileEntry| entry.name == LOGITS_FILE;
        let heads = self.manifests.iter().filter(|manifest| {
            manifest.kind == ArtifactKind::Head && manifest.file(LOGITS_FILE).is_some()
        });
        let found = self.one(
            table,
            (LOGITS_PREFIX, ArtifactKind::Head),
            heads,
            &is_logits,
        )?;
        Ok(found.and_then(|files| files.into_iter().next()))
    }

    /// The chosen files of one artifact. Where they are damaged there is nothing to answer with.
    fn one(
        &self,
        table: &str,
        (prefix, kind): (&str, ArtifactKind),
        artifacts: impl Iterator<Item = &'a Manifest>,
        chosen: &(dyn Fn(&FileEntry) -> bool + Sync),
    ) -> Result<Option<Vec<PathBuf>>, QueryError> {
        let damaged = |file: PathBuf, reason: String| {
            QueryError::Damaged(Lacking {
                table: table.to_owned(),
                file,
                reason,
                rows: None,
            })
        };
        let Some(digits) = table.strip_prefix(prefix) else {
            return Ok(None);
        };
        let Some(manifest) = named(table, prefix, artifacts) else {
            let meant = |problem: &&Problem| {
                let is_named = |name: &Fingerprint| name.to_string().starts_with(digits);
                self.is_of(problem, kind) && problem.fingerprint.as_ref().is_some_and(is_named)
            };
            return match self.problems.iter().find(meant) {
                Some(problem) if digits.len() >= FEWEST_DIGITS => {
                    Err(damaged(problem.file.clone(), problem.reason.clone()))
                }
                _ => Ok(None),
            };
        };
        sound(self.store, manifest, chosen)?
            .map_err(|damage| damaged(damage.file, damage.reason))?;
        let folder = self
            .store
            .artifact_folder(manifest.kind, &manifest.fingerprint);
        let files = manifest.files.iter().filter(|entry| chosen(entry));
        Ok(Some(files.map(|entry| folder.join(&entry.name)).collect()))
    }

    /// The artifacts of a kind that have a file, and have it undamaged. What is damaged is told.
    fn files(
        &mut self,
        table: &str,
        kind: ArtifactKind,
        file: &str,
    ) -> Result<Vec<&'a Manifest>, QueryError> {
        let store = self.store;
        let with_file =
            |manifest: &&Manifest| manifest.kind == kind && manifest.file(file).is_some();
        let looked_at: Vec<(&Manifest, Result<(), Damage>)> = self
            .manifests
            .par_iter()
            .filter(with_file)
            .map(|manifest| {
                let looked = sound(store, manifest, &|entry| entry.name == file)?;
                Ok((manifest, looked))
            })
            .collect::<Result<_, StoreError>>()?;
        let mut found = Vec::new();
        let mut lost = Vec::new();
        for (manifest, looked) in looked_at {
            match looked {
                Ok(()) => found.push(manifest),
                Err(damage) => lost.push(Lacking {
                    table: table.to_owned(),
                    file: damage.file,
                    reason: damage.reason,
                    rows: manifest.file(file).map(|entry| entry.rows),
                }),
            }
        }
        for problem in self
            .problems
            .iter()
            .filter(|problem| self.is_of(problem, kind))
        {
            let manifest = self.manifest_of(problem, kind);
            let rows = manifest.as_ref().map(|manifest| manifest.file(file));
            // It never had this table.
            if rows == Some(None) {
                continue;
            }
            let rows = rows.flatten().map(|entry| entry.rows);
            lost.push(Lacking {
                table: table.to_owned(),
                file: problem.file.clone(),
                reason: problem.reason.clone(),
                rows,
            });
        }
        if found.is_empty()
            && let Some(first) = lost.pop()
        {
            for lacking in &lost {
                (self.lacking)(lacking);
            }
            return Err(QueryError::Damaged(first));
        }
        for lacking in &lost {
            (self.lacking)(lacking);
        }
        Ok(found)
    }

    /// Whether a problem of the listing lies in an artifact of this kind.
    fn is_of(&self, problem: &Problem, kind: ArtifactKind) -> bool {
        let named = |name: &Fingerprint| {
            let folder = self.store.artifact_folder(kind, name);
            problem.file.starts_with(folder)
        };
        problem.fingerprint.as_ref().is_some_and(named)
    }

    /// The manifest of a damaged artifact, where it is not what is damaged: it tells whether the artifact had a table, and how long
    /// that was.
    fn manifest_of(&self, problem: &Problem, kind: ArtifactKind) -> Option<Manifest> {
        if problem.file.ends_with(MANIFEST_FILE) {
            return None;
        }
        let fingerprint = problem.fingerprint.as_ref()?;
        of_damaged(&self.store.artifact_folder(kind, fingerprint))
    }
}

/// The one look at an artifact's files before a query reads them; the inner error is damage, or that they cannot be read.
fn sound(
    store: &Store,
    manifest: &Manifest,
    chosen: &(dyn Fn(&FileEntry) -> bool + Sync),
) -> Result<Result<(), Damage>, StoreError> {
    let files = manifest.files.par_iter().filter(|file| chosen(file));
    let checked = files.try_for_each(|file| store.open_file(manifest, file).map(|_| ()));
    match checked {
        Ok(()) => Ok(Ok(())),
        Err(StoreError::Corrupt { file, reason, .. }) => Ok(Err(Damage { file, reason })),
        Err(StoreError::Io { path, source, .. }) => Ok(Err(Damage {
            file: path,
            reason: format!("cannot be read: {source}"),
        })),
        Err(error) => Err(error),
    }
}
