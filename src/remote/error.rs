//! What can go wrong with a remote. No message has a credential in it.

use std::fmt;

use crate::message::Hint;
use crate::store::{Fingerprint, StoreError};

/// A failure of a remote.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be used as it is.
    #[error("the remote {remote} cannot be used: {reason}")]
    Unusable {
        /// Its address.
        remote: String,
        /// Why not.
        reason: String,
    },
    /// It did not answer, or broke off, as often as it was asked.
    #[error("the remote {remote} failed: {reason}")]
    Broken {
        /// Its address.
        remote: String,
        /// What was tried, and what came of it.
        reason: String,
    },
    /// What it has is not what it should be. Nothing of that gets into the cache.
    #[error("the remote {remote} has a wrong artifact {}: {file} {reason}", artifact.short())]
    Refused {
        /// Its address.
        remote: String,
        /// The artifact.
        artifact: Fingerprint,
        /// Which file of it.
        file: String,
        /// How it is wrong, to be read after the file's name.
        reason: String,
    },
    /// It only gives.
    #[error("nothing can be put into the remote {remote}")]
    ReadOnly {
        /// Its address.
        remote: String,
    },
    /// It does not say what it has, unless it is asked for something by name.
    #[error("the remote {remote} does not list what it has")]
    NoListing {
        /// Its address.
        remote: String,
    },
    /// It does not have what it had before.
    #[error("the remote {remote} has no artifact {} any more", artifact.short())]
    Gone {
        /// Its address.
        remote: String,
        /// The artifact.
        artifact: Fingerprint,
    },
    /// The cache here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ended early because the user asked for it.
    #[error("stopped")]
    Stopped,
}

impl RemoteError {
    /// Whether nothing else can be expected of the remote either.
    pub fn is_of_the_remote(&self) -> bool {
        matches!(self, Self::Unusable { .. } | Self::Broken { .. })
    }
}

impl Hint for RemoteError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unusable { .. } => {
                "look at its address and, for a store in a cloud, at the credentials in the environment; docs/shared-cache.md has both"
            }
            Self::Broken { .. } => "the same command resumes from what has come",
            Self::Refused { .. } => {
                "whoever has the right one can put it there by `repro cache push --force`"
            }
            Self::ReadOnly { .. } => "push to the bucket or the folder that the server gives",
            Self::NoListing { .. } => "name the experiment files whose artifacts are wanted",
            Self::Gone { .. } | Self::Store(_) | Self::Stopped => return None,
        };
        Some(hint.to_owned())
    }
}

/// What went wrong, with what caused it, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            let _ = fmt::Write::write_fmt(&mut text, format_args!(": {said}"));
        }
        source = inner.source();
    }
    text
}
