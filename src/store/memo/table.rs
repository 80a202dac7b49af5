//! What is remembered of one folder or of one file, in memory and on the disk.
//!
//! # What is on disk
//! The line `repro memo 2`, the length of the subject's path (eight bytes, little-endian) and the path, the number of records
//! (eight bytes), the records in ascending order, and the BLAKE3 digest of all that. A record has 64 bytes: the key, which is
//! the beginning of the BLAKE3 digest of what was hashed (a name, or a range of bytes), the mark, which is that of the stamp of
//! the file, and the digest of the content. A file that is not exactly this is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// The first bytes of a table; one that begins otherwise is forgotten.
const FORMAT: &[u8] = b"repro memo 2\n";

/// Bytes of a key, and of a mark.
const SHORT: usize = 16;
/// Bytes of a digest.
const LONG: usize = 32;
/// Bytes of a record.
const RECORD: usize = SHORT + SHORT + LONG;

/// The beginning of a BLAKE3 digest; long enough that two of them are never alike by chance.
pub(super) type Short = [u8; SHORT];

/// The short digest of some bytes.
pub(super) fn short(bytes: &[u8]) -> Short {
    let mut short = [0; SHORT];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..SHORT]);
    short
}

/// Digests of the files of a folder, or of the parts of a file.
#[derive(Debug)]
pub(super) struct MemoTable {
    /// The folder or file, as an absolute path.
    subject: PathBuf,
    /// Records as they are on disk, in ascending order. Reading them needs no lock.
    stored: Vec<u8>,
    /// What was learned since: marks and digests by key.
    learned: RwLock<BTreeMap<Short, (Short, [u8; LONG])>>,
    /// Whether something was learned that is not on the disk.
    changed: AtomicBool,
}

impl MemoTable {
    /// The table of a subject in a file, or an empty one where there is none that can be used.
    pub(super) fn load(file: &Path, subject: PathBuf) -> Self {
        let stored = fs::read(file).ok();
        let stored = stored.and_then(|bytes| records(bytes, &subject));
        Self {
            subject,
            stored: stored.unwrap_or_default(),
            learned: RwLock::default(),
            changed: AtomicBool::new(false),
        }
    }

    /// The folder or file whose digests it has, as an absolute path.
    pub(super) fn subject(&self) -> &Path {
        &self.subject
    }

    /// The digest under a key, if it was taken of a file with this mark.
    pub(super) fn get(&self, key: &Short, mark: &Short) -> Option<[u8; LONG]> {
        if let Some((known, digest)) = self.in_stored(key)
            && known == mark
        {
            return Some(digest);
        }
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let (known, digest) = learned.get(key)?;
        (known == mark).then_some(*digest)
    }

    /// Remembers a digest.
    pub(super) fn put(&self, key: Short, mark: Short, digest: [u8; LONG]) {
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        learned.insert(key, (mark, digest));
        self.changed.store(true, Ordering::Relaxed);
    }

    /// The file's bytes, if something was learned since the last time that this was asked.
    pub(super) fn take_changed(&self) -> Option<Vec<u8>> {
        self.changed.swap(false, Ordering::Relaxed).then(|| {
            let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
            let mut all: BTreeMap<&[u8], [u8; RECORD]> = BTreeMap::new();
            let (stored, _) = self.stored.as_chunks::<RECORD>();
            all.extend(stored.iter().map(|record| (&record[..SHORT], *record)));
            for (key, (mark, digest)) in learned.iter() {
                let mut record = [0; RECORD];
                record[..SHORT].copy_from_slice(key);
                record[SHORT..2 * SHORT].copy_from_slice(mark);
                record[2 * SHORT..].copy_from_slice(digest);
                all.insert(key, record);
            }
            encode(&self.subject, all.into_values())
        })
    }

    /// Records that the bytes given by [`Self::take_changed`] were not written.
    pub(super) fn not_written(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    fn in_stored(&self, key: &Short) -> Option<(&[u8], [u8; LONG])> {
        let (records, _) = self.stored.as_chunks::<RECORD>();
        let place = records.binary_search_by(|record| record[..SHORT].cmp(key));
        let record = records.get(place.ok()?)?;
        let mut digest = [0; LONG];
        digest.copy_from_slice(&record[2 * SHORT..]);
        Some((&record[SHORT..2 * SHORT], digest))
    }
}

/// Lays out a table as the module describes it; `records` have to be in ascending order.
fn encode(subject: &Path, records: impl ExactSizeIterator<Item = [u8; RECORD]>) -> Vec<u8> {
    let subject = subject.as_os_str().as_encoded_bytes();
    let mut bytes =
        Vec::with_capacity(FORMAT.len() + 16 + subject.len() + RECORD * records.len() + LONG);
    bytes.extend_from_slice(FORMAT);
    bytes.extend_from_slice(&(subject.len() as u64).to_le_bytes());
    bytes.extend_from_slice(subject);
    bytes.extend_from_slice(&(records.len() as u64).to_le_bytes());
    for record in records {
        bytes.extend_from_slice(&record);
    }
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// The records in the bytes of a table, if it is whole and of this subject.
fn records(mut bytes: Vec<u8>, subject: &Path) -> Option<Vec<u8>> {
    let body = bytes.len().checked_sub(LONG)?;
    if blake3::hash(&bytes[..body]).as_bytes() != &bytes[body..] {
        return None;
    }
    bytes.truncate(body);
    let subject = subject.as_os_str().as_encoded_bytes();
    let rest = bytes.strip_prefix(FORMAT)?;
    let rest = rest.strip_prefix(&(subject.len() as u64).to_le_bytes())?;
    let (count, rest) = rest.strip_prefix(subject)?.split_first_chunk()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    if count.checked_mul(RECORD)? != rest.len() {
        return None;
    }
    let head = body - rest.len();
    bytes.drain(..head);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_everything_else_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("table");
        let subject = PathBuf::from("/images/cat");
        let table = MemoTable::load(&file, subject.clone());
        let (one, two, mark) = (short(b"one"), short(b"two"), short(b"mark"));
        table.put(one, mark, [1; LONG]);
        table.put(two, mark, [2; LONG]);
        let bytes = table.take_changed().unwrap();
        assert_eq!(table.take_changed(), None);
        fs::write(&file, &bytes).unwrap();

        let again = MemoTable::load(&file, subject.clone());
        assert_eq!(again.get(&one, &mark), Some([1; LONG]));
        assert_eq!(again.get(&two, &short(b"another mark")), None);
        again.put(two, mark, [3; LONG]);
        fs::write(&file, again.take_changed().unwrap()).unwrap();
        let third = MemoTable::load(&file, subject.clone());
        assert_eq!(third.get(&one, &mark), Some([1; LONG]));
        assert_eq!(third.get(&two, &mark), Some([3; LONG]));

        let other = MemoTable::load(&file, PathBuf::from("/images/dog"));
        assert_eq!(other.get(&one, &mark), None);
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(
                MemoTable::load(&file, subject.clone()).get(&one, &mark),
                None
            );
            fs::write(&file, &bytes[..place]).unwrap();
            assert_eq!(
                MemoTable::load(&file, subject.clone()).get(&one, &mark),
                None
            );
        }
    }
}
