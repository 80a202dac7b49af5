//! A file that is not whole yet: `NAME.partial`, and beside it `NAME.partial.toml` with what the server reported of the whole.
//!
//! Bytes are appended in the order in which they come, so the length of the file is how far it has come, also after the
//! process was killed. The description is written before the first byte. A partial file without one, or with that of
//! another address, is not resumed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{FetchError, Unfinished};
use super::files;

/// The largest description, in bytes: servers state little more than names.
const LARGEST_DESCRIPTION: u64 = 1 << 16;

/// What the server reported of the whole file when its first bytes came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// The address that was asked.
    pub(super) url: String,
    /// The bytes of the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
    /// The server's name for this version of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// When the server's file was last changed, as it spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

impl Description {
    /// What the server knows the version of the bytes by: an entity tag, if it is a strong one, else the date. A weak
    /// tag (`W/…`) may stand for files whose bytes differ.
    pub(super) fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.last_modified.as_deref())
    }
}

/// The partial file of a target, open for appending. Whoever has one holds the lock of the target.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    kept: u64,
    description: Description,
}

impl Partial {
    /// Opens what is there of `target`, or begins it; the text says why the download cannot resume from what is there.
    ///
    /// `checked` says that the digest of the whole is known beforehand. Without it, the download resumes only where the
    /// server has named their version, so that two versions are never mixed unnoticed.
    pub(super) fn open(
        target: &Path,
        url: &str,
        checked: bool,
    ) -> Result<(Self, Option<String>), FetchError> {
        let path = files::with_ending(target, ".partial");
        let failed = |error| FetchError::io("write", &path, error);
        set_aside_others(&path)?;
        let file = File::options()
            .append(true)
            .create(true)
            // What a link of that name leads to is not ours to write.
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        let kept = file
            .metadata()
            .map_err(|error| FetchError::io("read", &path, error))?
            .len();
        let text = fs::read_to_string(files::with_ending(&path, ".toml")).unwrap_or_default();
        let description: Option<Description> = toml::from_str(&text).ok();
        let unusable = match &description {
            _ if kept == 0 => None,
            // Cannot be here any more: see `set_aside_others`.
            None => Some("nothing says what it is a part of".to_owned()),
            Some(there) if there.url != url => Some(format!("it is from {}", there.url)),
            Some(there) if there.total.is_some_and(|total| total < kept) => {
                Some("it is larger than the whole file".to_owned())
            }
            Some(there) if there.validator().is_none() && !checked => Some(
                "the server does not say which version of the file it has, and no digest is known"
                    .to_owned(),
            ),
            Some(_) => None,
        };
        let description = description
            .filter(|_| unusable.is_none())
            .unwrap_or_default();
        let partial = Self {
            path,
            file,
            kept,
            description,
        };
        Ok((partial, unusable))
    }

    /// Throws away what is there.
    pub(super) fn discard(&mut self) -> Result<(), FetchError> {
        let failed = |error| FetchError::io("write", &self.path, error);
        self.file.set_len(0).map_err(failed)?;
        if self.kept > 0 {
            self.file.sync_all().map_err(failed)?;
        }
        self.kept = 0;
        self.description = Description::default();
        files::remove(&files::with_ending(&self.path, ".toml"))
    }

    /// Throws away what is there, for a file of this description.
    pub(super) fn begin(&mut self, description: Description) -> Result<(), FetchError> {
        // In this order: bytes of one version never stand beside the description of another.
        self.discard()?;
        let text = toml::to_string(&description).map_err(|error| {
            FetchError::io("describe", &self.path, std::io::Error::other(error))
        })?;
        files::write_whole(&files::with_ending(&self.path, ".toml"), &text)?;
        self.description = description;
        Ok(())
    }

