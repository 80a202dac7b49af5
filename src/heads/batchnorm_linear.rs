//! `batchnorm-linear`: a batch norm over the channels, and one linear layer.
//!
//! # Reference
//! facebookresearch/vissl@04788de:vissl/models/heads/linear_eval_mlp.py, `LinearEvalMLP`, the head of its linear evaluations:
//! `BatchNorm2d` (ε of 1e-5, momentum of 0.1, a weight and a bias for each channel) on the feature map, which is then flattened
//! into the linear layer. Parameters have its names.
//!
//! facebookresearch/mae@efb2a8062c206524e35e47d04501ed4f544c0ae8: main_linprobe.py: the same without a weight and a bias, with ε of 1e-6
//! (`affine = false`, `epsilon = 1e-6`).
//!
//! # Shapes
//! `[N, C, S, S]` to the same to `[N, K]`.
//!
//! # Deviations
//! The norm is multiplied into the weights of the linear layer, so that a stack of heads needs one matrix product; what differs is
//! the rounding. A batch with one value for each channel is normalized to zeros and leaves the running statistics as they are,
//! where PyTorch refuses it; batches of one sample are such ones. `num_batches_tracked` is not kept, for it decides nothing.
//! Initial weights: see [`Initializer::Uniform`](super::Initializer::Uniform).

use std::sync::Arc;

#[cfg(feature = "torch")]
use tch::Tensor;

use super::parameters::layer;
use super::{FeatureShape, Head, HeadKind, ParameterForm, Role};
#[cfg(feature = "torch")]
use super::{Mode, stacked::linear_shared};
use crate::spec::{Boolean, Key, Kind, KindDoc, Number};
use crate::trainer;

const AFFINE: Key<Boolean> = Key::boolean("affine").default(true).doc(
    "Whether the norm has a learned weight and bias for each channel. VISSL's has; MAE's has not.",
);
/// Added to a variance before its root is taken.
const EPSILON: Key<Number> = Key::number("epsilon", Number::above(0.0).to(1.0))
    .default(1e-5)
    .doc("What is added to a variance before its root is taken: 1e-5 for VISSL's, 1e-6 for MAE's.");
/// The share of a batch in the running statistics.
#[cfg(feature = "torch")]
const MOMENTUM: f64 = 0.1;

/// `kind = "batchnorm-linear"`.
pub const KIND: HeadKind = Kind::new(
    KindDoc {
        name: "batchnorm-linear",
        summary: "A batch norm over the channels, then one linear layer: the linear evaluation of VISSL.",
        keys: &[&AFFINE, &EPSILON],
        shared: trainer::config::KEYS,
    },
    |fields| {
        Some(Arc::new(BatchnormLinear {
            affine: fields.get(&AFFINE)?,
            epsilon: fields.get(&EPSILON)?,
        }))
    },
);

#[derive(Debug)]
struct BatchnormLinear {
    affine: bool,
    epsilon: f64,
}

/// VISSL's.
const PLAIN: BatchnormLinear = BatchnormLinear {
    affine: true,
    epsilon: 1e-5,
};

impl Head for BatchnormLinear {
    fn kind(&self) -> &'static str {
        KIND.doc.name
    }

    fn identity(&self) -> serde_json::Value {
        let mut identity = serde_json::json!({ "kind": KIND.doc.name });
        // VISSL's keeps the identity that it had when there was no other.
        if self.affine != PLAIN.affine || self.epsilon.to_bits() != PLAIN.epsilon.to_bits() {
            identity["affine"] = self.affine.into();
            identity["epsilon"] = self.epsilon.into();
        }
        identity
    }

    fn parameters(&self, shape: FeatureShape, classes: usize) -> Vec<ParameterForm> {
        let of_channels = |name: &str, value, role| {
            let name = format!("channel_bn.{name}");
            ParameterForm::constant(&name, &[shape.channels], value, role)
        };
        let mut forms = Vec::new();
        if self.affine {
            forms.push(of_channels("weight", 1.0, Role::Trained));
            forms.push(of_channels("bias", 0.0, Role::Trained));
        }
        forms.push(of_channels("running_mean", 0.0, Role::Statistic));
        forms.push(of_channels("running_var", 1.0, Role::Statistic));
        forms.extend(layer(
            KIND.doc.name,
            "clf.clf.0",
            &[classes, shape.values()],
        ));
        forms
    }

    #[cfg(feature = "torch")]
    fn forward(&self, parameters: &[Tensor], features: &Tensor, mode: Mode) -> Tensor {
        let (affine, rest) = parameters.split_at(if self.affine { 2 } else { 0 });
        let (running_mean, running_variance) = (&rest[0], &rest[1]);
        let (mean, variance) = match mode {
            Mode::Train => of_batch(features, running_mean, running_variance),
            Mode::Predict => (
                running_mean.shallow_clone(),
                running_variance.shallow_clone(),
            ),
        };
        // All heads read features less one common center; what a head's own mean differs from it goes into its bias.
        let center = mean.mean_dim(0, false, None);
        let mut slope = (variance + self.epsilon).rsqrt();
        if let [norm_weight, _] = affine {
            slope = norm_weight * slope;
        }
        let mut shift = -(mean - &center) * &slope;
        if let [_, norm_bias] = affine {
            shift = norm_bias + shift;
        }
        // [M, K, C, S · S]
        let weight = rest[2].unflatten(2, [center.size()[0], -1]);
        let bias = &rest[3]
            + (weight.sum_dim_intlist(3, false, None) * shift.unsqueeze(1))
                .sum_dim_intlist(2, false, None);
        let weight = (weight * slope.unsqueeze(1).unsqueeze(3)).flatten(2, 3);
        let centered = features - center.view([-1, 1, 1]);
        linear_shared(&centered.flatten(1, -1), &weight, &bias)
    }
}

