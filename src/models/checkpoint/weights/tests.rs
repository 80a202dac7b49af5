//! Tests of the parameters that a network takes.

use super::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Writes a file of f32 tensors, `a` [2] and `b` [2, 2], and one of another type, and opens it.
fn stored(dtype: Dtype, bytes_of: impl Fn(f32) -> Vec<u8>) -> WeightMap {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.safetensors");
    let data = |values: &[f32]| {
        values
            .iter()
            .copied()
            .flat_map(&bytes_of)
            .collect::<Vec<u8>>()
    };
    let (a, b) = (data(&[1.0, -2.5]), data(&[0.5, 0.25, 3.0, 4.0]));
    let tensors = [
        ("a", TensorView::new(dtype, vec![2], &a).unwrap()),
        ("b", TensorView::new(dtype, vec![2, 2], &b).unwrap()),
        (
            "count",
            TensorView::new(Dtype::I64, vec![], &[0; 8]).unwrap(),
        ),
    ];
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    WeightMap::from_file(&path).unwrap()
}

#[test]
fn every_float_type_becomes_f32() {
    for mut weights in [
        stored(Dtype::F32, |value| value.to_le_bytes().into()),
        stored(Dtype::F16, |value| {
            half::f16::from_f32(value).to_le_bytes().into()
        }),
        stored(Dtype::BF16, |value| {
            half::bf16::from_f32(value).to_le_bytes().into()
        }),
    ] {
        let b = weights.take("b", &[2, 2]);
        assert_eq!(b.kind(), Kind::Float);
        assert_eq!(
            b,
            Tensor::from_slice(&[0.5_f32, 0.25, 3.0, 4.0]).view([2, 2])
        );
    }
}

#[test]
fn all_misfits_are_reported_at_once() {
    let mut weights = stored(Dtype::F32, |value| value.to_le_bytes().into());
    assert_eq!(weights.take("a", &[3]).size(), [3]);
    assert_eq!(weights.take("absent", &[4, 5]).size(), [4, 5]);
    assert_eq!(weights.take("count", &[]).size(), [0_i64; 0]);
    let Err(WeightError::Mismatch(mismatch)) = weights.finish() else {
        panic!("misfits were not reported");
    };
    assert_eq!(mismatch.missing, [("absent".into(), vec![4, 5])]);
    assert_eq!(mismatch.unused, ["b"]);
    assert_eq!(
        mismatch.wrong_shape,
        [WrongShape {
            name: "a".into(),
            expected: vec![3],
            found: vec![2]
        }]
    );
    assert_eq!(mismatch.wrong_type, [("count".into(), "I64".into())]);
    let text = mismatch.to_string();
    for fragment in [
        "net.safetensors",
        "`absent` [4, 5]",
        "`b`",
        "`a` is [2], the network needs [3]",
        "`count` is I64",
    ] {
        assert!(text.contains(fragment), "{fragment:?} is not in:\n{text}");
    }
}

#[test]
fn synthetic_weights_fit_every_network() {
    let mut weights = WeightMap::synthetic(1);
    let tensor = weights.take("a.bias", &[5]);
    assert_eq!(
        tensor,
        Tensor::from_slice(&synthetic::fill("a.bias", &[5], 1))
    );
    assert!(weights.finish().is_ok());
    assert_eq!(weights.requested(), [("a.bias".into(), vec![5])]);
}
