//! Digests of input files, remembered so that a dataset of a million images is hashed once.
//!
//! A digest is remembered under the file's path, size, inode and times of modification (of content and of status, in
//! nanoseconds). It is only ever an accelerator: losing it, or failing to write it, costs time and nothing else. What
//! was modified within the last two seconds is not remembered, because another modification within the same tick of
//! the clock would not show.
//!
//! A file whose digest is remembered is not opened: one `stat` shows that it is the same. Looking up needs no lock that
//! another look-up waits for. `table.rs` describes what is on disk.
//! `notes.rs` keeps beside them what has to be known of inputs that are gone.

mod notes;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;
use crate::checked_file::Stamp;
use table::{MemoTable, Short, short};

/// How long a file has to have been left alone before its digest is remembered.
const RACY: Duration = Duration::from_secs(2);

/// Bytes of a range that are read at once.
const CHUNK: usize = 1 << 18;

/// Digests of files by path, size, inode and times. Written on [`Memo::flush`] and when dropped.
#[derive(Debug)]
pub struct Memo {
    folder: PathBuf,
    racy: Duration,
    /// Tables of folders and files, by their paths as typed and by their absolute ones. One file a folder, not one a
    /// digest, keeps the memo of a million images at a thousand files. As text, since paths are compared part by part, which
    /// takes as long as asking the file system about a file.
    tables: RwLock<BTreeMap<OsString, Arc<MemoTable>>>,
}

/// A stamp, in short.
fn mark(stamp: &Stamp) -> Short {
    let mut bytes = [0; 48];
    let numbers = [
        stamp.bytes.to_le_bytes(),
        stamp.inode.to_le_bytes(),
        stamp.modified.0.to_le_bytes(),
        stamp.modified.1.to_le_bytes(),
        stamp.changed.0.to_le_bytes(),
        stamp.changed.1.to_le_bytes(),
    ];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number);
    }
    short(&bytes)
}

/// Whether a file had been left alone for `racy` at the time `now`, in seconds since 1970.
fn is_settled(stamp: &Stamp, now: Duration, racy: Duration) -> bool {
    let latest = stamp.modified.max(stamp.changed);
    let age_in_seconds = i64::try_from(now.saturating_sub(racy).as_secs()).unwrap_or(i64::MAX);
    // Compared in whole seconds, which can only err toward hashing once more.
    latest.0 < age_in_seconds
}

