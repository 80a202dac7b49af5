//! Claims: who computes which shard of a job now, so that two processes do not compute the same one.
//!
//! A claim is a lock of the operating system and ends with the process that holds it. It is a courtesy and no safeguard: a part
//! proves itself, and of two writers of one part the first one wins. Where locks do not work, work is done twice and nothing is lost.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::commit;
use super::error::StoreError;
use super::root::Store;
use crate::lock_file::{has_no_locks, holder, try_lock};

/// The claims on the shards of one job.
#[derive(Debug, Clone)]
pub struct Claims {
    folder: PathBuf,
}

/// So often a claim is tried while somebody clears them; then the shard is computed without one.
const MOST_ATTEMPTS: usize = 100;

/// Holding this, one process computes a shard.
#[derive(Debug)]
pub struct Claim {
    /// The lock; `None` where the claims are being cleared all the time, or the file system has no locks.
    _file: Option<File>,
}

impl Store {
    /// The claims on a job's shards; `job` is its name.
    pub fn claims(&self, job: &str) -> Claims {
        Claims {
            folder: self.root.join("locks").join(format!("job-{job}")),
        }
    }
}

impl Claims {
    /// Claims a shard; `None` where somebody else computes it.
    ///
    /// # Errors
    ///
    /// When the file of the lock cannot be made.
    pub fn claim(&self, shard: usize) -> Result<Option<Claim>, StoreError> {
        let path = self.file(shard);
        for _ in 0..MOST_ATTEMPTS {
            commit::make_folder(&self.folder)?;
            match try_lock(&path) {
                Ok(file) => return Ok(file.map(|file| Claim { _file: Some(file) })),
                // The folder was cleared by whoever finished the job.
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::yield_now(),
                Err(error) if has_no_locks(&error) => return Ok(Some(Claim { _file: None })),
                Err(error) => return Err(StoreError::io("lock", &path, None, error)),
            }
        }
        Ok(Some(Claim { _file: None }))
    }

    /// Who computes a shard: "process 4711 on node03".
    pub fn holder(&self, shard: usize) -> String {
        holder(&self.file(shard))
    }

    /// Removes the files of the locks, once all parts are there and nobody needs them any more. Another worker that is about to see
    /// that may lock a file meanwhile; the folder stays then, and that worker removes it.
    ///
    /// # Errors
    ///
    /// When they cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        use io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
        match fs::remove_dir_all(&self.folder) {
            Err(error) if !matches!(error.kind(), NotFound | DirectoryNotEmpty | ResourceBusy) => {
                Err(StoreError::io("remove", &self.folder, None, error))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("{shard:05}.lock"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn clearing_while_another_worker_claims_is_not_an_error() {
        let root = tempfile::tempdir().unwrap();
        let claims = Store::open(root.path()).unwrap().claims("pass");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for shard in 0..4000 {
                    let _claim = claims.claim(shard).unwrap();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                claims.clear().unwrap();
            }
        });
        claims.clear().unwrap();
        assert!(!claims.folder.exists());
    }
}
