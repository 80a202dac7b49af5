//! Update rules on tensors of our own, so that their state can be kept and compared.

use tch::Tensor;

use super::{Optimiser, UpdateRule};
use crate::models::parameters::Parameters;
use crate::models::weights::WeightMap;

/// What a stored first moment is called, before the name of its parameter.
const FIRST: &str = "first_moment.";
/// The same of a second moment.
const SECOND: &str = "second_moment.";

/// Adam's moments for each parameter.
///
/// # Reference
/// Kingma and Ba 2015, Algorithm 1, and Loshchilov and Hutter 2019 (arXiv 1711.05101), Algorithm 2, in the form of
/// `torch.optim.Adam` and `torch.optim.AdamW` (PyTorch 2.11): bias corrections on the step size and on the root of the second
/// moment; decoupled decay before the step.
///
/// # Parity
/// Three steps of AdamW on a U-Net: 2e-5, in `tests/suite/golden_sampling.rs`.
#[derive(Debug)]
pub struct Moments {
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: i32,
}

impl Moments {
    /// Zero moments for parameters of these shapes.
    pub fn new(parameters: &[Tensor]) -> Self {
        let zeros = || {
            let zero = |parameter: &Tensor| parameter.detach().zeros_like();
            parameters.iter().map(zero).collect()
        };
        Self {
            first: zeros(),
            second: zeros(),
            steps: 0,
        }
    }

    /// One step. The gradients are those that the last backward pass left in the parameters, the same ones in the same order
    /// every time; afterwards they are zero. `factor` is on the learning rate.
    pub fn step(&mut self, optimiser: &Optimiser, factor: f64, parameters: &mut [Tensor]) {
        let Optimiser {
            kind,
            lr,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = *optimiser;
        self.steps = self.steps.saturating_add(1);
        let step_size = lr * factor / (1.0 - beta1.powi(self.steps));
        let root_correction = (1.0 - beta2.powi(self.steps)).sqrt();
        tch::no_grad(|| {
            for ((parameter, first), second) in parameters
                .iter_mut()
                .zip(&mut self.first)
                .zip(&mut self.second)
            {
                let mut gradient = parameter.grad();
                if weight_decay > 0.0 {
                    match kind {
                        UpdateRule::Adam => gradient += &*parameter * weight_decay,
                        UpdateRule::AdamW => {
                            let _ = parameter.g_mul_scalar_(1.0 - lr * factor * weight_decay);
                        }
                    }
                }
                let _ = first.lerp_(&gradient, 1.0 - beta1);
                let _ = second.g_mul_scalar_(beta2);
                let _ = second.g_add_(&(&gradient * &gradient * (1.0 - beta2)));
                let denominator = second.sqrt() / root_correction + epsilon;
                let _ = parameter.g_sub_(&(&*first / denominator * step_size));
                parameter.zero_grad();
            }
        });
    }

    /// How many steps were made. With [`Moments::state`] it is all that has to be kept.
    pub fn steps(&self) -> u32 {
        self.steps.unsigned_abs()
    }

    /// The moments by name, for a file; `parameters` are those of every step.
    pub fn state<'a>(
        &'a self,
        parameters: &Parameters,
    ) -> impl Iterator<Item = (String, &'a Tensor)> {
        let first = parameters.name(FIRST, &self.first);
        first.chain(parameters.name(SECOND, &self.second))
    }

    /// Takes the moments of `parameters` after `steps` from what [`Moments::state`] left in a file: the next step gives the
    /// bits that it would have given. Whoever calls this must call [`WeightMap::finish`] in the end.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn restored(parameters: &Parameters, steps: u32, weights: &mut WeightMap) -> Self {
        Self {
            first: parameters.take_alike(FIRST, weights),
            second: parameters.take_alike(SECOND, weights),
            steps: i32::try_from(steps).unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimiser(kind: UpdateRule) -> Optimiser {
        Optimiser {
            kind,
            lr: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.5,
        }
    }

    /// One step with the gradient 1 on the weights 2 and -4.
    fn after_a_step(kind: UpdateRule) -> Vec<f32> {
        let mut parameters = [Tensor::from_slice(&[2.0_f32, -4.0]).set_requires_grad(true)];
        let mut moments = Moments::new(&parameters);
        parameters[0].sum(tch::Kind::Float).backward();
        moments.step(&optimiser(kind), 0.5, &mut parameters);
        Vec::try_from(parameters[0].detach()).unwrap()
    }

    #[test]
    fn decoupled_decay_does_not_pass_through_the_moments() {
        // Adam's first step has the length of the learning rate. The penalty turns the second gradient round: 1 - 4 / 2 < 0.
        for (found, expected) in after_a_step(UpdateRule::Adam).iter().zip([1.95, -3.95]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
        // A weight loses 0.1 / 2 * 0.5 of itself, and then goes against the gradient.
        let expected = [2.0 * 0.975 - 0.05, -4.0 * 0.975 - 0.05];
        for (found, expected) in after_a_step(UpdateRule::AdamW).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }
}
