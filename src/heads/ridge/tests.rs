//! Against recorded numbers: `tests/golden/probes/README.md`.

use tch::Device;

use super::super::fitting::InMemory;
use super::super::golden::{assert_near, facts, numbers, standardized, tensor};
use super::*;

const TOLERANCE: f64 = 1e-9;

/// Samples with targets of any kind, in blocks of seven.
struct Targets {
    features: Tensor,
    targets: Tensor,
}

impl Pairs for Targets {
    fn sizes(&self) -> [i64; 3] {
        let [samples, width] = self.features.size()[..] else {
            panic!("{:?}", self.features.size());
        };
        [samples, width, self.targets.size()[1]]
    }

    fn device(&self) -> Device {
        Device::Cpu
    }

    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError> {
        let [samples, ..] = self.sizes();
        for start in (0..samples).step_by(7) {
            let count = 7.min(samples - start);
            visit(
                &self.features.narrow(0, start, count),
                &self.targets.narrow(0, start, count),
            );
        }
        Ok(())
    }
}

/// Weights, biases and leave-one-out errors of a recorded probe, for each of its penalties.
fn compare(name: &str, samples: i64) {
    let pairs = Targets {
        features: standardized(samples),
        targets: tensor("targets").narrow(0, 0, samples),
    };
    let penalties = numbers(&facts(name)["penalties"]);
    let expected = |part: &str, index: usize| {
        let all = tensor(&format!("{name}.{part}"));
        all.select(0, i64::try_from(index).unwrap())
    };
    let solved = Solved::new(&pairs).unwrap();
    for (index, &penalty) in penalties.iter().enumerate() {
        let (weight, bias) = solved.layer(penalty);
        assert_near(&weight, &expected("coef", index), TOLERANCE);
        assert_near(&bias, &expected("intercept", index), TOLERANCE);
    }
    let mut errors: Vec<Vec<Tensor>> = penalties.iter().map(|_| Vec::new()).collect();
    solved
        .each_left_out(&pairs, &penalties, &mut |index, block, _| {
            errors[index].push(block.copy());
        })
        .unwrap();
    let means = numbers(&facts(name)["loo_mean_square"]);
    for (index, blocks) in errors.iter().enumerate() {
        let found = Tensor::cat(blocks, 0);
        assert_near(&found, &expected("loo_residual", index), TOLERANCE);
        let mean = found.square().mean(Type::Double).double_value(&[]);
        assert!((mean / means[index] - 1.0).abs() < TOLERANCE);
    }
}

#[test]
fn weights_and_left_out_errors_are_those_of_refitting_without_each_sample() {
    compare("ridge", 120);
}

#[test]
fn fewer_samples_than_values_have_the_same_answer_from_the_samples_side() {
    compare("ridge_wide", 16);
}

fn ridge(penalties: &[f64]) -> Ridge {
    Ridge {
        penalties: penalties.to_vec(),
        standardize: true,
    }
}

#[test]
fn the_penalty_with_the_least_left_out_error_is_chosen() {
    let facts = facts("ridge_onehot");
    let samples = InMemory {
        features: standardized(120),
        labels: tensor("labels"),
        classes: 4,
        block: 50,
    };
    let head = ridge(&numbers(&facts["penalties"]));
    let fitted = head.fit(&samples, None).unwrap();
    let FitTrace::Path {
        candidates,
        chosen,
        judge,
    } = fitted.trace
    else {
        panic!("{fitted:?}");
    };
    assert_eq!(judge, Judge::LeaveOneOut);
    assert_eq!(
        Some(candidates[chosen].penalty),
        facts["best_common_penalty"].as_f64()
    );
    let losses = numbers(&facts["loo_mean_square"]);
    let right = numbers(&facts["loo_correct_counts"]);
    for ((candidate, loss), right) in candidates.iter().zip(losses).zip(right) {
        assert!((candidate.loss / loss - 1.0).abs() < TOLERANCE);
        assert!((candidate.top1 * 120.0 - right).abs() < 1e-9);
    }
    let coefficients = tensor("ridge_onehot.coef");
    let place = i64::try_from(chosen).unwrap();
    assert_near(&fitted.weight, &coefficients.select(0, place), TOLERANCE);
}

#[test]
fn a_validation_split_judges_where_there_is_one() {
    let part = |start, count| InMemory {
        features: standardized(120).narrow(0, start, count),
        labels: tensor("labels").narrow(0, start, count),
        classes: 4,
        block: 50,
    };
    let (train, held_out) = (part(0, 90), part(90, 30));
    let fitted = ridge(&[1.0, 1e5]).fit(&train, Some(&held_out)).unwrap();
    let FitTrace::Path {
        candidates, chosen, ..
    } = fitted.trace
    else {
        panic!("{fitted:?}");
    };
    assert_eq!(chosen, 0);
    let targets = held_out.labels.one_hot(4).to_kind(Type::Double);
    let errors = targets - held_out.features.linear(&fitted.weight, Some(&fitted.bias));
    let loss = errors.square().mean(Type::Double).double_value(&[]);
    assert!((candidates[0].loss / loss - 1.0).abs() < TOLERANCE);
}

#[test]
fn what_is_no_number_is_refused() {
    let features = standardized(120);
    let _ = features.get(3).get(5).fill_(f64::NAN);
    let samples = InMemory {
        features,
        labels: tensor("labels"),
        classes: 4,
        block: 50,
    };
    let refused = ridge(&[1.0]).fit(&samples, None).map(|_| ());
    assert_eq!(refused, Err(FitError::NotFinite));
}
