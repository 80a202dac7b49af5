//! The end of an artifact: its manifest.

use std::collections::BTreeSet;
use std::fs;

use super::ArtifactWriter;
use crate::atomic_file::is_temporary;
use crate::store::commit;
use crate::store::error::StoreError;
use crate::store::listing::entries;
use crate::store::lock::{ArtifactLock, wait_quietly};
use crate::store::manifest::{
    FileEntry, MANIFEST_FILE, MANIFEST_FORMAT, Made, Manifest, ManifestState, sealed,
};
use crate::store::part::part_index;

impl ArtifactWriter {
    /// Writes the manifest, which makes the artifact exist, and gives the lock back. A writer of parts takes the lock here; where another
    /// has finished the artifact meanwhile, its manifest is the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Incomplete`] when a part is missing: those that were declared, or, where none were, a gap in
    /// `0..n`. The committed files stay for the next attempt.
    pub fn finish(mut self, made: Made) -> Result<Manifest, StoreError> {
        if self.lock.is_none() {
            let locks = &self.store.locks;
            let lock =
                ArtifactLock::acquire(locks, self.fingerprint, &self.label, &mut wait_quietly)?;
            self.lock = Some(lock);
            if let ManifestState::Complete(manifest) =
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
        let too_many = |_| incomplete("it has too many parts".to_owned());
        let wanted = u32::try_from(wanted).map_err(too_many)?;
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
        let text = sealed(&manifest).map_err(|error| self.bad(MANIFEST_FILE, error.to_string()))?;
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
}
