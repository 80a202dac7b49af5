//! The names that a checkpoint's pickle may ask for. None of them is looked up anywhere: each stands for something that
//! is done here.
//!
//! # Reference
//! pytorch/pytorch v2.11.0: torch/_utils.py, torch/storage.py, torch/_tensor.py (`__reduce_ex__`).
//!
//! # Deviations
//! What Lightning keeps of a training beside the tensors, in checkpoints such as those of Stable Diffusion v1, is let through where it is known
//! by name, and stands for nothing. Storages of complex, quantized and float8 numbers are refused by name.

use ::safetensors::Dtype;

/// A name that is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models::checkpoint::stored_tensors) enum Global {
    /// `collections.OrderedDict`, called without arguments: an empty dict.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a view of a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: its first argument, a tensor.
    RebuildParameter,
    /// `torch.Size`: its argument, a tuple.
    Size,
    /// A class of storages, which says what type their elements are; never called.
    Storage(Dtype),
    /// `pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint`, which Lightning's checkpoints have as the key of an entry; never
    /// called.
    ModelCheckpoint,
    /// `numpy.core.multiarray.scalar`, as NumPy 1 writes a number: a number that is not read.
    NumpyScalar,
    /// `numpy.dtype`: the type of such a number, which is not read.
    NumpyType,
    /// `_codecs.encode`: the bytes of such a number, which are not read.
    Encoded,
}

/// What a name stands for; `None` where it is not let through.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "Size") => Global::Size,
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") => {
            Global::ModelCheckpoint
        }
        ("numpy.core.multiarray", "scalar") => Global::NumpyScalar,
        ("numpy", "dtype") => Global::NumpyType,
        ("_codecs", "encode") => Global::Encoded,
        ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
        ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
        ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
        ("torch", "LongStorage") => Global::Storage(Dtype::I64),
        ("torch", "IntStorage") => Global::Storage(Dtype::I32),
        ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
        ("torch", "CharStorage") => Global::Storage(Dtype::I8),
        ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
        ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
        _ => return None,
    })
}
