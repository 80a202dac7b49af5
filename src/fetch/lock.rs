//! One process a file: a lock of the operating system on a file beside it, which ends with the process that holds it.
//!
//! The lock file is removed by its holder at the end. So whoever gets the lock looks whether the file that it has locked
//! still has its name; if not, somebody else finished in between, and it is locked again.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::FetchError;
use crate::lock_file::{holder, try_lock};

/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(100);

/// Holding this is the right to work on one path. Dropping it gives the right back.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock that guards `guarded`; while another process has it, `on_wait` is called once with who that is, and `stop`
    /// is asked again and again.
    pub(super) fn acquire(
        guarded: &Path,
        on_wait: &mut dyn FnMut(String),
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, FetchError> {
        let name = guarded.file_name().unwrap_or_default().to_string_lossy();
        let path = guarded.with_file_name(format!(".{name}.lock"));
        let mut told = false;
        loop {
            if let Some(lock) = Self::try_acquire(&path)? {
                return Ok(lock);
            }
            if stop() {
                return Err(FetchError::Stopped { kept: None });
            }
            if !told {
                told = true;
                on_wait(holder(&path));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn try_acquire(path: &Path) -> Result<Option<Self>, FetchError> {
        let failed = |error| FetchError::io("lock", path, error);
        loop {
            let Some(file) = try_lock(path).map_err(failed)? else {
                return Ok(None);
            };
            let locked = file.metadata().map_err(failed)?;
            let named = fs::metadata(path);
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())) {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    _file: file,
                }));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still locked. A file that stays behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let guarded = folder.path().join("weights.pt");
        let held = Lock::acquire(&guarded, &mut |_| {}, &|| false).unwrap();
        let mut told = Vec::new();
        let stopped = Lock::acquire(&guarded, &mut |holder| told.push(holder), &|| true);
        assert!(matches!(stopped, Err(FetchError::Stopped { .. })));
        assert!(told.is_empty(), "who has stopped is told nothing");

        let waiting = std::thread::spawn({
            let guarded = guarded.clone();
            move || {
                let mut told = Vec::new();
                let lock = Lock::acquire(&guarded, &mut |holder| told.push(holder), &|| false);
                (lock.is_ok(), told)
            }
        });
        std::thread::sleep(PAUSE * 2);
        drop(held);
        let (locked, told) = waiting.join().unwrap();
        assert!(locked);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("process {} on ", std::process::id())));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
