//! Numbers of one type as numbers of another.

use std::io::{self, Write};

use half::{bf16, f16};
use safetensors::Dtype;

use super::ConversionError;

/// Elements that are converted at a time.
const CHUNK: usize = 1 << 16;

/// What numbers with a fraction become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
}

/// The type of a tensor in the new file.
pub(super) fn converted(dtype: Dtype, element: Option<ElementType>) -> Dtype {
    match (dtype, element) {
        (Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16, Some(element)) => match element {
            ElementType::F32 => Dtype::F32,
            ElementType::F16 => Dtype::F16,
            ElementType::Bf16 => Dtype::BF16,
        },
        _ => dtype,
    }
}

/// Writes numbers as another type, rounded to the nearest, ties to even; f64 to 16 bits by way of f32, as PyTorch does it.
pub(super) fn write_converted(
    out: &mut impl Write,
    bytes: &[u8],
    from: Dtype,
    to: Dtype,
    unwritable: impl Fn(io::Error) -> ConversionError,
    too_large: impl Fn(f64) -> ConversionError,
) -> Result<(), ConversionError> {
    let mut buffer = Vec::with_capacity(CHUNK * 4);
    for chunk in bytes.chunks(CHUNK * (from.bitsize() / 8)) {
        buffer.clear();
        let misfit = match from {
            Dtype::F64 => append(&mut buffer, chunk, to, f64::from_le_bytes),
            Dtype::F32 => append(&mut buffer, chunk, to, |bytes| {
                f32::from_le_bytes(bytes).into()
            }),
            Dtype::F16 => append(&mut buffer, chunk, to, |bytes| {
                f16::from_le_bytes(bytes).into()
            }),
            _ => append(&mut buffer, chunk, to, |bytes| {
                bf16::from_le_bytes(bytes).into()
            }),
        };
        if let Some(value) = misfit {
            return Err(too_large(value));
        }
        out.write_all(&buffer).map_err(&unwritable)?;
    }
    Ok(())
}

/// Appends converted numbers; gives the first that is finite and would not stay so.
fn append<const N: usize>(
    buffer: &mut Vec<u8>,
    bytes: &[u8],
    to: Dtype,
    number: impl Fn([u8; N]) -> f64,
) -> Option<f64> {
    for &bytes in bytes.as_chunks::<N>().0 {
        let value = number(bytes);
        // Exact unless the source is f64. `half` has conversions from f64 too, but they leave out half of its bits.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding is what was asked for"
        )]
        let single = value as f32;
        let stays_finite = match to {
            Dtype::F16 => {
                let half = f16::from_f32(single);
                buffer.extend_from_slice(&half.to_le_bytes());
                half.is_finite()
            }
            Dtype::BF16 => {
                let half = bf16::from_f32(single);
                buffer.extend_from_slice(&half.to_le_bytes());
                half.is_finite()
            }
            _ => {
                buffer.extend_from_slice(&single.to_le_bytes());
                single.is_finite()
            }
        };
        if value.is_finite() && !stays_finite {
            return Some(value);
        }
    }
    None
}
