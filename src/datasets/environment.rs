//! What a dataset is given to read its files with.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Digester;

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
        Err(io::Error::other("there is no folder to keep it in"))
    }

    fn tell(&self, _message: &str) {}
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
