//! `logistic`: multinomial logistic regression with an L2 penalty, fitted full-batch.
//!
//! # Reference
//! The objective of scikit-learn's `LogisticRegression` (solver `lbfgs`): `c` times the sum of the cross entropies, plus half the sum
//! of the squared weights; biases are not penalized. As there, it is divided by `c` times the number of samples before it is
//! minimized, and a gradient with no value above `tolerance` ends that.
//!
//! # Shapes
//! `[N, D]` to `[N, K]`: `logits = features · weightᵀ + bias`, with D = C × S × S.
//!
//! # Deviations
//! Up to 1,000 iterations and not 100, so that the end is the minimum. Everything is computed in 64 bits, whatever the features
//! are stored in. The minimizer is our own (`lbfgs.rs`); the minimum is one, but for what rounding leaves.
//! A class without a training sample, which scikit-learn leaves out, has a bias that falls until `tolerance` ends the fit.

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::{Kind as Type, Tensor};

#[cfg(feature = "torch")]
use super::fitting::{FitWhole, Fitted, Fitting, Whole, blocks};
#[cfg(feature = "torch")]
use super::lbfgs::{Limits, minimize};
use super::{FeatureShape, Head, HeadKind, ParameterForm, Role};
#[cfg(feature = "torch")]
use super::{Mode, stacked::linear_shared};
#[cfg(feature = "torch")]
use crate::numbers::to_i64;
use crate::spec::{Count, Fields, Key, Kind, KindDoc, Number};
use crate::trainer;

const C: Key<Number> = Key::number("c", Number::above(0.0).to(1e12))
    .default(1.0)
    .doc("The weight of the samples against the penalty; larger is freer.");
const TOLERANCE: Key<Number> = Key::number("tolerance", Number::above(0.0).to(1e12))
    .default(1e-4)
    .doc("The fit ends where no value of the gradient is larger.");
const MAX_ITERATIONS: Key<Count> = Key::count("max_iterations", 1..=1_000_000)
    .default(1000)
    .doc("Most iterations.");

/// `kind = "logistic"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "logistic",
        summary: "Logistic regression with an L2 penalty, fitted full-batch by L-BFGS.",
        keys: &[&C, &TOLERANCE, &MAX_ITERATIONS],
        shared: trainer::config::KEYS_WITHOUT_STEPS,
    },
    parse,
);

fn parse(fields: &Fields<'_>) -> Option<Arc<dyn Head>> {
    Some(Arc::new(Logistic {
        c: fields.get(&C)?,
        tolerance: fields.get(&TOLERANCE)?,
        iterations: fields.get(&MAX_ITERATIONS)?,
    }))
}

#[derive(Debug)]
struct Logistic {
    c: f64,
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

    fn trains_in_steps(&self) -> bool {
        false
    }

    #[cfg(feature = "torch")]
    fn fitting(&self) -> Fitting<'_> {
        Fitting::Whole(self)
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[Tensor], features: &Tensor, _: Mode) -> Tensor {
        linear_shared(&features.flatten(1, -1), &parameters[0], &parameters[1])
    }
}

/// Most numbers of a block of rows: 128 MiB in 64 bits.
#[cfg(feature = "torch")]
const MOST_NUMBERS: i64 = 1 << 24;

#[cfg(feature = "torch")]
impl FitWhole for Logistic {
    fn fit(&self, train: Whole<'_>, test: &Tensor) -> Fitted {
        let _guard = tch::no_grad_guard();
        let inputs = train.features.size()[1];
        let classes = to_i64(train.classes);
        let start = train.features.new_zeros(
            [classes * (inputs + 1)],
            (Type::Double, train.features.device()),
        );
        let limits = Limits {
            tolerance: self.tolerance,
            iterations: self.iterations,
        };
        let (point, curve) = minimize(start, limits, &|point| self.objective(train, point));
        let point = point.to_kind(Type::Float);
        let (weight, bias) = split(&point, classes);
        let logits: Vec<Tensor> = blocks(test.size()[0], inputs.max(classes), MOST_NUMBERS)
            .map(|(start, count)| test.narrow(0, start, count).linear(&weight, Some(&bias)))
            .collect();
        Fitted {
            logits: Tensor::cat(&logits, 0),
            weights: vec![
                ("fcs.0.weight".to_owned(), weight),
                ("fcs.0.bias".to_owned(), bias),
            ],
            curve,
        }
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
    /// The mean cross entropy and the penalty at a point, and their gradient.
    fn objective(&self, train: Whole<'_>, point: &Tensor) -> (f64, Tensor) {
        let samples = train.features.size()[0];
        let classes = to_i64(train.classes);
        let (weight, bias) = split(point, classes);
        let gradient = point.zeros_like();
        let (mut of_weight, mut of_bias) = split(&gradient, classes);
        let mut sum = point.new_zeros([], (Type::Double, point.device()));
        let width = train.features.size()[1].max(classes);
        for (start, count) in blocks(samples, width, MOST_NUMBERS) {
            let features = train.features.narrow(0, start, count).to_kind(Type::Double);
            let labels = train.labels.narrow(0, start, count).unsqueeze(1);
            let logarithms = features.linear(&weight, Some(&bias)).log_softmax(1, None);
            sum -= logarithms.gather(1, &labels, false).sum(Type::Double);
            // What each sample pulls at its logits: the share of each class, less 1 for its own.
            let mut pull = logarithms.exp();
            let own = labels.ones_like().to_kind(Type::Double).neg();
            let _ = pull.scatter_add_(1, &labels, &own);
            of_weight += pull.transpose(0, 1).matmul(&features);
            of_bias += pull.sum_dim_intlist(0, false, None);
        }
        let samples = samples as f64;
        let penalty = 1.0 / (self.c * samples);
        of_weight /= samples;
        of_bias /= samples;
        of_weight += &weight * penalty;
        let squares = weight.square().sum(Type::Double).double_value(&[]);
        (
            sum.double_value(&[]) / samples + squares * penalty / 2.0,
            gradient,
        )
    }
}

#[cfg(feature = "torch")]
#[cfg(test)]
mod tests {
    use super::super::stacked::spread;
    use super::*;

