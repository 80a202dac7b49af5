//! Folders that several people share: what is made in them is their group's too.
//!
//! A folder that its group may write to and that hands its group on (`chmod g+ws`) says that the group works in it. Whatever is made there is
//! readable and writable for the group as well, whatever the mask of the user who makes it: a single file of somebody with another mask
//! would be in the way of everybody else. In other folders the mask decides, as ever.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::folder_of;

/// The group may write to a folder, and what is made there belongs to that group.
const SHARED: u32 = 0o2020;
/// The group may read and write a file.
const OF_FILES: u32 = 0o060;
/// The group may list a folder, and make and remove what is in it.
const OF_FOLDERS: u32 = 0o070;

/// Gives a file or a folder that was just made to the group, where the folder that it is in is shared. What cannot be given stays as it is.
pub(crate) fn share(path: &Path) {
    if let Some(rights) = fs::metadata(path)
        .and_then(|made| rights(path, &made))
        .ok()
        .flatten()
    {
        let _ = fs::set_permissions(path, rights);
    }
}

/// [`share`] of a file that is open; `path` is its name, or will be.
pub(crate) fn share_file(file: &File, path: &Path) {
    if let Some(rights) = file
        .metadata()
        .and_then(|made| rights(path, &made))
        .ok()
        .flatten()
    {
        let _ = file.set_permissions(rights);
    }
}

/// The rights that something gets in place of those that it has; `None` where it keeps them.
fn rights(path: &Path, made: &Metadata) -> io::Result<Option<Permissions>> {
    let wanted = if made.is_dir() { OF_FOLDERS } else { OF_FILES };
    let mode = made.permissions().mode();
    if mode & wanted == wanted {
        return Ok(None);
    }
    let around = fs::metadata(folder_of(path))?.permissions().mode();
    Ok((around & SHARED == SHARED).then(|| Permissions::from_mode(mode | wanted)))
}

/// Whether a file or a folder belongs to another user than the one who runs this process.
pub(crate) fn is_anothers(path: &Path) -> bool {
    #[expect(unsafe_code, reason = "there is no safe way to ask")]
    // SAFETY: the call takes nothing, and always succeeds.
    let own = unsafe { libc::geteuid() };
    fs::metadata(path).is_ok_and(|found| found.uid() != own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic_file;
    use crate::lock_file;
    use crate::store::Store;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_in_a_shared_folder_is_the_groups_whatever_the_mask() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o2770);
        let file = folder.path().join("part");
        atomic_file::write(&file, b"1").unwrap();
        let lock = folder.path().join("lock");
        drop(lock_file::open(&lock).unwrap());
        for path in [&file, &lock] {
            assert_eq!(mode(path) & 0o060, 0o060, "{}", path.display());
        }
        // As somebody's mask would have it.
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        set(&inner, 0o2700);
        share(&inner);
        assert_eq!(mode(&inner), 0o2770);
    }

    #[test]
    fn in_other_folders_the_mask_decides() {
        let folder = tempfile::tempdir().unwrap();
        for around in [0o700, 0o770, 0o777, 0o2750] {
            set(folder.path(), around);
            let file = folder.path().join(format!("{around:o}"));
            fs::write(&file, "").unwrap();
            set(&file, 0o600);
            share(&file);
            share_file(&File::open(&file).unwrap(), &file);
            assert_eq!(mode(&file), 0o600, "{around:o}");
        }
    }

    #[test]
    fn a_store_in_a_shared_folder_is_shared_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o2770);
        let root = folder.path().join("cache");
        let store = Store::open(&root).unwrap();
        store.memo().keep_note("cats", &1).unwrap();
        let claim = store.claims("pass").claim(0).unwrap();
        assert!(claim.is_some());
        let mut places = vec![root];
        let mut seen = 0;
        while let Some(place) = places.pop() {
            seen += 1;
            let wanted = if place.is_dir() { 0o2070 } else { 0o060 };
            assert_eq!(mode(&place) & wanted, wanted, "{}", place.display());
            if place.is_dir() {
                places.extend(
                    fs::read_dir(&place)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
        }
        assert!(seen > 15, "{seen}");
    }
}
