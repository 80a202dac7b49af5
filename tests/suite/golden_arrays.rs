//! Arrays that were recorded, and how they are compared.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use crate::fixture::root;

/// The arrays of a file below `tests/golden`, by name.
pub fn golden(file: &str) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(root().join("tests/golden").join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let shape = view.shape().iter();
        let shape: Vec<i64> = shape.map(|&size| i64::try_from(size).unwrap()).collect();
        (
            name,
            Tensor::from_data_size(view.data(), &shape, Kind::Float),
        )
    };
    tensors.tensors().into_iter().map(read).collect()
}

/// Whether two arrays have one shape and differ by no more than `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found.to_kind(Kind::Float) - expected).abs().max();
    let difference = difference.double_value(&[]);
    assert!(difference <= tolerance, "{what}: {difference:e}");
}

/// Every `step`-th entry along an axis.
pub fn every(x: &Tensor, axis: i64, step: i64) -> Tensor {
    x.slice(axis, None::<i64>, None::<i64>, step)
}

/// The numbers of a tensor, row-major.
pub fn numbers(x: &Tensor) -> Vec<f32> {
    Vec::try_from(x.contiguous().flatten(0, -1)).unwrap()
}