impl Memo {
    /// Digests remembered in `folder`, which need not exist or be writable.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            racy: RACY,
            tables: RwLock::default(),
        }
    }

    /// BLAKE3 digest of a file's content: remembered where the file is unchanged, computed otherwise. Calls from
    /// several threads compute at the same time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn digest_file(&self, path: &Path) -> Result<[u8; 32], StoreError> {
        let place = path.parent().zip(path.file_name());
        let place = place
            .and_then(|(folder, name)| Some((self.table(folder)?, short(name.as_encoded_bytes()))));
        self.digest(path, place, |file, digest| {
            digest.update_reader(file).map(|_| ())
        })
    }

    /// BLAKE3 digest of a range of a file's bytes, such as a member of an archive; otherwise like [`Self::digest_file`].
    /// The digest of an empty range is that of no bytes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or ends before the range does.
    pub fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<[u8; 32], StoreError> {
        let mut key = *b"range           ................";
        key[16..24].copy_from_slice(&range.start.to_le_bytes());
        key[24..].copy_from_slice(&range.end.to_le_bytes());
        let place = self.table(path).map(|table| (table, short(&key)));
        self.digest(path, place, |file, digest| {
            let mut at = range.start;
            let mut chunk =
                vec![0; CHUNK.min(usize::try_from(range.end.saturating_sub(at)).unwrap_or(CHUNK))];
            while at < range.end {
                let length = usize::try_from(range.end - at).map_or(CHUNK, |rest| rest.min(CHUNK));
                file.read_exact_at(&mut chunk[..length], at)?;
                digest.update(&chunk[..length]);
                at += length as u64;
            }
            Ok(())
        })
    }

    /// The digests of all parts of a file, such as the rows of a table, in their order: remembered where the file is
    /// unchanged, otherwise those that `compute` gives. `question` says what the parts are and how they are hashed, and
    /// `parts` how many there are.
    ///
    /// # Errors
    ///
    /// When the file cannot be looked at; inside, the error of `compute`.
    pub fn digest_parts<E>(
        &self,
        path: &Path,
        question: &str,
        parts: usize,
        compute: impl FnOnce() -> Result<Vec<[u8; 32]>, E>,
    ) -> Result<Result<Vec<[u8; 32]>, E>, StoreError> {
        let stamp = || {
            let metadata = fs::metadata(path);
            let metadata = metadata.map_err(|error| StoreError::io("read", path, None, error))?;
            Ok::<_, StoreError>(Stamp::of(&metadata))
        };
        let before = stamp()?;
        let (table, mark) = (self.table(path), mark(&before));
        let question = short(question.as_bytes());
        let key = |part: usize| short(&[&question[..], &(part as u64).to_le_bytes()].concat());
        let remembered = table.as_ref().and_then(|table| {
            let digests = (0..parts).map(|part| table.get(&key(part), &mark));
            digests.collect::<Option<Vec<_>>>()
        });
        if let Some(digests) = remembered {
            return Ok(Ok(digests));
        }
        let started = now();
        let digests = match compute() {
            Ok(digests) => digests,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(table) = table
            && before == stamp()?
            && is_settled(&before, started, self.racy)
        {
            for (part, digest) in digests.iter().enumerate() {
                table.put(key(part), mark, *digest);
            }
        }
        Ok(Ok(digests))
    }

    /// Writes what was learned since the last time. Whatever another process wrote meanwhile about the same folders is
    /// overwritten, and will be learned again.
    ///
    /// # Errors
    ///
    /// When the memo cannot be written; the caller may well ignore that.
    pub fn flush(&self) -> Result<(), StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        for table in tables.values() {
            let Some(bytes) = table.take_changed() else {
                continue;
            };
            let written = commit::make_folder(&self.folder)
                .and_then(|()| commit::write_file_unsynced(&self.file_of(table.subject()), &bytes));
            if let Err(error) = written {
                table.not_written();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The digest at a place of a table if the file at `path` is unchanged, otherwise what `feed` makes of it.
    fn digest(
        &self,
        path: &Path,
        place: Option<(Arc<MemoTable>, Short)>,
        feed: impl FnOnce(&mut File, &mut blake3::Hasher) -> std::io::Result<()>,
    ) -> Result<[u8; 32], StoreError> {
        let reading = |error| StoreError::io("read", path, None, error);
        if let Some((table, key)) = &place {
            let mark = mark(&Stamp::of(&fs::metadata(path).map_err(reading)?));
            if let Some(digest) = table.get(key, &mark) {
                return Ok(digest);
            }
        }
        let mut file = File::open(path).map_err(reading)?;
        let before = Stamp::of(&file.metadata().map_err(reading)?);
        let started = now();
        let mut hasher = blake3::Hasher::new();
        feed(&mut file, &mut hasher).map_err(reading)?;
        let digest = *hasher.finalize().as_bytes();
        let after = Stamp::of(&file.metadata().map_err(reading)?);
        if let Some((table, key)) = place
            && before == after
            && is_settled(&before, started, self.racy)
        {
            table.put(key, mark(&before), digest);
        }
        Ok(digest)
    }

    /// The table of a folder or of a file; `None` where it has no absolute path, and then nothing is remembered.
    fn table(&self, subject: &Path) -> Option<Arc<MemoTable>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(subject.as_os_str()) {
            return Some(Arc::clone(table));
        }
        drop(tables);
        // The folder of a bare file name is called "", which is not a path by itself.
        let absolute = std::path::absolute(Path::new(".").join(subject)).ok()?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.get(absolute.as_os_str()).cloned();
        let table = table.unwrap_or_else(|| {
            Arc::new(MemoTable::load(&self.file_of(&absolute), absolute.clone()))
        });
        tables.insert(absolute.into_os_string(), Arc::clone(&table));
        tables.insert(subject.as_os_str().to_owned(), Arc::clone(&table));
        Some(table)
    }

    fn file_of(&self, subject: &Path) -> PathBuf {
        self.folder.join(format!(
            "{}.digests",
            Fingerprint::of(subject.as_os_str().as_encoded_bytes())
        ))
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        // Losing the memo costs time only, and there is nobody left to report it to.
        let _ = self.flush();
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a digest may be trusted depends on how old a file is; no result does"
)]
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
