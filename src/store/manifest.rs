//! The manifest: the last file of an artifact, and the one that makes it exist.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::recipe::Recipe;
use super::root::Store;
use super::summary;

/// Format of manifests that this release writes.
///
/// History: 1, the first.
pub const MANIFEST_FORMAT: u64 = 1;

/// Name of the manifest in an artifact's folder.
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// What is wrong with a manifest in the place of another.
pub(super) const OF_ANOTHER: &str = "speaks of another artifact than the one it lies with";

/// What an artifact is, how it was made, and every file of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`] of the release that wrote it.
    pub format: u64,
    /// What the artifact is.
    pub kind: ArtifactKind,
    /// Name of the artifact: the digest of the recipe.
    pub fingerprint: Fingerprint,
    /// What the experiment called it; no part of the fingerprint.
    pub label: String,
    /// All that decides the artifact's bytes.
    pub recipe: Recipe,
    /// Every file but the manifest, by name.
    pub files: Vec<FileEntry>,
    /// Sum of the rows of all files.
    pub rows: u64,
    /// When, where and with what it was made; no part of the fingerprint.
    pub made: Made,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name in the artifact's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 digest of the whole file.
    pub blake3: Fingerprint,
    /// Rows of a table or of a part; zero for files that are not tables.
    pub rows: u64,
    /// What computed a part, such as "cpu" or "cuda:0"; absent for other files and for parts of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The instructions of the CPU that computed a part, such as "AVX512"; absent as `device` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// The circumstances under which an artifact was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Made {
    /// When it was finished: RFC 3339, UTC, as the caller's clock says.
    pub at: String,
    /// How long the making took, in seconds.
    pub wall_seconds: f64,
    /// Device that computed it, such as "cpu".
    pub device: String,
    /// Versions of what took part, such as libtorch.
    pub versions: BTreeMap<String, String>,
    /// Anything else worth telling.
    pub notes: BTreeMap<String, String>,
}

/// What stands in the folder of an artifact.
#[derive(Debug)]
pub(super) enum ManifestState {
    /// No manifest, so no artifact, though there may be committed parts.
    Absent,
    /// A manifest whose files are all there with the right sizes; their bytes are not looked at.
    Complete(Box<Manifest>),
    /// A manifest that cannot be true.
    Damaged {
        /// File that gives it away.
        file: PathBuf,
        /// How, to be read after the file's name.
        reason: String,
    },
}

