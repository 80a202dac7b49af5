//! Images from noise: all steps back, one after the other.
//!
//! # Reference
//! Ho et al. 2020 (arXiv 2006.11239) Algorithm 2; Song et al. 2021 (arXiv 2010.02502) Eq. 12;
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/gaussian_diffusion.py (`p_sample_loop`,
//! `ddim_sample_loop`) and scripts/image_sample.py, the bytes of an image.
//!
//! # Shapes
//! Images `[N, C, H, W]`, f32.
//!
//! # Deviations
//! - Noise comes from the caller. It is asked for only where it has an effect: never at the last step, and never where `eta` is
//!   0. The reference draws it all the same and multiplies it by zero.
//! - A classifier's gradient leads a step as upstream's `condition_mean` and `condition_score` have it; with
//!   [`Variance::FixedSmall`] the last step is led by the variance of the one before, where upstream multiplies by zero.
//!
//! # Parity
//! Samples 1e-4; predicted `x_0` 2e-3 at the first two steps, where errors of the network are amplified most, and 2e-4 halfway;
//! bytes at most 1 apart in at most 0.5 % of the values. In `tests/suite/golden_sampling.rs`.

use tch::{Kind, Tensor};

use super::Diffusion;
use super::reverse::{Columns, ReverseError, Variance};
use crate::models::extractor::ForwardError;

/// How a step back is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// A draw from the distribution that the network predicts.
    Ancestral,
    /// By the noise that the network sees, whatever variance it predicts.
    Ddim {
        /// How random a step is, from 0 (not at all) to 1 (as random as an ancestral one with the posterior's variance).
        eta: f64,
    },
}

/// A step of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 0, counted from pure noise.
    pub number: u32,
    /// Its index in the process; the last step has 0.
    pub index: u32,
    /// What the network is given: the timestep in the process that the network was made for.
    pub timestep: u32,
}

/// What a step leaves.
#[derive(Debug)]
pub struct Stepped {
    /// `x_{t-1}`, `[N, C, H, W]`; after the last step the image.
    pub sample: Tensor,
    /// The image that the network saw in `x_t`, `[N, C, H, W]`.
    pub x_0: Tensor,
}

/// A network as sampling sees it. Every closure of this form is one.
pub trait Denoiser {
    /// What the network predicts of `x_t`, `[N, C, H, W]` f32, at a timestep of the process that it was made for: `[N, C, H, W]`,
    /// or `[N, 2C, H, W]` where it predicts a variance.
    ///
    /// # Errors
    /// The network refuses the batch.
    fn denoise(&mut self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError>;

    /// The gradient by `x_t` of what the images are to become, such as the logarithm of the probability of a class, `[N, C, H, W]`;
    /// `None` where nothing leads them.
    ///
    /// # Errors
    /// What leads them refuses the batch.
    fn gradient(&mut self, _x_t: &Tensor, _timestep: u32) -> Result<Option<Tensor>, ForwardError> {
        Ok(None)
    }
}

impl<F: FnMut(&Tensor, u32) -> Result<Tensor, ForwardError>> Denoiser for F {
    fn denoise(&mut self, x_t: &Tensor, timestep: u32) -> Result<Tensor, ForwardError> {
        self(x_t, timestep)
    }
}

/// All that decides a sample besides network and noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// The process, usually respaced.
    pub diffusion: Diffusion,
    /// DDIM or ancestral sampling.
    pub method: Method,
    /// The variance of an ancestral step; [`Method::Ddim`] goes without.
    pub variance: Variance,
    /// Whether predicted images are kept in `[-1, 1]`; the published samples are.
    pub clip: bool,
}

