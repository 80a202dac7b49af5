//! `logistic`: multinomial logistic regression with an L2 penalty, fitted full-batch.
//!
//! # Reference
//! The objective of scikit-learn's `LogisticRegression` (solver `lbfgs`): `c` times the sum of the cross entropies, plus half the sum
//! of the squared weights; biases are not penalized. As there, it is divided by `c` times the number of samples before it is
//! minimized, and a gradient with no value above `tolerance` ends that. How little the objective still falls ends nothing.
//!
//! # Shapes
//! `[N, D]` to `[N, K]`: `logits = features · weightᵀ + bias`, with D = C × S × S.
//!
//! # Deviations
//! A tolerance of 1e-6 and not 1e-4, and up to 5,000 iterations and not 100, so that the end is the minimum: at c = 100, 17 of 1,000
//! predictions are others at 1e-4. Everything is computed in 64 bits, whatever the features
//! are stored in. The minimizer is our own (`lbfgs.rs`); the minimum is one, but for what rounding leaves.
//!
//! A class without a training sample, which scikit-learn leaves out, has a bias that falls until `tolerance` ends the fit.
//!
//! # Parity
//! scikit-learn's optimum, polished by Newton steps: `tests/golden/probes/README.md`.

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::{Kind as Type, Tensor};

#[cfg(feature = "torch")]
use super::fitting::{Blocks, FitBlocks, FitError, FitTrace, Fitted, Fitting};
#[cfg(feature = "torch")]
use super::lbfgs::{Limits, minimize};
use super::{FeatureShape, Head, HeadKind, ParameterForm, Role};
#[cfg(feature = "torch")]
use super::{Mode, stacked::linear_shared};
use crate::spec::{Count, Fields, Key, Kind, KindDoc, Number};
use crate::trainer;
use crate::trainer::config::STANDARDIZE;

const C: Key<Number> = Key::number("c", Number::above(0.0).to(1e12))
    .default(1.0)
    .doc("The weight of the samples against the penalty; larger is freer.");
const TOLERANCE: Key<Number> = Key::number("tolerance", Number::above(0.0).to(1e12))
    .default(1e-6)
    .doc("The fit ends where no value of the gradient is larger.");
const MAX_ITERATIONS: Key<Count> = Key::count("max_iterations", 1..=1_000_000)
    .default(5000)
    .doc("Most iterations; a fit that they end is reported.");

/// `kind = "logistic"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "logistic",
        summary: "Logistic regression with an L2 penalty, fitted full-batch by L-BFGS.",
        keys: &[&C, &STANDARDIZE, &TOLERANCE, &MAX_ITERATIONS],
        shared: trainer::config::KEYS_WITHOUT_STEPS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    Some(Arc::new(Logistic {
        c: fields.get(&C)?,
        standardize: fields.get(&STANDARDIZE)?,
        tolerance: fields.get(&TOLERANCE)?,
        iterations: fields.get(&MAX_ITERATIONS)?,
    }))
}

#[derive(Debug)]
struct Logistic {
    c: f64,
    standardize: bool,
    tolerance: f64,
    iterations: u32,
}

impl Head for Logistic {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": KIND.doc.name,
            "c": self.c,
            "standardize": self.standardize,
            "tolerance": self.tolerance,
            "max_iterations": self.iterations,
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

/// Vectors of the size of the parameters that a fit has at once: those that L-BFGS remembers, and those of a trial.
#[cfg(feature = "torch")]
const VECTORS: u64 = 32;

#[cfg(feature = "torch")]
impl FitBlocks for Logistic {
    fn bytes(&self, _samples: u64, width: u64, classes: u64) -> u64 {
        8 * VECTORS * classes * (width + 1)
    }

    fn fit(&self, train: &dyn Blocks, _held_out: Option<&dyn Blocks>) -> Result<Fitted, FitError> {
        let _guard = tch::no_grad_guard();
        let classes = train.classes();
        let start = Tensor::zeros(
            [classes * (train.width() + 1)],
            (Type::Double, train.device()),
        );
        let limits = Limits {
            tolerance: self.tolerance,
            iterations: self.iterations,
        };
        let (point, iterations) = minimize(start, limits, &|point| self.objective(train, point))?;
        let (weight, bias) = split(&point, classes);
        let is_finite = |tensor: &Tensor| tensor.sum(Type::Double).double_value(&[]).is_finite();
        if !is_finite(&point) || !iterations.iter().all(|one| one.objective.is_finite()) {
            return Err(FitError::NotFinite);
        }
        Ok(Fitted {
            weight,
            bias,
            trace: FitTrace::Iterated {
                iterations,
                tolerance: self.tolerance,
            },
        })
    }
}

/// The weight `[K, D]` and the bias `[K]` in one vector.
#[cfg(feature = "torch")]
fn split(point: &Tensor, classes: i64) -> (Tensor, Tensor) {
    let weights = point.size()[0] - classes;
    let weight = point.narrow(0, 0, weights).view([classes, -1]);
    (weight, point.narrow(0, weights, classes))
}

#[cfg(feature = "torch")]
impl Logistic {
    /// The mean cross entropy and the penalty at a point, and their gradient: one scan of the samples.
    fn objective(&self, train: &dyn Blocks, point: &Tensor) -> Result<(f64, Tensor), FitError> {
        let (weight, bias) = split(point, train.classes());
        let gradient = point.zeros_like();
        let (mut of_weight, mut of_bias) = split(&gradient, train.classes());
        let mut sum = Tensor::zeros([], (Type::Double, point.device()));
        train.each(&mut |features, labels| {
            let labels = labels.unsqueeze(1);
            let logarithms = features.linear(&weight, Some(&bias)).log_softmax(1, None);
            sum -= logarithms.gather(1, &labels, false).sum(Type::Double);
            // What each sample pulls at its logits: the share of each class, less 1 for its own.
            let mut pull = logarithms.exp();
            let own = labels.ones_like().to_kind(Type::Double).neg();
            let _ = pull.scatter_add_(1, &labels, &own);
            let _ = of_weight.addmm_(&pull.transpose(0, 1), features);
            of_bias += pull.sum_dim_intlist(0, false, None);
        })?;
        let samples = train.samples() as f64;
        let penalty = 1.0 / (self.c * samples);
        of_weight /= samples;
        of_bias /= samples;
        of_weight += &weight * penalty;
        let squares = weight.square().sum(Type::Double).double_value(&[]);
        Ok((
            sum.double_value(&[]) / samples + squares * penalty / 2.0,
            gradient,
        ))
    }
}

#[cfg(feature = "torch")]
#[cfg(test)]
mod tests {
    use super::super::fitting::{InMemory, Iteration};
    use super::super::stacked::spread;
    use super::*;

