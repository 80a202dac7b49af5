//! NumPy's files: one array (`.npy`), or several in an archive (`.npz`), which the reader of checkpoints opens. Rows are read where they
//! lie; those of a compressed archive are unpacked into memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use safetensors::Dtype;

use super::malformed;
use super::tensors::{Elements, Found};
use crate::datasets::DatasetError;
use crate::limits::NPY_HEADER;
use crate::models::checkpoint::stored_tensors::Content;
use crate::npy::archived::{self, Array};
use crate::npy::{self, Element, Header};
use crate::zip_archive::{self, Archive, ArchiveFault};

/// What a single array is called.
const ONLY: &str = "features";

/// The arrays of an open file.
#[derive(Debug)]
pub(super) struct Arrays {
    content: Content,
    arrays: archived::Arrays,
}

impl Arrays {
    /// Whether a file begins as one of NumPy's does, or as any zip archive.
    pub(super) fn begins(beginning: &[u8]) -> bool {
        beginning.starts_with(&npy::MAGIC[..6]) || beginning.starts_with(zip_archive::MAGIC)
    }

    /// Maps a file and reads the headers of its arrays; `None` where it is a zip archive without any, such as PyTorch's. The file must not
    /// change while it is open.
    ///
    /// # Errors
    /// A file that cannot be mapped, is damaged, or holds something else beside arrays.
    pub(super) fn open(path: &Path, file: &File) -> Result<Option<Self>, DatasetError> {
        #[expect(unsafe_code, reason = "there is no safe way to map a file")]
        // SAFETY: the map is only read. If another process shortened the file meanwhile, reading would end this process with a signal,
        // which is why the file must not change; no memory becomes invalid otherwise.
        let map = unsafe { Mmap::map(file) };
        let map = map.map_err(|source| DatasetError::io(path, source, "check the path"))?;
        let found = read(&map).map_err(|problem| malformed(path, problem))?;
        Ok(found.map(|(arrays, unpacked)| Self {
            content: unpacked.map_or(Content::Mapped(map), Content::InMemory),
            arrays,
        }))
    }

    /// The arrays' names, in alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// An array.
    pub(super) fn get(&self, name: &str) -> Option<Found<'_>> {
        let array = self.arrays.get(name)?;
        Some(Found {
            elements: match array.header.element {
                Element::Float { bytes: 2 } => Elements::Numbers(Dtype::F16),
                Element::Float { bytes: 4 } => Elements::Numbers(Dtype::F32),
                Element::Float { .. } => Elements::Numbers(Dtype::F64),
                Element::Unsigned { bytes: 1 } => Elements::Numbers(Dtype::U8),
                Element::Bytes { length } => Elements::Bytes(length),
                Element::Text { length } => Elements::Text(length),
                Element::Bool => Elements::Others("truth values"),
                Element::Signed { .. } | Element::Unsigned { .. } => Elements::Others("integers"),
            },
            shape: &array.header.shape,
            is_fortran_order: array.header.is_fortran_order,
            bytes: Cow::Borrowed(self.content.bytes().get(array.bytes.clone())?),
        })
    }

    /// The elements of an array, to be read in place.
    pub(super) fn into_elements(mut self, name: &str) -> Option<(Content, Range<usize>)> {
        let array = self.arrays.remove(name)?;
        Some((self.content, array.bytes))
    }
}

/// The arrays of a file, and the bytes that they are in where these are not the file's; `None` where it is an archive without any.
fn read(file: &[u8]) -> Result<Option<archived::Opened>, String> {
    if !file.starts_with(zip_archive::MAGIC) {
        let array = only(file)?;
        return Ok(Some((BTreeMap::from([(ONLY.to_owned(), array)]), None)));
    }
    let archive = Archive::open(file).map_err(in_words)?;
    if !archive
        .names()
        .any(|member| member.ends_with(archived::ENDING))
    {
        return Ok(None);
    }
    archived::arrays(file, &archive).map(Some).map_err(in_words)
}

/// What is wrong with an archive, without what to do about checkpoints.
fn in_words(fault: ArchiveFault) -> String {
    match fault {
        ArchiveFault::Unsupported { reason, .. } => {
            format!("{reason}; `numpy.savez` stores arrays of plain numbers as they are")
        }
        ArchiveFault::Damaged(reason) => format!("it is damaged: {reason}"),
        ArchiveFault::Truncated(_) => format!("it {fault}"),
    }
}

/// The array that a file is.
fn only(file: &[u8]) -> Result<Array, String> {
    let beginning = &file[..file.len().min(NPY_HEADER + 16)];
    let header = Header::read(beginning, file.len()).map_err(|error| error.to_string())?;
    Ok(Array {
        bytes: header.start..header.start + header.length,
        header,
    })
}