impl Sampling {
    /// The steps in the order of the chain, from pure noise to the image.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        let last = self.diffusion.steps().saturating_sub(1);
        let timesteps = self.diffusion.timesteps().iter().rev();
        (0..=last)
            .zip(timesteps)
            .map(move |(number, &timestep)| Step {
                number,
                index: last - number,
                timestep,
            })
    }

    /// Goes all steps back.
    ///
    /// - `start`: standard normal, `[N, C, H, W]` f32
    /// - `noise`: gives standard normal numbers for a step, of the shape of `start` and on its device; see the deviations
    /// - `observe`: sees what every step leaves
    /// - returns: the images, `[N, C, H, W]`, about in `[-1, 1]`; without gradients
    ///
    /// # Errors
    /// The network refuses the batch, or its output has other channels.
    ///
    /// # Panics
    /// libtorch panics where shapes or devices do not fit and where memory is exhausted.
    pub fn run(
        &self,
        start: &Tensor,
        denoiser: &mut dyn Denoiser,
        noise: &mut dyn FnMut(Step) -> Tensor,
        observe: &mut dyn FnMut(Step, &Stepped),
    ) -> Result<Tensor, ReverseError> {
        let _guard = tch::no_grad_guard();
        let mut x = start.shallow_clone();
        for step in self.steps() {
            let output = denoiser.denoise(&x, step.timestep)?;
            let gradient = denoiser.gradient(&x, step.timestep)?;
            let stepped = self.led_step(step, &x, (&output, gradient.as_ref()), noise)?;
            observe(step, &stepped);
            x = stepped.sample;
        }
        Ok(x)
    }

    /// Goes one step back from `x_t` with the network's `output`; shapes and errors as in [`Sampling::run`].
    ///
    /// # Errors
    /// The process has no such step, or the output has other channels.
    ///
    /// # Panics
    /// As [`Sampling::run`].
    pub fn step(
        &self,
        step: Step,
        x_t: &Tensor,
        output: &Tensor,
        noise: &mut dyn FnMut(Step) -> Tensor,
    ) -> Result<Stepped, ReverseError> {
        self.led_step(step, x_t, (output, None), noise)
    }

    /// The same, led by a gradient that [`Denoiser::gradient`] gives.
    fn led_step(
        &self,
        step: Step,
        x_t: &Tensor,
        (output, gradient): (&Tensor, Option<&Tensor>),
        noise: &mut dyn FnMut(Step) -> Tensor,
    ) -> Result<Stepped, ReverseError> {
        let images = usize::try_from(x_t.size().first().copied().unwrap_or(0)).unwrap_or(0);
        let indices = vec![step.index; images];
        let back = self
            .diffusion
            .step_back(x_t, output, &indices, self.variance, self.clip)?;
        let mut seen = back.x_0;
        let (mean, deviation) = match self.method {
            Method::Ancestral => {
                let mean = match gradient {
                    Some(gradient) => back.mean + back.log_variance.exp() * gradient,
                    None => back.mean,
                };
                (mean, Some((back.log_variance * 0.5).exp()))
            }
            Method::Ddim { eta } => {
                // In f32 throughout, as the reference has it; the differences lose digits.
                let columns = Columns::new(&self.diffusion, &indices, x_t)?;
                let alpha_bar = columns.of(|at| at.alpha_bar);
                let previous = columns.of(|at| at.previous_alpha_bar);
                // Recomputed from the predicted image, which may have been clipped.
                let by_image = |image: &Tensor| {
                    (columns.of(|at| at.inverse_signal) * x_t - image)
                        / columns.of(|at| at.noise_ratio)
                };
                if let Some(gradient) = gradient {
                    // The score is led, and with it the image that is seen, which is not clipped again.
                    let noise: Tensor = 1.0 - &alpha_bar;
                    let epsilon = by_image(&seen) - noise.sqrt() * gradient;
                    seen = columns.of(|at| at.inverse_signal) * x_t
                        - columns.of(|at| at.noise_ratio) * epsilon;
                }
                let epsilon = by_image(&seen);
                let ratio: Tensor = (1.0 - &previous) / (1.0 - &alpha_bar);
                let lost: Tensor = 1.0 - &alpha_bar / &previous;
                let sigma = eta * ratio.sqrt() * lost.sqrt();
                let remaining: Tensor = 1.0 - &previous - sigma.square();
                let mean = &seen * previous.sqrt() + remaining.sqrt() * epsilon;
                (mean, (eta > 0.0).then_some(sigma))
            }
        };
        let sample = match deviation {
            Some(deviation) if step.index > 0 => mean + deviation * noise(step),
            _ => mean,
        };
        Ok(Stepped { sample, x_0: seen })
    }
}

/// Images as bytes: -1 is 0, 1 is 255, what is between is rounded down and what is beyond is clipped.
///
/// # Shapes
/// - `images`: `[N, C, H, W]`, f32
/// - returns: the same shape, u8
pub fn to_bytes(images: &Tensor) -> Tensor {
    ((images + 1.0) * 127.5)
        .clamp(0.0, 255.0)
        .to_kind(Kind::Uint8)
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;

    #[test]
    fn bytes_are_rounded_down_and_clipped() {
        let images = Tensor::from_slice(&[-1.5_f32, -1.0, -0.999, 0.0, 0.999, 1.0, 2.0]);
        let bytes = Vec::<u8>::try_from(to_bytes(&images)).unwrap();
        assert_eq!(bytes, [0, 0, 0, 127, 254, 255, 255]);
    }

    /// With the true noise every step lands on the image, whatever the chain.
    #[test]
    fn a_perfect_denoiser_finds_the_image() {
        let image = Tensor::from_slice(&[-0.5_f32, 0.25, 0.75, 1.0]).view([1, 1, 2, 2]);
        let start = Tensor::from_slice(&[0.3_f32, -1.2, 0.8, 0.1]).view([1, 1, 2, 2]);
        let whole = Diffusion::new(Schedule::Cosine, 100).unwrap();
        let mut sampling = Sampling {
            diffusion: Diffusion::respaced(Schedule::Cosine, 100, &"10".parse().unwrap()).unwrap(),
            method: Method::Ancestral,
            variance: Variance::FixedSmall,
            clip: true,
        };
        for method in [Method::Ancestral, Method::Ddim { eta: 0.0 }] {
            sampling.method = method;
            let mut told = Vec::new();
            let found = sampling.run(
                &start,
                &mut |x_t: &Tensor, timestep| {
                    told.push(timestep);
                    let at = whole.posterior(timestep).unwrap();
                    Ok((x_t - &image * at.signal) / at.noise)
                },
                &mut |step| {
                    Tensor::ones([1, 1, 2, 2], (Kind::Float, tch::Device::Cpu))
                        * f64::from(step.index)
                },
                &mut |_, _| {},
            );
            let difference = (found.unwrap() - &image).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{method:?}: {difference:e}");
            assert_eq!(told, [99, 88, 77, 66, 55, 44, 33, 22, 11, 0]);
        }
    }
}
