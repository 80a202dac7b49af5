//! All that changes from step to step, and its file: what a training resumes from, bit for bit.

use safetensors::SafeTensorError;
use tch::{Kind, Tensor};

use super::config::{Pretraining, Timesteps};
use crate::diffusion::timesteps::{LossHistory, TimestepSampler};
use crate::models::checkpoint::parameters::{Parameters, to_safetensors};
use crate::models::checkpoint::weights::{WeightError, WeightMap};
use crate::numbers::to_i64;
use crate::trainer::{Average, OptimizerState};

/// What a stored parameter is called, before its name; a name alone is that of an average.
const PARAMETER: &str = "parameter.";
/// The points of the loss curve.
const CURVE: &str = "curve";
/// What the next point of the curve has summed up so far.
const SINCE: &str = "since_point";
/// The losses that the choice of timesteps remembers, `[steps, 10]`, not a number where there are fewer.
const HISTORY: &str = "loss_history";
/// How many losses the widest row has.
const HISTORY_WIDTH: usize = 10;

/// A point of the loss curve: means over the steps since the point before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Steps that were made.
    pub step: u32,
    /// What was minimized.
    pub loss: f32,
    /// The gradient norm, before clipping.
    pub gradient_norm: f32,
    /// The learning rate of the last step.
    pub learning_rate: f32,
}

/// All that changes from step to step.
#[derive(Debug)]
pub struct TrainerState {
    /// Steps that were made.
    pub step: u32,
    /// The parameters, which share their memory with the network.
    pub parameters: Parameters,
    /// What the optimizer remembers.
    pub moments: OptimizerState,
    /// The exponential moving average of the parameters, which becomes the weights.
    pub average: Average,
    /// What the choice of timesteps remembers.
    pub timesteps: TimestepSampler,
    /// One point for each stretch of steps, oldest first.
    pub curve: Vec<CurvePoint>,
    /// Sums since the last point of the curve: losses and gradient norms.
    pub since_point: [f32; 2],
}

impl TrainerState {
    /// Before the first step.
    pub fn new(config: &Pretraining, parameters: Parameters, diffusion_steps: u32) -> Self {
        Self {
            step: 0,
            moments: OptimizerState::new(config.optimizer.kind, parameters.tensors()),
            average: Average::new(config.average, parameters.tensors()),
            timesteps: match config.timesteps {
                Timesteps::Uniform => TimestepSampler::Uniform {
                    steps: diffusion_steps,
                },
                Timesteps::LossAware => TimestepSampler::loss_aware(diffusion_steps),
            },
            parameters,
            curve: Vec::new(),
            since_point: [0.0; 2],
        }
    }

    /// The state as the bytes of a safetensors file.
    ///
    /// # Errors
    /// The format cannot hold it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SafeTensorError> {
        let points: Vec<f32> = self
            .curve
            .iter()
            .flat_map(|point| {
                let step = steps_as_number(point.step);
                [step, point.loss, point.gradient_norm, point.learning_rate]
            })
            .collect();
        let curve = Tensor::from_slice(&points).view([-1, 4]);
        let since = Tensor::from_slice(&self.since_point);
        let history = match &self.timesteps {
            TimestepSampler::Uniform { .. } => None,
            TimestepSampler::LossAware(history) => Some(history_tensor(history)),
        };
        let own = [(PARAMETER, self.parameters.tensors())];
        let parameters = own
            .iter()
            .flat_map(|(prefix, tensors)| self.parameters.name(prefix, tensors));
        let averages = self.average.state(&self.parameters);
        let moments = self.moments.state(&self.parameters);
        let curve = [(CURVE.to_owned(), &curve), (SINCE.to_owned(), &since)];
        let history = history.iter().map(|history| (HISTORY.to_owned(), history));
        let all = parameters
            .chain(averages)
            .chain(moments)
            .chain(curve)
            .chain(history);
        to_safetensors(all)
    }

    /// The averages alone, as a file of weights.
    ///
    /// # Errors
    /// The format cannot hold them.
    pub fn averages_to_bytes(&self) -> Result<Vec<u8>, SafeTensorError> {
        to_safetensors(self.average.state(&self.parameters))
    }

    /// Puts this state, which is one from before the first step, to where [`TrainerState::to_bytes`] was called after `step` steps.
    ///
    /// # Errors
    /// The file cannot be read or belongs to another training.
    ///
    /// # Panics
    /// libtorch panics if the device is out of memory.
    pub fn restore(
        &mut self,
        config: &Pretraining,
        mut stored: WeightMap,
        step: u32,
    ) -> Result<(), WeightError> {
        let parameters = self.parameters.take_alike(PARAMETER, &mut stored);
        let average = Average::restored(config.average, &self.parameters, &mut stored);
        let moments = self.moments.restored(&self.parameters, step, &mut stored);
        let curve = take(&mut stored, CURVE);
        let since = take(&mut stored, SINCE);
        let timesteps = match &self.timesteps {
            TimestepSampler::Uniform { steps } => TimestepSampler::Uniform { steps: *steps },
            TimestepSampler::LossAware(_) => {
                let rows = take(&mut stored, HISTORY);
                let rows = rows.chunks(HISTORY_WIDTH).map(|row| {
                    let there = row.iter().filter(|loss| !loss.is_nan());
                    there.map(|loss| f64::from(*loss)).collect()
                });
                // No row is longer than what is remembered.
                LossHistory::new(rows.collect())
                    .map_or_else(|_| self.timesteps.clone(), TimestepSampler::LossAware)
            }
        };
        stored.finish()?;
        tch::no_grad(|| {
            for (parameter, stored) in self.parameters.tensors_mut().iter_mut().zip(&parameters) {
                parameter.copy_(stored);
            }
        });
        let points = curve.chunks_exact(4).map(|numbers| CurvePoint {
            step: number_as_steps(numbers[0]),
            loss: numbers[1],
            gradient_norm: numbers[2],
            learning_rate: numbers[3],
        });
        self.curve = points.collect();
        for (sum, stored) in self.since_point.iter_mut().zip(since) {
            *sum = stored;
        }
        (self.step, self.average, self.moments) = (step, average, moments);
        self.timesteps = timesteps;
        Ok(())
    }
}

/// The numbers of a tensor of any length.
fn take(stored: &mut WeightMap, name: &str) -> Vec<f32> {
    let shape = stored.shape_of(name).unwrap_or_default();
    let tensor = stored.take(name, &shape).contiguous();
    let mut numbers = vec![0.0; tensor.numel()];
    let length = numbers.len();
    tensor.copy_data(&mut numbers, length);
    numbers
}

fn history_tensor(history: &LossHistory) -> Tensor {
    let mut numbers = Vec::new();
    for last in history.losses() {
        let missing = HISTORY_WIDTH.saturating_sub(last.len());
        numbers.extend(last);
        numbers.extend(std::iter::repeat_n(f64::NAN, missing));
    }
    let width = to_i64(HISTORY_WIDTH);
    // Exact: every loss was an f32.
    Tensor::from_slice(&numbers)
        .to_kind(Kind::Float)
        .view([-1, width])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "at most ten million steps, which f32 tells apart"
)]
fn steps_as_number(step: u32) -> f32 {
    step as f32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion that saturates; the number was a step"
)]
fn number_as_steps(number: f32) -> u32 {
    number as u32
}
