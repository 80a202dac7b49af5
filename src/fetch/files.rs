//! The few things that are done with the file system: folders, small files written whole, renames that last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::FetchError;
use crate::atomic_file::{self, folder_of};
use crate::disk::free_bytes;

/// A path with something added to its name: `weights.pt` and `.partial` give `weights.pt.partial`.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Makes a folder and those above it.
pub(super) fn make_folder(folder: &Path) -> Result<(), FetchError> {
    fs::create_dir_all(folder).map_err(|error| FetchError::io("make the folder", folder, error))
}

/// Renames within a folder, lasting once this returns.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), FetchError> {
    atomic_file::rename(from, to).map_err(|error| FetchError::io("rename to", to, error))
}

/// Writes a small file so that it is seen whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), FetchError> {
    atomic_file::write(path, text.as_bytes()).map_err(|error| FetchError::io("write", path, error))
}

/// Removes a file, which need not be there.
pub(super) fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FetchError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// The first of `name.rejected`, `name.rejected-2` and so on that is not there yet.
pub(super) fn free_name(path: &Path, ending: &str) -> PathBuf {
    let mut candidate = with_ending(path, ending);
    let mut number = 1;
    while candidate.symlink_metadata().is_ok() {
        number += 1;
        candidate = with_ending(path, &format!("{ending}-{number}"));
    }
    candidate
}

/// Fails where `needed` more bytes have no room beside `path`. Where it cannot be asked, the attempt will show it.
pub(super) fn need_room(path: &Path, needed: u64) -> Result<(), FetchError> {
    match free_bytes(folder_of(path)) {
        Some(available) if available < needed => Err(FetchError::DiskFull {
            path: path.to_owned(),
            needed: Some(needed),
            available: Some(available),
        }),
        _ => Ok(()),
    }
}

/// Fails where fewer than `left` bytes would be free beside `path` after `next` more.
pub(super) fn leave_room(path: &Path, next: u64, left: u64) -> Result<(), FetchError> {
    match free_bytes(folder_of(path)) {
        Some(available) if available < left.saturating_add(next) => {
            Err(FetchError::NoRoomForMore {
                path: path.to_owned(),
                available,
                left,
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_replaced_whole_and_names_are_never_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let first = free_name(&path, ".rejected");
        assert!(first.ends_with("a.toml.rejected"));
        fs::write(&first, "").unwrap();
        assert!(free_name(&path, ".rejected").ends_with("a.toml.rejected-2"));
        remove(&first).unwrap();
        remove(&first).unwrap();
    }

    #[test]
    fn a_file_too_large_for_the_disk_is_refused_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        need_room(&path, 1).unwrap();
        let error = need_room(&path, u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains("are to come") && error.contains("are free"),
            "{error}"
        );
    }
}
