//! What can go wrong in the store, with the file and with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;
use crate::bug::Bug;
use crate::disk::free_bytes;

/// A failure of the store. Every message names the file and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder cannot serve as a store at all.
    #[error("cannot use {} as a store: {reason}; {remedy}", path.display())]
    Unusable {
        /// Folder that was named as the store.
        path: PathBuf,
        /// Why the folder cannot be a store.
        reason: String,
        /// What the user can do.
        remedy: &'static str,
    },
    /// A newer release wrote the store or the artifact.
    #[error(
        "{} has format {found}, but this release reads formats up to {supported}; \
         use the newer release, or another store folder", path.display()
    )]
    NewerFormat {
        /// File that states the format.
        path: PathBuf,
        /// Format number found there.
        found: u64,
        /// Newest format that this release understands.
        supported: u64,
    },
    /// Something asked a store opened for reading only to write.
    #[error("the store {} was opened for reading only", path.display())]
    ReadOnly {
        /// Folder of the store.
        path: PathBuf,
    },
    /// The file system has no room for a file, or refuses a file of that size.
    #[error(
        "no room for {}{}; free some space (or raise the quota) and run again: \
         everything committed so far is kept", path.display(), room(*needed, *available)
    )]
    DiskFull {
        /// File that was being written.
        path: PathBuf,
        /// Bytes that the file takes, where that was known beforehand.
        needed: Option<u64>,
        /// Bytes that were free on that file system when it failed, where it could be asked.
        available: Option<u64>,
    },
    /// There is a file already where one is to be written for the user.
    #[error("{} is there already; choose another name, or replace it with --force", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// Any other failure of the operating system.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb phrase: "read", "lock".
        doing: &'static str,
        /// The file or folder that it was tried on.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Bytes on the disk are not the bytes that were committed.
    #[error(
        "artifact {} is corrupt: {} {reason}; it has to be set aside and computed again",
        artifact.short(), file.display()
    )]
    Corrupt {
        /// Artifact that the file belongs to.
        artifact: Fingerprint,
        /// Damaged file.
        file: PathBuf,
        /// How the file differs, to be read after its name: "has 12 bytes instead of 40".
        reason: String,
    },
    /// The artifact does not exist (or is not complete).
    #[error("the store {} has no complete artifact {}; run the experiment that makes it", path.display(), artifact.short())]
    Missing {
        /// Folder of the store.
        path: PathBuf,
        /// Artifact that was asked for.
        artifact: Fingerprint,
    },
    /// The artifact exists, but not the file in it.
    #[error("artifact {} has no file `{name}`; it has {known}", artifact.short())]
    NoSuchFile {
        /// Artifact that was asked.
        artifact: Fingerprint,
        /// Name asked for.
        name: String,
        /// Names that are there, for the message.
        known: String,
    },
    /// `finish` was called before every part was there.
    #[error("artifact {} is not complete: {reason}", artifact.short())]
    Incomplete {
        /// Artifact that was being written.
        artifact: Fingerprint,
        /// What is missing.
        reason: String,
    },
    /// What was handed in to be written contradicts itself.
    #[error("cannot write `{name}` of artifact {}: {reason}", artifact.short())]
    BadContent {
        /// Artifact that was being written.
        artifact: Fingerprint,
        /// File that was to be written.
        name: String,
        /// How the content contradicts itself.
        reason: String,
    },
    /// A table does not have the columns that it should have.
    #[error("table of results: {reason}")]
    BadTable {
        /// Which column, and how it differs.
        reason: String,
    },
    /// An artifact has more parts than can be numbered.
    #[error("artifact {} has more than 2^32 parts", artifact.short())]
    TooManyParts {
        /// Artifact that was being written.
        artifact: Fingerprint,
    },
    /// The program contradicts itself.
    #[error(transparent)]
    Bug(#[from] Bug),
    /// The caller no longer wanted to wait for the process that holds the lock.
    #[error("stopped waiting for artifact {}, which {holder} is making", artifact.short())]
    GaveUpWaiting {
        /// Artifact that is locked.
        artifact: Fingerprint,
        /// Who holds the lock.
        holder: String,
    },
}

impl StoreError {
    /// Wraps a failure of the operating system; "no room" in its several guises becomes [`StoreError::DiskFull`].
    ///
    /// `needed` is the size in bytes of the file that was being written, where it is known.
    pub(super) fn io(
        doing: &'static str,
        path: &Path,
        needed: Option<u64>,
        source: io::Error,
    ) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull {
                path: path.to_owned(),
                needed,
                available: free_bytes(path),
            },
            _ => Self::Io {
                doing,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Shorthand for failures that have nothing to do with a file's size.
    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::io("read", path, None, source)
    }
}

fn room(needed: Option<u64>, available: Option<u64>) -> String {
    match (needed, available) {
        (Some(needed), Some(available)) => {
            format!(" ({needed} bytes needed, {available} bytes free)")
        }
        (Some(needed), None) => format!(" ({needed} bytes needed)"),
        (None, Some(available)) => format!(" ({available} bytes free)"),
        (None, None) => String::new(),
    }
}
