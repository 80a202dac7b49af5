//! Other names for files and folders, which last once they are given.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::faults::{self, Operation};
use super::{TEMPORARY, folder_of, sync_folder_of};

/// Moves a file or a folder to a name that is free, lasting once this returns: renames it, or where that is another file system,
/// copies it and then removes it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    faults::at(Operation::Rename)?;
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            // Under another name first, so that half of it never passes for all of it.
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            let half = to.with_file_name(format!("{TEMPORARY}{name}-{}", std::process::id()));
            copy(from, &half)?;
            fs::rename(&half, to)?;
            sync_folder_of(to)?;
            if from.symlink_metadata()?.is_dir() {
                fs::remove_dir_all(from)?;
            } else {
                fs::remove_file(from)?;
            }
        }
        moved => moved?,
    }
    sync_folder_of(to)?;
    if folder_of(from) == folder_of(to) {
        Ok(())
    } else {
        sync_folder_of(from)
    }
}

/// Gives a file another name in the same file system, unless there is one of that name already; returns whether the name was free. Lasts
/// once this returns.
pub(crate) fn rename_if_absent(from: &Path, to: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    faults::at(Operation::Rename)?;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // A file system that knows no such renaming: a second name does the same.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            match fs::hard_link(from, to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                linked => linked?,
            }
            fs::remove_file(from)?;
        }
        Err(error) => return Err(error),
    }
    sync_folder_of(to).map(|()| true)
}

/// Copies a file, a link or a folder with all that is in it; files last once this returns.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        fs::copy(from, to)?;
        return File::open(to)?.sync_all();
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    File::open(to)?.sync_all()
}
