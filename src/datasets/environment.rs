//! What a dataset is given to read its files with.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Digester;
use crate::checked_blocks::CheckedBlocks;

/// Where paths start, who digests, and where what is made of archives is kept.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// Gives content digests.
    pub digester: &'a dyn Digester,
    /// Keeps what is made of archives.
    pub scratch: &'a dyn Scratch,
}

/// Writes what a [`Scratch`] is to keep.
pub type WriteContent<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Keeps files that can be made again from a dataset's archives. Losing them costs time only.
pub trait Scratch: Sync {
    /// The path of the file `FAMILY-NAME`, or `None` where it is not kept.
    fn find(&self, family: &str, name: &str) -> Option<PathBuf>;

    /// Keeps what `write` writes, whole or not at all, as the file `FAMILY-NAME`, and gives up the others of its family. Gives the
    /// path of the file.
    ///
    /// # Errors
    /// The first error of `write`, or a file that cannot be written.
    fn keep(&self, family: &str, name: &str, write: WriteContent<'_>) -> io::Result<PathBuf>;

    /// The file `FAMILY-NAME`, or `None` where [`Scratch::keep_blocks`] has not kept it. Its bytes are compared with their digests when
    /// they are read.
    ///
    /// # Errors
    /// A file that cannot be opened, or has another length than was written.
    fn find_blocks(&self, family: &str, name: &str) -> io::Result<Option<CheckedBlocks>>;

    /// As [`Scratch::keep`], for a large file that is read in places.
    ///
    /// # Errors
    /// As [`Scratch::keep`].
    fn keep_blocks(
        &self,
        family: &str,
        name: &str,
        write: WriteContent<'_>,
    ) -> io::Result<CheckedBlocks>;

    /// Moves a damaged file of [`Scratch::keep_blocks`] out of the way, so that it is made again.
    ///
    /// # Errors
    /// A file that cannot be moved.
    fn set_aside(&self, path: &Path, reason: &str) -> io::Result<()>;

    /// Reports what takes long to whoever waits.
    fn tell(&self, message: &str);

    /// How many bytes of an archive are held in memory rather than kept in a file.
    fn most_in_memory(&self) -> u64 {
        1 << 26
    }
}

/// A place that keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScratch;

impl Scratch for NoScratch {
    fn find(&self, _family: &str, _name: &str) -> Option<PathBuf> {
        None
    }

    fn keep(&self, _family: &str, _name: &str, _write: WriteContent<'_>) -> io::Result<PathBuf> {
        Err(nowhere())
    }

    fn find_blocks(&self, _family: &str, _name: &str) -> io::Result<Option<CheckedBlocks>> {
        Ok(None)
    }

    fn keep_blocks(
        &self,
        _family: &str,
        _name: &str,
        _write: WriteContent<'_>,
    ) -> io::Result<CheckedBlocks> {
        Err(nowhere())
    }

    fn set_aside(&self, _path: &Path, _reason: &str) -> io::Result<()> {
        Err(nowhere())
    }

    fn tell(&self, _message: &str) {}
}

fn nowhere() -> io::Error {
    io::Error::other("there is no folder to keep it in")
}

#[cfg(test)]
impl Environment<'static> {
    /// The folder that the program runs in; every file is digested again, and nothing is kept.
    pub(super) fn plain() -> Self {
        Self {
            base: Path::new("."),
            digester: &super::PlainDigester,
            scratch: &NoScratch,
        }
    }
}
