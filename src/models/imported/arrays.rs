//! NumPy's files: one array (`.npy`), or several in an archive (`.npz`), mapped into memory.
//!
//! # Reference
//! numpy/numpy v2.4.0: numpy/lib/_npyio_impl.py (`savez`): a zip archive whose members are called as the arrays, with `.npy` behind it.
//!
//! # Deviations
//! Compressed members (`numpy.savez_compressed`) are refused: rows are read in place.

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
use crate::models::checkpoint::stored_tensors::Fault;
use crate::models::checkpoint::stored_tensors::archive::{self, Archive};
use crate::npy::{self, Element, Header};
use crate::visible::on_one_line;

/// What the name of a member ends in.
const ENDING: &str = ".npy";
/// What a single array is called.
const ONLY: &str = "features";

/// The arrays of an open file.
#[derive(Debug)]
pub(super) struct Arrays {
    map: Mmap,
    arrays: BTreeMap<String, Array>,
}

#[derive(Debug)]
struct Array {
    header: Header,
    /// The elements, in the file.
    bytes: Range<usize>,
}

impl Arrays {
    /// Whether a file begins as one of NumPy's does, or as any zip archive.
    pub(super) fn begins(beginning: &[u8]) -> bool {
        beginning.starts_with(&npy::MAGIC[..6]) || beginning.starts_with(archive::MAGIC)
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
        let arrays = read(&map).map_err(|problem| malformed(path, problem))?;
        Ok(arrays.map(|arrays| Self { map, arrays }))
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
            bytes: Cow::Borrowed(self.map.get(array.bytes.clone())?),
        })
    }

    /// The elements of an array, to be read in place.
    pub(super) fn into_mapped(mut self, name: &str) -> Option<(Mmap, Range<usize>)> {
        let array = self.arrays.remove(name)?;
        Some((self.map, array.bytes))
    }
}

/// The arrays of a file; `None` where it is an archive without any.
fn read(file: &[u8]) -> Result<Option<BTreeMap<String, Array>>, String> {
    if file.starts_with(archive::MAGIC) {
        return members(file);
    }
    let array = array(file, 0..file.len())?;
    Ok(Some(BTreeMap::from([(ONLY.to_owned(), array)])))
}

/// The arrays of an archive; `None` where it has none.
fn members(file: &[u8]) -> Result<Option<BTreeMap<String, Array>>, String> {
    let archive = Archive::open(file).map_err(in_words)?;
    if !archive.names().any(|member| member.ends_with(ENDING)) {
        return Ok(None);
    }
    let mut arrays = BTreeMap::new();
    for member in archive.names() {
        let Some(name) = member.strip_suffix(ENDING) else {
            let member = on_one_line(member);
            return Err(format!("`{member}` in it is not a NumPy array"));
        };
        let range = archive.find(member).map_err(in_words)?.unwrap_or_default();
        let array =
            array(file, range).map_err(|problem| format!("`{}`: {problem}", on_one_line(name)))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(Some(arrays))
}

/// What is wrong with an archive, without what to do about checkpoints.
fn in_words(fault: Fault) -> String {
    match fault {
        Fault::Unsupported { reason, .. } => {
            format!("{reason}; `numpy.savez` stores members as they are")
        }
        other => format!("it {other}"),
    }
}

/// The array whose file is a part of a file.
fn array(file: &[u8], range: Range<usize>) -> Result<Array, String> {
    let bytes = file.get(range.clone()).unwrap_or_default();
    let beginning = &bytes[..bytes.len().min(NPY_HEADER + 16)];
    let header = Header::read(beginning, bytes.len()).map_err(|error| error.to_string())?;
    let start = range.start + header.start;
    Ok(Array {
        bytes: start..start + header.length,
        header,
    })
}
