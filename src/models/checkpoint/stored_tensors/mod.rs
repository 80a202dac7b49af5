//! Named tensors in a file, memory-mapped and read without trusting the file.
//!
//! There are four containers, told apart by what a file begins with and holds, and never by its name: safetensors
//! (`safetensors`), PyTorch's zip archives (`zip`, over `zip_archive.rs`), PyTorch's older streams (`legacy`), and NumPy's archives
//! (`npz`, over `npy/archived.rs`), whose names `flax` gives the form of PyTorch's where they are those of a vision transformer;
//! `diffusers_dit` does so with DiT as diffusers has it, and `timm` with DINOv2 as timm has it. Those of PyTorch describe their tensors in a
//! pickle, which `pickle` reads without executing anything; `state_dict` makes names of it. Opening a file reads the description alone; a tensor's numbers are read when it is asked for.
//!
//! # Reference
//! Stands in the file of each container.
//!
//! # Deviations
//! Unlike `torch.load`, nothing here can run code from a file, restore an object other than a tensor, or be asked for
//! more memory than the file is long.

mod diffusers_dit;
mod fault;
mod flax;
mod legacy;
mod npz;
mod pickle;
pub(in crate::models) mod safetensors;
mod state_dict;
mod timm;
mod view;
mod zip;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ::safetensors::Dtype;
use memmap2::{Mmap, UncheckedAdvice};

pub use fault::{Fault, Place, StoredTensorsError};
use state_dict::StateDict;

use crate::checked_file::CheckedFile;
use crate::npy::archived::is_npz;
use crate::recognized::{BEGINNING, recognized};
use crate::zip_archive::{self, Archive};

/// An open file of named tensors.
#[derive(Debug)]
pub struct StoredTensors {
    path: PathBuf,
    /// The size of the file.
    file_bytes: u64,
    content: Content,
    container: Container,
    entries: BTreeMap<String, Entry>,
    others: Vec<OtherEntry>,
}

/// How a file holds its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip archive of PyTorch 1.6 or newer.
    Zip,
    /// A stream of an older PyTorch.
    Legacy,
    /// An archive of NumPy arrays.
    Npz,
}

/// Something in a file that is not a tensor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherEntry {
    /// Its name, as the file has it.
    pub name: String,
    /// What it is, in a few words.
    pub what: String,
}

/// One tensor of an open file.
#[derive(Clone, Debug)]
pub struct StoredTensor<'file> {
    /// Number type of the elements.
    pub dtype: Dtype,
    /// Length of every axis; empty for a single number.
    pub shape: &'file [usize],
    /// The elements in row-major order, little-endian, at any alignment. They are borrowed from the file unless they are
    /// there in another order.
    pub bytes: Cow<'file, [u8]>,
}

/// Where the bytes are that tensors and arrays are parts of.
#[derive(Debug)]
pub(in crate::models) enum Content {
    /// In a mapped file.
    Mapped(Mmap),
    /// In memory, such as what was compressed in the file.
    InMemory(Vec<u8>),
}

impl Content {
    /// The bytes.
    pub(in crate::models) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::InMemory(bytes) => bytes,
        }
    }
}

/// Where a tensor is in the file.
#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// How many elements come first that are 0 and not in the file.
    zeros: usize,
    /// What follows each other along the first axis; one, but of a tensor that the file has in several.
    pieces: Vec<Piece>,
}

/// What the file has of a tensor in one place.
#[derive(Clone, Debug)]
struct Piece {
    shape: Vec<usize>,
    /// From the first to the last element; checked to be inside the file.
    bytes: Range<usize>,
    /// The distances of elements, where these are not in a row.
    strides: Option<Vec<usize>>,
}

impl Piece {
    /// Adds its elements to `all`, in row-major order; `file` has all bytes, and an element takes `width` of them.
    fn append(&self, all: &mut Vec<u8>, file: &[u8], width: usize) -> Option<()> {
        let bytes = file.get(self.bytes.clone())?;
        match &self.strides {
            None => all.extend_from_slice(bytes),
            Some(strides) => all.extend(view::gather(bytes, width, &self.shape, strides)),
        }
        Some(())
    }
}

impl Entry {
    /// A tensor that is in one place.
    fn new(
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: Range<usize>,
        strides: Option<Vec<usize>>,
    ) -> Self {
        Self {
            dtype,
            shape: shape.clone(),
            zeros: 0,
            pieces: vec![Piece {
                shape,
                bytes,
                strides,
            }],
        }
    }

    /// How many bytes the tensor takes by itself.
    fn byte_count(&self) -> usize {
        let count: usize = self.shape.iter().product();
        count.saturating_mul(self.dtype.bitsize()) / 8
    }
}

