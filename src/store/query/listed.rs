//! The tables that there are, for people who want to know what to ask for.

use super::{
    CLASSES, FEATURES_PREFIX, FEWEST_DIGITS, LOGITS_FILE, LOGITS_PREFIX, OF_HEADS, RESULTS,
};
use crate::store::error::StoreError;
use crate::store::fingerprint::ArtifactKind;
use crate::store::manifest::{FileEntry, Manifest};
use crate::store::names::table_file;
use crate::store::root::Store;

/// A table of a query, or several of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// Its name, or the form of the names of several: `features_XXXX`.
    pub name: String,
    /// How many there are of that form.
    pub tables: usize,
    /// Rows of all of them together; `None` where they are not counted beforehand.
    pub rows: Option<u64>,
    /// What a row is.
    pub what: &'static str,
}

/// What a row of the tables over all artifacts is.
const ROWS: [(&str, &str); 9] = [
    ("artifacts", "an artifact of the cache"),
    (CLASSES, "a class of a dataset: its label and its name"),
    (RESULTS, "a scored value"),
    ("candidates", "a candidate of a choice"),
    ("curves", "an epoch of a head"),
    ("fit", "a fit of a head on all samples"),
    ("path", "a penalty of a ridge head"),
    ("predictions", "a predicted sample of a head"),
    ("selection", "a head with a validation split"),
];

impl Store {
    /// The tables that a query may name now, those over all artifacts first. Reads manifests, and counts by them.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn query_tables(&self) -> Result<Vec<TableSummary>, StoreError> {
        let (manifests, _) = self.manifests()?;
        let mut tables = Vec::new();
        for (name, what) in ROWS {
            let rows = match name {
                "artifacts" => Some(manifests.len() as u64),
                CLASSES => None,
                RESULTS => Some(rows_of(&manifests, ArtifactKind::Metric, RESULTS)),
                name if exists(&manifests, name) => {
                    Some(rows_of(&manifests, ArtifactKind::Head, name))
                }
                _ => continue,
            };
            tables.push(TableSummary {
                name: name.to_owned(),
                tables: 1,
                rows,
                what,
            });
        }
        let single = |prefix: &str, what, of: &dyn Fn(&Manifest) -> Option<u64>| TableSummary {
            name: format!("{prefix}{}", "X".repeat(FEWEST_DIGITS)),
            tables: manifests.iter().filter_map(of).count(),
            rows: Some(manifests.iter().filter_map(of).sum()),
            what,
        };
        let features = |manifest: &Manifest| {
            (manifest.kind == ArtifactKind::Features).then_some(manifest.rows)
        };
        let logits = |manifest: &Manifest| manifest.file(LOGITS_FILE).map(|file| file.rows);
        let single = [
            single(FEATURES_PREFIX, "the features of an image", &features),
            single(LOGITS_PREFIX, "the logits of a predicted sample", &logits),
        ];
        tables.extend(single.into_iter().filter(|table| table.tables > 0));
        Ok(tables)
    }
}

/// The names of the tables over all artifacts that there are.
pub(super) fn over_all(manifests: &[Manifest]) -> Vec<String> {
    let names = ROWS.into_iter().map(|(name, _)| name);
    let names = names.filter(|name| !OF_HEADS.contains(name) || exists(manifests, name));
    names.map(str::to_owned).collect()
}

/// Whether some head has a table.
fn exists(manifests: &[Manifest], table: &str) -> bool {
    entries(manifests, ArtifactKind::Head, table)
        .next()
        .is_some()
}

fn rows_of(manifests: &[Manifest], kind: ArtifactKind, table: &str) -> u64 {
    let entries = entries(manifests, kind, table);
    entries.map(|entry| entry.rows).sum()
}

fn entries<'m>(
    manifests: &'m [Manifest],
    kind: ArtifactKind,
    table: &str,
) -> impl Iterator<Item = &'m FileEntry> {
    let file = table_file(table);
    let of_kind = manifests
        .iter()
        .filter(move |manifest| manifest.kind == kind);
    of_kind.filter_map(move |manifest| manifest.file(&file))
}
