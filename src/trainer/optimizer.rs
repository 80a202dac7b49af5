//! Update rules on tensors of our own, so that their state can be kept and compared.

use tch::Tensor;

use super::rates::{Rate, Rates};
use super::{Optimizer, UpdateRule};
use crate::models::checkpoint::parameters::Parameters;
use crate::models::checkpoint::weights::WeightMap;
use crate::numbers::to_i64;

/// What a stored first moment is called, before the name of its parameter.
const FIRST: &str = "first_moment.";
/// The same of a second moment.
const SECOND: &str = "second_moment.";

/// Keeps a ratio of lengths finite.
const SMALLEST_LENGTH: f64 = 1e-9;

/// What an optimizer remembers of each parameter: Adam's two moments, or the momentum of SGD and LARS.
///
/// # Reference
/// Kingma and Ba 2015, Algorithm 1, and Loshchilov and Hutter 2019 (arXiv 1711.05101), Algorithm 2, in the form of
/// `torch.optim.Adam` and `torch.optim.AdamW` (PyTorch 2.11): bias corrections on the step size and on the root of the second
/// moment; decoupled decay before the step. `torch.optim.SGD` without dampening. You, Gitman and Ginsburg 2017
/// (arXiv 1708.03888), Algorithm 1.
///
/// # Deviations
/// LARS leaves parameters of one dimension (biases, and what normalization learns) without decay and without a step of their
/// own length, as later work does (Chen et al. 2020, arXiv 2002.05709, B.5 and after).
///
/// # Parity
/// Three steps of AdamW on a U-Net: 2e-5, in `tests/suite/golden_sampling.rs`. Adam and SGD on every head: the golden traces.
#[derive(Debug)]
pub struct OptimizerState {
    first: Vec<Tensor>,
    /// Empty for rules that have none.
    second: Vec<Tensor>,
    steps: i32,
}

impl OptimizerState {
    /// Zero moments for parameters of these shapes.
    pub fn new(rule: UpdateRule, parameters: &[Tensor]) -> Self {
        let zeros = || {
            let zero = |parameter: &Tensor| parameter.detach().zeros_like();
            parameters.iter().map(zero).collect()
        };
        let second = match rule {
            UpdateRule::Adam | UpdateRule::AdamW => zeros(),
            UpdateRule::Sgd | UpdateRule::Lars => Vec::new(),
        };
        Self {
            first: zeros(),
            second,
            steps: 0,
        }
    }

    /// One step with the optimizer's own rates; `factor` is on the learning rate. See [`OptimizerState::step`].
    pub fn step_alike(&mut self, optimizer: &Optimizer, factor: f64, parameters: &mut [Tensor]) {
        let rates = Rates {
            step: Rate::All(optimizer.lr * factor),
            decay: Rate::All(optimizer.weight_decay),
        };
        self.step(optimizer, &rates, parameters, &[]);
    }

    /// One step. The gradients are those that the last backward pass left in the parameters, the same ones in the same order
    /// every time; afterwards they are zero. See [`OptimizerState::step_by`].
    pub fn step(
        &mut self,
        optimizer: &Optimizer,
        rates: &Rates,
        parameters: &mut [Tensor],
        flat: &[bool],
    ) {
        let gradients: Vec<Tensor> = parameters.iter().map(Tensor::grad).collect();
        self.step_by(optimizer, rates, parameters, &gradients, flat);
        tch::no_grad(|| parameters.iter_mut().for_each(Tensor::zero_grad));
    }

    /// One step by these gradients, one for each parameter. `rates` stand in for those of the optimizer. `flat` says of each
    /// parameter whether LARS treats it as a bias; without an entry it is not.
    pub fn step_by(
        &mut self,
        optimizer: &Optimizer,
        rates: &Rates,
        parameters: &mut [Tensor],
        gradients: &[Tensor],
        flat: &[bool],
    ) {
        self.steps = self.steps.saturating_add(1);
        tch::no_grad(|| {
            for (index, (parameter, gradient)) in parameters.iter_mut().zip(gradients).enumerate() {
                let gradient = gradient.shallow_clone();
                match optimizer.kind {
                    UpdateRule::Adam => {
                        let gradient = with_penalty(gradient, parameter, &rates.decay);
                        self.adam(optimizer, rates, index, parameter, &gradient);
                    }
                    UpdateRule::AdamW => {
                        if !rates.decay.is_zero() {
                            rates.step.product(&rates.decay).shrink(parameter);
                        }
                        self.adam(optimizer, rates, index, parameter, &gradient);
                    }
                    UpdateRule::Sgd => {
                        let gradient = with_penalty(gradient, parameter, &rates.decay);
                        self.momentum(optimizer, rates, index, parameter, &gradient);
                    }
                    UpdateRule::Lars => {
                        let gradient = if flat.get(index).copied().unwrap_or(false) {
                            gradient
                        } else {
                            lengthened(optimizer, rates, parameter, gradient)
                        };
                        self.momentum(optimizer, rates, index, parameter, &gradient);
                    }
                }
            }
        });
    }

