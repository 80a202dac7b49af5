//! A file that stays open behind its mapping, so that rows can be copied out of it without becoming memory of the program.
//!
//! Looking at one row of a mapping maps the pages around it too, up to two megabytes of them, and all of those count. Reading
//! from the file counts what is read and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that stay open at the same time: a system allows a process a thousand or so, and all others need some too.
const MOST: usize = 256;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// An open file, counted.
#[derive(Debug)]
pub(super) struct KeptFile(File);

impl KeptFile {
    /// Keeps it open, unless enough are.
    pub(super) fn keep(file: File) -> Option<Self> {
        let more = |open: usize| (open < MOST).then_some(open + 1);
        let counted = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.is_ok().then_some(Self(file))
    }

    /// Reads bytes from a place of the file; whether all of them were there.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        self.0.read_exact_at(out, offset).is_ok()
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
