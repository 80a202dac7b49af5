//! One step back in numbers: what `q(x_{t-1} | x_t, x_0)` is made of, and `x_0` from the noise.
//!
//! # Reference
//! Ho et al. 2020 (arXiv 2006.11239) Eq. 7; openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:
//! guided_diffusion/gaussian_diffusion.py (`GaussianDiffusion.__init__`).
//!
//! # Deviations
//! A process of a single step, which the reference cannot make, takes its β where others take the variance at index 1.
//!
//! # Parity
//! Logarithms of variances, in `tests/suite/golden_sampling.rs`.

use super::Diffusion;

/// The numbers of one index of a process, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// `sqrt(ᾱ)`, in `[0, 1]`: `x_t = signal · x_0 + noise · ε`.
    pub signal: f64,
    /// `sqrt(1 - ᾱ)`, in `[0, 1]`.
    pub noise: f64,
    /// `ᾱ`.
    pub alpha_bar: f64,
    /// `ᾱ` at the index before; 1 at index 0.
    pub previous_alpha_bar: f64,
    /// `sqrt(1 / ᾱ)`, from 1: `x_0 = inverse_signal · x_t - noise_ratio · ε`.
    pub inverse_signal: f64,
    /// `sqrt(1 / ᾱ - 1)`, from 0.
    pub noise_ratio: f64,
    /// The factor of `x_0` in the posterior's mean.
    pub start_factor: f64,
    /// The factor of `x_t` in the posterior's mean.
    pub current_factor: f64,
    /// `ln` of the posterior's variance, the smallest variance that a step back can have. At index 0, where it is `ln 0`,
    /// that of index 1.
    pub log_variance: f64,
    /// `ln β`, the largest variance that a step back can have.
    pub log_beta: f64,
    /// `ln β`, but at index 0 that of the posterior's variance at index 1: for networks that predict no variance.
    pub log_fixed_large: f64,
}

impl Diffusion {
    /// The numbers at an index, counted from 0; `None` beyond the last one.
    pub fn posterior(&self, index: u32) -> Option<Posterior> {
        let index = usize::try_from(index).ok()?;
        let beta = *self.betas().get(index)?;
        let alpha_bar = *self.alphas_cumprod().get(index)?;
        let previous = self.previous_alpha_bar(index);
        let log_variance = self.variance(index.max(1)).unwrap_or(beta).ln();
        Some(Posterior {
            signal: alpha_bar.sqrt(),
            noise: (1.0 - alpha_bar).sqrt(),
            alpha_bar,
            previous_alpha_bar: previous,
            inverse_signal: (1.0 / alpha_bar).sqrt(),
            noise_ratio: (1.0 / alpha_bar - 1.0).sqrt(),
            start_factor: beta * previous.sqrt() / (1.0 - alpha_bar),
            current_factor: (1.0 - previous) * (1.0 - beta).sqrt() / (1.0 - alpha_bar),
            log_variance,
            log_beta: beta.ln(),
            log_fixed_large: if index == 0 { log_variance } else { beta.ln() },
        })
    }

    /// The posterior's variance, 0 at index 0.
    fn variance(&self, index: usize) -> Option<f64> {
        let (beta, alpha_bar) = (self.betas().get(index)?, self.alphas_cumprod().get(index)?);
        Some(beta * (1.0 - self.previous_alpha_bar(index)) / (1.0 - alpha_bar))
    }

    fn previous_alpha_bar(&self, index: usize) -> f64 {
        let before = index.checked_sub(1);
        let alpha_bar = before.and_then(|before| self.alphas_cumprod().get(before));
        alpha_bar.copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;

    #[test]
    fn the_mean_of_a_noiseless_image_lies_on_its_way_back() {
        let diffusion = Diffusion::new(Schedule::Linear, 1000).unwrap();
        for index in [0, 1, 500, 999] {
            let posterior = diffusion.posterior(index).unwrap();
            // With ε = 0, x_t is sqrt(ᾱ_t) x_0, and the posterior's mean is sqrt(ᾱ_{t-1}) x_0.
            let mean = posterior.start_factor + posterior.current_factor * posterior.signal;
            assert!((mean - posterior.previous_alpha_bar.sqrt()).abs() < 1e-12);
            assert!(posterior.log_variance <= posterior.log_beta || index == 0);
            let undone = posterior.inverse_signal * posterior.signal;
            assert!((undone - 1.0).abs() < 1e-12);
            let undone = posterior.inverse_signal * posterior.noise - posterior.noise_ratio;
            assert!(undone.abs() < 1e-9);
        }
        assert_eq!(diffusion.posterior(1000), None);
    }

    #[test]
    fn the_first_variance_is_that_of_the_second_step() {
        let diffusion = Diffusion::new(Schedule::Cosine, 50).unwrap();
        let [first, second] = [0, 1].map(|index| diffusion.posterior(index).unwrap());
        assert_eq!(
            [first.log_variance, first.log_fixed_large].map(f64::to_bits),
            [second.log_variance; 2].map(f64::to_bits)
        );
        let single = Diffusion::new(Schedule::Cosine, 1).unwrap();
        let posterior = single.posterior(0).unwrap();
        assert!(posterior.log_variance.is_finite() && posterior.start_factor.is_finite());
    }
}
