//! What can go wrong when a file is fetched, with the file and with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::digest::Digest;
use crate::message::Hint;
use crate::text::{bytes, count};

/// What is there of a file that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The partial file.
    pub path: PathBuf,
    /// Bytes received so far.
    pub bytes: u64,
    /// How many the whole file has, where that is known.
    pub total: Option<u64>,
}

impl Unfinished {
    /// What is there and what to do with it, as the end of a message.
    fn sentence(kept: Option<&Self>) -> String {
        match kept {
            Some(kept) if kept.bytes > 0 => {
                let of = kept
                    .total
                    .map_or_else(String::new, |total| format!(" of {}", bytes(total)));
                format!(
                    "{}{of} are kept in {}; the same command resumes from there",
                    bytes(kept.bytes),
                    kept.path.display()
                )
            }
            _ => "nothing has come so far; the same command tries again".to_owned(),
        }
    }
}

/// Bytes that are not the published ones.
#[derive(Debug, thiserror::Error)]
#[error(
    "what came from {url} is not the file that was asked for, and was not put in place\n  SHA-256 expected: {expected} ({from})\n  \
     SHA-256 found:    {found}"
)]
pub struct WrongDigest {
    /// The address that was fetched from.
    pub url: String,
    /// The digest that they should have.
    pub expected: Digest,
    /// Who vouches for it.
    pub from: String,
    /// The digest that they have.
    pub found: Digest,
    /// Where they are now.
    pub rejected: PathBuf,
}

/// Bytes that are not those that came before.
#[derive(Debug, thiserror::Error)]
#[error(
    "what came from {url} is not what was fetched on {at}, and was not put in place\n  SHA-256 recorded: {recorded} ({})\n  \
     SHA-256 found:    {found}\n  the publisher has put another file there, or somebody on the way has: results made with the \
     one are not results of the other", record.display()
)]
pub struct ChangedDigest {
    /// The address that was fetched from.
    pub url: String,
    /// When the other file was recorded.
    pub at: String,
    /// SHA-256 of the file that was recorded.
    pub recorded: Digest,
    /// The `fetched.toml` that has the recorded digest.
    pub record: PathBuf,
    /// The digest of what came now.
    pub found: Digest,
    /// The file that came, under its name with `.rejected`.
    pub rejected: PathBuf,
}

/// A file that could not be fetched. Every message names what it is about and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none that can be fetched from.
    #[error("cannot fetch from `{url}`: {reason}")]
    BadAddress {
        /// The address, as it was given.
        url: String,
        /// Why it cannot be fetched from.
        reason: String,
    },
    /// No answer came from the server.
    #[error(
        "cannot reach {host}, tried {}: {reason}\n  {}",
        times(*attempts), Unfinished::sentence(kept.as_deref())
    )]
    Unreachable {
        /// The host, with the port where the address names one.
        host: String,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt reported.
        reason: String,
        /// What is there from before.
        kept: Option<Box<Unfinished>>,
        /// Where the file would be.
        target: PathBuf,
    },
    /// The transfer broke again and again.
    #[error("{url} broke off, tried {}: {reason}\n  {}", times(*attempts), Unfinished::sentence(kept.as_deref()))]
    Broken {
        /// The address that was fetched from.
        url: String,
        /// How often it was tried without anything new.
        attempts: u32,
        /// What the last attempt reported.
        reason: String,
        /// What was received, if anything.
        kept: Option<Box<Unfinished>>,
    },
    /// The server does not give the file.
    #[error("{url}: {reason}")]
    Refused {
        /// The address that was fetched from.
        url: String,
        /// What the server answered instead.
        reason: String,
        /// The hint of the error.
        remedy: String,
    },
    /// The server has another file than was published.
    #[error(
        "{url} has {} bytes, but {name} has {} ({from})",
        count(*found), count(*expected)
    )]
    WrongSize {
        /// The address that was fetched from.
        url: String,
        /// What the file is called in messages.
        name: String,
        /// The bytes that the server has.
        found: u64,
        /// The bytes that it should have.
        expected: u64,
        /// Who vouches for it.
        from: String,
        /// Where the bytes are now, if they were taken before it was known.
        rejected: Option<PathBuf>,
    },
    /// The bytes that came are not the published ones.
    #[error(transparent)]
    WrongDigest(Box<WrongDigest>),
    /// The bytes that came are not those that came before.
    #[error(transparent)]
    ChangedDigest(Box<ChangedDigest>),
    /// There is a file already, and it is another one.
    #[error(
        "{} is there, but it is another file: {difference}", path.display()
    )]
    OtherFile {
        /// The file that is there already.
        path: PathBuf,
        /// The difference in size or digest, as a fragment.
        difference: String,
    },
    /// The list of what was fetched cannot be read.
    #[error(
        "cannot read {}, the list of what was fetched: {reason}", path.display()
    )]
    BadRecord {
        /// The `fetched.toml` that cannot be read.
        path: PathBuf,
        /// The fault, as a fragment.
        reason: String,
    },
    /// The file system has no room for the file.
    #[error(
        "no room for {}{}", path.display(), room(*needed, *available)
    )]
    DiskFull {
        /// The file that has no room.
        path: PathBuf,
        /// The bytes that are still to come, where that is known.
        needed: Option<u64>,
        /// The bytes that are free, where it could be asked.
        available: Option<u64>,
    },
    /// The disk is nearly full, and nobody knows how much is to come.
    #[error(
        "no room for {}: nobody says how long the file is, {} are free, and {} are left free", path.display(), bytes(*available),
        bytes(*left)
    )]
    NoRoomForMore {
        /// The file that has no room.
        path: PathBuf,
        /// The bytes that are free.
        available: u64,
        /// The bytes that are to stay free.
        left: u64,
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
    /// Stopped by the user; what was received is kept.
    #[error("stopped; {}", Unfinished::sentence(kept.as_deref()))]
    Stopped {
        /// What was received, if anything.
        kept: Option<Box<Unfinished>>,
    },
}

