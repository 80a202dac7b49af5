//! One step back on tensors: from what a network predicts of `x_t` to the distribution of `x_{t-1}`.
//!
//! # Reference
//! Ho et al. 2020 (arXiv 2006.11239) Eq. 7 and 11; Nichol and Dhariwal 2021 (arXiv 2102.09672) Eq. 15, learned variance;
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/gaussian_diffusion.py (`q_sample`,
//! `q_posterior_mean_variance`, `p_mean_variance`).
//!
//! # Shapes
//! Images `[N, C, H, W]`, f32. A network gives `[N, 2C, H, W]` where it predicts the variance, else `[N, C, H, W]`: first the
//! noise, then the place between the logarithms of the smallest variance (-1) and of the largest (1).
//!
//! # Deviations
//! Networks predict the noise; the reference can also train networks that predict `x_0` or `x_{t-1}`.
//!
//! # Parity
//! Means 1e-4, logarithms of variances 1e-4, variances 1e-5, in `tests/suite/golden_sampling.rs`.

use tch::{Kind, Tensor};
use thiserror::Error;

use super::Diffusion;
use super::posterior::Posterior;
use crate::models::extractor::ForwardError;

/// The variance of a step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// What the network predicts, between the posterior's and β.
    Learned,
    /// β, the best for images that are as noisy as noise.
    FixedLarge,
    /// The posterior's, the best for a data set of one image.
    FixedSmall,
}

/// A process and a batch that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReverseError {
    /// An index that the process does not have.
    #[error("the diffusion has {steps} steps, counted from 0, but step {index} was asked for")]
    UnknownIndex {
        /// The index that was asked for.
        index: u32,
        /// Steps of the process; indices are below it.
        steps: u32,
    },
    /// Not one index for every image.
    #[error("{indices} timesteps were given for {images} images; give one for each")]
    Count {
        /// How many indices were given; there must be one for each image.
        indices: usize,
        /// N, the number of images.
        images: usize,
    },
    /// An output with too few or too many channels.
    #[error(
        "the network gives {found} channels, but {expected} are needed; `learn_sigma` of the model decides whether it predicts a variance"
    )]
    Channels {
        /// The channels of the network's output.
        found: i64,
        /// The channels that it should have.
        expected: i64,
    },
    /// The network refused the batch.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// The distribution of `x_{t-1}` for a batch.
#[derive(Debug)]
pub struct StepBack {
    /// Its mean, `[N, C, H, W]`.
    pub mean: Tensor,
    /// The logarithm of its variance, `[N, C, H, W]` where learned, else `[N, 1, 1, 1]`.
    pub log_variance: Tensor,
    /// The image that the network sees in `x_t`, `[N, C, H, W]`.
    pub x_0: Tensor,
}

/// The numbers of a process for a batch, one index for each image.
#[derive(Debug)]
pub(super) struct Columns {
    posteriors: Vec<Posterior>,
    device: tch::Device,
}

impl Columns {
    /// # Errors
    /// An index that the process does not have, or not one for each of the images `x`, `[N, ...]`.
    pub(super) fn new(
        diffusion: &Diffusion,
        indices: &[u32],
        x: &Tensor,
    ) -> Result<Self, ReverseError> {
        let images = x.size().first().copied().unwrap_or(0);
        let images = usize::try_from(images).unwrap_or(0);
        if images != indices.len() {
            return Err(ReverseError::Count {
                indices: indices.len(),
                images,
            });
        }
        let find = |&index: &u32| {
            diffusion
                .posterior(index)
                .ok_or(ReverseError::UnknownIndex {
                    index,
                    steps: diffusion.steps(),
                })
        };
        Ok(Self {
            posteriors: indices.iter().map(find).collect::<Result<_, _>>()?,
            device: x.device(),
        })
    }

    /// One number for each image, rounded to f32: `[N, 1, 1, 1]`.
    pub(super) fn of(&self, number: impl Fn(&Posterior) -> f64) -> Tensor {
        let numbers: Vec<f64> = self.posteriors.iter().map(number).collect();
        let host = Tensor::from_slice(&numbers)
            .to_kind(Kind::Float)
            .view([-1, 1, 1, 1]);
        if self.device.is_cuda() {
            // From pinned memory, so that nobody waits for what the GPU still computes.
            let (non_blocking, copy) = (true, false);
            host.pin_memory(self.device)
                .to_device_(self.device, Kind::Float, non_blocking, copy)
        } else {
            host
        }
    }

