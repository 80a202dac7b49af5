//! Locks of the operating system on files: they end with the process that holds them, however it ends.
//!
//! `store/lock.rs` and `fetch/lock.rs` say what is guarded, how long to wait, and what becomes of the file.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::Path;

/// Takes the lock on the file at `path`, which is made if need be, and writes into it who holds it; `None` where another
/// process has it. The lock lasts as long as the returned file is open.
///
/// # Errors
/// The file cannot be opened or locked.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    // Not truncated on opening: the file may hold the name of the process that has the lock now.
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The name only serves the messages of those who wait, so a full disk is no reason to fail here.
    let _ = sign(&mut file);
    Ok(Some(file))
}

/// Who holds the lock: "process 4711 on node03", or "another process".
pub(crate) fn holder(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) if !text.is_empty() => text,
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
    write!(file, "process {} on {host}", std::process::id())
}
