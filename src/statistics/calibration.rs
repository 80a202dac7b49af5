//! How far confidences are to be believed: negative log-likelihood, calibration error, temperature.
//!
//! **NLL** is the mean over samples of −ln p(label), by log-sum-exp: with l the logits and m the largest, m + ln Σ exp(l − m) − l(label). The
//! logarithm of a softmax would be infinite where the softmax rounds to 0.
//!
//! **ECE**: samples are put into 15 bins of equal width by their confidence, the largest probability; bin j is ((j − 1)/15, j/15]. The error is the
//! mean, over samples, of |accuracy − mean confidence| of their bin. It is biased upward with few samples in a bin, and it is not a proper score: a
//! head can lower it and become worse.
//!
//! **Temperature**: logits are divided by the one T that minimizes the NLL of other samples than those that it is judged on. The NLL is convex in
//! 1/T, so the minimum is where its derivative, the mean of Σ p l − l(label), crosses 0; it is searched in [[`LEAST_TEMPERATURE`],
//! [`MOST_TEMPERATURE`]], which has a minimum also where all samples are right, and T could become as small as one likes. T does not change which
//! class is predicted.
//!
//! # Reference
//! Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599). Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities
//! Using Bayesian Binning (2015).
//!
//! # Deviations
//! Logits are `f32`, all arithmetic `f64`. torchmetrics has bins [(j − 1)/15, j/15), and one of their own for confidences of 1.

/// Bins of the calibration error.
pub const BINS: usize = 15;

/// The least temperature that is searched.
pub const LEAST_TEMPERATURE: f64 = 0.01;

/// The largest.
pub const MOST_TEMPERATURE: f64 = 100.0;

/// Logits of some samples with their labels; all labels are classes, and all logits finite.
#[derive(Debug, Clone, Copy)]
pub struct Labeled<'a> {
    logits: &'a [f32],
    labels: &'a [u32],
    classes: usize,
}

impl<'a> Labeled<'a> {
    /// Logits `[N, K]`, row-major, and N labels below K. `None` where there is no sample, where the numbers do not fit, or where a logit is not a finite
    /// number.
    pub fn new(logits: &'a [f32], labels: &'a [u32], classes: usize) -> Option<Self> {
        let fits = !labels.is_empty()
            && labels.len().checked_mul(classes) == Some(logits.len())
            && labels.iter().all(|&label| (label as usize) < classes)
            && logits.iter().all(|logit| logit.is_finite());
        fits.then_some(Self {
            logits,
            labels,
            classes,
        })
    }

    /// Each sample's logits and label.
    fn rows(self) -> impl Iterator<Item = (&'a [f32], usize)> {
        let labels = self.labels.iter().map(|&label| label as usize);
        self.logits.chunks_exact(self.classes).zip(labels)
    }

    /// −ln p(label) of each sample, logits divided by a temperature.
    pub fn losses(self, temperature: f64) -> Vec<f64> {
        let loss = |(logits, label): (&[f32], usize)| {
            log_sum_exp(logits, temperature) - f64::from(logits[label]) / temperature
        };
        self.rows().map(loss).collect()
    }

    /// Their mean.
    pub fn nll(self, temperature: f64) -> f64 {
        self.losses(temperature).iter().sum::<f64>() / self.labels.len() as f64
    }

    /// The expected calibration error, logits divided by a temperature: a fraction. Ties go to the lower class.
    pub fn ece(self, temperature: f64) -> f64 {
        // Accuracy less confidence, summed in each bin.
        let mut gaps = [0.0; BINS];
        for (logits, label) in self.rows() {
            let mut best = 0;
            for (class, logit) in logits.iter().enumerate() {
                if *logit > logits[best] {
                    best = class;
                }
            }
            let largest = f64::from(logits[best]) / temperature;
            let confidence = (largest - log_sum_exp(logits, temperature)).exp();
            let right = if best == label { 1.0 } else { 0.0 };
            gaps[bin(confidence)] += right - confidence;
        }
        // |accuracy − confidence| of a bin times its samples is the absolute sum.
        gaps.iter().map(|gap| gap.abs()).sum::<f64>() / self.labels.len() as f64
    }

