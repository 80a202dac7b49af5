//! The recorded numbers of `tests/golden/probes`, for unit tests.

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tch::{Kind, Tensor};

fn read(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/probes");
    std::fs::read(folder.join(file)).unwrap()
}

/// A tensor of `probes.safetensors`; floats in 64 bits, integers as i64.
pub(crate) fn tensor(name: &str) -> Tensor {
    let bytes = read("probes.safetensors");
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let view = stored.tensor(name).unwrap();
    let (kind, wide) = match view.dtype() {
        Dtype::F64 => (Kind::Double, Kind::Double),
        Dtype::F32 => (Kind::Float, Kind::Double),
        Dtype::I32 => (Kind::Int, Kind::Int64),
        other => panic!("{name} is {other:?}"),
    };
    let shape: Vec<i64> = view
        .shape()
        .iter()
        .map(|&side| i64::try_from(side).unwrap())
        .collect();
    Tensor::from_data_size(view.data(), &shape, kind).to_kind(wide)
}

/// What `probes.json` says of a probe.
pub(crate) fn facts(name: &str) -> Value {
    let all: Value = serde_json::from_slice(&read("probes.json")).unwrap();
    all[name].clone()
}

/// A list of numbers of `probes.json`.
pub(crate) fn numbers(facts: &Value) -> Vec<f64> {
    let list = facts.as_array().unwrap().iter();
    list.map(|number| number.as_f64().unwrap()).collect()
}

/// The recorded features, or the first of them, less their mean and divided by their deviation.
pub(crate) fn standardized(rows: i64) -> Tensor {
    let features = tensor("features").narrow(0, 0, rows);
    let mean = features.mean_dim(0, true, None);
    let deviation = (&features - &mean).square().mean_dim(0, true, None).sqrt();
    (features - mean) / deviation
}

/// That no number is further from what it should be than so much of the largest of them.
#[track_caller]
pub(crate) fn assert_near(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size());
    let off = (found - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(off <= tolerance * scale, "{off:e} beside {scale:e}");
}
