//! Files that others publish: downloaded over the network, checked, and put in place whole. Nothing else here talks to a network.
//!
//! [`fetch`] is the way in. It takes the `lock` of the file, resumes from what is there of it (`partial`), downloads the rest
//! (`transfer`, by `http` and what `answer` makes of each answer), computes the `digest` of the whole as it is on the
//! disk, compares it with what was stated or recorded (`record`), and gives the file its name. What happens is reported as an
//! [`Event`]; nothing here prints, and nothing here knows what is in a file.
//!
//! Beside a file `NAME` there can be: `NAME.partial` and `NAME.partial.toml` (not whole yet), `NAME.rejected` (whole, but not
//! the file that was asked for), `.NAME.lock` (while a process is at it), and one `fetched.toml` for the folder.

mod answer;
mod digest;
mod error;
mod event;
mod files;
mod http;
mod lock;
mod partial;
mod published;
mod record;
mod transfer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use digest::{Digest, NoDigest};
pub use error::{ChangedDigest, FetchError, Unfinished, WrongDigest};
pub use event::{Emit, Event};
pub use http::{file_name, without_credentials};
pub use published::{Origin, Published, StatedDigest};
pub use record::{Entry, How, NAME as RECORD, recorded};
pub use transfer::Patience;

use lock::Lock;
use partial::Partial;
use record::Record;

use crate::atomic_file::folder_of;

/// A file that is wanted.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Where from: an address that begins with `http://` or `https://`. A user and a password in it are used and neither told nor kept.
    pub url: &'a str,
    /// Where to, with the name of the file.
    pub target: &'a Path,
    /// What was stated of the file by others.
    pub stated: Stated,
    /// Whether to fetch it although it is there.
    pub force: bool,
    /// How long to wait for the network.
    pub patience: Patience,
    /// The time now, as RFC 3339 in UTC, for the record.
    pub clock: fn() -> String,
}

/// What is known of a file without having it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    /// Size in bytes; `None` where nobody has stated it.
    pub bytes: Option<u64>,
    /// `None` where nobody has stated it.
    pub sha256: Option<Digest>,
    /// Who vouches for it, for messages.
    pub by: String,
}

/// A file that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, as they are on disk.
    pub sha256: Digest,
    /// Whether it was fetched now or was there.
    pub how: How,
    /// Why it is taken to be the right one.
    pub proof: Proof,
}

/// Why a file is taken to be the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Its digest was stated beforehand.
    Stated,
    /// Its digest is the one that was recorded earlier.
    Recorded {
        /// When it was recorded, as RFC 3339 in UTC.
        at: String,
    },
    /// Nothing: its digest was not known. It is recorded now.
    FirstUse,
}

/// Why a digest is the wrong one.
enum Mismatch {
    Stated(Digest),
    Recorded(Box<Entry>),
}

/// Downloads a file, unless it is there, and returns what it is. Whatever goes wrong, or however the process ends, what came is
/// kept, and the same request resumes from it.
///
/// # Errors
/// [`FetchError`] says what went wrong and what to do. There is never a file in place that is not the right one, as far as
/// that can be known.
pub fn fetch(
    request: &Request<'_>,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Fetched, FetchError> {
    http::check_address(request.url)?;
    if !request.force
        && let Some(there) = look(request, emit, stop)?
    {
        return Ok(there);
    }
    files::make_folder(request.folder())?;
    let mut tell = |holder| {
        emit(Event::Waiting {
            path: request.target.to_owned(),
            holder,
        });
    };
    let _lock = Lock::acquire(request.target, &mut tell, stop)?;
    // Another process may have downloaded it in between.
    if !request.force
        && let Some(there) = look(request, emit, stop)?
    {
        return Ok(there);
    }
    let checked = request.stated.sha256.is_some();
    let (mut partial, unusable) = Partial::open(request.target, &request.address(), checked)?;
    if let Some(reason) = unusable {
        emit(Event::BeginsAnew {
            reason,
            lost: partial.kept(),
        });
        partial.discard()?;
    }
    if let Err(error) = download(request, &mut partial, emit, stop) {
        partial.remove_if_empty();
        return Err(error);
    }
    accept(request, partial, emit, stop)
}

