//! `repro models convert`: the tensors of a checkpoint as a safetensors file.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::exit::Failure;
use super::super::meter::{Meter, Unit};
use super::super::say;
use crate::models::checkpoint::conversion::{ConversionError, ElementType, convert};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::text::{bytes, plural};
use crate::visible::shown;

/// Arguments of `repro models convert`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models convert 256x256_diffusion_uncond.pt adm-256.safetensors\n  repro models convert adm-256.safetensors adm-256-half.safetensors --dtype f16\n\nThe file appears only when it is whole, and the same input gives the same bytes. Its metadata name the input and its BLAKE3 digest."
)]
pub struct Arguments {
    /// The checkpoint: a safetensors file or a PyTorch checkpoint.
    #[arg(value_name = "IN")]
    source: PathBuf,
    /// The safetensors file to write.
    #[arg(value_name = "OUT.safetensors")]
    target: PathBuf,
    /// What numbers with a fraction become; integers and booleans stay what they are.
    #[arg(long, value_enum, default_value_t = Dtype::Keep)]
    dtype: Dtype,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Dtype {
    /// Single precision, 32 bits.
    F32,
    /// Half precision, 16 bits; refused where a number is too large for it.
    F16,
    /// 16 bits with the range of single precision.
    Bf16,
    /// What they are.
    Keep,
}

/// Writes the file.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    write(
        &StoredTensors::open(&arguments.source)?,
        &arguments.target,
        arguments.dtype,
        arguments.force,
    )
}

/// Writes the tensors of one file into another.
pub(super) fn write(
    source: &StoredTensors,
    target: &Path,
    dtype: Dtype,
    force: bool,
) -> Result<(), Failure> {
    let element = match dtype {
        Dtype::F32 => Some(ElementType::F32),
        Dtype::F16 => Some(ElementType::F16),
        Dtype::Bf16 => Some(ElementType::Bf16),
        Dtype::Keep => None,
    };
    // The file is read twice: for its digest, and for its tensors.
    let sizes = source.descriptions().map(|(_, dtype, shape)| {
        let numbers = shape.iter().product::<usize>();
        (numbers * dtype.bitsize() / 8) as u64
    });
    let of = source.file_bytes() + sizes.sum::<u64>();
    let mut meter = Meter::new(Unit::Bytes, 0, Some(of), "convert", None);
    let written = convert(source, target, element, force, &mut |read| {
        if let Some(numbers) = meter.advance(read) {
            say!("convert: {numbers}");
        }
    });
    meter.end();
    let written = written?;
    for other in source.others() {
        say!("left out: {}, {}", shown(&other.name), other.what);
    }
    say::always(&format!(
        "{}: {}, {}",
        target.display(),
        plural(written.tensors, "tensor"),
        bytes(written.bytes)
    ));
    Ok(())
}

impl From<ConversionError> for Failure {
    fn from(error: ConversionError) -> Self {
        match error {
            ConversionError::Exists { .. }
            | ConversionError::Itself { .. }
            | ConversionError::TooLarge { .. } => Self::Usage(error.to_string().into()),
            ConversionError::ReservedName { .. }
            | ConversionError::Unreadable { .. }
            | ConversionError::Unwritable { .. } => Self::Input(error.to_string().into()),
        }
    }
}
