//! Locks of the operating system on files: they end with the process that holds them, however it ends.
//!
//! `store/lock.rs` and `fetch/lock.rs` say what is guarded, how long to wait, and what becomes of the file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::atomic_file::share_file;

/// What a lock file begins with, once somebody has signed it.
const SIGNED: &str = "process ";
/// Nobody's name is longer, in bytes.
const LONGEST_NAME: u64 = 4096;

/// Takes the lock on the file at `path`, which is made if need be, and writes into it who holds it; `None` where another
/// process has it. The lock lasts as long as the returned file is open.
///
/// # Errors
/// The file cannot be opened or locked; a link or another file has its name.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let mut file = open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if !is_ours(&mut file)? {
        return Err(io::Error::other(
            "another file has the name of the lock; move it away",
        ));
    }
    // The name only serves the messages of those who wait, so a full disk is not an error here.
    let _ = sign(&mut file);
    Ok(Some(file))
}

/// Opens the file of a lock, which is made if need be; a link in its place is not followed, and is an error.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Not truncated on opening: the file may hold the name of the process that has the lock now.
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // What a link of that name leads to is not ours to write.
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => io::Error::other("a link has the name of the lock"),
            _ => error,
        })?;
    share_file(&file, path);
    Ok(file)
}

/// A range of a file's bytes, which need not be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    start: i64,
    length: i64,
}

impl Range {
    /// One as long as the number of this process.
    pub(crate) fn of_this_process(start: i64) -> Self {
        Self {
            start,
            length: i64::from(std::process::id()),
        }
    }
}

/// Locks a range of an open file; false where another opening of the file has any of it locked. The lock lasts until
/// [`unlock_range`], or as long as the file is open.
///
/// # Errors
/// The file system has no such locks, or refuses.
pub(crate) fn try_lock_range(file: &File, range: Range) -> io::Result<bool> {
    match control(file, libc::F_OFD_SETLK, &mut ranged(libc::F_WRLCK, range)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives a range back.
///
/// # Errors
/// The file system refuses.
pub(crate) fn unlock_range(file: &File, range: Range) -> io::Result<()> {
    control(file, libc::F_OFD_SETLK, &mut ranged(libc::F_UNLCK, range))
}

/// Whether an error says that a file system has no locks, or none left.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)
    )
}

/// The number of the process that has the range locked that begins at `start`; `None` where nobody has, or nobody can say.
pub(crate) fn holder_of_range(file: &File, start: i64) -> Option<i64> {
    let mut found = ranged(libc::F_WRLCK, Range { start, length: 1 });
    control(file, libc::F_OFD_GETLK, &mut found).ok()?;
    let is_whole = i32::from(found.l_type) != libc::F_UNLCK && found.l_start == start;
    (is_whole && found.l_len > 0).then_some(found.l_len)
}

fn ranged(kind: libc::c_int, range: Range) -> libc::flock {
    #[expect(unsafe_code, reason = "the type of the C library has padding")]
    // SAFETY: all bits zero are a value of this type.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    (lock.l_start, lock.l_len) = (range.start, range.length);
    lock
}

fn control(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    #[expect(unsafe_code, reason = "there is no safe way to lock a part of a file")]
    // SAFETY: the file is open, and the pointer is to a value of the type that the commands for locks read and fill.
    let outcome = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(lock)) };
    if outcome == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whether the file is new, or was signed before.
fn is_ours(file: &mut File) -> io::Result<bool> {
    let mut text = Vec::new();
    file.take(SIGNED.len() as u64).read_to_end(&mut text)?;
    Ok(text.is_empty() || text == SIGNED.as_bytes())
}

/// Who holds the lock: "process 4711 on node03", or "another process".
pub(crate) fn holder(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let mut text = String::new();
        file.take(LONGEST_NAME).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.starts_with(SIGNED) => text,
        _ => "another process".to_owned(),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "an unnamed host"
    } else {
        host.trim()
    };
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{SIGNED}{} on {host}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_link_nor_a_file_of_others_is_taken_for_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("lock"), folder.path().join("thesis"));
        fs::write(&other, "chapter 1").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let error = try_lock(&link).unwrap_err().to_string();
        assert!(error.contains("a link"), "{error}");
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
        assert!(try_lock(&folder.path().join("dangling")).is_err());
        assert!(!folder.path().join("nowhere").exists());
        fs::write(&other, "chapter 1").unwrap();
        let error = try_lock(&other).unwrap_err().to_string();
        assert!(error.contains("another file"), "{error}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "chapter 1");

        let path = folder.path().join("own");
        let lock = try_lock(&path).unwrap().unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        assert!(holder(&path).starts_with("process "));
        drop(lock);
        assert!(try_lock(&path).unwrap().is_some(), "a lock serves again");
    }
}
