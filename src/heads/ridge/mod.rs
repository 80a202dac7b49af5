//! `ridge`: least squares on one-hot targets with an L2 penalty, in closed form, for a path of penalties of which one is chosen.
//!
//! # Reference
//! Hoerl and Kennard 1970. As in scikit-learn's `Ridge` and `RidgeCV`: the sum of the squared errors over samples and classes, plus
//! the penalty times the sum of the squared weights; the bias is not penalized. The penalty with the smallest mean squared
//! leave-one-out error is taken, which follows from one fit to all samples: a residual over 1 less its leverage
//! (Allen 1974). Standardization stays that of all training samples.
//!
//! # Shapes
//! `[N, D]` to `[N, K]`: `logits = features · weightᵀ + bias`, with D = C × S × S. A logit is an estimate of the share of a class.
//!
//! # Deviations
//! Everything is computed in 64 bits, whatever the features are stored in.
//!
//! # Parity
//! scikit-learn, and refitting without each sample: `tests/golden/probes/README.md`.

#[cfg(feature = "torch")]
mod solve;
#[cfg(feature = "torch")]
#[cfg(test)]
mod tests;

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::{Kind as Type, Tensor};

#[cfg(feature = "torch")]
use self::solve::{Pairs, Solved};
#[cfg(feature = "torch")]
use super::fitting::{Blocks, Candidate, FitBlocks, FitError, FitTrace, Fitted, Fitting, Judge};
use super::{FeatureShape, Head, HeadKind, ParameterForm, Role};
#[cfg(feature = "torch")]
use super::{Mode, stacked::linear_shared};
use crate::spec::{Boolean, Fields, Key, Kind, KindDoc, List, Number};
use crate::trainer;
use crate::trainer::config::STANDARDIZE;

const PENALTY: Key<List<Number>> = Key::list("penalty", Number::above(0.0).to(1e15))
    .items(1..=100)
    .default(&[1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6])
    .doc("The weights of the sum of squared weights, of which one is chosen: by leave-one-out errors, or with `holdout` by the errors on the validation split.");
const STANDARDIZED: Key<Boolean> = STANDARDIZE.default(true);

/// `kind = "ridge"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "ridge",
        summary: "Least squares on one-hot targets with an L2 penalty, in closed form; the penalty is chosen from a list.",
        keys: &[&PENALTY, &STANDARDIZED],
        shared: trainer::config::KEYS_WITHOUT_STEPS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    let mut penalties = fields.get(&PENALTY)?;
    penalties.sort_by(f64::total_cmp);
    penalties.dedup();
    Some(Arc::new(Ridge {
        penalties,
        standardize: fields.get(&STANDARDIZED)?,
    }))
}

#[derive(Debug)]
struct Ridge {
    /// In rising order; at least one.
    penalties: Vec<f64>,
    standardize: bool,
}

impl Head for Ridge {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": KIND.doc.name,
            "penalty": self.penalties,
            "standardize": self.standardize,
        })
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let zeros =
            |name: &str, shape: &[usize]| ParameterForm::constant(name, shape, 0.0, Role::Trained);
        vec![
            zeros("fcs.0.weight", &[classes, shape.values()]),
            zeros("fcs.0.bias", &[classes]),
        ]
    }

    fn judges_itself(&self) -> bool {
        true
    }

    fn standardizes(&self) -> bool {
        self.standardize
    }

    fn trains_in_steps(&self) -> bool {
        false
    }

    #[cfg(feature = "torch")]
    fn fitting(&self) -> Fitting<'_> {
        Fitting::Blocks(self)
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[Tensor], features: &Tensor, _: Mode) -> Tensor {
        linear_shared(&features.flatten(1, -1), &parameters[0], &parameters[1])
    }
}

/// Samples with one-hot targets.
#[cfg(feature = "torch")]
struct OneHot<'a>(&'a dyn Blocks);

#[cfg(feature = "torch")]
impl Pairs for OneHot<'_> {
    fn sizes(&self) -> [i64; 3] {
        [self.0.samples(), self.0.width(), self.0.classes()]
    }

    fn device(&self) -> tch::Device {
        self.0.device()
    }

    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError> {
        let classes = self.0.classes();
        self.0.each(&mut |features, labels| {
            visit(features, &labels.one_hot(classes).to_kind(Type::Double));
        })
    }
}

#[cfg(feature = "torch")]
impl FitBlocks for Ridge {
    fn bytes(&self, samples: u64, width: u64, classes: u64) -> u64 {
        solve::bytes(samples, width, classes)
    }

    fn fit(&self, train: &dyn Blocks, held_out: Option<&dyn Blocks>) -> Result<Fitted, FitError> {
        let _guard = tch::no_grad_guard();
        let train = OneHot(train);
        let solved = Solved::new(&train)?;
        let mut scores = vec![Score::default(); self.penalties.len()];
        match held_out {
            None => {
                solved.each_left_out(&train, &self.penalties, &mut |index, errors, targets| {
                    scores[index].add(errors, targets);
                })?;
            }
            Some(held_out) => {
                let held_out = OneHot(held_out);
                for (score, &penalty) in scores.iter_mut().zip(&self.penalties) {
                    let (weight, bias) = solved.layer(penalty);
                    held_out.each(&mut |features, targets| {
                        let errors = targets - features.linear(&weight, Some(&bias));
                        score.add(&errors, targets);
                    })?;
                }
            }
        }
        let candidates: Vec<Candidate> = self
            .penalties
            .iter()
            .zip(&scores)
            .map(|(&penalty, score)| score.of(penalty))
            .collect();
        // The first of equals; NaN never is.
        let finite = candidates.iter().enumerate();
        let finite = finite.filter(|(_, candidate)| candidate.loss.is_finite());
        let best = finite.min_by(|(_, left), (_, right)| left.loss.total_cmp(&right.loss));
        let Some((chosen, best)) = best else {
            return Err(FitError::NotFinite);
        };
        let (weight, bias) = solved.layer(best.penalty);
        let judge = match held_out {
            None => Judge::LeaveOneOut,
            Some(_) => Judge::Holdout,
        };
        Ok(Fitted {
            weight,
            bias,
            trace: FitTrace::Path {
                candidates,
                chosen,
                judge,
            },
        })
    }
}

/// Sums over samples that a penalty was not fitted to.
#[cfg(feature = "torch")]
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    squares: f64,
    right: f64,
    samples: f64,
    numbers: f64,
}

#[cfg(feature = "torch")]
impl Score {
    /// Adds a block: errors and one-hot targets, `[B, K]`.
    fn add(&mut self, errors: &Tensor, targets: &Tensor) {
        let right = (targets - errors)
            .argmax(1, false)
            .eq_tensor(&targets.argmax(1, false));
        self.squares += errors.square().sum(Type::Double).double_value(&[]);
        self.right += right.sum(Type::Double).double_value(&[]);
        self.samples += errors.size()[0] as f64;
        self.numbers += errors.numel() as f64;
    }

    fn of(&self, penalty: f64) -> Candidate {
        Candidate {
            penalty,
            loss: self.squares / self.numbers,
            top1: self.right / self.samples,
        }
    }
}
