//! Notes about inputs, kept beside the digests: for what has to be known when an input is not on disk any more.
//!
//! # What is on disk
//! A file for each note: the line `repro note 1`, a line of JSON with what the note is about and what it says, and the BLAKE3 digest
//! of all that, in hexadecimal. A file that is not exactly this is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Memo;
use crate::store::commit;
use crate::store::error::StoreError;
use crate::store::fingerprint::Fingerprint;

/// The first line of a note; one that begins otherwise is forgotten.
const FORMAT: &str = "repro note 1\n";

#[derive(Serialize, Deserialize)]
struct Note<A, N> {
    about: A,
    says: N,
}

impl Memo {
    /// Keeps a note, in the place of the one before about the same. Does nothing where there is no store, or where the note is kept
    /// already.
    ///
    /// # Errors
    ///
    /// When the memo cannot be written; the caller may well ignore that.
    pub fn keep_note(&self, about: &str, says: &impl Serialize) -> Result<(), StoreError> {
        let file = self.note_file(about);
        let Ok(json) = serde_json::to_string(&Note { about, says }) else {
            return Ok(());
        };
        let mut text = format!("{FORMAT}{json}\n");
        text.push_str(&blake3::hash(text.as_bytes()).to_hex());
        let is_kept = fs::read(&file).is_ok_and(|kept| kept == text.as_bytes());
        if is_kept || !self.folder.is_dir() {
            return Ok(());
        }
        commit::write_file_unsynced(&file, text.as_bytes())
    }

    /// The note about something, where one is kept.
    pub fn note<N: DeserializeOwned>(&self, about: &str) -> Option<N> {
        let note = read(&self.note_file(about))?;
        (note.about == about).then_some(note.says)
    }

    /// The notes about everything that begins with `prefix` and that say something of this form, in the order of their files.
    pub fn notes<N: DeserializeOwned>(&self, prefix: &str) -> Vec<N> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "note"));
        files.sort();
        let notes = files.iter().filter_map(|file| read::<N>(file));
        let about = notes.filter(|note| note.about.starts_with(prefix));
        about.map(|note| note.says).collect()
    }

    fn note_file(&self, about: &str) -> PathBuf {
        let name = Fingerprint::of(about.as_bytes());
        self.folder.join(format!("{name}.note"))
    }
}

/// The note in a file; `None` where the file is not exactly one.
fn read<N: DeserializeOwned>(file: &Path) -> Option<Note<String, N>> {
    let text = fs::read_to_string(file).ok()?;
    let (body, digest) = text.rsplit_once('\n')?;
    let hashed = &text[..=body.len()];
    if blake3::hash(hashed.as_bytes()).to_hex().as_str() != digest {
        return None;
    }
    serde_json::from_str(body.strip_prefix(FORMAT)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_kept_and_a_damaged_one_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let memo = Memo::new(folder.path());
        assert_eq!(memo.note::<u32>("cats"), None);
        memo.keep_note("cats", &1).unwrap();
        memo.keep_note("cats", &2).unwrap();
        assert_eq!(memo.note("cats"), Some(2));
        assert_eq!(memo.note::<u32>("dogs"), None);
        assert_eq!(memo.note::<String>("cats"), None);
        assert_eq!(memo.notes::<u32>("c"), [2]);
        assert_eq!(memo.notes::<u32>("d"), [0; 0]);
        let file = memo.note_file("cats");
        let kept = fs::read(&file).unwrap();
        for place in 0..kept.len() {
            let mut damaged = kept.clone();
            damaged[place] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(memo.note::<u32>("cats"), None);
            fs::write(&file, &kept[..place]).unwrap();
            assert_eq!(memo.note::<u32>("cats"), None);
        }
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let memo = Memo::new(folder.path().join("memo"));
        memo.keep_note("cats", &1).unwrap();
        assert!(!folder.path().join("memo").exists());
    }
}
