//! Where samples come from, and a window of them in memory.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::TrainError;
use crate::feature_type::FeatureType;
use crate::numbers::{from_i64, to_i64};

const fn kind_of(values: FeatureType) -> Kind {
    match values {
        FeatureType::F32 => Kind::Float,
        FeatureType::F16 => Kind::Half,
    }
}

/// The samples of one split, without what is computed of them.
pub trait Samples: Sync {
    /// How many samples the split has.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the sample in its dataset; `row` is below [`Samples::len`].
    fn id(&self, row: usize) -> &str;

    /// Its class, from 0.
    fn label(&self, row: usize) -> u32;
}

/// The samples of one split and their features, wherever they are.
pub trait Rows: Samples {
    /// How many features each sample has, which differ in view and draw alone; at least one.
    fn views(&self) -> usize;

    /// Their number type.
    fn feature_type(&self) -> FeatureType;

    /// Whether the views behind the first are computed when they are asked for, so that nobody should ask twice, or for all at once.
    fn is_fresh(&self) -> bool {
        false
    }

    /// Copies one feature as it is stored: `C × S × S` numbers in the machine's byte order.
    ///
    /// # Errors
    /// There is no such feature, or it has another size: a bug. `out` is then whatever it was.
    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError>;

    /// Copies several, which `which` names by view and row, one behind the other.
    ///
    /// # Errors
    /// As [`Rows::copy`], or what goes wrong where they have to be computed first.
    fn fill(&self, which: &[(usize, usize)], out: &mut [u8]) -> Result<(), TrainError> {
        if let Some(row_bytes) = out
            .len()
            .checked_div(which.len())
            .filter(|bytes| *bytes > 0)
        {
            out.par_chunks_mut(row_bytes)
                .zip(which)
                .try_for_each(|(out, &(view, row))| self.copy(view, row, out))?;
        }
        Ok(())
    }

    /// Releases the memory of what was copied, which is not needed any more.
    fn forget(&self) {}
}

/// Bytes that are copied before what they were copied from is let go: a mapped file counts as memory of the program.
const AT_ONCE: usize = 16 << 20;

/// Bytes that are in the host's memory on their way to a GPU.
const STAGED: usize = 64 << 20;

/// Features in memory: `[n, D]` in the number type that they are stored in, on a device.
///
/// `which` names view and row of each, in any order. They are copied by all cores; nothing else of the split is touched.
///
/// # Errors
/// As [`Rows::fill`].
pub(super) fn load(
    rows: &dyn Rows,
    which: &[(usize, usize)],
    width: usize,
    device: Device,
) -> Result<Tensor, TrainError> {
    if device == Device::Cpu {
        let mut values = room(rows, which.len(), width);
        load_into(rows, which, &mut values)?;
        return Ok(values);
    }
    // Only a piece of them is in the host's memory at once.
    let kind = kind_of(rows.feature_type());
    let values = Tensor::empty([to_i64(which.len()), to_i64(width)], (kind, device));
    let at_once = (STAGED / (width * rows.feature_type().bytes()).max(1)).max(1);
    let mut staged = room(rows, at_once.min(which.len()), width);
    for (number, which) in which.chunks(at_once).enumerate() {
        load_into(rows, which, &mut staged)?;
        let (start, count) = (to_i64(number * at_once), to_i64(which.len()));
        let mut place = values.narrow(0, start, count);
        tch::no_grad(|| place.copy_(&staged.narrow(0, 0, count)));
    }
    Ok(values)
}

/// A tensor `[count, D]` on the CPU for features of a split, whose values are whatever was there.
pub fn room(rows: &dyn Rows, count: usize, width: usize) -> Tensor {
    let kind = kind_of(rows.feature_type());
    Tensor::empty([to_i64(count), to_i64(width)], (kind, Device::Cpu))
}

/// Features into the first rows of a tensor that [`room`] has made for as many of them, or more.
///
/// # Errors
/// As [`Rows::fill`].
pub fn load_into(
    rows: &dyn Rows,
    which: &[(usize, usize)],
    values: &mut Tensor,
) -> Result<(), TrainError> {
    let count = from_i64(values.size()[0]);
    let bytes = bytes_of(values);
    let row_bytes = bytes.len().checked_div(count).unwrap_or(0);
    let Some(at_once) = AT_ONCE.checked_div(row_bytes) else {
        return Ok(());
    };
    let at_once = at_once.max(1);
    for (bytes, which) in bytes
        .chunks_mut(at_once * row_bytes)
        .zip(which.chunks(at_once))
    {
        let length = bytes.len().min(which.len() * row_bytes);
        rows.fill(which, &mut bytes[..length])?;
        rows.forget();
    }
    Ok(())
}

/// The memory of a tensor that [`room`] has made; none of any other.
#[expect(unsafe_code, reason = "there is no safe way to the memory of a tensor")]
fn bytes_of(tensor: &mut Tensor) -> &mut [u8] {
    if !tensor.is_contiguous() || tensor.device() != Device::Cpu {
        return &mut [];
    }
    let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
    // SAFETY: the tensor is contiguous, on the CPU and has this many bytes. The borrow is unique, and views of the tensor that
    // somebody else has are not looked at meanwhile: the trainer hands rooms on only when it is done with them. Any byte is a
    // valid part of a float.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), bytes) }
}

/// Samples in memory, for tests and for whoever has computed them already.
#[derive(Debug, Clone, Default)]
pub struct RowsInMemory {
    /// One id for each sample.
    pub ids: Vec<String>,
    /// Classes, from 0.
    pub labels: Vec<u32>,
    /// Features, row-major `[n, D]`, view by view.
    pub views: Vec<Vec<f32>>,
}

impl Samples for RowsInMemory {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, row: usize) -> &str {
        &self.ids[row]
    }

    fn label(&self, row: usize) -> u32 {
        self.labels[row]
    }
}

impl Rows for RowsInMemory {
    fn views(&self) -> usize {
        self.views.len()
    }

    fn feature_type(&self) -> FeatureType {
        FeatureType::F32
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let width = out.len() / 4;
        let values = &self.views[view][row * width..(row + 1) * width];
        for (out, value) in out.chunks_exact_mut(4).zip(values) {
            out.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    }
}