    fn adam(
        &mut self,
        optimizer: &Optimizer,
        rates: &Rates,
        index: usize,
        parameter: &mut Tensor,
        gradient: &Tensor,
    ) {
        let Optimizer {
            beta1,
            beta2,
            epsilon,
            ..
        } = *optimizer;
        let step_size = rates.step.over(1.0 - beta1.powi(self.steps));
        let root_correction = (1.0 - beta2.powi(self.steps)).sqrt();
        let (first, second) = (&mut self.first[index], &mut self.second[index]);
        let _ = first.lerp_(gradient, 1.0 - beta1);
        let _ = second.g_mul_scalar_(beta2);
        // In place on what is new, so that a stack of many heads stays in the cache.
        let _ = second.g_add_(&(gradient * gradient).g_mul_scalar_(1.0 - beta2));
        let mut denominator = second.sqrt();
        let _ = denominator.g_div_scalar_(root_correction);
        let _ = denominator.g_add_scalar_(epsilon);
        let mut step = &*first / denominator;
        step_size.scale(&mut step);
        let _ = parameter.g_sub_(&step);
    }

    fn momentum(
        &mut self,
        optimizer: &Optimizer,
        rates: &Rates,
        index: usize,
        parameter: &mut Tensor,
        gradient: &Tensor,
    ) {
        let first = &mut self.first[index];
        let _ = first.g_mul_scalar_(optimizer.momentum.unwrap_or(0.0));
        let _ = first.g_add_(gradient);
        let _ = parameter.g_sub_(&rates.step.on(first));
    }

    /// The tensors with what they are called, for each parameter one.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &[Tensor])> {
        let second = (!self.second.is_empty()).then_some((SECOND, self.second.as_slice()));
        std::iter::once((FIRST, self.first.as_slice())).chain(second)
    }

    /// The same tensors after so many steps: `take` gives the one of a name and a parameter's index, in the shape of the one
    /// that it is shown.
    #[must_use]
    pub fn replaced(
        &self,
        steps: u32,
        mut take: impl FnMut(&str, usize, &Tensor) -> Tensor,
    ) -> Self {
        let mut all = |name: &str, tensors: &[Tensor]| {
            let tensors = tensors.iter().enumerate();
            tensors
                .map(|(index, tensor)| take(name, index, tensor))
                .collect()
        };
        Self {
            first: all(FIRST, &self.first),
            second: all(SECOND, &self.second),
            steps: i32::try_from(steps).unwrap_or(i32::MAX),
        }
    }

    /// How many steps were made. With [`OptimizerState::state`] it is all that has to be kept.
    pub fn steps(&self) -> u32 {
        self.steps.unsigned_abs()
    }

    /// The moments by name, for a file; `parameters` are those of every step.
    pub fn state<'a>(
        &'a self,
        parameters: &'a Parameters,
    ) -> impl Iterator<Item = (String, &'a Tensor)> {
        self.tensors()
            .flat_map(|(prefix, tensors)| parameters.name(prefix, tensors))
    }

    /// Takes the moments of `parameters` after `steps` from what [`OptimizerState::state`] left in a file: the next step gives the
    /// bits that it would have given. Whoever calls this must call [`WeightMap::finish`] in the end.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    #[must_use]
    pub fn restored(&self, parameters: &Parameters, steps: u32, weights: &mut WeightMap) -> Self {
        Self {
            first: parameters.take_alike(FIRST, weights),
            second: if self.second.is_empty() {
                Vec::new()
            } else {
                parameters.take_alike(SECOND, weights)
            },
            steps: i32::try_from(steps).unwrap_or(i32::MAX),
        }
    }
}

/// The gradient of the loss with an L2 penalty.
fn with_penalty(gradient: Tensor, parameter: &Tensor, decay: &Rate) -> Tensor {
    if decay.is_zero() {
        gradient
    } else {
        gradient + decay.on(parameter)
    }
}

/// The gradient with its penalty, made `trust` times as long as the parameter is: for each head of a stack by itself.
fn lengthened(
    optimizer: &Optimizer,
    rates: &Rates,
    parameter: &Tensor,
    gradient: Tensor,
) -> Tensor {
    let gradient_length = length_of_each(&gradient, rates);
    let own_length = length_of_each(parameter, rates);
    let whole = &gradient_length + rates.decay.on(&own_length) + SMALLEST_LENGTH;
    let trust = &own_length / whole * optimizer.trust.unwrap_or(1.0);
    // Where one of them is zero there is no length to follow.
    let both = own_length.gt(0.0).logical_and(&gradient_length.gt(0.0));
    let trust = trust.where_self(&both, &own_length.ones_like());
    with_penalty(gradient, parameter, &rates.decay) * trust
}

