//! Heads that are fitted to all samples, from their rows to what they leave.

use tch::{Kind, Tensor};

use super::*;
use crate::feature_type::FeatureType;
use crate::heads::golden::{assert_near, facts, tensor};
use crate::heads::{FitBlocks, FitTrace, Fitted, Fitting, InMemory};
use crate::trainer::heads::rows::load;
use crate::trainer::heads::standard::Standard;

/// The recorded features as rows.
fn recorded() -> RowsInMemory {
    let labels = Vec::<i64>::try_from(tensor("labels")).unwrap();
    let features = tensor("features").to_kind(Kind::Float).flatten(0, 1);
    RowsInMemory {
        ids: (0..labels.len()).map(|row| row.to_string()).collect(),
        labels: labels
            .into_iter()
            .map(|label| u32::try_from(label).unwrap())
            .collect(),
        views: vec![Vec::try_from(features).unwrap()],
    }
}

/// A fit to the recorded rows, standardized as a scan does it.
fn fit(head: &dyn Head) -> (Fitted, Tensor) {
    let rows = recorded();
    let data = Data {
        train: &rows,
        judged: None,
        test: &rows,
        shape: FeatureShape::square(20, 1),
        classes: 4,
        device: Device::Cpu,
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    let standard = Standard::of(&data, 1, &[&all], &|| true).unwrap().pop();
    let which: Vec<_> = all.iter().map(|&row| (0, row)).collect();
    let stored = load(&rows, &which, 20, Device::Cpu).unwrap();
    let features = standard.unwrap().apply_wide(&stored);
    let samples = InMemory {
        features: features.shallow_clone(),
        labels: tensor("labels"),
        classes: 4,
        block: 50,
    };
    let Fitting::Blocks(fitting) = head.fitting() else {
        panic!("{head:?}");
    };
    let fitting: &dyn FitBlocks = fitting;
    (fitting.fit(&samples, None).unwrap(), features)
}

#[test]
fn logistic_regression_on_standardized_features_is_at_the_recorded_optimum() {
    let rows = facts("logistic")["rows"].clone();
    for (index, (c, tolerance)) in [(0.01, 1e-6), (1.0, 1e-6), (100.0, 1e-4)]
        .into_iter()
        .enumerate()
    {
        let keys = format!("c = {c}\nstandardize = true\ntolerance = 1e-11\n");
        let (fitted, features) = fit(&*head("logistic", &keys));
        let expected = |part: &str| {
            let all = tensor(&format!("logistic.{part}"));
            all.select(0, i64::try_from(index).unwrap())
        };
        let off =
            |found: &Tensor, expected: &Tensor| (found - expected).abs().max().double_value(&[]);
        assert!(off(&fitted.weight, &expected("coef")) < tolerance);
        let bias = &fitted.bias - fitted.bias.mean(Kind::Double);
        assert!(off(&bias, &expected("intercept")) < tolerance);
        let logits = features.linear(&fitted.weight, Some(&fitted.bias));
        let probabilities = logits.softmax(1, None);
        assert!(off(&probabilities, &expected("probabilities")) < 1e-6);
        let FitTrace::Iterated { iterations, .. } = &fitted.trace else {
            panic!("{fitted:?}");
        };
        // Ours is divided by c times the number of samples.
        let recorded = rows[index]["objective_C_sum_nll_plus_half_squares"].as_f64();
        let objective = iterations.last().unwrap().objective * c * 120.0;
        assert!((objective / recorded.unwrap() - 1.0).abs() < 1e-8);
    }
}

#[test]
fn ridge_on_standardized_features_has_the_recorded_weights() {
    let (fitted, _) = fit(&*head("ridge", "penalty = [1.0, 0.1, 10.0]"));
    let FitTrace::Path { chosen, .. } = fitted.trace else {
        panic!("{fitted:?}");
    };
    assert_eq!(chosen, 0);
    assert_near(
        &fitted.weight,
        &tensor("ridge_onehot.coef").select(0, 2),
        1e-9,
    );
    assert_near(
        &fitted.bias,
        &tensor("ridge_onehot.intercept").select(0, 2),
        1e-9,
    );
}

/// Rows in half precision.
struct Half(RowsInMemory);

impl Samples for Half {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn id(&self, row: usize) -> &str {
        self.0.id(row)
    }

    fn label(&self, row: usize) -> u32 {
        self.0.label(row)
    }
}

impl Rows for Half {
    fn views(&self) -> usize {
        1
    }

    fn feature_type(&self) -> FeatureType {
        FeatureType::F16
    }

    fn copy(&self, view: usize, row: usize, out: &mut [u8]) -> Result<(), TrainError> {
        let mut wide = vec![0; out.len() * 2];
        self.0.copy(view, row, &mut wide)?;
        for (out, wide) in out.chunks_exact_mut(2).zip(wide.chunks_exact(4)) {
            let value = f32::from_ne_bytes([wide[0], wide[1], wide[2], wide[3]]);
            out.copy_from_slice(&half::f16::from_f32(value).to_ne_bytes());
        }
        Ok(())
    }
}

#[test]
fn memory_and_number_type_change_nothing_but_where_samples_are_read_from() {
    let (train_rows, test_rows) = (samples_of(64, 2000, true, 1), samples_of(64, 300, true, 2));
    let (train_rows, test_rows) = (Half(train_rows), Half(test_rows));
    let data = Data {
        train: &train_rows,
        judged: None,
        test: &test_rows,
        shape: FeatureShape::square(64, 1),
        classes: 4,
        device: Device::Cpu,
    };
    let mut training = training(1);
    training.logits = true;
    for holdout in [0.0, 0.2] {
        training.holdout = holdout;
        for (kind, keys) in [
            ("ridge", "penalty = [1e-2, 1.0, 1e2]"),
            ("logistic", "c = 1.0\nstandardize = true"),
            ("knn", ""),
        ] {
            let head = head(kind, keys);
            let with = |memory: u64| {
                let limits = Limits {
                    memory,
                    device_memory: None,
                    keep_going: &|| true,
                    epoch_done: &|_| {},
                    checkpoint_seconds: 1.0,
                };
                let job = Job {
                    head: &*head,
                    training: &training,
                    seed: 0,
                    name: "head",
                };
                whole::fit(&job, &data, &limits)
            };
            let plenty = with(PLENTY).unwrap();
            assert!(right(&plenty) > 290, "{kind} {}", right(&plenty));
            let judged = plenty.held_out;
            assert_eq!(judged.is_some(), holdout > 0.0 || kind == "ridge", "{kind}");
            assert!(judged.is_none_or(|(loss, top1)| loss < 1.0 && top1 > 0.95));
            assert!(matches!(with(100_000), Err(TrainError::Memory { .. })));
            if kind == "knn" {
                continue;
            }
            // Blocks are 4 MiB, the samples as they are stored 256 kB.
            let at_once = 2000 * 64 * 8 * 4;
            let little = (at_once..)
                .step_by(10_000)
                .find_map(|memory| with(memory).ok().map(|found| (memory, found)));
            let (memory, little) = little.unwrap();
            assert!(memory < at_once + 1_000_000, "{kind} {memory}");
            assert_eq!(plenty.weights, little.weights, "{kind}");
            assert_eq!(plenty.logits, little.logits, "{kind}");
            assert_eq!(plenty.trace, little.trace, "{kind}");
        }
    }
}
