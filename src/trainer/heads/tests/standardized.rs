//! Heads on standardized features.

use super::*;

/// Samples whose values have scales and offsets of their own.
fn uneven(count: usize, seed: u64) -> RowsInMemory {
    let mut rows = samples(count, true, seed);
    for (index, value) in rows.views[0].iter_mut().enumerate() {
        let axis = index % 8;
        *value = match axis {
            7 => 3.0,
            axis => *value * 10f32.powi(i32::try_from(axis).unwrap() - 4) + 100.0,
        };
    }
    rows
}

fn standardized(
    kind: &str,
    training: &Training,
    data: (&RowsInMemory, &RowsInMemory),
    memory: u64,
) -> Outcome {
    let head = head(kind, "standardize = true");
    let outcomes = run_head(&*head, &[(training, 0)], data, memory, &NOWHERE, u32::MAX).unwrap();
    outcomes.into_iter().next().unwrap().unwrap()
}

#[test]
fn scales_of_features_do_not_matter_and_the_stored_head_reads_them_as_they_are() {
    let (train_rows, test_rows) = (uneven(400, 1), uneven(100, 2));
    let data = (&train_rows, &test_rows);
    let mut training = training(12);
    training.logits = true;
    let plain = one(&training, 0, data);
    let outcome = standardized("linear", &training, data, PLENTY);
    assert!(right(&outcome) > 90, "{}", right(&outcome));
    assert!(right(&outcome) > right(&plain) + 10, "{}", right(&plain));
    // What was stored, on the features themselves.
    let stored = safetensors::SafeTensors::deserialize(&outcome.weights).unwrap();
    let tensor = |name: &str, shape: &[i64]| {
        let data = stored.tensor(name).unwrap();
        tch::Tensor::from_data_size(data.data(), shape, tch::Kind::Float)
    };
    let (weight, bias) = (tensor("fcs.0.weight", &[4, 8]), tensor("fcs.0.bias", &[4]));
    let features = tch::Tensor::from_slice(&test_rows.views[0]).view([-1, 8]);
    let features = features.to_kind(tch::Kind::Double);
    let logits = features.linear(
        &weight.to_kind(tch::Kind::Double),
        Some(&bias.to_kind(tch::Kind::Double)),
    );
    let expected = tch::Tensor::from_slice(&outcome.logits.unwrap()).view([-1, 4]);
    let off = (logits - expected).abs().max().double_value(&[]);
    // Weights on values of a deviation of 1e-4 around 100 are stored in 32 bits.
    assert!(off < 0.05, "{off}");
}

#[test]
fn neither_memory_nor_company_changes_what_is_standardized() {
    let (train_rows, test_rows) = (uneven(5000, 1), uneven(50, 2));
    let data = (&train_rows, &test_rows);
    let mut training = training(2);
    training.holdout = 0.1;
    let head = head("mlp", "hidden = [16]\nstandardize = true");
    let with = |jobs: &[(&Training, u64)], memory| {
        let outcomes = run_head(&*head, jobs, data, memory, &NOWHERE, u32::MAX).unwrap();
        outcomes.into_iter().next().unwrap().unwrap()
    };
    let alone = with(&[(&training, 0)], PLENTY);
    assert_eq!(alone.weights, with(&[(&training, 0)], 200_000).weights);
    assert_eq!(alone.weights, with(&[(&training, 0)], 100_000).weights);
    let company = with(&[(&training, 0), (&training, 1)], PLENTY);
    assert_eq!(alone.weights, company.weights);
    assert_eq!(alone.epochs, company.epochs);
}