    /// The temperature that minimizes the NLL of these samples, in [[`LEAST_TEMPERATURE`], [`MOST_TEMPERATURE`]].
    pub fn temperature(self) -> f64 {
        let (mut low, mut high) = (1.0 / MOST_TEMPERATURE, 1.0 / LEAST_TEMPERATURE);
        loop {
            let middle = (low * high).sqrt();
            if middle <= low || middle >= high || (high - low) < 1e-14 * high {
                return (1.0 / middle).clamp(LEAST_TEMPERATURE, MOST_TEMPERATURE);
            }
            if self.slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
    }

    /// The derivative of N times the NLL by 1/T.
    fn slope(self, inverse: f64) -> f64 {
        let terms = self.rows().map(|(logits, label)| {
            let largest = largest(logits);
            let (mut sum, mut weighted) = (0.0, 0.0);
            for &logit in logits {
                let below = f64::from(logit) - largest;
                let weight = (below * inverse).exp();
                sum += weight;
                weighted += weight * below;
            }
            weighted / sum - (f64::from(logits[label]) - largest)
        });
        terms.sum()
    }
}

fn largest(logits: &[f32]) -> f64 {
    f64::from(
        logits
            .iter()
            .fold(f32::NEG_INFINITY, |most, &logit| most.max(logit)),
    )
}

/// ln Σ exp(l / T).
fn log_sum_exp(logits: &[f32], temperature: f64) -> f64 {
    let largest = largest(logits);
    let terms = logits
        .iter()
        .map(|&logit| ((f64::from(logit) - largest) / temperature).exp());
    largest / temperature + terms.sum::<f64>().ln()
}

/// The bin ((j − 1)/15, j/15] of a confidence, from 0.
fn bin(confidence: f64) -> usize {
    let upper = |bin: &usize| confidence <= (bin + 1) as f64 / BINS as f64;
    (0..BINS).find(upper).unwrap_or(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_by_hand() {
        // Logits 0 and ln 3: p = 1/4, 3/4. Two of three samples have the likelier label.
        let logits = [0.0, 3.0_f32.ln()].repeat(3);
        let samples = Labeled::new(&logits, &[1, 1, 0], 2).unwrap();
        let expected = (2.0 * (4.0_f64 / 3.0).ln() + 4.0_f64.ln()) / 3.0;
        assert!((samples.nll(1.0) - expected).abs() < 1e-7);
        assert!((samples.ece(1.0) - (0.75 - 2.0 / 3.0)).abs() < 1e-7);
        // The best temperature says 2/3: ln 3 / T = ln 2.
        let temperature = samples.temperature();
        assert!(
            (temperature - 3.0_f64.ln() / 2.0_f64.ln()).abs() < 1e-6,
            "{temperature}"
        );
        assert!(samples.ece(temperature) < 1e-9);
    }

    #[test]
    fn without_a_minimum_the_temperature_is_at_an_end() {
        let logits = [1.0, 0.0, 0.0, 1.0];
        let right = Labeled::new(&logits, &[0, 1], 2).unwrap();
        assert!((right.temperature() - LEAST_TEMPERATURE).abs() < 1e-9);
        let wrong = Labeled::new(&logits, &[1, 0], 2).unwrap();
        assert!((wrong.temperature() - MOST_TEMPERATURE).abs() < 1e-9);
    }

    #[test]
    fn edges_belong_to_the_bin_below() {
        assert_eq!(
            (bin(1.0 / 15.0), bin(0.067), bin(1.0), bin(0.0)),
            (0, 1, 14, 0)
        );
        assert_eq!((bin(9.0 / 15.0), bin(9.000_001 / 15.0)), (8, 9));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Labeled::new(&[], &[], 2).is_none());
        assert!(Labeled::new(&[0.0; 4], &[0, 2], 2).is_none());
        assert!(Labeled::new(&[0.0; 3], &[0, 1], 2).is_none());
        assert!(Labeled::new(&[0.0, f32::NAN], &[0], 2).is_none());
    }
}