impl StoredTensors {
    /// Opens a file and checks all that describes its tensors. The file must not change while it is open.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, damaged or something else, or asks for more than tensors.
    pub fn open(path: &Path) -> Result<Self, StoredTensorsError> {
        let unreadable = |source| StoredTensorsError {
            path: path.into(),
            fault: Fault::Unreadable(source),
        };
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(StoredTensorsError {
                path: path.into(),
                fault: Fault::NotACheckpoint("it is a folder".to_owned()),
            });
        }
        #[expect(unsafe_code, reason = "there is no safe way to map a file")]
        // SAFETY: the map is only read. If another process shortened the file meanwhile, reading would end this process
        // with a signal, which is why the file must not change; no memory becomes invalid otherwise.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Self::mapped(path, map)
    }

    /// [`StoredTensors::open`] for a file that is open, and whose bytes were checked. Whoever has read its tensors asks whether it is
    /// [`CheckedFile::unchanged`].
    ///
    /// # Errors
    /// As [`StoredTensors::open`].
    pub fn open_checked(file: &CheckedFile) -> Result<Self, StoredTensorsError> {
        let map = file.map().map_err(|source| StoredTensorsError {
            path: file.path().into(),
            fault: Fault::Unreadable(source),
        })?;
        Self::mapped(file.path(), map)
    }

    fn mapped(path: &Path, map: Mmap) -> Result<Self, StoredTensorsError> {
        let tensors = Self::read(path, Content::Mapped(map))?;
        // The headers of an archive's members are all over the file, and each brought its neighborhood into memory.
        tensors.release_range(0..tensors.content.bytes().len());
        Ok(tensors)
    }

    /// Reads a file that is in memory already; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`StoredTensors::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, StoredTensorsError> {
        Self::read(path, Content::InMemory(bytes))
    }

    fn read(path: &Path, content: Content) -> Result<Self, StoredTensorsError> {
        let read = read(content.bytes());
        let (container, found, unpacked) = read.map_err(|fault| StoredTensorsError {
            path: path.into(),
            fault,
        })?;
        let found = timm::renamed(diffusers_dit::renamed(found));
        Ok(Self {
            path: path.into(),
            file_bytes: content.bytes().len() as u64,
            content: unpacked.map_or(content, Content::InMemory),
            container,
            entries: found.tensors,
            others: found.others,
        })
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How the file holds its tensors.
    pub fn container(&self) -> Container {
        self.container
    }

    /// All names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Name, type of an element and length of every axis of all tensors, in alphabetical order. Reads no number.
    pub fn descriptions(&self) -> impl ExactSizeIterator<Item = (&str, Dtype, &[usize])> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| (name.as_str(), entry.dtype, entry.shape.as_slice()))
    }

    /// What else the file holds, in alphabetical order.
    pub fn others(&self) -> &[OtherEntry] {
        &self.others
    }

    /// The tensor of this name; `None` where there is none.
    pub fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        let entry = self.entries.get(name)?;
        let file = self.content.bytes();
        let bytes = if let (
            0,
            [
                Piece {
                    bytes,
                    strides: None,
                    ..
                },
            ],
        ) = (entry.zeros, entry.pieces.as_slice())
        {
            Cow::Borrowed(file.get(bytes.clone())?)
        } else {
            let width = entry.dtype.bitsize() / 8;
            // All types of numbers have 0 as zero bytes.
            let mut all = vec![0; entry.zeros.checked_mul(width)?];
            for piece in &entry.pieces {
                piece.append(&mut all, file, width)?;
            }
            Cow::Owned(all)
        };
        Some(StoredTensor {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes,
        })
    }

    /// Releases a tensor whose numbers have been copied and are not needed for now, so that the file's pages do not
    /// take memory beside the copies. Asking for the tensor again reads them again.
    pub fn release(&self, name: &str) {
        let pieces = self.entries.get(name).map(|entry| entry.pieces.as_slice());
        for piece in pieces.unwrap_or_default() {
            self.release_range(piece.bytes.clone());
        }
    }

    fn release_range(&self, range: Range<usize>) {
        let Content::Mapped(map) = &self.content else {
            return;
        };
        if range.is_empty() {
            return;
        }
        #[expect(unsafe_code, reason = "there is no safe way to let pages go")]
        // SAFETY: the map is private, backed by a file, and never written to. So no page of it holds anything that is not
        // in the file, and a page that was dropped, be it one that a slice still points into, is read from the file again
        // at the next access, with the same bytes.
        let advised = unsafe {
            map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
        // Only advice: where the system does not take it, more memory is used.
        drop(advised);
    }
}

/// Judges the container by how the file begins, and reads it. What was compressed comes along, as what the tensors are parts of.
fn read(file: &[u8]) -> Result<(Container, StateDict, Option<Vec<u8>>), Fault> {
    if file.is_empty() {
        Err(Fault::Empty)
    } else if file.starts_with(zip_archive::MAGIC) {
        let archive = Archive::open(file)?;
        if is_npz(&archive) {
            let (found, unpacked) = npz::read(file, &archive)?;
            return Ok((Container::Npz, flax::renamed(found), unpacked));
        }
        Ok((Container::Zip, zip::read(file, &archive)?, None))
    } else if legacy::is_pickle(file) && !safetensors::begins(file) {
        Ok((Container::Legacy, legacy::read(file)?, None))
    } else if let Some(what) = something_else(file) {
        Err(Fault::NotACheckpoint(what))
    } else {
        let found = StateDict {
            tensors: safetensors::read(file)?,
            others: Vec::new(),
        };
        Ok((Container::Safetensors, found, None))
    }
}

/// What is often found in place of a checkpoint.
fn something_else(file: &[u8]) -> Option<String> {
    if safetensors::begins(file) {
        None
    } else if let Some(found) = recognized(&file[..file.len().min(BEGINNING)]) {
        let then = if found.is_packed {
            ", and has to be unpacked first"
        } else {
            ""
        };
        Some(format!("it is {}{then}", found.what))
    } else if file.get(257..262) == Some(b"ustar") {
        let what = "it is a tar archive, as PyTorch wrote before version 0.2; a newer PyTorch can save it again";
        Some(what.to_owned())
    } else {
        None
    }
}

impl Container {
    /// Its name for programs: `safetensors`, `pytorch-zip`, `pytorch-legacy` or `npz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Zip => "pytorch-zip",
            Self::Legacy => "pytorch-legacy",
            Self::Npz => "npz",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Zip => "PyTorch (zip archive)",
            Self::Legacy => "PyTorch (before 1.6)",
            Self::Npz => "NumPy (npz)",
        })
    }
}

#[cfg(test)]
mod tests;
