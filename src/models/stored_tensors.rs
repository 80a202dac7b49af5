//! Named tensors in a safetensors file, memory-mapped and read without trusting the file.
//!
//! A file is eight bytes with the header's length, a JSON header that gives each tensor's type, shape and byte range,
//! and the data. The header is checked completely before anything is read, so that a truncated download, another kind
//! of file and a damaged header are three different messages and never a panic.
//!
//! # Reference
//! The format description of huggingface/safetensors, README section "Format".
//!
//! # Deviations
//! None. The `safetensors` crate's own reader is not used for the header, because sums of byte ranges near 2^64
//! overflow there.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use thiserror::Error;

/// Longer headers are refused, as by other readers of the format.
const LONGEST_HEADER: u64 = 100_000_000;
/// Bytes that hold the header's length.
const LENGTH_BYTES: u64 = 8;
/// The header's entry for free text, which is no tensor.
const METADATA: &str = "__metadata__";

/// Why a file of tensors cannot be used.
#[derive(Debug, Error)]
pub enum StoredTensorsError {
    /// The operating system refused.
    #[error("cannot read weights from {}: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file ends too early.
    #[error("{} is truncated: it holds {found} bytes of {expected}; download or copy it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the file should hold at least.
        expected: u64,
        /// Bytes that it holds.
        found: u64,
    },
    /// The file is something else.
    #[error("{} is not a safetensors file: {reason}; give the path of a .safetensors file", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What tells.
        reason: String,
    },
    /// The header contradicts itself, the format or the file's size.
    #[error("{} has a corrupt header: {reason}; download or write the file again", path.display())]
    CorruptHeader {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        reason: String,
    },
}

/// An open file of named tensors.
#[derive(Debug)]
pub struct StoredTensors {
    path: PathBuf,
    map: Mmap,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Position in the file; checked to lie inside it.
    bytes: Range<usize>,
}

/// One tensor of an open file.
#[derive(Clone, Copy, Debug)]
pub struct StoredTensor<'file> {
    /// The type of an element.
    pub dtype: Dtype,
    /// The length of every axis.
    pub shape: &'file [usize],
    /// The elements in row-major order, little-endian, at any alignment.
    pub bytes: &'file [u8],
}

impl StoredTensors {
    /// Opens a safetensors file and checks its header. The file must not change while it is open.
    ///
    /// # Errors
    /// The file cannot be read, is truncated, is no safetensors file, or has a corrupt header.
    pub fn open(path: &Path) -> Result<Self, StoredTensorsError> {
        let unreadable = |source| StoredTensorsError::Unreadable {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: the map is only read. If another process shortened the file meanwhile, reading would end this process
        // with a signal, which is why the file must not change; no memory becomes invalid otherwise.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        if map.starts_with(b"PK\x03\x04") {
            let reason = "it is a zip archive, as PyTorch's `.pt` files are; data/README.md shows how to convert one";
            return Err(StoredTensorsError::NotSafetensors {
                path: path.into(),
                reason: reason.to_owned(),
            });
        }
        let entries = read_header(path, &map)?;
        Ok(Self {
            path: path.into(),
            map,
            entries,
        })
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        let entry = self.entries.get(name)?;
        let bytes = self.map.get(entry.bytes.clone())?;
        Some(StoredTensor {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes,
        })
    }
}