    /// Adds the next bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = self.file.write_all(bytes);
        match &written {
            Ok(()) => self.kept += bytes.len() as u64,
            // Some of them may have been written; the file knows.
            Err(_) => self.kept = self.file.metadata().map_or(self.kept, |file| file.len()),
        }
        written.map_err(|error| match FetchError::io("write", &self.path, error) {
            FetchError::DiskFull {
                path, available, ..
            } => FetchError::DiskFull {
                path,
                needed: self
                    .description
                    .total
                    .map(|total| total - self.kept.min(total)),
                available,
            },
            other => other,
        })
    }

    /// Bytes received so far.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// What is known of the whole.
    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    /// Whether all bytes are there.
    pub(super) fn is_whole(&self) -> bool {
        self.description.total == Some(self.kept)
    }

    /// The file that grows, beside its place.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What there is of it, for a message; nothing where it is empty.
    pub(super) fn report(&self) -> Option<Box<Unfinished>> {
        let kept = || Unfinished {
            path: self.path.clone(),
            bytes: self.kept,
            total: self.description.total,
        };
        (self.kept > 0).then(|| Box::new(kept()))
    }

    /// Makes every byte last.
    pub(super) fn sync(&self) -> Result<(), FetchError> {
        self.file
            .sync_all()
            .map_err(|error| FetchError::io("write", &self.path, error))
    }

    /// Gives the whole file its name.
    pub(super) fn put_in_place(self, target: &Path) -> Result<(), FetchError> {
        files::rename(&self.path, target)?;
        files::remove(&files::with_ending(&self.path, ".toml"))
    }

    /// Moves what is not the wanted file out of the way, and returns where it is now.
    pub(super) fn set_aside(self, target: &Path) -> Result<PathBuf, FetchError> {
        let rejected = files::free_name(target, ".rejected");
        files::rename(&self.path, &rejected)?;
        files::remove(&files::with_ending(&self.path, ".toml"))?;
        Ok(rejected)
    }

    /// Removes the partial file where nothing is in it, so that a failure leaves nothing behind.
    pub(super) fn remove_if_empty(self) {
        if self.kept == 0 {
            // Left behind, both do no harm.
            let _ = files::remove(&self.path);
            let _ = files::remove(&files::with_ending(&self.path, ".toml"));
        }
    }
}

/// Moves away what has the name of a partial file, or of its description, and is neither: a partial file that holds something has a
/// description, which is written first.
fn set_aside_others(path: &Path) -> Result<(), FetchError> {
    let about = files::with_ending(path, ".toml");
    let is_described = about
        .symlink_metadata()
        .is_ok_and(|about| about.is_file() && about.len() <= LARGEST_DESCRIPTION)
        && fs::read_to_string(&about)
            .is_ok_and(|text| toml::from_str::<Description>(&text).is_ok());
    if about.symlink_metadata().is_ok() && !is_described {
        files::rename(&about, &files::free_name(&about, ".rejected"))?;
    }
    match path.symlink_metadata() {
        Ok(there) if there.is_file() && (there.len() == 0 || is_described) => Ok(()),
        Ok(_) => files::rename(path, &files::free_name(path, ".rejected")),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://example.org/a.pt";

    fn description() -> Description {
        Description {
            url: URL.to_owned(),
            total: Some(6),
            etag: Some("\"one\"".to_owned()),
            last_modified: Some("Tue, 01 Jan 2030 00:00:00 GMT".to_owned()),
        }
    }

    #[test]
    fn it_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.pt");
        let (mut partial, unusable) = Partial::open(&target, URL, false).unwrap();
        assert_eq!((partial.kept(), unusable), (0, None));
        partial.begin(description()).unwrap();
        partial.append(b"abc").unwrap();
        drop(partial);

        let (mut partial, unusable) = Partial::open(&target, URL, false).unwrap();
        assert_eq!((partial.kept(), unusable), (3, None));
        assert_eq!(*partial.description(), description());
        assert!(!partial.is_whole());
        partial.append(b"def").unwrap();
        assert!(partial.is_whole());
        partial.put_in_place(&target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"abcdef");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_trusted_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.pt");
        let start = |description: Description| {
            let (mut partial, _) = Partial::open(&target, URL, false).unwrap();
            partial.begin(description).unwrap();
            partial.append(b"abc").unwrap();
        };
        let why = |url: &str, checked| Partial::open(&target, url, checked).unwrap().1;

        start(description());
        assert!(
            why("http://example.org/b.pt", true)
                .unwrap()
                .contains("a.pt")
        );
        // Nothing says what it is a part of, so that it is taken for somebody else's.
        fs::remove_file(folder.path().join("a.pt.partial.toml")).unwrap();
        assert_eq!(why(URL, true), None);
        let aside = folder.path().join("a.pt.partial.rejected");
        assert_eq!(fs::read(aside).unwrap(), b"abc");
        start(Description {
            total: Some(2),
            ..description()
        });
        assert!(why(URL, true).unwrap().contains("larger"));

        // A version that the server does not name can only be resumed where the digest will show it.
        start(Description {
            etag: Some("W/\"weak\"".to_owned()),
            last_modified: None,
            ..description()
        });
        assert!(why(URL, false).unwrap().contains("version"));
        assert_eq!(why(URL, true), None);
    }

    #[test]
    fn what_is_set_aside_is_kept_and_what_is_empty_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.pt");
        for expected in ["a.pt.rejected", "a.pt.rejected-2"] {
            let (mut partial, _) = Partial::open(&target, URL, false).unwrap();
            partial.begin(description()).unwrap();
            partial.append(b"abc").unwrap();
            assert!(partial.set_aside(&target).unwrap().ends_with(expected));
        }
        let (mut partial, _) = Partial::open(&target, URL, false).unwrap();
        partial.begin(description()).unwrap();
        partial.remove_if_empty();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
