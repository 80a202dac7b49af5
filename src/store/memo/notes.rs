//! Notes about inputs, kept beside the digests: for what has to be known when an input is not on disk any more.
//!
//! # What is on disk
//! A file for each note: the line `repro note 1`, a line of JSON with what the note is about and what it says, and the BLAKE3 digest
//! of all that, in hexadecimal. A file that is not exactly this is forgotten.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
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

    /// The notes about some subjects, or about all, as they are on the disk, by what [`Memo::take_note`] knows them by.
    pub fn whole_notes(&self, about: Option<&[String]>) -> Vec<(Fingerprint, Vec<u8>)> {
        let names: Vec<Fingerprint> = if let Some(about) = about {
            about.iter().map(|one| note_name(one)).collect()
        } else {
            let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let names = names.filter_map(|name| name.strip_suffix(".note")?.parse().ok());
            names.collect()
        };
        let whole = names.into_iter().filter_map(|name| {
            let bytes = fs::read(self.note_path(&name)).ok()?;
            parse::<IgnoredAny>(&bytes).map(|_| (name, bytes))
        });
        whole.collect()
    }

    /// Of the notes about some subjects, those that are not kept here.
    pub fn lacking_notes(&self, about: &[String]) -> Vec<Fingerprint> {
        let names = about.iter().map(|one| note_name(one));
        names
            .filter(|name| !self.note_path(name).exists())
            .collect()
    }

    /// Keeps a note that another cache has kept, unless there is one about the same. One that is not exactly a note, or is about something
    /// else, is forgotten.
    ///
    /// # Errors
    ///
    /// As [`Memo::keep_note`].
    pub fn take_note(&self, name: &Fingerprint, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.note_path(name);
        let is_right =
            parse::<IgnoredAny>(bytes).is_some_and(|note| note_name(&note.about) == *name);
        if !is_right || file.exists() || !self.folder.is_dir() {
            return Ok(());
        }
        commit::write_file_unsynced(&file, bytes)
    }

    fn note_file(&self, about: &str) -> PathBuf {
        self.note_path(&note_name(about))
    }

    fn note_path(&self, name: &Fingerprint) -> PathBuf {
        self.folder.join(format!("{name}.note"))
    }
}

fn note_name(about: &str) -> Fingerprint {
    Fingerprint::of(about.as_bytes())
}

/// The note in a file; `None` where the file is not exactly one.
fn read<N: DeserializeOwned>(file: &Path) -> Option<Note<String, N>> {
    parse(&fs::read(file).ok()?)
}

fn parse<N: DeserializeOwned>(bytes: &[u8]) -> Option<Note<String, N>> {
    let text = std::str::from_utf8(bytes).ok()?;
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
    fn notes_of_another_cache_are_taken_where_there_is_none() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (there, here) = (Memo::new(there.path()), Memo::new(here.path()));
        there.keep_note("cats", &1).unwrap();
        there.keep_note("dogs", &2).unwrap();
        assert_eq!(there.whole_notes(None).len(), 2);
        let cats = ["cats".to_owned()];
        let notes = there.whole_notes(Some(&cats));
        let [(name, bytes)] = notes.as_slice() else {
            panic!("{notes:?}");
        };
        assert_eq!(here.lacking_notes(&cats), [*name]);
        let mut damaged = bytes.clone();
        damaged[20] ^= 1;
        here.take_note(name, &damaged).unwrap();
        here.take_note(&note_name("birds"), bytes).unwrap();
        assert_eq!(here.whole_notes(None), []);
        here.take_note(name, bytes).unwrap();
        assert_eq!(here.note("cats"), Some(1));
        there.keep_note("cats", &3).unwrap();
        here.take_note(name, &there.whole_notes(Some(&cats))[0].1)
            .unwrap();
        assert_eq!(here.note("cats"), Some(1));
        assert_eq!(here.lacking_notes(&cats), []);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let memo = Memo::new(folder.path().join("memo"));
        memo.keep_note("cats", &1).unwrap();
        assert!(!folder.path().join("memo").exists());
    }
}
