//! Digests of input files, remembered so that a dataset of a million images is hashed once.
//!
//! A digest is remembered under the file's path, size, inode and times of modification (of content and of status, in
//! nanoseconds). It is only ever an accelerator: losing it, or failing to write it, costs time and nothing else. What
//! was modified within the last two seconds is not remembered, because another modification within the same tick of
//! the clock would not show.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::commit;
use super::error::StoreError;
use super::fingerprint::Fingerprint;

/// Format of the remembered tables; a table of another format is forgotten.
const FORMAT: u32 = 1;

/// How long a file has to have been left alone before its digest is remembered.
const RACY: Duration = Duration::from_secs(2);

/// Digests of files by path, size, inode and times. Written on [`Memo::flush`] and when dropped.
#[derive(Debug)]
pub struct Memo {
    folder: PathBuf,
    racy: Duration,
    tables: Mutex<BTreeMap<PathBuf, Table>>,
}

/// What is remembered of the files of one folder. One file a folder, not one a digest, keeps the memo of a million
/// images at a thousand files.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    format: u32,
    folder: PathBuf,
    files: BTreeMap<String, Remembered>,
    #[serde(skip)]
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    blake3: Fingerprint,
}

/// All that tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    inode: u64,
    /// Modification of the content: seconds since 1970 and nanoseconds.
    modified: (i64, i64),
    /// Modification of the status, which no program can set back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file had been left alone for `racy` at the time `now`, in seconds since 1970.
    fn settled(&self, now: Duration, racy: Duration) -> bool {
        let latest = self.modified.max(self.changed);
        let age_in_seconds = i64::try_from(now.saturating_sub(racy).as_secs()).unwrap_or(i64::MAX);
        // Compared in whole seconds, which can only err towards hashing once more.
        latest.0 < age_in_seconds
    }
}

impl Memo {
    /// Digests remembered in `folder`, which need not exist or be writable.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            racy: RACY,
            tables: Mutex::default(),
        }
    }

    /// BLAKE3 digest of a file's content: remembered where the file is unchanged, computed otherwise. Calls from
    /// several threads compute at the same time.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn digest_file(&self, path: &Path) -> Result<[u8; 32], StoreError> {
        self.digest(path, None)
    }

    /// BLAKE3 digest of a range of a file's bytes, remembered as that of a file is.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has not as many bytes.
    pub fn digest_range(&self, path: &Path, range: Range<u64>) -> Result<[u8; 32], StoreError> {
        self.digest(path, Some(range))
    }

    fn digest(&self, path: &Path, range: Option<Range<u64>>) -> Result<[u8; 32], StoreError> {
        let reading = |error| StoreError::io("read", path, None, error);
        let mut file = File::open(path).map_err(reading)?;
        let before = Stamp::of(&file.metadata().map_err(reading)?);
        let place = place_of(path).map(|(folder, name)| match &range {
            None => (folder, name),
            // A slash is in no name of a file.
            Some(range) => (folder, format!("{name}/{}-{}", range.start, range.end)),
        });
        if let Some((folder, name)) = &place
            && let Some(digest) = self.remembered(folder, name, &before)
        {
            return Ok(digest.0);
        }
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut digest = blake3::Hasher::new();
        let Range { start, end } = range.unwrap_or(0..u64::MAX);
        file.seek(SeekFrom::Start(start)).map_err(reading)?;
        let part = (&file).take(end.saturating_sub(start));
        digest.update_reader(part).map_err(reading)?;
        if end < u64::MAX && digest.count() != end.saturating_sub(start) {
            return Err(reading(io::ErrorKind::UnexpectedEof.into()));
        }
        let digest = Fingerprint(*digest.finalize().as_bytes());
        let after = Stamp::of(&file.metadata().map_err(reading)?);
        if let Some((folder, name)) = place
            && before == after
            && before.settled(started, self.racy)
        {
            self.remember(
                folder,
                name,
                Remembered {
                    stamp: before,
                    blake3: digest,
                },
            );
        }
        Ok(digest.0)
    }

    /// Writes what was learnt since the last time. Whatever another process wrote meanwhile about the same folders is
    /// overwritten, and will be learnt again.
    ///
    /// # Errors
    ///
    /// When the memo cannot be written; the caller may well ignore that.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        for (folder, table) in tables.iter_mut().filter(|(_, table)| table.changed) {
            let file = self.file_of(folder);
            let text = serde_json::to_vec(table)
                .map_err(|error| StoreError::io("write", &file, None, error.into()))?;
            commit::make_folder(&self.folder)?;
            commit::write_file(&file, &text)?;
            table.changed = false;
        }
        Ok(())
    }

    fn remembered(&self, folder: &Path, name: &str, stamp: &Stamp) -> Option<Fingerprint> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables
            .entry(folder.to_owned())
            .or_insert_with(|| self.load(folder));
        table
            .files
            .get(name)
            .filter(|remembered| remembered.stamp == *stamp)
            .map(|remembered| remembered.blake3)
    }

    fn remember(&self, folder: PathBuf, name: String, remembered: Remembered) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables
            .entry(folder)
            .or_insert_with_key(|folder| self.load(folder));
        table.files.insert(name, remembered);
        table.changed = true;
    }

    /// The remembered table of a folder, or an empty one where there is none that can be read.
    fn load(&self, folder: &Path) -> Table {
        fs::read(self.file_of(folder))
            .ok()
            .and_then(|text| serde_json::from_slice::<Table>(&text).ok())
            .filter(|table| table.format == FORMAT && table.folder == folder)
            .unwrap_or_else(|| Table {
                format: FORMAT,
                folder: folder.to_owned(),
                ..Table::default()
            })
    }

    fn file_of(&self, folder: &Path) -> PathBuf {
        self.folder.join(format!(
            "{}.json",
            Fingerprint::of(folder.as_os_str().as_encoded_bytes())
        ))
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        // Losing the memo costs time only, and there is nobody left to tell.
        let _ = self.flush();
    }
}

