//! One tensor out of a file, and whether it is there.

use safetensors::Dtype;
use tch::{Kind, Tensor};

use super::{Source, WeightMap, WeightMismatch, WrongShape};
use crate::models::checkpoint::file_names::is_shape;
use crate::models::checkpoint::stored_tensors::StoredTensors;

/// Copies a tensor out of the file, or records in `mismatch` why that is impossible.
pub(super) fn read(
    file: &StoredTensors,
    name: &str,
    shape: &[usize],
    sizes: &[i64],
    mismatch: &mut WeightMismatch,
) -> Option<Tensor> {
    let Some(stored) = file.get(name) else {
        mismatch.missing.push((name.into(), shape.into()));
        return None;
    };
    if !is_shape(shape, stored.shape) {
        let (expected, found) = (shape.into(), stored.shape.into());
        mismatch.wrong_shape.push(WrongShape {
            name: name.into(),
            expected,
            found,
        });
        return None;
    }
    let kind = match stored.dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        other => {
            mismatch
                .wrong_type
                .push((name.into(), format!("{other:?}")));
            return None;
        }
    };
    // The bytes are copied as they are; libtorch, like the format, is little-endian on every supported platform.
    let tensor = Tensor::from_data_size(&stored.bytes, sizes, kind).to_kind(Kind::Float);
    file.release(name);
    Some(tensor)
}

impl WeightMap {
    /// Whether parameters come from a file that has none of this name.
    pub fn lacks(&self, name: &str) -> bool {
        matches!(self.source, Source::File(..)) && self.shape_of(name).is_none()
    }
}