/// Reads and checks the header of the file whose bytes are `file`.
fn read_header(path: &Path, file: &[u8]) -> Result<BTreeMap<String, Entry>, StoredTensorsError> {
    let found = file.len() as u64;
    let truncated = |expected| StoredTensorsError::Truncated {
        path: path.into(),
        expected,
        found,
    };
    let no_safetensors = |reason: String| StoredTensorsError::NotSafetensors {
        path: path.into(),
        reason,
    };
    let corrupt = |reason: String| StoredTensorsError::CorruptHeader {
        path: path.into(),
        reason,
    };

    let Some((length, rest)) = file.split_first_chunk() else {
        return Err(truncated(LENGTH_BYTES));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER {
        return Err(no_safetensors(format!(
            "its first eight bytes announce a header of {length} bytes"
        )));
    }
    if length > 0 && rest.first().is_some_and(|&byte| byte != b'{') {
        return Err(no_safetensors("its header is no JSON object".into()));
    }
    // Cannot fail: the length is at most 100 million.
    let header_length = usize::try_from(length).unwrap_or(usize::MAX);
    let Some((header, data)) = rest.split_at_checked(header_length) else {
        return Err(truncated(LENGTH_BYTES + length));
    };
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| corrupt(error.to_string()))?;

    let mut tensors = Vec::new();
    for (name, value) in header.into_iter().filter(|(name, _)| name != METADATA) {
        let info = TensorInfo::deserialize(value)
            .map_err(|error| corrupt(format!("tensor `{name}`: {error}")))?;
        tensors.push((name, info));
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);

    let mut entries = BTreeMap::new();
    let mut end_of_last = 0;
    for (
        name,
        TensorInfo {
            dtype,
            shape,
            data_offsets: (start, end),
        },
    ) in tensors
    {
        if start != end_of_last || end < start {
            let reason = format!(
                "tensor `{name}` lies at bytes {start} to {end}, but the one before it ends at {end_of_last}"
            );
            return Err(corrupt(reason));
        }
        let bits = shape
            .iter()
            .try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
        if bits.is_none() || bits != (end - start).checked_mul(8) {
            let reason = format!(
                "tensor `{name}` of shape {shape:?} and type {dtype:?} has {} bytes",
                end - start
            );
            return Err(corrupt(reason));
        }
        end_of_last = end;
        let offset = LENGTH_BYTES.saturating_add(length);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = offset.saturating_add(start)..offset.saturating_add(end);
        entries.insert(
            name,
            Entry {
                dtype,
                shape,
                bytes,
            },
        );
    }
    let expected = LENGTH_BYTES
        .saturating_add(length)
        .saturating_add(end_of_last as u64);
    match data.len().cmp(&end_of_last) {
        std::cmp::Ordering::Less => Err(truncated(expected)),
        std::cmp::Ordering::Greater => Err(corrupt(format!(
            "the file holds {found} bytes, but its tensors end at {expected}"
        ))),
        std::cmp::Ordering::Equal => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat()
    }

    fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, StoredTensorsError> {
        read_header(Path::new("net.safetensors"), bytes)
    }

    fn message(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    const GOOD: &str = r#"{"__metadata__":{"by":"hand"},"b":{"dtype":"F16","shape":[2,1],"data_offsets":[8,12]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

    #[test]
    fn tensors_are_found_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        std::fs::write(&path, file(GOOD, &(0..12).collect::<Vec<u8>>())).unwrap();
        let tensors = StoredTensors::open(&path).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b"]);
        let b = tensors.get("b").unwrap();
        assert_eq!(
            (b.dtype, b.shape, b.bytes),
            (Dtype::F16, &[2, 1][..], &[8, 9, 10, 11][..])
        );
        assert!(tensors.get("__metadata__").is_none());
    }

    #[test]
    fn a_missing_file_and_an_empty_file_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let error = StoredTensors::open(&path).unwrap_err();
        assert!(error.to_string().contains("net.safetensors"), "{error}");
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(
            StoredTensors::open(&path),
            Err(StoredTensorsError::Truncated { found: 0, .. })
        ));
    }

    #[test]
    fn truncation_is_told_apart_at_every_length() {
        let whole = file(GOOD, &[0; 12]);
        assert_eq!(parse(&whole).unwrap().len(), 2);
        for length in 0..whole.len() {
            let error = parse(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, StoredTensorsError::Truncated { .. }),
                "{length} bytes: {error}"
            );
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        for bytes in [
            &b"PK\x03\x04 a zip archive of some length"[..],
            b"\x80\x02\x8a\x0al\xfc\x9cF pickle",
            &[9; 64],
        ] {
            assert!(
                matches!(parse(bytes), Err(StoredTensorsError::NotSafetensors { .. })),
                "{bytes:?}"
            );
        }
        assert!(message(&file("[1, 2]", &[])).contains("no JSON object"));
    }

    #[test]
    fn hostile_headers_are_corrupt_and_name_the_tensor() {
        for (header, data, expected) in [
            ("{\"a\":", 0, "EOF"),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}}"#,
                7,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#,
                8,
                "`a`",
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
                9,
                "end at",
            ),
            (r#"{"a":7}"#, 0, "`a`"),
        ] {
            let error = parse(&file(header, &vec![0; data])).unwrap_err();
            assert!(
                matches!(error, StoredTensorsError::CorruptHeader { .. }),
                "{header}: {error}"
            );
            assert!(error.to_string().contains(expected), "{header}: {error}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert!(matches!(
            parse(&file(&deep, &[])),
            Err(StoredTensorsError::CorruptHeader { .. })
        ));
    }

    proptest::proptest! {
        /// Any change of any byte gives tensors inside the file or an error, never a panic.
        #[test]
        fn damaged_files_never_panic(position in 0_usize..300, byte: u8, length in 0_usize..300) {
            let mut bytes = file(GOOD, &[0; 12]);
            let count = bytes.len();
            bytes[position % count] = byte;
            bytes.truncate(length);
            if let Ok(entries) = parse(&bytes) {
                for entry in entries.values() {
                    proptest::prop_assert!(bytes.get(entry.bytes.clone()).is_some());
                }
            }
        }
    }
}
