//! Gradient norm and gradient clipping.
//!
//! # Reference
//! `torch.nn.utils.clip_grad_norm_` (PyTorch 2.11).

use tch::{Kind, Tensor};

/// Keeps the factor finite where all gradients are zero.
const EPSILON: f64 = 1e-6;

/// The root of the sum of all squared gradients that the last backward pass left in the parameters.
pub fn gradient_norm(parameters: &[Tensor]) -> f64 {
    if parameters.is_empty() {
        return 0.0;
    }
    // Put together on the device, so that it is waited for once.
    let norms: Vec<Tensor> = parameters
        .iter()
        .map(|parameter| parameter.grad().norm().to_kind(Kind::Double))
        .collect();
    Tensor::stack(&norms, 0).norm().double_value(&[])
}

/// Scales all gradients down by one factor where [`gradient_norm`] is above `longest`, and returns the norm from before. A norm
/// that is NaN or infinite goes into every gradient, as in the reference: the caller looks at it.
pub fn clip_gradients(parameters: &[Tensor], longest: f64) -> f64 {
    let norm = gradient_norm(parameters);
    let factor = longest / (norm + EPSILON);
    if factor >= 1.0 {
        return norm;
    }
    tch::no_grad(|| {
        for parameter in parameters {
            let _ = parameter.grad().g_mul_scalar_(factor);
        }
    });
    norm
}

/// [`clip_gradients`] for each head of a stack by itself; heads are behind one another in the first dimension.
pub(super) fn clip_gradients_of_each(gradients: &mut [Tensor], longest: f64) {
    let squares = gradients.iter().map(|gradient| {
        let gradient = gradient.flatten(1, -1);
        (&gradient * &gradient).sum_dim_intlist(1, false, Kind::Float)
    });
    let Some(squares) = squares.reduce(|sum, squares| sum + squares) else {
        return;
    };
    let factor = (longest / (squares.sqrt() + EPSILON)).clamp_max(1.0);
    tch::no_grad(|| {
        for gradient in gradients {
            let mut shape = vec![1; gradient.dim()];
            if let Some(first) = shape.first_mut() {
                *first = -1;
            }
            let _ = gradient.g_mul_(&factor.view(shape.as_slice()));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_shortened_and_short_ones_stay() {
        let parameters = [3.0_f32, 4.0].map(|slope| {
            let parameter = Tensor::from_slice(&[1.0_f32]).set_requires_grad(true);
            (&parameter * f64::from(slope)).sum(Kind::Float).backward();
            parameter
        });
        let gradients = || {
            parameters
                .each_ref()
                .map(|one| one.grad().double_value(&[0]))
        };
        assert!((clip_gradients(&parameters, 10.0) - 5.0).abs() < 1e-12);
        assert_eq!(
            gradients().map(f64::to_bits),
            [3.0_f64, 4.0].map(f64::to_bits)
        );
        assert!((clip_gradients(&parameters, 1.0) - 5.0).abs() < 1e-12);
        assert!((gradient_norm(&parameters) - 1.0).abs() < 1e-6);
        assert!((gradients()[0] - 0.6).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_of_each_head_has_a_length_of_its_own() {
        let parameter = Tensor::from_slice(&[1.0_f32, 1.0, 1.0, 1.0])
            .view([2, 2])
            .set_requires_grad(true);
        let slopes = Tensor::from_slice(&[3.0_f32, 4.0, 0.3, 0.4]).view([2, 2]);
        (&parameter * &slopes).sum(Kind::Float).backward();
        let mut gradients = [parameter.grad()];
        clip_gradients_of_each(&mut gradients, 1.0);
        let found = Vec::<f32>::try_from(gradients[0].view([-1])).unwrap();
        for (found, expected) in found.iter().zip([0.6, 0.8, 0.3, 0.4]) {
            assert!((found - expected).abs() < 1e-5, "{found}");
        }
    }
}
