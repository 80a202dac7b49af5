//! The bytes of an archive, read at any place from any thread.

use crate::checked_blocks::CheckedBlocks;
use crate::numbers::to_usize;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Source {
    /// In a file on the disk.
    File {
        /// The file, opened once for all threads.
        file: File,
        /// The path of `file`, for messages.
        path: PathBuf,
        /// Length in bytes, from when the file was opened.
        length: u64,
    },
    /// In a file of the cache, which was unpacked there.
    Unpacked(CheckedBlocks),
    /// In memory.
    Memory(Vec<u8>),
}

impl Source {
    /// A file on the disk.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self::File {
            length: file.metadata()?.len(),
            path: path.to_owned(),
            file,
        })
    }

    /// Length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } => *length,
            Self::Unpacked(blocks) => blocks.length(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills a buffer from a place.
    ///
    /// # Errors
    /// [`Damage`](crate::checked_blocks::Damage); [`io::ErrorKind::UnexpectedEof`] where there are not as many bytes; a file that cannot be read.
    pub(super) fn fill(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.read_exact_at(buffer, at),
            Self::Unpacked(blocks) => blocks.fill(buffer, at),
            Self::Memory(bytes) => {
                let end = at.saturating_add(buffer.len() as u64);
                buffer.copy_from_slice(part(bytes, at..end)?);
                Ok(())
            }
        }
    }

    /// Reads a range of bytes.
    ///
    /// # Errors
    /// As of [`Source::fill`].
    pub(super) fn read(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        if range.end > self.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = range.end.saturating_sub(range.start);
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

/// A part of some bytes.
pub(super) fn part(bytes: &[u8], range: Range<u64>) -> io::Result<&[u8]> {
    let part = bytes.get(to_usize(range.start)..to_usize(range.end));
    part.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
