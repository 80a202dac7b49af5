//! The forward process: how much signal and how much noise an image holds at timestep `t`.
//!
//! `x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε`, with `ᾱ_t = Π_{s <= t} (1 - β_s)` and timesteps counted from 0.
//!
//! Beside it: [`respacing`] (fewer steps), [`posterior`] and `reverse` (one step back), `sampling` (all steps back), `from_noise` (many
//! images of them), `losses` (what a network is trained on) and [`timesteps`] (at which timesteps).
//!
//! # Reference
//! Ho et al. 2020 (arXiv 2006.11239) Eq. 4, linear schedule; Nichol and Dhariwal 2021 (arXiv 2102.09672) Eq. 17, cosine
//! schedule; openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/gaussian_diffusion.py
//! (`get_named_beta_schedule`, `q_sample`) and guided_diffusion/respace.py (`SpacedDiffusion`); CompVis/stable-diffusion
//! @21f890f9da3cfbeaba8e2ac3c425ee9e998d5229: ldm/modules/diffusionmodules/util.py (`make_beta_schedule`), the scaled linear schedule.
//!
//! # Deviations
//! None. The reference sends even the full set of timesteps through its respacing, which recomputes every β from a ratio
//! of ᾱ and so changes the last digits; this is done here too.
//!
//! # Parity
//! Schedules: relative 1e-12 against `schedules.safetensors` (f64); β of respaced processes: relative 1e-9, in
//! `tests/suite/golden_sampling.rs`. `x_t`: absolute 1e-6 (f32), in `tests/suite/golden_guided_diffusion.rs`.

#[cfg(feature = "torch")]
pub mod from_noise;
#[cfg(feature = "torch")]
pub mod losses;
pub mod noise;
pub mod posterior;
pub mod respacing;
#[cfg(feature = "torch")]
pub mod reverse;
#[cfg(feature = "torch")]
pub mod sampling;
pub mod timesteps;

use std::f64::consts::FRAC_PI_2;

use serde::{Deserialize, Serialize};

use self::noise::fill_noise;
use thiserror::Error;

use self::respacing::{Respacing, RespacingError};
use crate::numbers::to_u32;

/// The term of the bound at one timestep counts this much of the whole bound in `L_hybrid`, as published.
pub const PUBLISHED_LAMBDA: f64 = 0.001;

/// How β grows with the timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// β rises linearly; for 1000 steps from 1e-4 to 0.02, for other numbers of steps scaled by `1000 / steps`.
    Linear,
    /// ᾱ follows a squared cosine; β is at most 0.999.
    Cosine,
    /// The square root of β rises linearly, from that of 0.00085 to that of 0.012, whatever the number of steps: Stable Diffusion's.
    ScaledLinear,
}

/// A schedule that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiffusionError {
    /// There are no timesteps at all.
    #[error(
        "a diffusion needs at least one step; set the number of steps to 1000, as the published models have"
    )]
    NoSteps,
    /// With so few steps the linear schedule would remove more signal than there is.
    #[error("a linear schedule of {steps} steps has a beta above 1; use at least 20 steps")]
    TooFewSteps {
        /// The number of steps that was asked for.
        steps: u32,
    },
    /// The timesteps to keep do not exist.
    #[error(transparent)]
    Respacing(#[from] RespacingError),
}

/// A noise schedule with its cumulative products.
///
/// A process that keeps only some of the timesteps is a diffusion too, with an index for each timestep that it keeps: where
/// a method asks for an index, that of a process with all timesteps is the timestep itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Diffusion {
    betas: Vec<f64>,
    alphas_cumprod: Vec<f64>,
    timesteps: Vec<u32>,
}

/// The two factors of `x_t = signal · x_0 + noise · ε`, each computed in f64 and rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// `sqrt(ᾱ_t)`, in `[0, 1]`.
    pub signal: f32,
    /// `sqrt(1 - ᾱ_t)`, in `[0, 1]`.
    pub noise: f32,
}

/// What the noise of one image is for; the arguments of [`fill_noise`].
#[derive(Debug, Clone, Copy)]
pub struct NoiseOf<'a> {
    /// Seed of all noise of an extraction.
    pub seed: u64,
    /// The sample's id in its dataset.
    pub sample: &'a str,
    /// The view's name, such as `center` or `flip`.
    pub view: &'a str,
    /// The timestep, from 0.
    pub timestep: u32,
    /// Which of several draws, from 0.
    pub draw: u32,
}

