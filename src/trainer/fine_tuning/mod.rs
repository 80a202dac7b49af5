//! Training a head and the network below it together: cross entropy on noisy images, predictions on others.
//!
//! The head steps as every head does, on the features of a whole batch, so that batch statistics are those of the batch. The
//! gradient by the features then goes back through the network, which takes a step of its own. A batch that is too large for the network at
//! once is cut in pieces: all features first, then piece by piece a forward and a backward pass (Gao et al. 2021, arXiv 2101.06983,
//! do so for another reason). Every epoch sees fresh noise, and fresh random steps of the preprocessing.
//!
//! # Reference
//! arXiv 2307.08702 §4 and Table 2: batch norm and a linear layer on the pooled map of a block, backbone trained.
//!
//! # Deviations
//! Gradients of head and network are clipped each by itself, where `clip` asks for it.
//!
//! # Parity
//! Steps of the reference network with PyTorch's optimizers, in `tests/suite/golden_tuning.rs`.

mod held_out;
mod pool;
mod state;
#[cfg(test)]
mod tests;
mod walk;

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use self::pool::{pooled, through_the_pool};
use self::state::TuningState;
pub use self::walk::{Each, NoisyImages, walk};
use super::config::{ClassWeights, FineTuning, Progress};
use super::heads::checkpoint;
use super::heads::order::{equal_parts, hold_out, within};
use super::heads::scan::balanced;
use super::heads::scoring::{HeldOut, means, predictions, rank_all, serialized};
use super::heads::stack::Stack;
use super::heads::{CheckpointStore, Job, Outcome, TrainError};
use super::{Rate, Rates, clip_gradients};
use crate::bug::Bug;
use crate::heads::FeatureShape;
use crate::metrics::Predictions;
use crate::models::InputSpec;
use crate::models::extractor::to_vec;
use crate::models::tuning::Tuned;
use crate::numbers::{to_i64, to_u32};

/// What is trained, and on what.
pub struct Task<'a> {
    /// The head; its learning rate and optimizer are the head's own.
    pub job: Job<'a>,
    /// The network's optimizer.
    pub fine_tuning: FineTuning,
    /// The images to train on; the validation split is taken from them.
    pub train: &'a dyn NoisyImages,
    /// The same images in the same order, as they are shown where they are held out.
    pub judged: &'a dyn NoisyImages,
    /// The images to predict when training is done.
    pub test: &'a dyn NoisyImages,
    /// What the network reads.
    pub input: InputSpec,
    /// The noise step of all of them.
    pub timestep: u32,
    /// What the head reads: channels of the tapped block, side of the pool.
    pub shape: FeatureShape,
    /// Classes of the dataset.
    pub classes: usize,
    /// Images that go through the network at once.
    pub at_once: usize,
    /// Where to compute.
    pub device: Device,
}

/// The callbacks that a training calls.
pub struct Watch<'a> {
    /// Whether to continue; asked between steps.
    pub keep_going: &'a dyn Fn() -> bool,
    /// Called with the epoch, from 1, how many of its images were seen, and how many it has.
    pub advanced: &'a dyn Fn(u32, usize, usize),
    /// Whether a checkpoint is due; asked between steps.
    pub checkpoint_due: &'a dyn Fn() -> bool,
}

/// Trains head and network together. Afterwards `tuned` has the trained parameters.
///
/// # Errors
/// The loss became NaN or infinite, an image or a checkpoint is not available, or the user asked to stop; what was done until
/// then is kept in that case, but for an epoch whose validation split is being scored.
///
/// # Panics
/// libtorch panics where memory is exhausted.
pub fn fine_tune(
    task: &Task<'_>,
    tuned: &mut Tuned,
    watch: &Watch<'_>,
    keep: &dyn CheckpointStore,
) -> Result<Outcome, TrainError> {
    let training = task.job.training;
    for (split, images) in [
        (&training.train_split, task.train),
        (&training.test_split, task.test),
    ] {
        if images.is_empty() {
            return Err(TrainError::Empty(split.clone()));
        }
    }
    let (fit, held_out) = hold_out(task.train, training.holdout, task.job.seed);
    let state = TuningState::begin(task, &fit, tuned, keep)?;
    let mut tuning = Loop {
        task,
        tuned: RefCell::new(tuned),
        steps: fit.len().div_ceil(training.batch_size as usize),
        fit,
        held_out,
        state,
    };
    let mut diverged = None;
    while tuning.epoch() < training.epochs && diverged.is_none() {
        diverged = tuning.run_epoch(watch, keep)?;
    }
    if let Some((epoch, learning_rate)) = diverged
        && training.holdout == 0.0
    {
        return Err(TrainError::Diverged {
            epoch,
            learning_rate,
        });
    }
    match tuning.outcome(watch) {
        Err(TrainError::Stopped) => {
            // Nothing is left to train, but the predictions may take long.
            tuning.keep(keep)?;
            Err(TrainError::Stopped)
        }
        outcome => outcome,
    }
}

