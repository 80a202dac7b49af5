//! Large files that are read in places, and whose bytes are compared with digests block by block, each before its first use.
//!
//! An archive of 150 GB that was unpacked into the cache is not read as a whole to look at a thousand of its images. So its record
//! has the digest of every block, and a block is read whole, and compared, when anybody asks for a byte of it for the first time.
//!
//! The record of `FILE` is `FILE.blocks`: a line of text, the length of the file and of a block, the BLAKE3 digests of the blocks, and
//! the BLAKE3 digest of all that.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::numbers::to_usize;

/// Bytes of a block: large enough that a record of a terabyte fits into memory, small enough that one image costs little.
const BLOCK: usize = 1 << 18;
/// What a record begins with.
const MAGIC: &[u8] = b"repro blocks 1\n";
/// Bytes of a digest.
const DIGEST: usize = 32;
/// What is behind the name of a file in that of its record.
pub(crate) const RECORD: &str = ".blocks";

/// A file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", path.display())]
pub struct Damage {
    /// The damaged file.
    pub path: PathBuf,
    /// How it differs, to be read after its name.
    pub reason: String,
}

/// The digests of a file's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockDigests {
    /// Bytes of the file.
    length: u64,
    digests: Vec<[u8; DIGEST]>,
}

impl BlockDigests {
    /// The content of a record.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.length.to_le_bytes());
        bytes.extend((BLOCK as u64).to_le_bytes());
        bytes.extend(self.digests.iter().flatten());
        let digest = blake3::hash(&bytes);
        bytes.extend(digest.as_bytes());
        bytes
    }

    /// From the content of a record; `None` where it is damaged, or of another sort.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, digest) = bytes.split_last_chunk::<DIGEST>()?;
        if blake3::hash(content).as_bytes() != digest {
            return None;
        }
        let (length, rest) = content.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (block, rest) = rest.split_first_chunk::<8>()?;
        let length = u64::from_le_bytes(*length);
        let (digests, behind) = rest.as_chunks::<DIGEST>();
        let is_whole = u64::from_le_bytes(*block) == BLOCK as u64
            && behind.is_empty()
            && digests.len() as u64 == length.div_ceil(BLOCK as u64);
        is_whole.then(|| Self {
            length,
            digests: digests.to_vec(),
        })
    }
}

/// Digests the blocks of all that passes through on its way to a file.
pub(crate) struct DigestingBlocks<W> {
    inner: W,
    hasher: blake3::Hasher,
    /// Bytes of the block that is not whole yet.
    filled: usize,
    found: BlockDigests,
}

impl<W: Write> DigestingBlocks<W> {
    /// Writes into `inner`.
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            filled: 0,
            found: BlockDigests {
                length: 0,
                digests: Vec::new(),
            },
        }
    }

    /// What was written into, and the digests of all that was written.
    pub(crate) fn finish(mut self) -> (W, BlockDigests) {
        if self.filled > 0 {
            self.end_block();
        }
        (self.inner, self.found)
    }

    fn end_block(&mut self) {
        let digest = self.hasher.finalize();
        self.found.digests.push(*digest.as_bytes());
        self.hasher.reset();
        self.filled = 0;
    }
}

