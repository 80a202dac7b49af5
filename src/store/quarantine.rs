//! Setting damaged things aside. Nothing is ever deleted, because damage is evidence.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::commit;
use super::error::StoreError;
use super::fingerprint::{ArtifactKind, Fingerprint};
use super::lock::ArtifactLock;
use super::manifest::ManifestState;
use super::root::Store;
use crate::atomic_file::share;

/// What the folder of a whole artifact is called in the quarantine.
pub(super) const WHOLE: &str = "artifact";

/// Something that was moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it lay.
    pub from: PathBuf,
    /// Its path in the quarantine.
    pub to: PathBuf,
    /// What is wrong with it, to be read after its name.
    pub reason: String,
}

impl Store {
    /// Moves a damaged artifact aside, so that it can be made again.
    ///
    /// The damage is looked for again, under the artifact's lock. Where there is none (because another process has
    /// set the artifact aside and made it again meanwhile), or where another process holds the lock, nothing is moved
    /// and `None` is returned.
    ///
    /// # Errors
    ///
    /// When reading or moving fails, or the store was opened for reading only.
    pub fn quarantine(&self, fingerprint: &Fingerprint) -> Result<Option<SetAside>, StoreError> {
        self.require_writable()?;
        let Some(_lock) = ArtifactLock::try_acquire(&self.locks, *fingerprint)? else {
            return Ok(None);
        };
        for kind in ArtifactKind::ALL {
            let reason = match self.state(*kind, fingerprint)? {
                ManifestState::Absent => None,
                ManifestState::Damaged { file, reason } => {
                    Some(format!("{} {reason}", file.display()))
                }
                ManifestState::Complete(manifest) => self
                    .damage(&manifest)?
                    .into_iter()
                    .next()
                    .map(|problem| format!("{} {}", problem.file.display(), problem.reason)),
            };
            if let Some(reason) = reason {
                let folder = self.artifact_folder(*kind, fingerprint);
                return self.set_aside(fingerprint, &folder, reason).map(Some);
            }
        }
        Ok(None)
    }

    /// Moves a file or a folder into a fresh folder of the quarantine. The caller holds the artifact's lock.
    pub(super) fn set_aside(
        &self,
        fingerprint: &Fingerprint,
        from: &Path,
        reason: String,
    ) -> Result<SetAside, StoreError> {
        let folder = self.fresh_quarantine(fingerprint)?;
        let note = format!("{} {reason}\n", from.display());
        commit::write_file(&folder.join("reason.txt"), note.as_bytes())?;
        let name = if from.is_dir() {
            self.record_damage(fingerprint, &note)?;
            WHOLE.into()
        } else {
            from.file_name().unwrap_or_default().to_owned()
        };
        let to = folder.join(name);
        commit::rename(from, &to)?;
        Ok(SetAside {
            from: from.to_owned(),
            to,
            reason,
        })
    }

    /// Makes the first folder `<fingerprint>-<n>` that does not exist yet.
    fn fresh_quarantine(&self, fingerprint: &Fingerprint) -> Result<PathBuf, StoreError> {
        let mut number = 1_u64;
        loop {
            let folder = self
                .quarantine_folder()
                .join(format!("{fingerprint}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => {
                    share(&folder);
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(StoreError::io("create the folder", &folder, None, error));
                }
            }
        }
    }
}
