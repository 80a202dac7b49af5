//! The steps of a training.
//!
//! # Reference
//! openai/guided-diffusion@22e0df8183507e13a7813f8d38d51b072ca1e67c:guided_diffusion/train_util.py (`TrainLoop`).
//!
//! # Deviations
//! Nothing depends on what was drawn before: order, mirror images, timesteps and noise of a step are functions of the seed and
//! the step.
//!
//! # Parity
//! Three steps of loss, optimizer and average, in `tests/suite/golden_sampling.rs`.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};
use thiserror::Error;

use super::config::{POINT_EVERY, Pretraining, Timesteps};
use super::order::Order;
use super::state::{CurvePoint, TrainerState};
use crate::bug::Bug;
use crate::diffusion::Diffusion;
use crate::diffusion::losses::Shown;
use crate::diffusion::noise::fill_noise;
use crate::diffusion::reverse::ReverseError;
use crate::message::Hint;
use crate::models::InputSpec;
use crate::models::denoising::Denoise;
use crate::numbers::to_i64;
use crate::trainer::clip_gradients;

/// Why a training ends early.
#[derive(Debug, Error)]
pub enum PretrainError<E> {
    /// The loss or a gradient became NaN or infinite.
    #[error("the loss became NaN or infinite at step {step}")]
    Diverged {
        /// The step, from 1.
        step: u32,
    },
    /// Network and process do not fit.
    #[error(transparent)]
    Network(#[from] ReverseError),
    /// An image is not available.
    #[error(transparent)]
    Image(E),
    /// The program contradicts itself.
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl<E: Hint> Hint for PretrainError<E> {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Diverged { .. } => Some(
                "lower the learning rate, lengthen `warmup`, or clip gradients with `clip`"
                    .to_owned(),
            ),
            Self::Image(error) => error.hint(),
            Self::Network(_) | Self::Bug(_) => None,
        }
    }
}

/// The images that a network is trained on.
pub trait Images: Sync {
    /// What is wrong where an image is not available.
    type Error: Send;

    /// How many there are, from 1.
    fn count(&self) -> usize;

    /// Writes an image, `[C, H, W]` in `[-1, 1]`: what is drawn at random is a function of the occasion, a name that no other showing of
    /// an image has. Mirrored if asked to.
    ///
    /// # Errors
    /// It does not decode.
    fn fill(
        &self,
        image: usize,
        shown: (&str, bool),
        target: &mut [f32],
    ) -> Result<(), Self::Error>;
}

/// A training under way.
pub struct Trainer<'a, I: Images> {
    config: &'a Pretraining,
    network: &'a dyn Denoise,
    diffusion: &'a Diffusion,
    images: &'a I,
    input: InputSpec,
    device: Device,
    order: Order,
}

impl<'a, I: Images> Trainer<'a, I> {
    /// A training of this network, which computes with the parameters of the state that every step is given.
    ///
    /// - `diffusion`: the network's own process, with all its timesteps
    /// - `input`: the images that it reads
    /// - `device`: where its parameters are
    pub fn new(
        config: &'a Pretraining,
        network: &'a dyn Denoise,
        diffusion: &'a Diffusion,
        images: &'a I,
        input: InputSpec,
        device: Device,
    ) -> Self {
        Self {
            config,
            network,
            diffusion,
            images,
            input,
            device,
            order: Order::new(config.seed, images.count()),
        }
    }

