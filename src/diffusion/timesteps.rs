//! At which timesteps a network is trained: each as often as any other, or those with a large loss more often.
//!
//! A draw is a function of seed, step and position in the batch, and for the second rule of the losses that were seen before.
//!
//! # Reference
//! Nichol and Dhariwal 2021 (arXiv 2102.09672) section 3.3, importance sampling;
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/resample.py (`UniformSampler`,
//! `LossSecondMomentResampler`).
//!
//! # Deviations
//! Draws come from the counter-based generator of `random.rs`, not from one for the whole process.

use std::collections::VecDeque;

use thiserror::Error;

use crate::numbers::to_u32;
use crate::random::Stream;

/// The losses that are remembered for each timestep.
const REMEMBERED: usize = 10;

/// The share of draws that stay uniform, so that no timestep is forgotten.
const UNIFORM_SHARE: f64 = 0.001;

/// A timestep for one image of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Its index in the process, from 0.
    pub index: u32,
    /// What its loss is multiplied by, so that the mean stays that of uniform draws.
    pub weight: f32,
}

/// A rule by which timesteps are drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum TimestepSampler {
    /// Each as likely as any other.
    Uniform {
        /// The steps of the process, from 1.
        steps: u32,
    },
    /// In proportion to the root of the mean square of the last losses; uniform until all timesteps have enough of them.
    LossAware(LossHistory),
}

/// The last losses of every timestep, the oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct LossHistory {
    losses: Vec<VecDeque<f64>>,
}

/// A history that no training can have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "timestep {index} has {count} losses, but at most {REMEMBERED} are remembered; the state belongs to another version"
)]
pub struct HistoryError {
    /// The timestep whose history is too long, from 0.
    pub index: usize,
    /// How many losses are stored for it.
    pub count: usize,
}

impl TimestepSampler {
    /// A sampler that has seen no loss yet.
    pub fn loss_aware(steps: u32) -> Self {
        Self::LossAware(LossHistory {
            losses: vec![VecDeque::new(); steps as usize],
        })
    }

    /// The timesteps of a training step, one for each of `count` images.
    ///
    /// - `seed`: the seed of the training
    /// - `step`: from 0; element `i` depends on it and on `i`, but not on `count`
    pub fn draw(&self, seed: u64, step: u64, count: usize) -> Vec<Draw> {
        let stream =
            |position: usize| Stream::new(seed, &format!("timesteps/step-{step}/image-{position}"));
        match self.probabilities() {
            None => {
                let steps = self.steps().max(1) as usize;
                let draw = |position| Draw {
                    index: to_u32(stream(position).next_index(steps)),
                    weight: 1.0,
                };
                (0..count).map(draw).collect()
            }
            Some(probabilities) => {
                let draw = |position| weighted(&probabilities, stream(position).next_bits());
                (0..count).map(draw).collect()
            }
        }
    }

    /// Remembers the losses of a batch, before they are weighted, in the order of the batch. A uniform sampler needs none.
    ///
    /// Draws beyond the process are left out, and a loss that is NaN or infinite counts as 0: training fails on it elsewhere.
    pub fn remember(&mut self, draws: &[Draw], losses: &[f64]) {
        let Self::LossAware(history) = self else {
            return;
        };
        for (draw, &loss) in draws.iter().zip(losses) {
            let Some(last) = history.losses.get_mut(draw.index as usize) else {
                continue;
            };
            if last.len() == REMEMBERED {
                last.pop_front();
            }
            last.push_back(if loss.is_finite() { loss } else { 0.0 });
        }
    }

    /// Timesteps of the process, T; samples are below it.
    fn steps(&self) -> u32 {
        match self {
            Self::Uniform { steps } => *steps,
            Self::LossAware(history) => to_u32(history.losses.len()),
        }
    }

    /// How likely every timestep is, `[steps]`, summing to 1; `None` while all are equally likely.
    pub fn probabilities(&self) -> Option<Vec<f64>> {
        let Self::LossAware(LossHistory { losses }) = self else {
            return None;
        };
        if losses.iter().any(|last| last.len() < REMEMBERED) {
            return None;
        }
        let root = |last: &VecDeque<f64>| {
            let squares: f64 = last.iter().map(|loss| loss * loss).sum();
            (squares / REMEMBERED as f64).sqrt()
        };
        let roots: Vec<f64> = losses.iter().map(root).collect();
        let sum: f64 = roots.iter().sum();
        // Without any loss there is nothing to prefer.
        if !(sum > 0.0 && sum.is_finite()) {
            return None;
        }
        let uniform = UNIFORM_SHARE / roots.len() as f64;
        let share = |root: f64| root / sum * (1.0 - UNIFORM_SHARE) + uniform;
        Some(roots.into_iter().map(share).collect())
    }
}