    /// The mean of `q(x_{t-1} | x_t, x_0)`, `[N, C, H, W]`.
    pub(super) fn posterior_mean(&self, x_0: &Tensor, x_t: &Tensor) -> Tensor {
        self.of(|at| at.start_factor) * x_0 + self.of(|at| at.current_factor) * x_t
    }

    /// The logarithm of a learned variance, from its place between the smallest (-1) and the largest (1): `[N, C, H, W]`.
    pub(super) fn learned_log_variance(&self, place: &Tensor) -> Tensor {
        let fraction = (place + 1.0) / 2.0;
        let (smallest, largest) = (self.of(|at| at.log_variance), self.of(|at| at.log_beta));
        &fraction * largest + (1.0 - &fraction) * smallest
    }

    /// The distribution of `x_{t-1}` by a network that sees the noise `epsilon` in `x_t`.
    pub(super) fn step_back(
        &self,
        x_t: &Tensor,
        epsilon: &Tensor,
        log_variance: Tensor,
        clip: bool,
    ) -> StepBack {
        let x_0 = self.of(|at| at.inverse_signal) * x_t - self.of(|at| at.noise_ratio) * epsilon;
        let x_0 = if clip { x_0.clamp(-1.0, 1.0) } else { x_0 };
        StepBack {
            mean: self.posterior_mean(&x_0, x_t),
            log_variance,
            x_0,
        }
    }
}

/// The parts of an output: the noise, and the place of the variance where the network predicts it.
pub(super) fn parts(
    output: &Tensor,
    x_t: &Tensor,
) -> Result<(Tensor, Option<Tensor>), ReverseError> {
    let (image, found) = (channels(x_t), channels(output));
    if found == 2 * image {
        let place = output.narrow(1, image, image);
        Ok((output.narrow(1, 0, image), Some(place)))
    } else if found == image {
        Ok((output.shallow_clone(), None))
    } else {
        let expected = 2 * image;
        Err(ReverseError::Channels { found, expected })
    }
}

/// The same of a network that has to predict the variance.
pub(super) fn both_parts(output: &Tensor, x_t: &Tensor) -> Result<(Tensor, Tensor), ReverseError> {
    let (epsilon, place) = parts(output, x_t)?;
    let place = place.ok_or(ReverseError::Channels {
        found: channels(output),
        expected: 2 * channels(x_t),
    })?;
    Ok((epsilon, place))
}

fn channels(tensor: &Tensor) -> i64 {
    tensor.size().get(1).copied().unwrap_or(0)
}

impl Diffusion {
    /// `x_t`, an image with noise.
    ///
    /// # Shapes
    /// - `x_0`: `[N, C, H, W]`, f32, usually in `[-1, 1]`
    /// - `noise`: the same, standard normal
    /// - `indices`: `[N]`
    /// - returns: `[N, C, H, W]`
    ///
    /// # Errors
    /// An index that the process does not have, or not one for every image.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit.
    pub fn add_noise(
        &self,
        x_0: &Tensor,
        noise: &Tensor,
        indices: &[u32],
    ) -> Result<Tensor, ReverseError> {
        let columns = Columns::new(self, indices, x_0)?;
        Ok(columns.of(|at| at.signal) * x_0 + columns.of(|at| at.noise) * noise)
    }

    /// The distribution of `x_{t-1}`.
    ///
    /// # Shapes
    /// - `x_t`: `[N, C, H, W]`, f32
    /// - `output`: what the network predicts, `[N, 2C, H, W]`, or `[N, C, H, W]` unless [`Variance::Learned`] is asked for
    /// - `indices`: `[N]`; the network was given [`Diffusion::timesteps`] at these
    /// - `clip`: whether the predicted `x_0` is kept in `[-1, 1]`
    ///
    /// # Errors
    /// An index that the process does not have, not one for every image, or an output with other channels.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit.
    pub fn step_back(
        &self,
        x_t: &Tensor,
        output: &Tensor,
        indices: &[u32],
        variance: Variance,
        clip: bool,
    ) -> Result<StepBack, ReverseError> {
        let columns = Columns::new(self, indices, x_t)?;
        let (epsilon, log_variance) = match variance {
            Variance::Learned => {
                let (epsilon, place) = both_parts(output, x_t)?;
                (epsilon, columns.learned_log_variance(&place))
            }
            Variance::FixedLarge => (parts(output, x_t)?.0, columns.of(|at| at.log_fixed_large)),
            Variance::FixedSmall => (parts(output, x_t)?.0, columns.of(|at| at.log_variance)),
        };
        Ok(columns.step_back(x_t, &epsilon, log_variance, clip))
    }
}