impl FetchError {
    /// Wraps a failure of the operating system; "no room" in its several guises becomes [`FetchError::DiskFull`].
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull {
                path: path.to_owned(),
                needed: None,
                available: crate::disk::free_bytes(path),
            },
            _ => Self::Io {
                doing,
                path: path.to_owned(),
                source,
            },
        }
    }
}

impl Hint for FetchError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { target, .. } => format!(
                "check the network; HTTPS_PROXY, HTTP_PROXY and NO_PROXY name a proxy, --url names another address of the file; or get \
                 the file in another way and put it at {}",
                target.display()
            ),
            Self::Refused { remedy, .. } => remedy.clone(),
            Self::WrongSize { rejected, .. } => format!(
                "this is another file, and {}; look at the address",
                fate(rejected.as_deref())
            ),
            Self::WrongDigest(wrong) => format!(
                "it was set aside as {}; look at it, then fetch again: if the digest is the same again, the server has another file, \
                 and another address may help",
                wrong.rejected.display()
            ),
            Self::ChangedDigest(changed) => format!(
                "it was set aside as {}; if the new file is the one that you want, take the entry of the old one out of {} and fetch \
                 again",
                changed.rejected.display(),
                changed.record.display()
            ),
            Self::OtherFile { .. } => {
                "move it out of the way, or fetch with --force, which puts the right one in its place".to_owned()
            }
            Self::BadRecord { .. } => {
                "fix it; or move it away, and digests are recorded again".to_owned()
            }
            Self::DiskFull { .. } | Self::NoRoomForMore { .. } => {
                "free some space, or name a folder on another disk with --to; what is there is kept, and the same command resumes"
                    .to_owned()
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "name a folder that you may write to with --to".to_owned()
                }
                _ => return None,
            },
            Self::BadAddress { .. } | Self::Broken { .. } | Self::Stopped { .. } => return None,
        })
    }
}

fn fate(rejected: Option<&Path>) -> String {
    rejected.map_or_else(
        || "nothing of it was taken".to_owned(),
        |rejected| format!("it was set aside as {}", rejected.display()),
    )
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

fn room(needed: Option<u64>, available: Option<u64>) -> String {
    let needed = needed.map(|needed| format!("{} are to come", bytes(needed)));
    let available = available.map(|available| format!("{} are free", bytes(available)));
    match (needed, available) {
        (Some(needed), Some(available)) => format!(": {needed}, {available}"),
        (Some(text), None) | (None, Some(text)) => format!(": {text}"),
        (None, None) => String::new(),
    }
}
