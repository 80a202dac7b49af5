//! The names that a checkpoint's pickle may ask for. None of them is looked up anywhere: each stands for something that
//! is done here.
//!
//! # Reference
//! pytorch/pytorch v2.11.0: torch/_utils.py, torch/storage.py, torch/_tensor.py (`__reduce_ex__`).
//!
//! # Deviations
//! Storages of complex, quantized and float8 numbers are refused by name.

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
}

/// What a name stands for; `None` where it is not let through.
pub(super) fn find(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "Size") => Global::Size,
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
