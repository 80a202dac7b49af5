//! Where things are in a remote.
//!
//! ```text
//! <prefix>/artifacts/<kind>/<2 hex>/<fingerprint>/manifest.json
//! <prefix>/artifacts/<kind>/<2 hex>/<fingerprint>/<BLAKE3 of the file>/<name of the file>
//! <prefix>/notes/<64 hex>.note
//! ```
//!
//! The path of a file has the digest of its bytes, so two writers that have computed the same artifact, maybe with other last bits, never
//! write over each other's files; whoever's manifest is there names files that are all there. The manifest is written last, and what has no
//! manifest does not exist.

use object_store::path::Path;

use crate::store::names::artifact_path;
use crate::store::{ArtifactKind, FileEntry, Fingerprint};

const MANIFEST: &str = "manifest.json";

/// The paths of a remote, below its prefix.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
}

impl Layout {
    /// The paths below a prefix, which has no slash at either end and may be empty.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The manifest of an artifact.
    pub(super) fn manifest(&self, kind: ArtifactKind, fingerprint: &Fingerprint) -> Path {
        self.path(&format!("{}/{MANIFEST}", folder(kind, fingerprint)))
    }

    /// One file of an artifact.
    pub(super) fn file(
        &self,
        kind: ArtifactKind,
        fingerprint: &Fingerprint,
        entry: &FileEntry,
    ) -> Path {
        let folder = folder(kind, fingerprint);
        self.path(&format!("{folder}/{}/{}", entry.blake3, entry.name))
    }

    /// A note about an input.
    pub(super) fn note(&self, name: &Fingerprint) -> Path {
        self.path(&format!("notes/{name}.note"))
    }

    /// Below what all manifests of a kind are.
    pub(super) fn of_kind(&self, kind: ArtifactKind) -> Path {
        let whole = artifact_path(kind.name(), "");
        self.path(whole.trim_end_matches('/'))
    }

    /// The artifact whose manifest a path is, `None` for any other path.
    pub(super) fn fingerprint(path: &Path) -> Option<Fingerprint> {
        let mut parts = path.as_ref().rsplit('/');
        if parts.next() != Some(MANIFEST) {
            return None;
        }
        parts.next()?.parse().ok()
    }

    fn path(&self, below: &str) -> Path {
        Path::from(format!("{}/{below}", self.prefix))
    }
}

fn folder(kind: ArtifactKind, fingerprint: &Fingerprint) -> String {
    artifact_path(kind.name(), &fingerprint.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_prefix_and_name_artifacts() {
        let fingerprint = Fingerprint::of(b"x");
        let kind = ArtifactKind::Head;
        for prefix in ["", "team/project"] {
            let layout = Layout::new(prefix);
            let manifest = layout.manifest(kind, &fingerprint);
            assert!(manifest.prefix_matches(&layout.of_kind(kind)), "{manifest}");
            assert_eq!(Layout::fingerprint(&manifest), Some(fingerprint));
            assert!(manifest.as_ref().starts_with(prefix));
            assert!(!manifest.as_ref().contains("//"));
        }
        assert_eq!(Layout::new("").of_kind(kind).as_ref(), "artifacts/head");
        assert_eq!(
            Layout::fingerprint(&Path::from("artifacts/head/aa/x")),
            None
        );
    }
}
