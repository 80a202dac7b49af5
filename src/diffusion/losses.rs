//! What a denoising network is trained on: the noise, the variational bound, or both.
//!
//! # Reference
//! Ho et al. 2020 (arXiv 2006.11239) Eq. 14, `L_simple`, and section 3.3, the discretized likelihood of the first step; Nichol and
//! Dhariwal 2021 (arXiv 2102.09672) Eq. 4 to 7, the bound, and Eq. 16, `L_hybrid`;
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/gaussian_diffusion.py (`training_losses`,
//! `_vb_terms_bpd`) and guided_diffusion/losses.py.
//!
//! # Shapes
//! Images `[N, C, H, W]`, outputs `[N, 2C, H, W]` or, for [`Objective::Simple`], `[N, C, H, W]`; f32. A term is `[N]`, one number
//! for each image, so that it can be weighted and kept by timestep.
//!
//! # Deviations
//! The bound is for networks that predict the variance; the reference computes it for others too.
//!
//! # Parity
//! Terms relative 1e-4, of the bound alone 1e-3; norms of gradients relative 1e-3; gradients 1e-5. In
//! `tests/suite/golden_sampling.rs`.

use std::f64::consts::{FRAC_2_PI, LN_2};

use tch::{Kind, Tensor};

use super::Diffusion;
pub use super::PUBLISHED_LAMBDA;
use super::reverse::{Columns, ReverseError, StepBack, both_parts, parts};

/// The training loss of a diffusion network, in the terms of Nichol and Dhariwal (2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// `L_simple`: the mean square of what is wrong in the predicted noise. A predicted variance learns nothing.
    Simple,
    /// `L_hybrid`: `L_simple` and `lambda` times the bound, of which only the variance learns.
    Hybrid {
        /// The bound's weight, from 0; [`PUBLISHED_LAMBDA`], or `1 / steps` for the reference without its rescaling.
        lambda: f64,
    },
    /// `L_vlb`: the bound alone, of which noise and variance learn.
    Bound,
}

/// The terms of a batch, each `[N]`.
#[derive(Debug)]
pub struct Terms {
    /// `L_simple`; absent from [`Objective::Bound`].
    pub simple: Option<Tensor>,
    /// The term of the bound at the image's timestep in bits per dimension, times the number of steps and the weight of the
    /// objective; absent from [`Objective::Simple`].
    pub bound: Option<Tensor>,
    /// Their sum, which is minimized in the mean.
    pub loss: Tensor,
}

/// A batch that was shown to a network.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The images, `[N, C, H, W]`, in `[-1, 1]`.
    pub x_0: &'a Tensor,
    /// Their noise, the same.
    pub noise: &'a Tensor,
    /// `x_t` by [`Diffusion::add_noise`], the same.
    pub x_t: &'a Tensor,
    /// The index in the process for every image, `[N]`.
    pub indices: &'a [u32],
}

impl Objective {
    /// The loss of every image, with gradients for `output`.
    ///
    /// # Errors
    /// An index that the process does not have, not one for every image, or an output with other channels.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit.
    pub fn terms(
        self,
        diffusion: &Diffusion,
        shown: Shown<'_>,
        output: &Tensor,
    ) -> Result<Terms, ReverseError> {
        let steps = f64::from(diffusion.steps());
        let bound = |epsilon: &Tensor, place: &Tensor| -> Result<Tensor, ReverseError> {
            let columns = Columns::new(diffusion, shown.indices, shown.x_t)?;
            let (variance, clip) = (columns.learned_log_variance(place), false);
            let back = columns.step_back(shown.x_t, epsilon, variance, clip);
            Ok(bound_in_bits(&columns, shown, &back))
        };
        let simple = |epsilon: &Tensor| mean_of_image(&(shown.noise - epsilon).square());
        match self {
            Self::Simple => {
                let simple = simple(&parts(output, shown.x_t)?.0);
                Ok(Terms {
                    loss: simple.shallow_clone(),
                    simple: Some(simple),
                    bound: None,
                })
            }
            Self::Hybrid { lambda } => {
                let (epsilon, place) = both_parts(output, shown.x_t)?;
                let simple = simple(&epsilon);
                let bound = bound(&epsilon.detach(), &place)? * (steps * lambda);
                Ok(Terms {
                    loss: &simple + &bound,
                    simple: Some(simple),
                    bound: Some(bound),
                })
            }
            Self::Bound => {
                let (epsilon, place) = both_parts(output, shown.x_t)?;
                let bound = bound(&epsilon, &place)? * steps;
                Ok(Terms {
                    loss: bound.shallow_clone(),
                    simple: None,
                    bound: Some(bound),
                })
            }
        }
    }
}