/// Absolute folder and name of a file; `None` where JSON cannot hold them, and then nothing is remembered.
fn place_of(path: &Path) -> Option<(PathBuf, String)> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?;
    folder.to_str()?;
    Some((folder.to_owned(), path.file_name()?.to_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memo that trusts files at once, so that the tests need not wait.
    fn trusting(folder: &Path) -> Memo {
        let mut memo = Memo::new(folder);
        memo.racy = Duration::ZERO;
        memo
    }

    /// Waits until the clock shows another second than the last modification.
    fn let_a_second_pass() {
        std::thread::sleep(Duration::from_millis(1050));
    }

    #[test]
    fn a_remembered_digest_is_used_and_a_changed_file_is_hashed_again() {
        let folder = tempfile::tempdir().unwrap();
        let (memo_folder, file) = (folder.path().join("memo"), folder.path().join("image.png"));
        fs::write(&file, "one").unwrap();
        let_a_second_pass();
        let memo = trusting(&memo_folder);
        assert_eq!(memo.digest_file(&file).unwrap(), Fingerprint::of(b"one").0);
        drop(memo);

        // What is remembered is believed: a lie in the memo comes back, which shows that it was read.
        let table = fs::read_dir(&memo_folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let lie = Fingerprint::of(b"a lie");
        let text = fs::read_to_string(&table).unwrap();
        fs::write(
            &table,
            text.replace(&Fingerprint::of(b"one").to_string(), &lie.to_string()),
        )
        .unwrap();
        assert_eq!(trusting(&memo_folder).digest_file(&file).unwrap(), lie.0);

        // Same size, same inode, other content.
        fs::write(&file, "two").unwrap();
        assert_eq!(
            trusting(&memo_folder).digest_file(&file).unwrap(),
            Fingerprint::of(b"two").0
        );
    }

    #[test]
    fn a_modification_time_set_back_does_not_deceive() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.png");
        fs::write(&file, "one").unwrap();
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        let_a_second_pass();
        let memo = trusting(&folder.path().join("memo"));
        memo.digest_file(&file).unwrap();
        fs::write(&file, "two").unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(time)
            .unwrap();
        assert_eq!(memo.digest_file(&file).unwrap(), Fingerprint::of(b"two").0);
    }

    #[test]
    fn a_file_that_was_just_written_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (memo_folder, file) = (folder.path().join("memo"), folder.path().join("image.png"));
        fs::write(&file, "one").unwrap();
        let memo = Memo::new(&memo_folder);
        memo.digest_file(&file).unwrap();
        memo.flush().unwrap();
        assert!(!memo_folder.exists());
    }

    #[test]
    fn a_damaged_memo_and_an_unwritable_one_only_cost_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image.png");
        fs::write(&file, "one").unwrap();
        let_a_second_pass();
        let below_a_file = trusting(&file.join("memo"));
        assert_eq!(
            below_a_file.digest_file(&file).unwrap(),
            Fingerprint::of(b"one").0
        );
        assert!(below_a_file.flush().is_err());

        let memo_folder = folder.path().join("memo");
        trusting(&memo_folder).digest_file(&file).unwrap();
        let table = fs::read_dir(&memo_folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::write(&table, "{").unwrap();
        assert_eq!(
            trusting(&memo_folder).digest_file(&file).unwrap(),
            Fingerprint::of(b"one").0
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Memo::new("none")
            .digest_file(Path::new("no/such/file"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("no/such/file"), "{message}");
    }
}