impl Coefficients {
    /// Turns the image `x_0` of a sample into `x_t` in place, by the noise that is a function of what it is for.
    ///
    /// - `image`: any layout, usually values in `[-1, 1]`
    /// - `noise`: as long as `image`; what it holds is overwritten with the noise
    pub fn add_noise_of(self, of: NoiseOf<'_>, image: &mut [f32], noise: &mut [f32]) {
        fill_noise(of.seed, of.sample, of.view, of.timestep, of.draw, noise);
        self.add_noise(image, noise);
    }

    /// Turns the image `x_0` into `x_t` in place.
    ///
    /// - `image`: any layout, usually values in `[-1, 1]`
    /// - `noise`: standard normal, same layout; where it is shorter than `image`, the rest of `image` stays as it was
    pub fn add_noise(self, image: &mut [f32], noise: &[f32]) {
        debug_assert_eq!(image.len(), noise.len());
        for (pixel, epsilon) in image.iter_mut().zip(noise) {
            *pixel = self.signal * *pixel + self.noise * epsilon;
        }
    }
}

impl Diffusion {
    /// Computes a schedule of `steps` timesteps (published models: 1000).
    ///
    /// # Errors
    /// Refuses a number of steps for which the schedule is not a diffusion.
    pub fn new(schedule: Schedule, steps: u32) -> Result<Self, DiffusionError> {
        Self::respaced(schedule, steps, &Respacing::All)
    }

    /// Computes a schedule of `steps` timesteps and keeps those that `respacing` names, with β chosen so that ᾱ at these is
    /// the same as before.
    ///
    /// # Errors
    /// Refuses a number of steps for which the schedule is not a diffusion, and timesteps that cannot be chosen so.
    pub fn respaced(
        schedule: Schedule,
        steps: u32,
        respacing: &Respacing,
    ) -> Result<Self, DiffusionError> {
        if steps == 0 {
            return Err(DiffusionError::NoSteps);
        }
        let betas = match schedule {
            Schedule::Linear => linear_betas(steps),
            Schedule::Cosine => cosine_betas(steps),
            Schedule::ScaledLinear => {
                let roots = linspace(0.00085_f64.sqrt(), 0.012_f64.sqrt(), steps);
                roots.into_iter().map(|root| root * root).collect()
            }
        };
        if betas.iter().any(|&beta| beta > 1.0) {
            return Err(DiffusionError::TooFewSteps { steps });
        }
        let timesteps = respacing.timesteps(steps)?;
        let every = cumulative(&betas);
        let kept: Vec<f64> = timesteps
            .iter()
            .filter_map(|&timestep| every.get(timestep as usize).copied())
            .collect();
        let betas = from_ratios(&kept);
        let alphas_cumprod = cumulative(&betas);
        Ok(Self {
            betas,
            alphas_cumprod,
            timesteps,
        })
    }

    /// How many steps it has, from 1.
    pub fn steps(&self) -> u32 {
        to_u32(self.timesteps.len())
    }

    /// The timestep that a network is given at every index, `[steps]`, rising from 0.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
    }

    /// `β` at every index, `[steps]`.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// `ᾱ` at every index, `[steps]`, falling from nearly 1 to nearly 0.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// The factors at an index, counted from 0; `None` beyond the last one.
    pub fn coefficients(&self, index: u32) -> Option<Coefficients> {
        let alpha_bar = *self.alphas_cumprod.get(usize::try_from(index).ok()?)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the reference rounds its f64 tables to f32 on use"
        )]
        let rounded = |value: f64| value as f32;
        Some(Coefficients {
            signal: rounded(alpha_bar.sqrt()),
            noise: rounded((1.0 - alpha_bar).sqrt()),
        })
    }
}

fn linear_betas(steps: u32) -> Vec<f64> {
    let scale = 1000.0 / f64::from(steps);
    linspace(scale * 0.0001, scale * 0.02, steps)
}

/// So many numbers, evenly from `first` to `last`; of one, the first.
fn linspace(first: f64, last: f64, count: u32) -> Vec<f64> {
    if count == 1 {
        return vec![first];
    }
    let step = (last - first) / f64::from(count - 1);
    let mut numbers: Vec<f64> = (0..count).map(|t| f64::from(t) * step + first).collect();
    // The end point is stored, not computed, so that it is exact.
    if let Some(end) = numbers.last_mut() {
        *end = last;
    }
    numbers
}

