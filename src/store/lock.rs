//! One maker an artifact: a lock of the operating system on a file of its own.
//!
//! Such a lock ends with the process that holds it, however that process ends, so there are no stale locks. The lock
//! file itself stays behind, because removing it while another process waits on it would split the lock in two.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::error::StoreError;
use super::fingerprint::Fingerprint;
use crate::lock_file::{holder, try_lock};

/// What a waiting process knows, handed to the callback of [`Store::begin`](super::Store::begin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Artifact that somebody else is making.
    pub fingerprint: Fingerprint,
    /// What the caller calls that artifact.
    pub label: &'a str,
    /// Who makes it: "process 4711 on node03", or "another process".
    pub holder: &'a str,
    /// How long it has been waited for; zero in the first call.
    pub waited: Duration,
}

/// What a waiting process does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Ask again in a while.
    Wait,
    /// Return [`StoreError::GaveUpWaiting`], for instance because the user pressed Ctrl-C.
    GiveUp,
}

/// Called when an artifact is locked, at once and then several times a second.
pub type OnWait<'a> = dyn FnMut(&Waiting<'_>) -> Patience + 'a;

/// The [`OnWait`] of those who have nobody to report to.
pub fn wait_quietly(_waiting: &Waiting<'_>) -> Patience {
    Patience::Wait
}

/// Holding this is the right to make one artifact. Dropping it gives the right back.
#[derive(Debug)]
pub(super) struct ArtifactLock {
    _file: File,
}

impl ArtifactLock {
    /// Takes the lock, waiting for its holder while `on_wait` has the patience.
    pub(super) fn acquire(
        path: &Path,
        fingerprint: Fingerprint,
        label: &str,
        on_wait: &mut OnWait<'_>,
    ) -> Result<Self, StoreError> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(250);
        let mut pause = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            let holder = holder(path);
            if on_wait(&Waiting {
                fingerprint,
                label,
                holder: &holder,
                waited,
            }) == Patience::GiveUp
            {
                return Err(StoreError::GaveUpWaiting {
                    artifact: fingerprint,
                    holder,
                });
            }
            std::thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Takes the lock, or returns `None` where somebody else holds it.
    pub(super) fn try_acquire(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = try_lock(path).map_err(|error| StoreError::io("lock", path, None, error))?;
        Ok(file.map(|file| Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let fingerprint = Fingerprint::of(b"x");
        let held = ArtifactLock::acquire(&path, fingerprint, "x", &mut wait_quietly).unwrap();
        assert!(ArtifactLock::try_acquire(&path).unwrap().is_none());

        let mut calls = Vec::new();
        let error = ArtifactLock::acquire(&path, fingerprint, "the label", &mut |waiting| {
            calls.push((
                waiting.label.to_owned(),
                waiting.holder.to_owned(),
                waiting.waited,
            ));
            if calls.len() < 3 {
                Patience::Wait
            } else {
                Patience::GiveUp
            }
        })
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("process {} on ", std::process::id())),
            "{error}"
        );
        assert_eq!(calls[0].0, "the label");
        assert!(calls[0].2.is_zero() && !calls[1].2.is_zero());

        drop(held);
        assert!(ArtifactLock::try_acquire(&path).unwrap().is_some());
    }
}