/// The term of the bound for every image in bits per dimension, `[N]`: at index 0 how unlikely the image is, else how far the
/// network's step back is from the posterior's.
fn bound_in_bits(columns: &Columns, shown: Shown<'_>, back: &StepBack) -> Tensor {
    let divergence = divergence(
        (
            &columns.posterior_mean(shown.x_0, shown.x_t),
            &columns.of(|at| at.log_variance),
        ),
        (&back.mean, &back.log_variance),
    );
    let unlikely = -log_likelihood(shown.x_0, &back.mean, &(&back.log_variance * 0.5));
    let first: Vec<bool> = shown.indices.iter().map(|&index| index == 0).collect();
    let first = Tensor::from_slice(&first).to_device(shown.x_0.device());
    let in_bits = |nats: &Tensor| mean_of_image(nats) / LN_2;
    in_bits(&unlikely).where_self(&first, &in_bits(&divergence))
}

/// The Kullback-Leibler divergence of the second of two normal distributions, each a mean and the logarithm of a variance, from
/// the first, in nats for every value.
fn divergence(of: (&Tensor, &Tensor), from: (&Tensor, &Tensor)) -> Tensor {
    let ((mean, log_variance), (other_mean, other_log_variance)) = (of, from);
    let spread = (log_variance - other_log_variance).exp();
    let distance = (mean - other_mean).square() * (-other_log_variance).exp();
    (other_log_variance - 1.0 - log_variance + spread + distance) * 0.5
}

/// The logarithm of the probability that a normal distribution gives to the byte of every value, in nats. The first and the
/// last byte have all that is beyond them.
fn log_likelihood(x: &Tensor, mean: &Tensor, log_deviation: &Tensor) -> Tensor {
    /// Half the distance of two bytes in `[-1, 1]`.
    const HALF_A_BYTE: f64 = 1.0 / 255.0;
    /// Values beyond this are the first or the last byte.
    const EDGE: f64 = 0.999;
    /// The least probability whose logarithm is taken.
    const LEAST: f64 = 1e-12;
    let distance = x - mean;
    let precision = (-log_deviation).exp();
    let below = |offset: f64| normal_below(&(&precision * (&distance + offset)));
    let (above_it, below_it) = (below(HALF_A_BYTE), below(-HALF_A_BYTE));
    let log = |probability: &Tensor| probability.clamp_min(LEAST).log();
    let last = log(&(1.0 - &below_it));
    let inner = last.where_self(&x.gt(EDGE), &log(&(&above_it - &below_it)));
    log(&above_it).where_self(&x.lt(-EDGE), &inner)
}

/// The share of the standard normal distribution below `x`, by the approximation with a hyperbolic tangent.
fn normal_below(x: &Tensor) -> Tensor {
    let bent = x + x.pow_tensor_scalar(3) * 0.044_715;
    ((bent * FRAC_2_PI.sqrt()).tanh() + 1.0) * 0.5
}

/// The mean over all axes but the first: `[N]`.
fn mean_of_image(x: &Tensor) -> Tensor {
    x.mean_dim([1_i64, 2, 3].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;
    use tch::Device;

    #[test]
    fn bytes_share_all_probability() {
        // All 256 bytes under one distribution, narrow or wide.
        let bytes: Vec<f32> = (0..=255_u8)
            .map(|byte| f32::from(byte) / 127.5 - 1.0)
            .collect();
        let x = Tensor::from_slice(&bytes);
        for log_deviation in [-4.0, -1.0, 1.0] {
            let (mean, scale) = (
                Tensor::full_like(&x, 0.1),
                Tensor::full_like(&x, log_deviation),
            );
            let sum = log_likelihood(&x, &mean, &scale).exp().sum(Kind::Double);
            assert!(
                (sum.double_value(&[]) - 1.0).abs() < 1e-5,
                "{log_deviation}"
            );
        }
    }

    #[test]
    fn the_hybrid_loss_teaches_the_noise_by_the_simple_term_alone() {
        let diffusion = Diffusion::new(Schedule::Linear, 100).unwrap();
        let ones = Tensor::ones([2, 1, 4, 4], (Kind::Float, Device::Cpu));
        let (x_0, noise, indices) = (&ones * 0.5, &ones * -0.25, [0, 50]);
        let x_t = diffusion.add_noise(&x_0, &noise, &indices).unwrap();
        let shown = Shown {
            x_0: &x_0,
            noise: &noise,
            x_t: &x_t,
            indices: &indices,
        };
        let gradients = |objective: Objective| {
            let output = Tensor::zeros([2, 2, 4, 4], (Kind::Float, Device::Cpu));
            let output = output.set_requires_grad(true);
            let terms = objective.terms(&diffusion, shown, &output).unwrap();
            terms.loss.sum(Kind::Float).backward();
            let gradient = output.grad();
            (
                gradient.narrow(1, 0, 1).copy(),
                gradient.narrow(1, 1, 1).copy(),
            )
        };
        let simple = gradients(Objective::Simple);
        let bound = gradients(Objective::Bound);
        let hybrid = gradients(Objective::Hybrid { lambda: 0.5 });
        assert_eq!(simple.0, hybrid.0);
        assert_ne!(simple.0, bound.0);
        assert_eq!(simple.1, Tensor::zeros_like(&simple.1));
        let halved = (hybrid.1 - bound.1 * 0.5).abs().max().double_value(&[]);
        assert!(halved < 1e-6, "{halved:e}");
    }
}
