//! Update rules on tensors of our own, so that their state can be kept and compared.

use tch::Tensor;

use super::Optimiser;

/// Adam's moments for each parameter.
///
/// # Reference
/// Kingma and Ba 2015, Algorithm 1, in the form of `torch.optim.Adam` (PyTorch 2.11): bias corrections on the step size and
/// on the root of the second moment.
#[derive(Debug)]
pub struct Moments {
    first: Vec<Tensor>,
    second: Vec<Tensor>,
    steps: i32,
}

impl Moments {
    /// Zero moments for parameters of these shapes.
    pub fn new(parameters: &[Tensor]) -> Self {
        Self {
            first: parameters.iter().map(Tensor::zeros_like).collect(),
            second: parameters.iter().map(Tensor::zeros_like).collect(),
            steps: 0,
        }
    }

    /// One step. The gradients are those that the last backward pass left in the parameters.
    pub fn step(&mut self, optimiser: &Optimiser, factor: f64, parameters: &mut [Tensor]) {
        let Optimiser::Adam {
            lr,
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = *optimiser;
        self.steps += 1;
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
                    gradient += &*parameter * weight_decay;
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
}