    fn fit(head: &Logistic, features: &Tensor, labels: &[i64], classes: usize) -> Fitted {
        let labels = Tensor::from_slice(labels);
        let whole = Whole {
            features,
            labels: &labels,
            classes,
        };
        head.fit(whole, features)
    }

    /// Two classes at +1 and -1, each twice: the difference d of their weights solves d = 2 · c · n · σ(-d), where n = 4 and the
    /// biases are 0.
    #[test]
    fn two_points_have_the_weights_that_were_derived_by_hand() {
        let features = Tensor::from_slice(&[1.0_f32, 1.0, -1.0, -1.0]).view([4, 1]);
        for c in [0.01, 1.0, 100.0] {
            let head = Logistic {
                c,
                tolerance: 1e-10,
                iterations: 100,
            };
            let fitted = fit(&head, &features, &[0, 0, 1, 1], 2);
            let (mut low, mut high) = (0.0, 1000.0);
            for _ in 0..200 {
                let middle: f64 = f64::midpoint(low, high);
                let lacks = middle < 8.0 * c / (1.0 + middle.exp());
                (low, high) = if lacks { (middle, high) } else { (low, middle) };
            }
            let weight = Vec::<f32>::try_from(fitted.weights[0].1.flatten(0, 1)).unwrap();
            let found = f64::from(weight[0]) - f64::from(weight[1]);
            assert!((found / low - 1.0).abs() < 1e-6, "{found} {low}");
            assert!((weight[0] + weight[1]).abs() < 1e-6);
            assert!(fitted.weights[1].1.abs().max().double_value(&[]) < 1e-6);
            let logits = fitted.logits.get(0).double_value(&[0]);
            assert!((logits - f64::from(weight[0])).abs() < 1e-6);
            assert!((fitted.curve[0] - 2.0_f64.ln()).abs() < 1e-12);
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let features = spread(2, &[30, 5]);
        let labels = ((spread(3, &[30]) + 1.0) * 2.0).to_kind(Type::Int64);
        let whole = Whole {
            features: &features,
            labels: &labels,
            classes: 4,
        };
        let head = Logistic {
            c: 0.3,
            tolerance: 1e-4,
            iterations: 10,
        };
        let point = spread(4, &[24])
            .to_kind(Type::Double)
            .set_requires_grad(true);
        let (weight, bias) = split(&point, 4);
        let logits = features.to_kind(Type::Double).linear(&weight, Some(&bias));
        let loss =
            logits.cross_entropy_loss::<Tensor>(&labels, None, tch::Reduction::Mean, -100, 0.0);
        let objective = loss + weight.square().sum(Type::Double) / (2.0 * 0.3 * 30.0);
        objective.backward();
        let (value, gradient) = tch::no_grad(|| head.objective(whole, &point));
        assert!((value - objective.double_value(&[])).abs() < 1e-12);
        assert!((gradient - point.grad()).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn every_start_of_rows_leads_to_one_minimum() {
        let features = spread(5, &[200, 6]) * 5.0 + 1.0;
        let labels: Vec<i64> = (0..200)
            .map(|index| (index * index + index / 3) % 5)
            .collect();
        let head = Logistic {
            c: 10.0,
            tolerance: 1e-9,
            iterations: 1000,
        };
        let fitted = fit(&head, &features, &labels, 5);
        let reversed: Vec<i64> = labels.iter().rev().copied().collect();
        let other = fit(&head, &features.flip([0]), &reversed, 5);
        let off = (&fitted.weights[0].1 - &other.weights[0].1)
            .abs()
            .max()
            .double_value(&[]);
        assert!(off < 1e-5, "{off}");
        assert!(fitted.curve.len() < 200, "{}", fitted.curve.len());
    }
}