/// Downloads what is missing.
fn download(
    request: &Request<'_>,
    partial: &mut Partial,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), FetchError> {
    if partial.is_whole() {
        return Ok(());
    }
    if let Some(bytes) = request.stated.bytes {
        files::need_room(partial.path(), bytes.saturating_sub(partial.kept()))?;
    }
    transfer::complete(request, partial, emit, stop)
}

/// Puts a whole file in place if it is the right one, and out of the way if it is not.
fn accept(
    request: &Request<'_>,
    partial: Partial,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Fetched, FetchError> {
    partial.sync()?;
    let bytes = partial.kept();
    if request.stated.bytes.is_some_and(|stated| stated != bytes) {
        let rejected = partial.set_aside(request.target)?;
        return Err(request.wrong_size(bytes, Some(rejected)));
    }
    let sha256 = digest::of_file(partial.path(), emit, stop)?;
    let record = Record::read(request.folder())?;
    let proof = match request.prove(sha256, &record) {
        Ok(proof) => proof,
        Err(mismatch) => {
            let rejected = partial.set_aside(request.target)?;
            let url = request.address();
            return Err(match mismatch {
                Mismatch::Stated(expected) => FetchError::WrongDigest(Box::new(WrongDigest {
                    url,
                    expected,
                    from: request.stated.by.clone(),
                    found: sha256,
                    rejected,
                })),
                Mismatch::Recorded(entry) => FetchError::ChangedDigest(Box::new(ChangedDigest {
                    url,
                    at: entry.at,
                    recorded: entry.sha256,
                    record: record.path().to_owned(),
                    found: sha256,
                    rejected,
                })),
            });
        }
    };
    let fetched = Fetched {
        bytes,
        sha256,
        how: How::Fetched,
        proof,
    };
    // Recorded first: a file in place whose digest was lost could change unnoticed.
    note(request, &fetched, emit, stop)?;
    partial.put_in_place(request.target)?;
    Ok(fetched)
}

/// Looks at the file that is in place, if there is one.
fn look(
    request: &Request<'_>,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Fetched>, FetchError> {
    let other = |difference: String| FetchError::OtherFile {
        path: request.target.to_owned(),
        difference,
    };
    let metadata = match fs::metadata(request.target) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FetchError::io("look at", request.target, error)),
    };
    if !metadata.is_file() {
        return Err(other("it is not a regular file".to_owned()));
    }
    let bytes = metadata.len();
    let by = &request.stated.by;
    if let Some(stated) = request.stated.bytes.filter(|stated| *stated != bytes) {
        return Err(other(format!(
            "it has {bytes} bytes, the published one has {stated} ({by})"
        )));
    }
    let record = Record::read(request.folder())?;
    let sha256 = digest::of_file(request.target, emit, stop)?;
    let proof = request.prove(sha256, &record).map_err(|mismatch| {
        other(match mismatch {
            Mismatch::Stated(expected) => {
                format!("its SHA-256 is {sha256}, that of the published one {expected} ({by})")
            }
            Mismatch::Recorded(entry) => format!(
                "its SHA-256 is {sha256}, that of the one fetched on {} was {} ({})",
                entry.at,
                entry.sha256,
                record.path().display()
            ),
        })
    })?;
    let found = Fetched {
        bytes,
        sha256,
        how: How::Found,
        proof,
    };
    // The file serves as it is, also in a folder that cannot be written to.
    if let Err(error) = note(request, &found, emit, stop) {
        emit(Event::Warning(format!(
            "its digest was not recorded: {error}"
        )));
    }
    Ok(Some(found))
}