fn cosine_betas(steps: u32) -> Vec<f64> {
    let alpha_bar = |time: f64| ((time + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    let time = |t: u32| f64::from(t) / f64::from(steps);
    (0..steps)
        .map(|t| (1.0 - alpha_bar(time(t + 1)) / alpha_bar(time(t))).min(0.999))
        .collect()
}

/// `ᾱ` from `β`.
fn cumulative(betas: &[f64]) -> Vec<f64> {
    betas
        .iter()
        .scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        })
        .collect()
}

/// `β` from the ratios of neighboring `ᾱ`.
fn from_ratios(alphas_cumprod: &[f64]) -> Vec<f64> {
    let previous = std::iter::once(&1.0).chain(alphas_cumprod);
    alphas_cumprod
        .iter()
        .zip(previous)
        .map(|(alpha_bar, previous)| 1.0 - alpha_bar / previous)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An f64 array of the golden schedules.
    fn golden(name: &str) -> Vec<f64> {
        let bytes = include_bytes!("../../tests/golden/guided_diffusion/schedules.safetensors");
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let data = tensors.tensor(name).unwrap().data();
        data.chunks_exact(8)
            .map(|chunk| f64::from_le_bytes(chunk.try_into().unwrap()))
            .collect()
    }

    fn assert_relative(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (t, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs() / expected.abs();
            assert!(
                error <= tolerance,
                "{what}[{t}]: {found:e} is not {expected:e} (relative {error:e})"
            );
        }
    }

    #[test]
    fn schedules_match_the_reference() {
        for (schedule, name) in [(Schedule::Linear, "linear"), (Schedule::Cosine, "cosine")] {
            let diffusion = Diffusion::new(schedule, 1000).unwrap();
            assert_relative(
                diffusion.betas(),
                &golden(&format!("{name}.betas")),
                1e-12,
                name,
            );
            assert_relative(
                diffusion.alphas_cumprod(),
                &golden(&format!("{name}.alphas_cumprod")),
                1e-12,
                name,
            );
        }
        let short = Diffusion::new(Schedule::Linear, 250).unwrap();
        assert_relative(
            short.alphas_cumprod(),
            &golden("linear250.alphas_cumprod"),
            1e-12,
            "linear250",
        );
    }

    /// Products of the golden script of diffusers' conditioned features, in 64 bits.
    #[test]
    fn the_scaled_linear_schedule_is_that_of_stable_diffusion() {
        let diffusion = Diffusion::new(Schedule::ScaledLinear, 1000).unwrap();
        for (t, expected) in [
            (0, 0.99915),
            (90, 0.906_451_097_940_162_2),
            (261, 0.655_669_333_075_967_2),
            (500, 0.276_332_683_822_974_6),
            (999, 0.004_660_098_513_077_238),
        ] {
            let found = diffusion.alphas_cumprod()[t];
            assert!((found / expected - 1.0).abs() < 1e-12, "{t}: {found}");
        }
    }

    #[test]
    fn coefficients_split_the_variance_between_signal_and_noise() {
        let diffusion = Diffusion::new(Schedule::Linear, 1000).unwrap();
        for t in [0, 90, 500, 999] {
            let Coefficients { signal, noise } = diffusion.coefficients(t).unwrap();
            assert!((signal * signal + noise * noise - 1.0).abs() < 1e-6);
        }
        assert_eq!(diffusion.coefficients(1000), None);
    }

    #[test]
    fn impossible_numbers_of_steps_are_refused() {
        assert_eq!(
            Diffusion::new(Schedule::Cosine, 0),
            Err(DiffusionError::NoSteps)
        );
        assert_eq!(
            Diffusion::new(Schedule::Linear, 19),
            Err(DiffusionError::TooFewSteps { steps: 19 })
        );
        assert!(Diffusion::new(Schedule::Linear, 20).is_ok());
        assert!(Diffusion::new(Schedule::Cosine, 1).is_ok());
    }

    #[test]
    fn noise_is_added_in_place() {
        let mut image = [1.0, -1.0];
        Coefficients {
            signal: 0.5,
            noise: 2.0,
        }
        .add_noise(&mut image, &[0.25, 1.0]);
        assert_eq!(image.map(f32::to_bits), [1.0_f32, 1.5].map(f32::to_bits));
    }
}