/// The length of a tensor, or of each head's part of it, with as many dimensions as it has.
fn length_of_each(tensor: &Tensor, rates: &Rates) -> Tensor {
    let first = i64::from(matches!(rates.step, Rate::Each(_)));
    let dimensions: Vec<i64> = (first..to_i64(tensor.dim())).collect();
    let squares = tensor * tensor;
    squares
        .sum_dim_intlist(dimensions.as_slice(), true, tch::Kind::Float)
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimizer(kind: UpdateRule) -> Optimizer {
        Optimizer {
            kind,
            lr: 0.1,
            weight_decay: 0.5,
            momentum: Some(0.5),
            trust: Some(0.01),
            ..Optimizer::default()
        }
    }

    /// Steps with the gradient 1 on the weights 2 and -4.
    fn after(steps: usize, kind: UpdateRule) -> Vec<f32> {
        let mut parameters = [Tensor::from_slice(&[2.0_f32, -4.0]).set_requires_grad(true)];
        let mut moments = OptimizerState::new(kind, &parameters);
        for _ in 0..steps {
            parameters[0].sum(tch::Kind::Float).backward();
            moments.step_alike(&optimizer(kind), 0.5, &mut parameters);
        }
        Vec::try_from(parameters[0].detach()).unwrap()
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (one, other) in found.iter().zip(expected) {
            assert!((one - other).abs() < 1e-5, "{found:?} for {expected:?}");
        }
    }

    #[test]
    fn decoupled_decay_does_not_pass_through_the_moments() {
        // Adam's first step has the length of the learning rate. The penalty turns the second gradient round: 1 - 4 / 2 < 0.
        assert_near(&after(1, UpdateRule::Adam), &[1.95, -3.95]);
        // A weight loses 0.1 / 2 * 0.5 of itself, and then goes against the gradient.
        assert_near(
            &after(1, UpdateRule::AdamW),
            &[2.0 * 0.975 - 0.05, -4.0 * 0.975 - 0.05],
        );
    }

    #[test]
    fn momentum_makes_half_of_the_last_step_again() {
        // Gradients with their penalties: 1 + 0.5 * 2 = 2 and 1 - 0.5 * 4 = -1, at a rate of 0.05.
        assert_near(&after(1, UpdateRule::Sgd), &[1.9, -3.95]);
        // Then 1 + 0.95 = 1.95 and 1 - 1.975 = -0.975, to which half of the first is added.
        assert_near(
            &after(2, UpdateRule::Sgd),
            &[1.9 - 0.05 * (1.95 + 1.0), -3.95 - 0.05 * (-0.975 - 0.5)],
        );
    }

    #[test]
    fn a_step_of_lars_is_as_long_as_the_weights_say() {
        // |w| = sqrt(20), |g| = sqrt(2): the trust ratio is 0.01 |w| / (|g| + 0.5 |w|).
        let (weights, gradient) = (20.0_f32.sqrt(), 2.0_f32.sqrt());
        let step = 0.05 * 0.01 * weights / (gradient + 0.5 * weights);
        assert_near(
            &after(1, UpdateRule::Lars),
            &[2.0 - step * 2.0, -4.0 + step],
        );
    }

    #[test]
    fn each_head_of_a_stack_steps_as_it_does_alone() {
        for kind in [
            UpdateRule::Adam,
            UpdateRule::AdamW,
            UpdateRule::Sgd,
            UpdateRule::Lars,
        ] {
            let values = [2.0_f32, -4.0, 0.5, 3.0];
            let rates = [(0.1, 0.5), (0.02, 0.0)];
            let step = |values: &[f32], rates: &[(f64, f64)]| -> Vec<f32> {
                let heads = i64::try_from(rates.len()).unwrap();
                let stacked = Tensor::from_slice(values).view([heads, -1]);
                let mut parameters = [stacked.set_requires_grad(true)];
                let mut moments = OptimizerState::new(kind, &parameters);
                let (lr, decay): (Vec<f64>, Vec<f64>) = rates.iter().copied().unzip();
                let rates = Rates {
                    step: Rate::each(lr),
                    decay: Rate::each(decay),
                };
                for _ in 0..3 {
                    let squares = &parameters[0] * &parameters[0];
                    squares.sum(tch::Kind::Float).backward();
                    moments.step(&optimizer(kind), &rates, &mut parameters, &[false]);
                }
                Vec::try_from(parameters[0].detach().view([-1])).unwrap()
            };
            let together = step(&values, &rates);
            let alone = [
                step(&values[..2], &rates[..1]),
                step(&values[2..], &rates[1..]),
            ];
            assert_eq!(together, alone.concat(), "{kind:?}");
        }
    }
}
