//! Why a zip archive, or an array in one, cannot be used.

use thiserror::Error;

/// What is wrong with an archive. The text continues where the file's name ends.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum ArchiveFault {
    /// It ends too early.
    #[error("is truncated: {0}; download or copy it again")]
    Truncated(String),
    /// It contradicts itself or the format.
    #[error("is damaged: {0}; download or write the file again")]
    Damaged(String),
    /// A well-formed archive of a sort that is not read.
    #[error("cannot be used: {reason}; {remedy}")]
    Unsupported {
        /// What sort it is.
        reason: String,
        /// A lower-case fragment.
        remedy: &'static str,
    },
}

pub(super) fn damaged(reason: String) -> ArchiveFault {
    ArchiveFault::Damaged(reason)
}