impl<W: Write> Write for DigestingBlocks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = bytes.len().min(BLOCK - self.filled);
        let written = self.inner.write(bytes.get(..most).unwrap_or(bytes))?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.filled += written;
        self.found.length += written as u64;
        if self.filled == BLOCK {
            self.end_block();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// An open file whose blocks are compared with their digests before their first use.
#[derive(Debug)]
pub struct CheckedBlocks {
    path: PathBuf,
    file: File,
    known: BlockDigests,
    /// Which blocks were compared.
    compared: Vec<AtomicBool>,
    damage: OnceLock<Damage>,
}

impl CheckedBlocks {
    /// Opens a file with its digests.
    ///
    /// # Errors
    /// [`Damage`], inside an error of the kind [`io::ErrorKind::InvalidData`], for a file that cannot be opened or has another length;
    /// [`io::ErrorKind::NotFound`].
    pub(crate) fn open(path: &Path, known: BlockDigests) -> io::Result<Self> {
        let opened = std::fs::metadata(path).and_then(|metadata| {
            // A pipe is not waited for.
            let file = metadata.is_file().then(|| File::open(path));
            file.ok_or_else(|| io::Error::other("it is not a regular file"))?
        });
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => error,
            _ => damaged(path, format!("cannot be opened: {error}")),
        })?;
        let found = file.metadata()?.len();
        if found != known.length {
            let reason = format!("has {found} bytes instead of {}", known.length);
            return Err(damaged(path, reason));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            compared: known.digests.iter().map(|_| false.into()).collect(),
            known,
            damage: OnceLock::new(),
        })
    }

    /// The first damage that was found; `None` where there was none.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.get()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.known.length
    }

    /// Fills a buffer from a place.
    ///
    /// # Errors
    /// [`Damage`], inside an error of the kind [`io::ErrorKind::InvalidData`]; [`io::ErrorKind::UnexpectedEof`] where there are not
    /// as many bytes; a file that cannot be read.
    pub fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.saturating_add(buffer.len() as u64);
        if end > self.known.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (at, buffer);
        while !rest.is_empty() {
            let block = to_usize(at / BLOCK as u64);
            let within = to_usize(at % BLOCK as u64);
            let (part, behind) = rest.split_at_mut(rest.len().min(BLOCK - within));
            if self.is_compared(block) {
                self.file.read_exact_at(part, at)?;
            } else {
                // The bytes that are handed out are those that were compared.
                let whole = self.compare(block)?;
                let bytes = whole.get(within..within + part.len());
                part.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
            at += part.len() as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Compares all blocks, from the beginning and whatever was compared before.
    ///
    /// # Errors
    /// As [`CheckedBlocks::fill`].
    pub(crate) fn compare_all(&self) -> io::Result<()> {
        (0..self.known.digests.len()).try_for_each(|block| self.compare(block).map(|_| ()))
    }

    fn is_compared(&self, block: usize) -> bool {
        let compared = self.compared.get(block);
        compared.is_some_and(|compared| compared.load(Ordering::Relaxed))
    }

    /// The bytes of a block, if they are those that were written.
    fn compare(&self, block: usize) -> io::Result<Vec<u8>> {
        let start = block as u64 * BLOCK as u64;
        let end = (start + BLOCK as u64).min(self.known.length);
        let mut bytes = vec![0; to_usize(end.saturating_sub(start))];
        match self.file.read_exact_at(&mut bytes, start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged(start, end));
            }
            read => read?,
        }
        if self.known.digests.get(block) != Some(blake3::hash(&bytes).as_bytes()) {
            return Err(self.damaged(start, end));
        }
        if let Some(compared) = self.compared.get(block) {
            compared.store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    fn damaged(&self, start: u64, end: u64) -> io::Error {
        let reason =
            format!("is damaged: its bytes {start} to {end} are not those that were written");
        let damage = Damage {
            path: self.path.clone(),
            reason: reason.clone(),
        };
        self.damage.get_or_init(|| damage);
        damaged(&self.path, reason)
    }
}

fn damaged(path: &Path, reason: String) -> io::Error {
    let path = path.to_owned();
    io::Error::new(io::ErrorKind::InvalidData, Damage { path, reason })
}

/// The damage that an error is about, if it is about one.
pub(crate) fn damage_in(error: &io::Error) -> Option<&Damage> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A file of so many bytes, and its digests.
    fn written(path: &Path, bytes: usize) -> (Vec<u8>, BlockDigests) {
        let content: Vec<u8> = (0..bytes)
            .map(|at| u8::try_from(at * 7 % 251).unwrap())
            .collect();
        let mut writer = DigestingBlocks::new(Vec::new());
        for piece in content.chunks(100_000) {
            writer.write_all(piece).unwrap();
        }
        let (copy, digests) = writer.finish();
        assert_eq!(copy, content);
        fs::write(path, &content).unwrap();
        (content, digests)
    }

    #[test]
    fn every_place_is_read_and_any_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for length in [0, 1, BLOCK, 2 * BLOCK + 5] {
            let (content, digests) = written(&path, length);
            let open = || CheckedBlocks::open(&path, digests.clone());
            let checked = open().unwrap();
            checked.compare_all().unwrap();
            let mut all = vec![0; length];
            // Twice: a block is read otherwise once it was compared.
            for _ in 0..2 {
                open().unwrap().fill(&mut all, 0).unwrap();
                assert_eq!(all, content);
                checked.fill(&mut all, 0).unwrap();
                assert_eq!(all, content);
            }
            assert!(checked.fill(&mut [0], length as u64).is_err());
            for place in [0, length / 2, length.saturating_sub(1)] {
                let Some(byte) = content.get(place) else {
                    continue;
                };
                let mut damaged = content.clone();
                damaged[place] = byte ^ 1;
                fs::write(&path, &damaged).unwrap();
                let error = open().unwrap().fill(&mut [0], place as u64).unwrap_err();
                assert_eq!(damage_in(&error).unwrap().path, path);
                assert!(open().unwrap().compare_all().is_err());
                fs::write(&path, &content[..place]).unwrap();
                assert!(damage_in(&open().unwrap_err()).is_some());
                fs::write(&path, &content).unwrap();
            }
        }
    }

    #[test]
    fn records_are_read_as_they_were_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (_, digests) = written(&folder.path().join("file"), BLOCK + 1);
        let bytes = digests.to_bytes();
        assert_eq!(BlockDigests::from_bytes(&bytes), Some(digests));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(BlockDigests::from_bytes(&damaged), None, "{place}");
            assert_eq!(BlockDigests::from_bytes(&bytes[..place]), None);
        }
    }
}