/// The mean and the variance of each channel in a batch, `[1, C]` each, which the running ones `[M, C]` then remember. A network
/// below the head learns through them as well.
#[cfg(feature = "torch")]
fn of_batch(
    features: &Tensor,
    running_mean: &Tensor,
    running_variance: &Tensor,
) -> (Tensor, Tensor) {
    let mean = features.mean_dim(&[0_i64, 2, 3][..], true, None);
    let variance = (features - &mean)
        .square()
        .mean_dim(&[0_i64, 2, 3][..], false, None);
    let (mean, variance) = (mean.view([1, -1]), variance.view([1, -1]));
    let size = features.size();
    let values = size[0] * size[2] * size[3];
    if values > 1 {
        tch::no_grad(|| {
            // What is remembered is the unbiased estimate, as in PyTorch.
            let unbiased = &variance * (values as f64 / (values - 1) as f64);
            let _ = running_mean
                .shallow_clone()
                .lerp_(&mean.expand_as(running_mean), MOMENTUM);
            let _ = running_variance
                .shallow_clone()
                .lerp_(&unbiased.expand_as(running_variance), MOMENTUM);
        });
    }
    (mean, variance)
}

#[cfg(feature = "torch")]
#[cfg(test)]
mod tests {
    use tch::Kind as Type;

    use super::super::stacked::spread;
    use super::*;

    const SHAPE: FeatureShape = FeatureShape::square(3, 2);
    const CLASSES: i64 = 4;

    /// A stack of two, with norms that do something, beside the same parameters head by head.
    fn stack(of: &BatchnormLinear) -> Vec<Tensor> {
        let forms = of.parameters(SHAPE, 4).into_iter();
        forms
            .zip(0..)
            .map(|(form, seed)| {
                let mut sizes = vec![2];
                sizes.extend(form.shape.iter().map(|&side| i64::try_from(side).unwrap()));
                let values = spread(seed, &sizes) * 0.5 + 1.0;
                values.set_requires_grad(form.role == Role::Trained)
            })
            .collect()
    }

    /// The reference for one head: PyTorch's own batch norm and linear layer.
    fn plain(of: &BatchnormLinear, one: &[Tensor], features: &Tensor, train: bool) -> Tensor {
        let (affine, rest) = one.split_at(if of.affine { 2 } else { 0 });
        features
            .batch_norm(
                affine.first(),
                affine.last(),
                Some(&rest[0]),
                Some(&rest[1]),
                train,
                MOMENTUM,
                of.epsilon,
                false,
            )
            .flatten(1, -1)
            .linear(&rest[2], Some(&rest[3]))
    }

    fn assert_close(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.size(), expected.size());
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-5, "{off}");
    }

    #[test]
    fn a_stack_gives_what_pytorch_s_layers_give() {
        let of_mae = BatchnormLinear {
            affine: false,
            epsilon: 1e-6,
        };
        for of in [PLAIN, of_mae] {
            a_stack_gives_what_pytorch_gives(&of);
        }
    }

    fn a_stack_gives_what_pytorch_gives(of: &BatchnormLinear) {
        let parameters = stack(of);
        let alone: Vec<Vec<Tensor>> = (0..2)
            .map(|head| {
                let copy = |one: &Tensor| {
                    one.detach()
                        .select(0, head)
                        .copy()
                        .set_requires_grad(one.requires_grad())
                };
                parameters.iter().map(copy).collect()
            })
            .collect();
        let features = (spread(11, &[5, 3, 2, 2]) * 3.0 + 3.0).set_requires_grad(true);
        let given = features.detach().set_requires_grad(true);
        let weighting = spread(12, &[5, 2, CLASSES]);
        for _ in 0..2 {
            let together = of.forward(&parameters, &features, Mode::Train);
            (&together * &weighting).sum(Type::Float).backward();
            for (head, one) in alone.iter().enumerate() {
                let head = i64::try_from(head).unwrap();
                let expected = plain(of, one, &given, true);
                assert_close(&together.select(1, head), &expected);
                (expected * weighting.select(1, head))
                    .sum(Type::Float)
                    .backward();
                for (mine, one) in parameters.iter().zip(one) {
                    if one.requires_grad() {
                        assert_close(&mine.grad().select(0, head), &one.grad());
                    }
                    assert_close(&mine.select(0, head), one);
                }
            }
            // What the backbone learns from, the gradient through the statistics included.
            assert_close(&features.grad(), &given.grad());
        }
        let together = of.forward(&parameters, &features, Mode::Predict);
        for (head, one) in alone.iter().enumerate() {
            assert_close(
                &together.select(1, i64::try_from(head).unwrap()),
                &plain(of, one, &features, false),
            );
        }
    }

    #[test]
    fn one_value_for_each_channel_changes_no_statistic() {
        let shape = FeatureShape::square(3, 1);
        let initial = PLAIN.initial(shape, 2, 0);
        let parameters: Vec<Tensor> = initial
            .iter()
            .map(|one| {
                Tensor::from_slice(&one.values)
                    .view(one.shape.as_slice())
                    .unsqueeze(0)
            })
            .collect();
        let features = Tensor::ones([1, 3, 1, 1], (Type::Float, tch::Device::Cpu)) * 7.0;
        let logits = PLAIN.forward(&parameters, &features, Mode::Train);
        assert_close(&logits.select(1, 0), &parameters[5]);
        assert_close(&parameters[2], &parameters[2].zeros_like());
        assert_close(&parameters[3], &parameters[3].ones_like());
    }
}