impl Manifest {
    /// Size of all files but the manifest, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The entry of a file that has to be there.
    pub(super) fn require(&self, name: &str) -> Result<&FileEntry, StoreError> {
        self.file(name).ok_or_else(|| StoreError::NoSuchFile {
            artifact: self.fingerprint,
            name: name.to_owned(),
            known: self
                .files
                .iter()
                .map(|file| format!("`{}`", file.name))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// The content of its file.
    ///
    /// # Errors
    ///
    /// None that a user can cause.
    pub fn content(&self) -> serde_json::Result<Vec<u8>> {
        sealed(self)
    }

    /// Whether it speaks of this artifact, in all that it says.
    pub(super) fn is_of(&self, kind: ArtifactKind, fingerprint: &Fingerprint) -> bool {
        let recipe = &self.recipe;
        self.kind == kind
            && self.fingerprint == *fingerprint
            && recipe.kind() == kind
            && recipe.fingerprint() == *fingerprint
    }

    /// The entry of a file by its name; `None` where the artifact has none.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Store {
    /// Manifest of a complete artifact of any kind; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when there is a manifest but it, or the files it lists, are damaged.
    pub fn manifest(&self, fingerprint: &Fingerprint) -> Result<Option<Manifest>, StoreError> {
        for kind in ArtifactKind::ALL {
            match self.state(*kind, fingerprint)? {
                ManifestState::Absent => {}
                ManifestState::Complete(manifest) => return Ok(Some(*manifest)),
                ManifestState::Damaged { file, reason } => {
                    return Err(StoreError::Corrupt {
                        artifact: *fingerprint,
                        file,
                        reason,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Manifest of an artifact that has to be there.
    pub(super) fn require_manifest(
        &self,
        fingerprint: &Fingerprint,
    ) -> Result<Manifest, StoreError> {
        self.manifest(fingerprint)?
            .ok_or_else(|| StoreError::Missing {
                path: self.root.clone(),
                artifact: *fingerprint,
            })
    }

    /// Reads the manifest and asks the file system about the files that it lists; cheap, since no bytes are hashed.
    pub(super) fn state(
        &self,
        kind: ArtifactKind,
        fingerprint: &Fingerprint,
    ) -> Result<ManifestState, StoreError> {
        read_state(&self.artifact_folder(kind, fingerprint), kind, fingerprint)
    }
}

/// Whether a file that cannot be read is damaged: something else lies in its place, or the disk does not give its bytes. Where a
/// right is missing, or memory, it may be as good as it was.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), IsADirectory | NotADirectory | NotFound)
        || matches!(
            error.raw_os_error(),
            Some(libc::EIO | libc::ELOOP | libc::EUCLEAN | libc::ENXIO | libc::ENODEV)
        )
}

/// See [`Store::state`]; `folder` is the artifact's.
pub(super) fn read_state(
    folder: &Path,
    kind: ArtifactKind,
    fingerprint: &Fingerprint,
) -> Result<ManifestState, StoreError> {
    let path = folder.join(MANIFEST_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(ManifestState::Absent);
        }
        Err(error) if is_damage(&error) => {
            let reason = format!("cannot be read: {error}");
            return Ok(ManifestState::Damaged { file: path, reason });
        }
        Err(error) => return Err(StoreError::io("read", &path, None, error)),
    };
    let manifest = match parse(&path, &text)? {
        Ok(manifest) => manifest,
        Err(reason) => return Ok(ManifestState::Damaged { file: path, reason }),
    };
    if !manifest.is_of(kind, fingerprint) {
        let reason = OF_ANOTHER.to_owned();
        return Ok(ManifestState::Damaged { file: path, reason });
    }
    for entry in &manifest.files {
        let file = folder.join(&entry.name);
        if let Some(reason) = wrong_size(&file, entry)? {
            return Ok(ManifestState::Damaged { file, reason });
        }
    }
    Ok(ManifestState::Complete(Box::new(manifest)))
}

/// The manifest of an artifact in whatever state; `None` where it cannot be read. For messages alone.
pub(super) fn of_damaged(folder: &Path) -> Option<Manifest> {
    let path = folder.join(MANIFEST_FILE);
    parse(&path, &fs::read(&path).ok()?).ok()?.ok()
}

/// The manifest, or why it is damaged. A newer format is not damage, so it is an error.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Result<Manifest, String>, StoreError> {
    /// Read first, because a newer format need not have the other fields.
    #[derive(Deserialize)]
    struct Head {
        format: u64,
        /// Absent in manifests of older releases.
        digest: Option<String>,
    }
    match serde_json::from_slice::<Head>(text) {
        Ok(head) if head.format > MANIFEST_FORMAT => Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: head.format,
            supported: MANIFEST_FORMAT,
        }),
        Ok(Head {
            digest: Some(digest),
            ..
        }) if !is_sealed(text, &digest) => {
            Ok(Err("does not have the digest that it states".to_owned()))
        }
        Ok(_) => Ok(serde_json::from_slice::<Manifest>(text)
            .map_err(|error| format!("cannot be read: {error}"))
            .and_then(|manifest| {
                match manifest
                    .files
                    .iter()
                    .find(|file| !is_plain_name(&file.name))
                {
                    Some(file) => Err(format!(
                        "lists a file with the strange name `{}`",
                        file.name
                    )),
                    None => Ok(manifest),
                }
            })),
        Err(error) => Ok(Err(format!("cannot be read: {error}"))),
    }
}

/// What stands in place of a manifest's digest while that is computed.
const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The content of a manifest's file. Its field `digest` is the BLAKE3 digest of the text in which that digest is all zeros.
pub(super) fn sealed(manifest: &Manifest) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Sealed<'a> {
        digest: &'a str,
        #[serde(flatten)]
        manifest: &'a Manifest,
    }
    let text = serde_json::to_string_pretty(&Sealed {
        digest: UNSEALED,
        manifest,
    })? + "\n";
    let text = with_line(&text, &summary::line(manifest)?);
    let digest = Fingerprint::of(text.as_bytes()).to_string();
    // It stands first, so the zeros of a label are left alone.
    Ok(text.replacen(UNSEALED, &digest, 1).into_bytes())
}

/// A manifest with one more line behind that of its digest.
fn with_line(text: &str, line: &str) -> String {
    let first_two: usize = text.split_inclusive('\n').take(2).map(str::len).sum();
    let (before, after) = text.split_at(first_two);
    [before, line, after].concat()
}

/// Whether a text is what [`sealed`] has made, with this digest.
fn is_sealed(text: &[u8], digest: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    digest.len() == UNSEALED.len()
        && Fingerprint::of(text.replacen(digest, UNSEALED, 1).as_bytes()).to_string() == digest
}

/// How a file's size, or its absence, contradicts the manifest.
pub(super) fn wrong_size(file: &Path, entry: &FileEntry) -> Result<Option<String>, StoreError> {
    match fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() => Ok(Some("is not a regular file".to_owned())),
        Ok(metadata) if metadata.len() == entry.bytes => Ok(None),
        Ok(metadata) => Ok(Some(format!(
            "has {} bytes instead of {}",
            metadata.len(),
            entry.bytes
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some("is missing".to_owned())),
        Err(error) if is_damage(&error) => Ok(Some(format!("cannot be read: {error}"))),
        Err(error) => Err(StoreError::io("read", file, None, error)),
    }
}

/// Whether a name is a plain file name of the kind that the store writes.
pub(super) fn is_plain_name(name: &str) -> bool {
    let known =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name != MANIFEST_FILE && name.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_allowed() {
        for name in ["part-00000.arrow", "curves.parquet", "model_1.safetensors"] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", ".tmp-x", "..", "../x", "a/b", "manifest.json", "ä"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }

    #[test]
    fn a_newer_manifest_is_an_error_and_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MANIFEST_FILE);
        let state = || read_state(folder.path(), ArtifactKind::Head, &Fingerprint::of(b""));
        assert!(matches!(state(), Ok(ManifestState::Absent)));
        fs::write(&path, r#"{"format": 2, "else": "unknown"}"#).unwrap();
        assert!(matches!(
            state(),
            Err(StoreError::NewerFormat { found: 2, .. })
        ));
        fs::write(&path, "{\"format\": 1").unwrap();
        assert!(matches!(state(), Ok(ManifestState::Damaged { .. })));
        fs::write(&path, "").unwrap();
        assert!(matches!(state(), Ok(ManifestState::Damaged { .. })));
    }

    #[test]
    fn any_change_of_a_manifest_shows() {
        let recipe = Recipe::new(ArtifactKind::Head, 1, &"fields").unwrap();
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            kind: ArtifactKind::Head,
            fingerprint: recipe.fingerprint(),
            label: format!("a label with {UNSEALED}"),
            recipe,
            files: Vec::new(),
            rows: 0,
            made: Made::default(),
        };
        let path = Path::new(MANIFEST_FILE);
        let text = sealed(&manifest).unwrap();
        assert_eq!(parse(path, &text).unwrap(), Ok(manifest.clone()));
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            // Another spelling of the key `digest` says nothing else than that there is none.
            if let Ok(Ok(found)) = parse(path, &damaged) {
                assert_eq!(found, manifest, "{at}");
            }
        }
        let unsealed = serde_json::to_vec_pretty(&manifest).unwrap();
        assert_eq!(parse(path, &unsealed).unwrap(), Ok(manifest));
    }
}