/// What is done with the features of a batch, `[N, C, S, S]`, and its rows.
type EachFeature<'e> = &'e mut dyn FnMut(&Tensor, &[usize]) -> Result<(), TrainError>;

/// A training under way.
struct Loop<'a> {
    task: &'a Task<'a>,
    tuned: RefCell<&'a mut Tuned>,
    /// Steps of an epoch.
    steps: usize,
    fit: Vec<usize>,
    held_out: Vec<usize>,
    state: TuningState<'a>,
}

impl Loop<'_> {
    /// The epoch that the next step belongs to, from 0.
    fn epoch(&self) -> u32 {
        to_u32(self.state.made as usize / self.steps)
    }

    /// Goes to the end of the epoch. Gives the epoch, from 1, and the learning rate where the loss became NaN or infinite.
    fn run_epoch(
        &mut self,
        watch: &Watch<'_>,
        keep: &dyn CheckpointStore,
    ) -> Result<Option<(u32, f64)>, TrainError> {
        let (task, epoch) = (self.task, self.epoch());
        let training = task.job.training;
        let order = within(task.job.seed, epoch, 0, self.fit.len());
        let row = |&position: &usize| self.fit[position];
        let batches: Vec<Vec<usize>> = equal_parts(order.len(), training.batch_size as usize)
            .into_iter()
            .map(|batch| order[batch].iter().map(row).collect())
            .collect();
        let done = self.state.made as usize % self.steps;
        let images = self.fit.len();
        let mut seen: usize = batches[..done].iter().map(Vec::len).sum();
        walk(task.train, &batches[done..], epoch, &mut |number, x_t| {
            if !(watch.keep_going)() {
                self.keep(keep)?;
                return Err(TrainError::Stopped);
            }
            // Never behind the last step, whose epoch has still to end.
            if number > 0 && (watch.checkpoint_due)() {
                self.keep(keep)?;
            }
            let batch = &batches[done + number];
            self.step(x_t, batch, epoch, done + number)?;
            seen += batch.len();
            (watch.advanced)(epoch + 1, seen, images);
            Ok(())
        })?;
        let scores = self.score_held_out(watch)?;
        let factor = self.factor(epoch, self.steps - 1);
        let stack = &mut self.state.stack;
        let lost = stack.end_epoch(epoch, images, factor, scores.as_deref())?;
        if !lost.is_empty() {
            let rate = training.optimizer.lr * factor;
            return Ok(Some((epoch + 1, rate)));
        }
        if (watch.checkpoint_due)() {
            self.keep(keep)?;
        }
        Ok(None)
    }

    fn keep(&self, keep: &dyn CheckpointStore) -> Result<(), TrainError> {
        let tensors = self
            .state
            .tensors(&self.tuned.borrow().trained, self.task.job.name);
        checkpoint::write(keep, self.state.made, &tensors)
    }

    fn factor(&self, epoch: u32, step: usize) -> f64 {
        let training = self.task.job.training;
        training.schedule.factor(Progress {
            epoch,
            step: to_u32(step),
            steps: to_u32(self.steps),
            epochs: training.epochs,
        })
    }

    /// One step of head and network on a batch: its images as numbers, and its rows.
    fn step(
        &mut self,
        x_t: &[f32],
        rows: &[usize],
        epoch: u32,
        step: usize,
    ) -> Result<(), TrainError> {
        let (task, factor) = (self.task, self.factor(epoch, step));
        let x_t = self.tensor(x_t, rows.len());
        let targets = self.targets(rows);
        let stack = &mut self.state.stack;
        let mut tuned = self.tuned.borrow_mut();
        let network = &*tuned.network;
        // The head's step, and the gradient by what it read.
        let mut head_step = |pooled: &Tensor| -> Tensor {
            let features = for_head(pooled, task).detach().set_requires_grad(true);
            let gradient = stack.step(&features, &targets, factor);
            gradient.map_or_else(|| pooled.zeros_like(), |one| one.to_kind(Kind::Float))
        };
        if rows.len() <= task.at_once {
            network
                .forward_backward(&x_t, task.timestep, &mut |map| {
                    through_the_pool(map, task.shape, &mut head_step)
                })
                .map_err(features)?;
        } else {
            let pieces = x_t.split(to_i64(task.at_once), 0);
            let all: Result<Vec<Tensor>, TrainError> = pieces
                .iter()
                .map(|piece| {
                    let map = network
                        .activations(piece, task.timestep)
                        .map_err(features)?;
                    Ok(pooled(&map, task.shape))
                })
                .collect();
            let gradients = head_step(&Tensor::cat(&all?, 0));
            let gradients = gradients.split(to_i64(task.at_once), 0);
            for (piece, gradient) in pieces.iter().zip(gradients) {
                network
                    .forward_backward(piece, task.timestep, &mut |map| {
                        through_the_pool(map, task.shape, &mut |_| gradient.shallow_clone())
                    })
                    .map_err(features)?;
            }
        }
        let trained = &mut tuned.trained;
        if let Some(longest) = task.job.training.clip {
            clip_gradients(trained.tensors(), longest);
        }
        let optimizer = &task.fine_tuning.optimizer;
        let rates = Rates {
            step: Rate::All(optimizer.lr * factor),
            decay: Rate::All(optimizer.weight_decay),
        };
        let tensors = trained.tensors().iter();
        let flat: Vec<bool> = tensors.map(|tensor| tensor.dim() <= 1).collect();
        let moments = &mut self.state.moments;
        moments.step(optimizer, &rates, trained.tensors_mut(), &flat);
        self.state.made += 1;
        Ok(())
    }

    /// Mean loss and share of right answers on the validation split; `None` without one. A stop here goes back to the last
    /// checkpoint, since the epoch has not ended.
    fn score_held_out(&self, watch: &Watch<'_>) -> Result<Option<HeldOut>, TrainError> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        let mut sums: Option<(Tensor, Tensor)> = None;
        self.each_feature(self.task.judged, &self.held_out, &mut |features, rows| {
            if !(watch.keep_going)() {
                return Err(TrainError::Stopped);
            }
            let (losses, right) = self.state.stack.score(features, &self.targets(rows));
            sums = Some(match sums.take() {
                Some(sums) => (sums.0 + losses, sums.1 + right),
                None => (losses, right),
            });
            Ok(())
        })?;
        Ok(sums.and_then(|sums| means(sums, self.held_out.len() as f64)))
    }

    fn outcome(&self, watch: &Watch<'_>) -> Result<Outcome, TrainError> {
        let (task, stack) = (self.task, &self.state.stack);
        let rows: Vec<usize> = (0..task.test.len()).collect();
        let (mut ranked, mut all) = (Vec::new(), Vec::new());
        self.each_feature(task.test, &rows, &mut |features, rows| {
            if !(watch.keep_going)() {
                return Err(TrainError::Stopped);
            }
            let logits = to_vec(&stack.predict(features).select(1, 0).contiguous());
            rank_all(&logits, (task.test, task.classes), rows, &mut ranked);
            if task.job.training.logits {
                all.extend(logits);
            }
            Ok(())
        })?;
        let weights = stack.weights(0, None);
        let weights = weights.iter().map(|(name, tensor)| (*name, tensor));
        Ok(Outcome {
            epochs: stack.curves[0].clone(),
            epoch: stack.last_epoch(0),
            trace: None,
            held_out: None,
            predictions: Predictions::new(predictions(task.test, ranked)),
            logits: task.job.training.logits.then_some(all),
            held_out_logits: self.held_out_logits(watch)?,
            weights: serialized(weights)?,
        })
    }

    /// Gives the features of some images, as the head reads them, batch by batch with their rows. Nothing is learned.
    fn each_feature(
        &self,
        images: &dyn NoisyImages,
        rows: &[usize],
        each: EachFeature<'_>,
    ) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        let task = self.task;
        let batches: Vec<Vec<usize>> = rows.chunks(task.at_once).map(<[usize]>::to_vec).collect();
        walk(images, &batches, 0, &mut |number, x_t| {
            let rows = &batches[number];
            let network = &self.tuned.borrow().network;
            let x_t = self.tensor(x_t, rows.len());
            let map = network.activations(&x_t, task.timestep).map_err(features)?;
            let features = pooled(&map, task.shape);
            each(&for_head(&features, task), rows)
        })
    }

    /// `[N, C, H, W]` on the device.
    fn tensor(&self, x_t: &[f32], images: usize) -> Tensor {
        let InputSpec { channels, side, .. } = self.task.input;
        let sides = [to_i64(images), channels.into(), side.into(), side.into()];
        let host = Tensor::from_slice(x_t).view(sides);
        host.to_device(self.task.device)
    }

    /// The classes of images to train on, `[N]`, on the device.
    fn targets(&self, rows: &[usize]) -> Tensor {
        let labels: Vec<i64> = rows
            .iter()
            .map(|&row| i64::from(self.task.train.label(row)))
            .collect();
        Tensor::from_slice(&labels).to_device(self.task.device)
    }
}

/// Features in the precision that the head computes in.
fn for_head(features: &Tensor, task: &Task<'_>) -> Tensor {
    features.to_kind(task.job.training.precision.kind())
}

/// The head before training, as a stack of one.
fn stack_of_one<'a>(task: &'a Task<'_>, fit: &[usize]) -> Result<Stack<'a>, TrainError> {
    let weights = match task.job.training.class_weights {
        ClassWeights::Equal => None,
        ClassWeights::Balanced => Some(balanced(task.train, fit, task.classes, task.device)),
    };
    let (shape, classes) = (task.shape, task.classes);
    let stack = Stack::new(&[task.job], vec![0], shape, classes, weights, task.device);
    stack.ok_or_else(|| Bug::new("a head that is trained with its network has no form").into())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` wants"
)]
fn features(error: crate::models::extractor::ForwardError) -> TrainError {
    TrainError::Features(error.to_string().into())
}
