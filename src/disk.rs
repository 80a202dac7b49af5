//! How much room a file system has.

use std::path::Path;

/// Bytes that an ordinary user may still write to the file system of `path`, or of the nearest folder above it that is there. `None` where
/// the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let status = rustix::fs::statvfs(existing).ok()?;
    Some(status.f_bavail.saturating_mul(status.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_be_made_has_the_room_of_the_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("not/there/yet")).is_some());
        assert!(free_bytes(Path::new("")).is_none_or(|free| free > 0));
    }
}
