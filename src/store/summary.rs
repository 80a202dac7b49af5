//! The summary of a manifest that lists many files, so that a cache with a million files is listed without reading a million lines.
//!
//! It is the third line of the manifest: what [`Listing`](super::Listing) wants of the artifact, and how many files there are, with a digest
//! of its own. Whoever lists the store reads the beginning of the manifest and counts the files in the folder; whoever opens the
//! artifact reads all of it, as ever. So a file of another size shows when the artifact is opened, where it is set aside and made again,
//! and not when it is listed. Manifests of few files have none: they are read whole.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fingerprint::{ArtifactKind, Fingerprint};
use super::listing::{Entry, INSTRUCTIONS};
use super::manifest::{MANIFEST_FILE, MANIFEST_FORMAT, Manifest};
use super::part::part_index;
use super::recipe::Recipe;

/// Manifests that list more files have a summary.
const MANY: usize = 256;

/// Bytes of a manifest that hold the summary; recipes have some thousands.
const BEGINNING: u64 = 1 << 16;

/// What the line of the summary begins with.
const KEY: &str = "  \"summary\": ";

/// What the store's listing wants of an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Summary {
    format: u64,
    kind: ArtifactKind,
    fingerprint: Fingerprint,
    label: String,
    recipe: Recipe,
    rows: u64,
    bytes: u64,
    /// How many files the manifest lists.
    files: usize,
    made_at: String,
    wall_seconds: f64,
    device: String,
    instructions: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// BLAKE3 of the JSON text of the summary.
    blake3: Fingerprint,
    of: String,
}

/// The line of the summary, with its end; empty where the manifest lists few files.
pub(super) fn line(manifest: &Manifest) -> serde_json::Result<String> {
    if manifest.files.len() <= MANY {
        return Ok(String::new());
    }
    let of = serde_json::to_string(&Summary {
        format: manifest.format,
        kind: manifest.kind,
        fingerprint: manifest.fingerprint,
        label: manifest.label.clone(),
        recipe: manifest.recipe.clone(),
        rows: manifest.rows,
        bytes: manifest.bytes(),
        files: manifest.files.len(),
        made_at: manifest.made.at.clone(),
        wall_seconds: manifest.made.wall_seconds,
        device: manifest.made.device.clone(),
        instructions: manifest.made.notes.get(INSTRUCTIONS).cloned(),
    })?;
    let blake3 = Fingerprint::of(of.as_bytes());
    let sealed = serde_json::to_string(&Sealed { blake3, of })?;
    Ok(format!("{KEY}{sealed},\n"))
}

/// What the summary of an artifact says, if there is one, it is whole, and the folder has as many files as it counts. Where not, the
/// manifest itself tells what there is.
pub(super) fn read(folder: &Path, kind: ArtifactKind, fingerprint: &Fingerprint) -> Option<Entry> {
    let file = File::open(folder.join(MANIFEST_FILE)).ok()?;
    // What is shorter is read whole anyway.
    if file.metadata().ok()?.len() <= BEGINNING {
        return None;
    }
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning).ok()?;
    let text = String::from_utf8_lossy(&beginning);
    // The last line may be cut off.
    let whole = text.rsplit_once('\n')?.0;
    let line = whole.lines().nth(2)?.strip_prefix(KEY)?.strip_suffix(',')?;
    let sealed: Sealed = serde_json::from_str(line).ok()?;
    if Fingerprint::of(sealed.of.as_bytes()) != sealed.blake3 {
        return None;
    }
    let summary: Summary = serde_json::from_str(&sealed.of).ok()?;
    let is_of_it = summary.format == MANIFEST_FORMAT
        && summary.kind == kind
        && summary.fingerprint == *fingerprint
        && summary.recipe.kind() == kind
        && summary.recipe.fingerprint() == *fingerprint;
    (is_of_it && has_files(folder, summary.files)).then_some(Entry {
        kind,
        label: summary.label,
        recipe: summary.recipe,
        rows: summary.rows,
        bytes: summary.bytes,
        made_at: summary.made_at,
        wall_seconds: summary.wall_seconds,
        device: summary.device,
        instructions: summary.instructions,
    })
}

/// Whether there are as many parts in a folder.
fn has_files(folder: &Path, count: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let parts = entries.filter(|entry| {
        let name = entry.as_ref().map(std::fs::DirEntry::file_name);
        name.is_ok_and(|name| part_index(&name.to_string_lossy()).is_some())
    });
    parts.count() == count
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::manifest::sealed;
    use super::*;
    use crate::store::{FileEntry, Made};

    /// A folder with a manifest of so many parts, each of one byte.
    fn artifact(parts: usize) -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe::new(ArtifactKind::Features, 1, &"fields").unwrap();
        let names = (0..parts).map(|part| format!("part-{part:05}.arrow"));
        let files = names.map(|name| {
            fs::write(folder.path().join(&name), "x").unwrap();
            FileEntry {
                blake3: Fingerprint::of(b"x"),
                name,
                bytes: 1,
                rows: 2,
                device: None,
                instructions: None,
            }
        });
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            kind: ArtifactKind::Features,
            fingerprint: recipe.fingerprint(),
            label: "a\nlabel".to_owned(),
            recipe,
            files: files.collect(),
            rows: 2 * parts as u64,
            made: Made::default(),
        };
        let text = sealed(&manifest).unwrap();
        fs::write(folder.path().join(MANIFEST_FILE), text).unwrap();
        (folder, manifest)
    }

    fn read(folder: &tempfile::TempDir, manifest: &Manifest) -> Option<Entry> {
        super::read(folder.path(), manifest.kind, &manifest.fingerprint)
    }

    #[test]
    fn a_summary_says_what_the_manifest_says() {
        let (few, manifest) = artifact(MANY);
        assert!(read(&few, &manifest).is_none());
        let (many, manifest) = artifact(2 * MANY);
        assert_eq!(read(&many, &manifest), Some(Entry::from(manifest.clone())));
        // Of another artifact, or without one of its files.
        let other = Fingerprint::of(b"other");
        assert!(super::read(many.path(), manifest.kind, &other).is_none());
        fs::remove_file(many.path().join("part-00007.arrow")).unwrap();
        assert!(read(&many, &manifest).is_none());
    }

    #[test]
    fn a_change_of_the_summary_shows() {
        let (folder, manifest) = artifact(2 * MANY);
        let path = folder.path().join(MANIFEST_FILE);
        let text = fs::read(&path).unwrap();
        let expected = Entry::from(manifest.clone());
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        let end: usize = lines().take(3).map(<[u8]>::len).sum();
        for at in 0..end {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            // What stands before the summary is looked at when the manifest is.
            let found = read(&folder, &manifest);
            assert!(found.is_none_or(|found| found == expected), "{at}");
        }
    }
}