    /// Makes one step, and adds a point to the curve where one is due.
    ///
    /// # Errors
    /// An image is not available, or the loss is NaN or infinite; the state is then between two steps and must not be kept.
    ///
    /// # Panics
    /// libtorch panics where memory is exhausted.
    pub fn step(&mut self, state: &mut TrainerState) -> Result<(), PretrainError<I::Error>> {
        let (config, step) = (self.config, state.step);
        let batch = self.order.batch(step, config.batch_size);
        let draws = state
            .timesteps
            .draw(config.seed, u64::from(step), batch.len());
        let (x_0, noise) = self.prepare(step, &batch)?;
        let indices: Vec<u32> = draws.iter().map(|draw| draw.index).collect();
        let x_t = self.diffusion.add_noise(&x_0, &noise, &indices)?;
        let timesteps: Vec<i64> = indices.iter().map(|&index| i64::from(index)).collect();
        let timesteps = Tensor::from_slice(&timesteps).to_device(self.device);
        let output = self
            .network
            .denoise(&x_t, &timesteps)
            .map_err(ReverseError::from)?;
        let shown = Shown {
            x_0: &x_0,
            noise: &noise,
            x_t: &x_t,
            indices: &indices,
        };
        let terms = config
            .loss
            .objective()
            .terms(self.diffusion, shown, &output)?;
        let loss = if config.timesteps == Timesteps::Uniform {
            terms.loss.mean(Kind::Float)
        } else {
            let weights: Vec<f32> = draws.iter().map(|draw| draw.weight).collect();
            (&terms.loss * Tensor::from_slice(&weights).to_device(self.device)).mean(Kind::Float)
        };
        loss.backward();
        let longest = config.clip.unwrap_or(f64::INFINITY);
        let norm = clip_gradients(state.parameters.tensors(), longest);
        let value = loss.double_value(&[]);
        if !(value.is_finite() && norm.is_finite()) {
            return Err(PretrainError::Diverged { step: step + 1 });
        }
        let warmup_factor = config.warmup_factor(step);
        let parameters = state.parameters.tensors_mut();
        state
            .moments
            .step_alike(&config.optimizer, warmup_factor, parameters);
        state.average.update(parameters);
        if config.timesteps == Timesteps::LossAware {
            let losses = terms.loss.detach().to_device(Device::Cpu);
            let losses = Vec::<f32>::try_from(losses)
                .map_err(|error| Bug::new(format!("losses of a step: {error}")))?;
            let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
            state.timesteps.remember(&draws, &losses);
        }
        state.step += 1;
        note(state, [value, norm], config.optimizer.lr * warmup_factor);
        Ok(())
    }

    /// Images and their noise, `[N, C, H, W]` each, on the device.
    fn prepare(
        &self,
        step: u32,
        batch: &[(usize, bool)],
    ) -> Result<(Tensor, Tensor), PretrainError<I::Error>> {
        let side = self.input.side as usize;
        let size = self.input.channels as usize * side * side;
        let mut x_0 = vec![0f32; batch.len() * size];
        let mut noise = vec![0f32; batch.len() * size];
        x_0.par_chunks_mut(size)
            .zip(noise.par_chunks_mut(size))
            .zip(batch)
            .enumerate()
            .try_for_each(|(place, ((image, noise), &(row, mirrored)))| {
                let id = format!("step-{step}/image-{place}");
                fill_noise(self.config.seed, &id, "pretrain", 0, 0, noise);
                let mirrored = mirrored && self.config.flip;
                self.images.fill(row, (&id, mirrored), image)
            })
            .map_err(PretrainError::Image)?;
        let sides = [
            to_i64(batch.len()),
            i64::from(self.input.channels),
            i64::from(self.input.side),
            i64::from(self.input.side),
        ];
        let tensor = |values: &[f32]| {
            Tensor::from_slice(values)
                .view(sides)
                .to_device(self.device)
        };
        Ok((tensor(&x_0), tensor(&noise)))
    }
}

/// Adds loss and gradient norm to what the next point of the curve sums up, and the point itself where it is due.
#[expect(clippy::cast_possible_truncation, reason = "kept as 32-bit floats")]
fn note(state: &mut TrainerState, numbers: [f64; 2], learning_rate: f64) {
    for (sum, number) in state.since_point.iter_mut().zip(numbers) {
        *sum += number as f32;
    }
    if state.step.is_multiple_of(POINT_EVERY) {
        let [loss, gradient_norm] = state.since_point.map(|sum| sum / POINT_EVERY as f32);
        state.curve.push(CurvePoint {
            step: state.step,
            loss,
            gradient_norm,
            learning_rate: learning_rate as f32,
        });
        state.since_point = [0.0; 2];
    }
}
