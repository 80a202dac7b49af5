//! `fetched.toml`: what was fetched into a folder, so that the same name means the same bytes next time.
//!
//! Where nobody has stated the digest of a file, the first fetch decides: its digest is recorded here, and every later fetch,
//! on any machine that has this file, is compared with it. So it may be committed to version control.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::error::FetchError;
use super::files;
use crate::limits;

/// The record's file name; there is one in each folder.
pub const NAME: &str = "fetched.toml";

/// Format of the file; one of another format is not touched.
const FORMAT: u32 = 1;

const HEAD: &str = "\
# What was fetched into this folder. A digest that nobody had stated before is recorded at the first fetch, and later ones
# are compared with it. This file may be committed, so that it holds for others too. `verified` says that the digest was
# known beforehand; `how` is \"found\" where the file was there already and was not fetched.

";

/// How a file came to be in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was fetched.
    Fetched,
    /// It was there before.
    Found,
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// File name within the folder of the record.
    pub name: String,
    /// Where it was fetched from, or where it is published.
    pub url: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// When it was recorded, as RFC 3339 in UTC.
    pub at: String,
    /// How it came to be there.
    pub how: How,
    /// Whether the digest was known beforehand.
    pub verified: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default, rename = "file")]
    files: Vec<Entry>,
}

/// What the record of a folder lists; nothing where there is none.
///
/// # Errors
/// A record that cannot be read.
pub fn recorded(folder: &Path) -> Result<Vec<Entry>, FetchError> {
    Record::read(folder).map(|record| record.files)
}

/// The entries of one folder, and where they are stored.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    files: Vec<Entry>,
}

impl Record {
    /// Reads the list of a folder; there need not be one.
    pub(super) fn read(folder: &Path) -> Result<Self, FetchError> {
        let path = folder.join(NAME);
        let bad = |reason: String| FetchError::BadRecord {
            path: path.clone(),
            reason,
        };
        // A link is not followed: it would be replaced by a file the next time that something is recorded.
        let mut options = fs::File::options();
        let opened = options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        let text = match opened.and_then(|file| limits::text_of(file, limits::LIST_FILE)) {
            Ok(text) => text,
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(bad("it is a link".to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    path,
                    files: Vec::new(),
                });
            }
            Err(error) => return Err(bad(error.to_string())),
        };
        let file: File = toml::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if file.format != FORMAT {
            return Err(bad(format!(
                "it has format {}, but this release reads format {FORMAT}",
                file.format
            )));
        }
        Ok(Self {
            path,
            files: file.files,
        })
    }

    /// What is recorded of a name.
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    /// Where the list is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Records a file, in place of what was recorded of its name. Whoever calls this holds the lock of the list, and has
    /// read it since.
    pub(super) fn put(&mut self, entry: Entry) -> Result<(), FetchError> {
        self.files.retain(|other| other.name != entry.name);
        self.files.push(entry);
        self.files.sort_by(|one, other| one.name.cmp(&other.name));
        let file = File {
            format: FORMAT,
            files: std::mem::take(&mut self.files),
        };
        let text = toml::to_string(&file)
            .map_err(|error| FetchError::io("describe", &self.path, io::Error::other(error)))?;
        files::write_whole(&self.path, &format!("{HEAD}{text}"))?;
        self.files = file.files;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Hint;

    fn entry(name: &str, digit: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            url: format!("https://example.org/{name}"),
            bytes: 3,
            sha256: digit.repeat(64).parse().unwrap(),
            at: "2030-01-01T00:00:00Z".to_owned(),
            how: How::Fetched,
            verified: false,
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::read(folder.path()).unwrap();
        record.put(entry("b.pt", "1")).unwrap();
        record.put(entry("a.pt", "2")).unwrap();
        record.put(entry("b.pt", "3")).unwrap();
        let record = Record::read(folder.path()).unwrap();
        assert_eq!(record.files, [entry("a.pt", "2"), entry("b.pt", "3")]);
        assert_eq!(record.find("b.pt"), Some(&entry("b.pt", "3")));
        assert_eq!(record.find("c.pt"), None);
        let text = std::fs::read_to_string(record.path()).unwrap();
        assert!(text.starts_with("# What was fetched"), "{text}");
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error_and_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        for (text, says) in [
            ("format = 2", "format 2"),
            ("format", "fix it"),
            ("format = 1\nfiles = 3", "files"),
            (
                "format = 1\n[[file]]\nname = \"a\"\nsha256 = \"xyz\"",
                "SHA-256",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Record::read(folder.path())
                .unwrap_err()
                .explain()
                .to_string();
            assert!(
                error.contains(says) && error.contains("fetched.toml"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
