//! What is said of a folder that cannot serve as a store.

use std::io;
use std::path::Path;

use super::error::StoreError;
use crate::atomic_file;

/// What to do where a store is somebody else's.
const SHARE: &str = "name a folder that you may write to, or have its owner share it with a group (docs/shared-cache.md, One folder for a group)";

/// A folder that cannot serve as a store.
pub(super) fn unusable(path: &Path, reason: &str, remedy: &'static str) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        reason: reason.to_owned(),
        remedy,
    }
}

/// A folder that nothing can be written into.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> StoreError {
    let is_refused = error.kind() == io::ErrorKind::PermissionDenied;
    let remedy = if is_refused && atomic_file::is_anothers(path) {
        SHARE
    } else {
        "name a folder that you may write to"
    };
    unusable(path, &error.to_string(), remedy)
}

/// Turns the lack of a right to write into a statement about the store; leaves other failures, such as a full disk.
pub(super) fn refused(root: &Path) -> impl FnOnce(StoreError) -> StoreError + '_ {
    |error| match error {
        StoreError::Io { source, .. }
            if matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::NotADirectory
            ) =>
        {
            cannot_write(root, &source)
        }
        other => other,
    }
}
