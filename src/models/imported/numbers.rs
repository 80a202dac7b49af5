//! The numbers of a file as f32.

use std::ops::Range;

use half::{bf16, f16};
use safetensors::Dtype;

use crate::models::checkpoint::stored_tensors::{Content, StoredTensors};

/// Where the numbers are.
#[derive(Debug)]
pub(super) enum Values {
    /// Nowhere: the file was described only.
    Unread,
    /// In memory, row by row.
    InMemory(Vec<f32>),
    /// In a part of a file, or of what it unpacks into, one number behind the other.
    InPlace(Content, Range<usize>, Dtype),
    /// In a tensor whose elements are in a row.
    Stored(Box<StoredTensors>, String),
}

impl Values {
    /// Appends the values of a row; `false` where there is no such row.
    pub(super) fn read(&self, row: usize, width: usize, into: &mut Vec<f32>) -> bool {
        let from = row.checked_mul(width);
        let range = from.and_then(|from| Some(from..from.checked_add(width)?));
        let Some(range) = range else {
            return false;
        };
        match self {
            Self::Unread => false,
            Self::InMemory(values) => match values.get(range) {
                Some(values) => {
                    into.extend_from_slice(values);
                    true
                }
                None => false,
            },
            Self::InPlace(content, bytes, dtype) => {
                let bytes = content.bytes().get(bytes.clone()).unwrap_or_default();
                part_of(bytes, range, *dtype).is_some_and(|bytes| append(*dtype, bytes, into))
            }
            Self::Stored(file, name) => {
                let Some(tensor) = file.get(name) else {
                    return false;
                };
                let dtype = tensor.dtype;
                let bytes = part_of(&tensor.bytes, range, dtype);
                bytes.is_some_and(|bytes| append(dtype, bytes, into))
            }
        }
    }
}

/// The bytes of some of the numbers.
fn part_of(bytes: &[u8], numbers: Range<usize>, dtype: Dtype) -> Option<&[u8]> {
    let size = dtype.bitsize() / 8;
    let (start, end) = (
        numbers.start.checked_mul(size)?,
        numbers.end.checked_mul(size)?,
    );
    bytes.get(start..end)
}

/// The numbers of an array whose first axis is the fastest in memory, with the last one the fastest; `shape` is the array's.
pub(super) fn in_rows(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1_usize;
    for &size in shape {
        strides.push(stride);
        stride = stride.saturating_mul(size);
    }
    let mut index = vec![0_usize; shape.len()];
    let mut rows = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let place = index.iter().zip(&strides);
        let place: usize = place.map(|(index, stride)| index * stride).sum();
        rows.push(values.get(place).copied().unwrap_or(f32::NAN));
        for (index, &size) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
    rows
}

/// Whether numbers of a type can be features.
pub(super) fn is_readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// Appends little-endian numbers as f32, the nearest ones of f64; `false` for numbers of another type.
pub(super) fn append(dtype: Dtype, bytes: &[u8], into: &mut Vec<f32>) -> bool {
    match dtype {
        Dtype::F16 => into.extend(chunks(bytes).map(|bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => into.extend(chunks(bytes).map(|bytes| bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F32 => into.extend(chunks(bytes).map(f32::from_le_bytes)),
        Dtype::F64 => into.extend(chunks(bytes).map(|bytes| narrowed(f64::from_le_bytes(bytes)))),
        _ => return false,
    }
    true
}

/// The nearest number of 32 bits; infinite where there is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "features are kept in 32 bits"
)]
pub(super) fn narrowed(value: f64) -> f32 {
    value as f32
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}
