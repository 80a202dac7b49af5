//! The tensors of any checkpoint as a safetensors file.
//!
//! Tensor by tensor, so that memory does not grow with the file. The new file appears under its name only when it is whole
//! and on the disk, and the same input gives the same bytes: tensors stand in the order of their alignment, the largest
//! first, and then of their names.
//!
//! # Reference
//! The format description of huggingface/safetensors, README section "Format"; its metadata entry `format`, which other
//! readers ask for.
//!
//! # Deviations
//! What is not a tensor is left out. Tensors that share a storage are each written whole.

mod numbers;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::json;
use thiserror::Error;

use super::stored_tensors::StoredTensors;
use super::stored_tensors::safetensors::METADATA;
use crate::atomic_file::AtomicFile;
use crate::visible::shown;
use numbers::{converted, write_converted};

pub use numbers::ElementType;

/// The header is padded to a multiple of this, so that the data are aligned.
const ALIGNMENT: usize = 8;
/// The file of a conversion that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many tensors were written.
    pub tensors: usize,
    /// Size of the written file in bytes.
    pub bytes: u64,
}

/// Why a checkpoint was not converted.
#[derive(Debug, Error)]
pub enum ConversionError {
    /// There is a file already.
    #[error("{} is there already; choose another name, or replace it with --force", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// Input and output are one file.
    #[error("{} would be replaced while it is read; choose another name for the output", path.display())]
    Itself {
        /// The file that is both.
        path: PathBuf,
    },
    /// A number is outside the range of the type that was asked for.
    #[error("tensor `{name}` of {} holds {value}, which {dtype} cannot hold; take --dtype bf16 or f32, or keep its type", path.display())]
    TooLarge {
        /// The file that was read.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The number that is out of range.
        value: f64,
        /// The type that was asked for.
        dtype: Dtype,
    },
    /// A tensor has the name that the format keeps for itself.
    #[error("{} has a tensor that is called `{METADATA}`, a name that no safetensors file can have; rename it where the file was made", path.display())]
    ReservedName {
        /// The file that was read.
        path: PathBuf,
    },
    /// The input could not be opened or read.
    #[error("{} cannot be read: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file that was to be read.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("{} cannot be written: {source}; check the folder, its permissions and the free space", path.display())]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}

/// Writes all tensors of `source` to a new safetensors file `target`, whose metadata hold the file name and the BLAKE3
/// digest of the source. Numbers with a fraction become `element` where it is given. A file that is there is replaced only
/// with `replace`. `progress` is told of the bytes of the source that were read: first for the digest, then tensor by tensor.
///
/// # Errors
/// The target is there, or is the source; a number does not fit the type; reading or writing fails. Nothing is left behind.
pub fn convert(
    source: &StoredTensors,
    target: &Path,
    element: Option<ElementType>,
    replace: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Written, ConversionError> {
    if is_same(source.path(), target) {
        return Err(ConversionError::Itself {
            path: target.into(),
        });
    }
    if !replace && target.symlink_metadata().is_ok() {
        return Err(ConversionError::Exists {
            path: target.into(),
        });
    }
    let unwritable = |source| ConversionError::Unwritable {
        path: target.into(),
        source,
    };
    let mut tensors: Vec<(&str, Dtype, Dtype, &[usize])> = source
        .descriptions()
        .map(|(name, dtype, shape)| (name, dtype, converted(dtype, element), shape))
        .collect();
    if tensors.iter().any(|(name, ..)| *name == METADATA) {
        return Err(ConversionError::ReservedName {
            path: source.path().into(),
        });
    }
    tensors.sort_by_key(|&(name, _, to, _)| (std::cmp::Reverse(to.bitsize()), name));
    let digest = digest(source.path(), progress)?;
    let header = header(source.path(), &digest, &tensors);

    let mut out = AtomicFile::create(target).map_err(unwritable)?;
    out.write_all(&header).map_err(unwritable)?;
    for &(name, from, to, _) in &tensors {
        // Always there: the names are the source's own.
        let Some(tensor) = source.get(name) else {
            continue;
        };
        if from == to {
            out.write_all(&tensor.bytes).map_err(unwritable)?;
        } else {
            let too_large = |value| ConversionError::TooLarge {
                path: source.path().into(),
                name: shown(name),
                value,
                dtype: to,
            };
            write_converted(&mut out, &tensor.bytes, from, to, unwritable, too_large)?;
        }
        progress(tensor.bytes.len() as u64);
        source.release(name);
    }
    let bytes = out.len().map_err(unwritable)?;
    let named = if replace {
        out.commit().map(|()| true)
    } else {
        // Somebody may have made the file meanwhile.
        out.commit_if_absent()
    };
    if !named.map_err(unwritable)? {
        return Err(ConversionError::Exists {
            path: target.into(),
        });
    }
    Ok(Written {
        tensors: tensors.len(),
        bytes,
    })
}

/// Whether both paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// The BLAKE3 digest of the source, read as a stream so that the map stays out of memory.
fn digest(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<blake3::Hash, ConversionError> {
    let unreadable = |source| ConversionError::Unreadable {
        path: path.into(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(unreadable)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        hasher.update(&buffer[..read]);
        progress(read as u64);
    }
}

/// The length of the header and the header, which lists the tensors with their places in their order.
fn header(
    source: &Path,
    digest: &blake3::Hash,
    tensors: &[(&str, Dtype, Dtype, &[usize])],
) -> Vec<u8> {
    let mut entries = BTreeMap::new();
    let name = source
        .file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    let metadata =
        json!({ "format": "pt", "source": name, "source_blake3": digest.to_hex().as_str() });
    entries.insert(METADATA, metadata);
    let mut end = 0_usize;
    for &(name, _, to, shape) in tensors {
        let start = end;
        // Does not overflow: the tensor is in a file, and no type is more than twice as wide as what becomes it.
        end += shape.iter().product::<usize>() * to.bitsize() / 8;
        let entry =
            json!({ "dtype": to.to_string(), "shape": shape, "data_offsets": [start, end] });
        entries.insert(name, entry);
    }
    let mut text = serde_json::Value::from_iter(entries)
        .to_string()
        .into_bytes();
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

#[cfg(test)]
mod tests {
    use super::super::stored_tensors::Container;
    use super::*;

    /// A file of one tensor of that type, converted, and the new file's tensor.
    fn convert_one(dtype: Dtype, bytes: &[u8], element: ElementType) -> Result<Vec<u8>, String> {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a"), directory.path().join("b"));
        let view = safetensors::tensor::TensorView::new(
            dtype,
            vec![bytes.len() * 8 / dtype.bitsize()],
            bytes,
        );
        let view = [("x", view.unwrap())];
        std::fs::write(&from, safetensors::serialize(view, None).unwrap()).unwrap();
        let source = StoredTensors::open(&from).unwrap();
        let outcome = convert(&source, &to, Some(element), false, &mut |_| {});
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), if outcome.is_ok() { 2 } else { 1 });
        outcome.map_err(|error| error.to_string())?;
        let written = StoredTensors::open(&to).unwrap();
        assert_eq!(written.container(), Container::Safetensors);
        Ok(written.get("x").unwrap().bytes.into_owned())
    }

    fn singles(numbers: &[f32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        // 1 + 2^-11 is between two f16, and the even one wins; the smallest f32 above it goes up.
        let numbers = singles(&[
            1.0,
            -2.5,
            1.000_488_3,
            f32::from_bits(0x3f80_1001),
            f32::INFINITY,
        ]);
        let half = convert_one(Dtype::F32, &numbers, ElementType::F16).unwrap();
        assert_eq!(half, [0, 0x3c, 0, 0xc1, 0, 0x3c, 1, 0x3c, 0, 0x7c]);
        // The same for bf16, with 1 + 2^-8 and the next f32.
        let numbers = singles(&[1.003_906_3, f32::from_bits(0x3f80_8001)]);
        let upper = convert_one(Dtype::F32, &numbers, ElementType::Bf16).unwrap();
        assert_eq!(upper, [0x80, 0x3f, 0x81, 0x3f]);
        assert_eq!(
            convert_one(Dtype::BF16, &upper, ElementType::F32).unwrap(),
            singles(&[1.0, 1.007_812_5])
        );
        let double = 0.1_f64.to_le_bytes();
        assert_eq!(
            convert_one(Dtype::F64, &double, ElementType::F32).unwrap(),
            singles(&[0.1])
        );
    }

    #[test]
    fn integers_stay_what_they_are() {
        let numbers = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            convert_one(Dtype::I32, &numbers, ElementType::F16).unwrap(),
            numbers
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_and_nothing_is_left() {
        let error =
            convert_one(Dtype::F32, &singles(&[1.0, 65520.0]), ElementType::F16).unwrap_err();
        assert!(
            error.contains("tensor `x`") && error.contains("65520") && error.contains("F16"),
            "{error}"
        );
        let error = convert_one(Dtype::F64, &1e39_f64.to_le_bytes(), ElementType::F32).unwrap_err();
        assert!(error.contains("F32 cannot hold"), "{error}");
    }
}