/// Records a file, unless the record has the same already.
fn note(
    request: &Request<'_>,
    fetched: &Fetched,
    emit: Emit<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), FetchError> {
    let verified = fetched.proof == Proof::Stated;
    let known = |entry: &Entry| {
        entry.sha256 == fetched.sha256 && entry.bytes == fetched.bytes && entry.verified >= verified
    };
    let folder = request.folder();
    if Record::read(folder)?
        .find(&request.name())
        .is_some_and(known)
    {
        return Ok(());
    }
    let _lock = Lock::acquire(&folder.join(RECORD), &mut |_| {}, stop)?;
    let mut record = Record::read(folder)?;
    let before = record.find(&request.name());
    if let Some(before) = before.filter(|before| before.sha256 != fetched.sha256) {
        emit(Event::Warning(format!(
            "{} had another digest for this file, {}, recorded on {}; results made with that file are not results of this one",
            record.path().display(),
            before.sha256,
            before.at
        )));
    }
    record.put(Entry {
        name: request.name(),
        url: request.address(),
        bytes: fetched.bytes,
        sha256: fetched.sha256,
        at: (request.clock)(),
        how: fetched.how,
        verified,
    })
}

impl Request<'_> {
    fn folder(&self) -> &Path {
        folder_of(self.target)
    }

    fn name(&self) -> String {
        let name = self.target.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Why a digest is the right one: what was stated, or else what was recorded.
    fn prove(&self, found: Digest, record: &Record) -> Result<Proof, Mismatch> {
        match (self.stated.sha256, record.find(&self.name())) {
            (Some(stated), _) if stated == found => Ok(Proof::Stated),
            (Some(stated), _) => Err(Mismatch::Stated(stated)),
            (None, Some(entry)) if entry.sha256 == found => Ok(Proof::Recorded {
                at: entry.at.clone(),
            }),
            (None, Some(entry)) => Err(Mismatch::Recorded(Box::new(entry.clone()))),
            (None, None) => Ok(Proof::FirstUse),
        }
    }

    fn wrong_size(&self, found: u64, rejected: Option<PathBuf>) -> FetchError {
        FetchError::WrongSize {
            url: self.address(),
            name: self.name(),
            found,
            expected: self.stated.bytes.unwrap_or_default(),
            from: self.stated.by.clone(),
            rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// Nobody listens at port 1.
    fn request(target: &Path, stated: Option<&str>) -> Result<Fetched, FetchError> {
        let request = Request {
            url: "http://127.0.0.1:1/abc",
            target,
            stated: Stated {
                bytes: None,
                sha256: stated.map(|digest| digest.parse().unwrap()),
                by: "a test".to_owned(),
            },
            force: false,
            patience: Patience::default(),
            clock: || "2030-01-01T00:00:00Z".to_owned(),
        };
        fetch(&request, &|_| {}, &|| false)
    }

    #[test]
    fn a_file_that_is_there_needs_no_network() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        fs::write(&target, "abc").unwrap();
        let found = request(&target, None).unwrap();
        assert_eq!((found.bytes, found.how), (3, How::Found));
        assert_eq!(found.proof, Proof::FirstUse);
        let at = "2030-01-01T00:00:00Z".to_owned();
        assert_eq!(
            request(&target, None).unwrap().proof,
            Proof::Recorded { at }
        );
        assert_eq!(request(&target, Some(ABC)).unwrap().proof, Proof::Stated);
        let record = fs::read_to_string(folder.path().join(RECORD)).unwrap();
        assert!(record.contains("verified = true"), "{record}");
        let wrong = request(&target, Some(&"0".repeat(64))).unwrap_err();
        assert!(wrong.to_string().contains(ABC), "{wrong}");
        fs::write(&target, "abd").unwrap();
        let wrong = request(&target, None).unwrap_err().explain().to_string();
        assert!(wrong.contains(ABC) && wrong.contains("--force"), "{wrong}");
        assert_eq!(fs::read(&target).unwrap(), b"abd", "it is not touched");
    }

    #[test]
    fn a_folder_in_its_place_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = request(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