    fn logistic(c: f64, tolerance: f64, iterations: u32) -> Logistic {
        Logistic {
            c,
            standardize: false,
            tolerance,
            iterations,
        }
    }

    fn samples(features: &Tensor, labels: &[i64], classes: i64) -> InMemory {
        InMemory {
            features: features.to_kind(Type::Double),
            labels: Tensor::from_slice(labels),
            classes,
            block: 7,
        }
    }

    fn fit(head: &Logistic, samples: &InMemory) -> (Fitted, Vec<Iteration>) {
        let fitted = head.fit(samples, None).unwrap();
        let FitTrace::Iterated { iterations, .. } = &fitted.trace else {
            panic!("{fitted:?}");
        };
        let iterations = iterations.clone();
        (fitted, iterations)
    }

    /// Two classes at +1 and -1, each twice: the difference d of their weights solves d = 2 · c · n · σ(-d), where n = 4 and the
    /// biases are 0.
    #[test]
    fn two_points_have_the_weights_that_were_derived_by_hand() {
        let features = Tensor::from_slice(&[1.0, 1.0, -1.0, -1.0]).view([4, 1]);
        for c in [0.01, 1.0, 100.0] {
            let head = logistic(c, 1e-10, 100);
            let (fitted, iterations) = fit(&head, &samples(&features, &[0, 0, 1, 1], 2));
            let (mut low, mut high) = (0.0, 1000.0);
            for _ in 0..200 {
                let middle: f64 = f64::midpoint(low, high);
                let lacks = middle < 8.0 * c / (1.0 + middle.exp());
                (low, high) = if lacks { (middle, high) } else { (low, middle) };
            }
            let weight = Vec::<f64>::try_from(fitted.weight.flatten(0, 1)).unwrap();
            let found = weight[0] - weight[1];
            assert!((found / low - 1.0).abs() < 1e-6, "{found} {low}");
            assert!((weight[0] + weight[1]).abs() < 1e-6);
            assert!(fitted.bias.abs().max().double_value(&[]) < 1e-6);
            assert!((iterations[0].objective - 2.0_f64.ln()).abs() < 1e-12);
            assert!(iterations.last().unwrap().gradient <= 1e-10);
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let features = spread(2, &[30, 5]).to_kind(Type::Double);
        let labels = ((spread(3, &[30]) + 1.0) * 2.0).to_kind(Type::Int64);
        let data = samples(&features, &Vec::<i64>::try_from(&labels).unwrap(), 4);
        let point = spread(4, &[24])
            .to_kind(Type::Double)
            .set_requires_grad(true);
        let (weight, bias) = split(&point, 4);
        let logits = features.linear(&weight, Some(&bias));
        let loss =
            logits.cross_entropy_loss::<Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.0);
        let objective = loss + weight.square().sum(Type::Double) / (2.0 * 0.3 * 30.0);
        objective.backward();
        let head = logistic(0.3, 1e-4, 10);
        let (value, gradient) = tch::no_grad(|| head.objective(&data, &point)).unwrap();
        assert!((value - objective.double_value(&[])).abs() < 1e-12);
        assert!((gradient - point.grad()).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn every_start_of_rows_leads_to_one_minimum() {
        let features = spread(5, &[200, 6]) * 5.0 + 1.0;
        let labels: Vec<i64> = (0..200)
            .map(|index| (index * index + index / 3) % 5)
            .collect();
        let head = logistic(10.0, 1e-9, 1000);
        let (fitted, iterations) = fit(&head, &samples(&features, &labels, 5));
        let reversed: Vec<i64> = labels.iter().rev().copied().collect();
        let (other, _) = fit(&head, &samples(&features.flip([0]), &reversed, 5));
        let off = (&fitted.weight - &other.weight)
            .abs()
            .max()
            .double_value(&[]);
        assert!(off < 1e-5, "{off}");
        assert!(iterations.len() < 200, "{}", iterations.len());
    }
}