impl LossHistory {
    /// A history that [`LossHistory::losses`] gave: for each timestep its last losses, the oldest first.
    ///
    /// # Errors
    /// A timestep has more losses than are remembered.
    pub fn new(losses: Vec<Vec<f64>>) -> Result<Self, HistoryError> {
        let long = losses.iter().position(|last| last.len() > REMEMBERED);
        if let Some(index) = long {
            let count = losses.get(index).map_or(0, Vec::len);
            return Err(HistoryError { index, count });
        }
        Ok(Self {
            losses: losses.into_iter().map(VecDeque::from).collect(),
        })
    }

    /// For each timestep its last losses, at most ten, the oldest first.
    pub fn losses(&self) -> Vec<Vec<f64>> {
        let all = self.losses.iter();
        all.map(|last| last.iter().copied().collect()).collect()
    }
}

/// The timestep at which the sum of probabilities passes the number in `[0, 1)` that the bits stand for.
fn weighted(probabilities: &[f64], bits: u64) -> Draw {
    /// 2^53, all that an f64 tells apart.
    const RANGE: f64 = 9_007_199_254_740_992.0;
    let sums = probabilities.iter().scan(0.0, |sum, probability| {
        *sum += probability;
        Some(*sum)
    });
    let sums: Vec<f64> = sums.collect();
    // By the sum itself, which need not be 1 in the last digit.
    let target = (bits >> 11) as f64 / RANGE * sums.last().copied().unwrap_or(1.0);
    let passed = sums.partition_point(|&sum| sum <= target);
    let index = passed.min(probabilities.len().saturating_sub(1));
    let probability = probabilities.get(index).copied().unwrap_or(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the reference rounds weights to f32"
    )]
    let weight = (1.0 / (probabilities.len() as f64 * probability)) as f32;
    Draw {
        index: to_u32(index),
        weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten losses for every timestep, those of timestep 2 three times as large.
    fn warm() -> TimestepSampler {
        let mut sampler = TimestepSampler::loss_aware(4);
        for _ in 0..REMEMBERED {
            assert_eq!(sampler.probabilities(), None);
            for index in 0..4 {
                let draw = Draw { index, weight: 1.0 };
                sampler.remember(&[draw], &[if index == 2 { 3.0 } else { 1.0 }]);
            }
        }
        sampler
    }

    #[test]
    fn draws_are_functions_of_seed_step_and_position() {
        for sampler in [TimestepSampler::Uniform { steps: 1000 }, warm()] {
            let draws = sampler.draw(1, 5, 64);
            assert_eq!(draws, sampler.draw(1, 5, 64));
            assert_eq!(draws[..8], sampler.draw(1, 5, 8));
            assert_ne!(draws, sampler.draw(2, 5, 64));
            assert_ne!(draws, sampler.draw(1, 6, 64));
        }
    }

    #[test]
    fn large_losses_are_drawn_more_often_and_weigh_less() {
        let sampler = warm();
        let probabilities = sampler.probabilities().unwrap();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((probabilities[2] - (0.5 * 0.999 + 0.001 / 4.0)).abs() < 1e-12);
        let draws: Vec<Draw> = (0..100)
            .flat_map(|step| sampler.draw(7, step, 100))
            .collect();
        for (index, &probability) in (0..).zip(&probabilities) {
            let count = draws.iter().filter(|draw| draw.index == index).count() as f64;
            // Five standard deviations of a count of 10,000.
            let deviation = (1e4 * probability * (1.0 - probability)).sqrt();
            assert!(
                (count - 1e4 * probability).abs() < 5.0 * deviation,
                "{count}"
            );
        }
        let mean = draws.iter().map(|draw| f64::from(draw.weight)).sum::<f64>() / 1e4;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let uniform = TimestepSampler::Uniform { steps: 4 }.draw(7, 0, 1000);
        assert!((0..4).all(|index| uniform.iter().any(|draw| draw.index == index)));
        assert!(uniform.iter().all(|draw| draw.index < 4));
    }

    #[test]
    fn the_oldest_loss_is_forgotten_and_the_state_comes_back() {
        let mut sampler = warm();
        for _ in 0..REMEMBERED {
            let draw = Draw {
                index: 2,
                weight: 1.0,
            };
            sampler.remember(&[draw], &[1.0]);
        }
        let probabilities = sampler.probabilities().unwrap();
        assert!(
            probabilities
                .iter()
                .all(|&share| (share - 0.25).abs() < 1e-12)
        );
        let TimestepSampler::LossAware(history) = &sampler else {
            panic!("the rule has changed");
        };
        assert_eq!(LossHistory::new(history.losses()), Ok(history.clone()));
        let error = HistoryError {
            index: 1,
            count: 11,
        };
        assert_eq!(LossHistory::new(vec![vec![], vec![0.0; 11]]), Err(error));
    }
}
