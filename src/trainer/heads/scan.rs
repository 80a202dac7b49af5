//! The loop: epochs, windows, batches, and all stacks in each of them.

use std::sync::mpsc::sync_channel;
use std::time::Instant;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::order::{Sizes, hold_out, mixed_views, within};
use super::rows::load;
use super::stack::{Stack, agree, bytes_of};
use super::{Data, Job, Keep, Limits, Outcome, TrainError, checkpoint, length};
use crate::heads::FeatureShape;
use crate::metrics::{Prediction, Predictions, rank_of_label};
use crate::models::Precision;
use crate::models::extractor::to_vec;
use crate::models::parameters::to_safetensors;
use crate::trainer::config::{ClassWeights, Moment, Views};

/// Multiply-adds of a step below which a second thread costs more than it gives.
const SMALL_STEP: usize = 1 << 24;
/// Samples that are predicted at once.
const PREDICTED_AT_ONCE: usize = 2048;

/// Whether a step of so many heads is done faster by one core than by several.
pub fn is_small(shape: FeatureShape, batch: u32, classes: usize, heads: usize) -> bool {
    batch as usize * shape.width() * classes * heads <= SMALL_STEP
}

/// Trains heads in one pass over their data, and gives each to `done` as soon as it is whole.
///
/// All jobs must agree in splits, batch size, views and held-out share. What `done` returns ends the scan if it is an error.
///
/// # Errors
/// What stops all of them; what goes wrong with one head alone is given to `done`. Operations of libtorch panic on errors of
/// their own (such as running out of memory); the caller turns that into failed nodes.
pub fn train<E: From<TrainError>>(
    jobs: &[Job<'_>],
    data: &Data<'_>,
    limits: &Limits<'_>,
    keep: &dyn Keep,
    done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(first) = jobs.first() else {
        return Ok(());
    };
    let splits = [
        (&first.training.train_split, data.train),
        (&first.training.test_split, data.test),
    ];
    for (split, rows) in splits {
        if rows.is_empty() {
            return Err(TrainError::Empty(split.clone()).into());
        }
    }
    for round in rounds(jobs, data, limits)? {
        let most = round.iter().map(|&job| jobs[job].training.epochs).max();
        let stored = checkpoint::open(keep, most.unwrap_or(0))?;
        let (known, new): (Vec<usize>, Vec<usize>) = round.into_iter().partition(|&job| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.has(jobs[job].name))
        });
        if !known.is_empty() {
            Scan::new(jobs, known, data, limits)?.run(stored.as_ref(), keep, done)?;
        }
        if !new.is_empty() {
            Scan::new(jobs, new, data, limits)?.run(None, keep, done)?;
        }
    }
    Ok(())
}

/// The jobs in as many rounds as memory asks for: the weights of a round and what belongs to them take half of it at most.
fn rounds(
    jobs: &[Job<'_>],
    data: &Data<'_>,
    limits: &Limits<'_>,
) -> Result<Vec<Vec<usize>>, TrainError> {
    let allowed = limits.memory / 2;
    let (mut rounds, mut taken) = (vec![Vec::new()], 0);
    let mut known: Option<(&Job<'_>, u64)> = None;
    for (index, job) in jobs.iter().enumerate() {
        let bytes = match known {
            Some((other, bytes)) if other.head.identity() == job.head.identity() => bytes,
            _ => bytes_of(&job.head.initial(data.shape, data.classes, job.seed)),
        };
        known = Some((job, bytes));
        if bytes > allowed {
            return Err(TrainError::Memory {
                needed: crate::text::bytes(bytes * 2),
                allowed: crate::text::bytes(limits.memory),
            });
        }
        if taken + bytes > allowed {
            rounds.push(Vec::new());
            taken = 0;
        }
        taken += bytes;
        if let Some(round) = rounds.last_mut() {
            round.push(index);
        }
    }
    Ok(rounds)
}

/// Features of the training split in memory.
enum Held {
    /// All of them, `[views × n, D]`.
    All(Tensor),
    /// One window at a time.
    Windows,
}

struct Scan<'a> {
    jobs: &'a [Job<'a>],
    data: &'a Data<'a>,
    limits: &'a Limits<'a>,
    stacks: Vec<Stack<'a>>,
    /// Rows to train on, and rows that are held out.
    fit: Vec<usize>,
    held_out: Vec<usize>,
    /// Classes of the rows to train on, `[n]`, on the device.
    targets: Tensor,
    batch: usize,
    views: Views,
    sizes: Sizes,
}

impl<'a> Scan<'a> {
    fn new(
        jobs: &'a [Job<'a>],
        members: Vec<usize>,
        data: &'a Data<'a>,
        limits: &'a Limits<'a>,
    ) -> Result<Self, TrainError> {
        let training = jobs[members[0]].training;
        let (fit, held_out) = hold_out(data.train, training.holdout);
        let mut stacks: Vec<Vec<usize>> = Vec::new();
        for job in members {
            match stacks
                .iter_mut()
                .find(|stack| agree(&jobs[stack[0]], &jobs[job]))
            {
                Some(stack) => stack.push(job),
                None => stacks.push(vec![job]),
            }
        }
        let stacks = stacks.into_iter().filter_map(|members| {
            let weights = match jobs[members[0]].training.class_weights {
                ClassWeights::Equal => None,
                ClassWeights::Balanced => Some(balanced(data, &fit)),
            };
            Stack::new(
                jobs,
                members,
                data.shape,
                data.classes,
                weights,
                data.device,
            )
        });
        let stacks = stacks.collect();
        let labels: Vec<i64> = fit
            .iter()
            .map(|&row| i64::from(data.train.label(row)))
            .collect();
        let batch = training.batch_size as usize;
        Ok(Self {
            jobs,
            data,
            limits,
            stacks,
            targets: Tensor::from_slice(&labels).to_device(data.device),
            fit,
            held_out,
            batch,
            views: training.views,
            sizes: Sizes::new(data.shape.width(), batch),
        })
    }

    fn run<E: From<TrainError>>(
        mut self,
        stored: Option<&checkpoint::Stored>,
        keep: &dyn Keep,
        done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let _threads = self.threads();
        let mut first = 0;
        if let Some(stored) = stored {
            first = stored.epochs;
            for stack in &mut self.stacks {
                let names: Vec<&str> = stack.jobs.iter().map(|&job| self.jobs[job].name).collect();
                stored.restore(stack, &names, self.data.device)?;
            }
        }
        let held = self.features();
        let mut diverged = vec![None; self.jobs.len()];
        let mut kept_at = Instant::now();
        let mut epoch = first;
        while self.stacks.iter().any(|stack| stack.is_active(epoch)) {
            self.epoch(epoch, &held)?;
            self.end_epoch(epoch, &held, &mut diverged);
            epoch += 1;
            (self.limits.epoch_done)(epoch);
            let more = self.stacks.iter().any(|stack| stack.is_active(epoch));
            if more && kept_at.elapsed().as_secs_f64() >= self.limits.checkpoint_seconds {
                let names = |job: usize| self.jobs[job].name;
                checkpoint::write(keep, epoch, &self.stacks, names)?;
                kept_at = Instant::now();
            }
        }
        drop(held);
        self.finish(diverged, done)
    }

    /// All features of the training split, where they fit.
    fn features(&self) -> Held {
        let weights: u64 = self
            .stacks
            .iter()
            .flat_map(Stack::tensors)
            .map(|(_, tensor)| tensor.numel() as u64 * 4)
            .sum();
        let rows = self.data.train;
        let views = match self.views {
            Views::Apart => 1,
            Views::Mixed | Views::InTurn => rows.views(),
        };
        let row_bytes = self.data.shape.width() * rows.element().bytes();
        let bytes = (self.fit.len() * views + self.held_out.len()) as u64 * row_bytes as u64;
        if bytes + weights > self.limits.memory {
            return Held::Windows;
        }
        let which: Vec<_> = (0..views)
            .flat_map(|view| self.fit.iter().map(move |&row| (view, row)))
            .collect();
        let width = self.data.shape.width();
        let features = load(rows, &which, width, self.data.device);
        rows.forget();
        Held::All(features)
    }

    /// One epoch of all stacks.
    fn epoch(&mut self, epoch: u32, held: &Held) -> Result<(), TrainError> {
        let rows = self.data.train;
        let views: Vec<usize> = match self.views {
            Views::Apart => vec![0; self.fit.len()],
            Views::InTurn => vec![epoch as usize % rows.views(); self.fit.len()],
            Views::Mixed => mixed_views(rows.views(), self.fit.len(), epoch),
        };
        let windows = self.sizes.windows(self.fit.len(), epoch);
        if let Held::All(features) = held {
            let count = self.fit.len();
            let mut before = 0;
            for (number, window) in windows.iter().enumerate() {
                // Where each of the window's samples lies in memory.
                let places: Vec<i64> = window
                    .iter()
                    .map(|&position| length(views[position] * count + position))
                    .collect();
                self.window(epoch, (number, before), window, features, Some(&places))?;
                before += window.len();
            }
            return Ok(());
        }
        let (fit, width) = (self.fit.clone(), self.data.shape.width());
        // One window is read while the one before is used.
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(0);
            let windows = &windows;
            scope.spawn(move || {
                for window in windows {
                    let which: Vec<_> = window
                        .iter()
                        .map(|&position| (views[position], fit[position]))
                        .collect();
                    let features = load(rows, &which, width, Device::Cpu);
                    rows.forget();
                    if sender.send(features).is_err() {
                        return;
                    }
                }
            });
            let mut before = 0;
            for (number, window) in windows.iter().enumerate() {
                let Ok(features) = receiver.recv() else {
                    break;
                };
                let features = features.to_device(self.data.device);
                self.window(epoch, (number, before), window, &features, None)?;
                before += window.len();
            }
            Ok(())
        })
    }

    /// The batches of one window. `places` says where its samples lie in `features`; without it, they lie in order.
    fn window(
        &mut self,
        epoch: u32,
        (number, before): (usize, usize),
        window: &[usize],
        features: &Tensor,
        places: Option<&[i64]>,
    ) -> Result<(), TrainError> {
        let mut seeds: Vec<u64> = self.stacks.iter().map(|stack| stack.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let steps = self.fit.len().div_ceil(self.batch);
        for seed in seeds {
            let is_of = |stack: &Stack<'_>| stack.seed == seed && stack.is_active(epoch);
            if !self.stacks.iter().any(is_of) {
                continue;
            }
            let order = within(seed, epoch, number, window.len());
            for (index, batch) in order.chunks(self.batch).enumerate() {
                if !(self.limits.keep_going)() {
                    return Err(TrainError::Stopped);
                }
                let positions: Vec<i64> = batch
                    .iter()
                    .map(|&one| length(window[usize::try_from(one).unwrap_or(0)]))
                    .collect();
                let places: Vec<i64> = match places {
                    Some(places) => batch
                        .iter()
                        .map(|&one| places[usize::try_from(one).unwrap_or(0)])
                        .collect(),
                    None => batch.to_vec(),
                };
                let on_device =
                    |rows: &[i64]| Tensor::from_slice(rows).to_device(features.device());
                let targets = self.targets.index_select(0, &on_device(&positions));
                let stored = features.index_select(0, &on_device(&places));
                let moment = |epochs: u32| Moment {
                    epoch,
                    step: u32::try_from(before / self.batch + index).unwrap_or(u32::MAX),
                    steps: u32::try_from(steps).unwrap_or(u32::MAX),
                    epochs,
                };
                let shaped = |precision| shaped(&stored, self.data, precision);
                for stack in self.stacks.iter_mut().filter(|stack| is_of(stack)) {
                    let training = stack.training;
                    let factor = training.schedule.factor(moment(training.epochs));
                    stack.step(&shaped(training.precision), &targets, factor);
                }
            }
        }
        Ok(())
    }

    fn end_epoch(&mut self, epoch: u32, _held: &Held, diverged: &mut [Option<(u32, f64)>]) {
        let steps = u32::try_from(self.fit.len().div_ceil(self.batch)).unwrap_or(u32::MAX);
        let scores = self.held_out_scores(epoch);
        for (stack, scores) in self.stacks.iter_mut().zip(scores) {
            if !stack.is_active(epoch) {
                continue;
            }
            let factor = stack.training.schedule.factor(Moment {
                epoch,
                step: steps - 1,
                steps,
                epochs: stack.training.epochs,
            });
            let lost = stack.end_epoch(epoch, self.fit.len(), factor, scores.as_deref());
            for position in lost {
                let rate = stack.curves[position]
                    .last()
                    .map_or(0.0, |epoch| epoch.learning_rate);
                diverged[stack.jobs[position]] = Some((epoch + 1, rate));
            }
        }
    }

    /// Mean loss and share of right answers on the held-out samples, for each stack and head.
    fn held_out_scores(&self, epoch: u32) -> Vec<Option<Vec<(f64, f64)>>> {
        if self.held_out.is_empty() {
            return vec![None; self.stacks.len()];
        }
        let _guard = tch::no_grad_guard();
        let mut sums: Vec<Option<(Tensor, Tensor)>> = Vec::new();
        sums.resize_with(self.stacks.len(), || None);
        for rows in self
            .held_out
            .chunks(self.predicted_at_once(self.data.train.element().bytes()))
        {
            let (stored, targets) = self.read(rows);
            for (stack, sum) in self.stacks.iter().zip(&mut sums) {
                if stack.is_active(epoch) {
                    let features = shaped(&stored, self.data, stack.training.precision);
                    let (losses, right) = stack.score(&features, &targets);
                    *sum = Some(match sum.take() {
                        Some(sum) => (sum.0 + losses, sum.1 + right),
                        None => (losses, right),
                    });
                }
            }
        }
        self.data.train.forget();
        let count = self.held_out.len() as f64;
        let means = |sums: Option<(Tensor, Tensor)>| -> Option<Vec<(f64, f64)>> {
            let (losses, right) = sums?;
            let read = |sum: Tensor| Vec::<f64>::try_from(sum.to_device(Device::Cpu)).ok();
            let pairs = read(losses)?.into_iter().zip(read(right)?);
            Some(
                pairs
                    .map(|(loss, right)| (loss / count, right / count))
                    .collect(),
            )
        };
        sums.into_iter().map(means).collect()
    }

    /// The first view of training rows, and their classes.
    fn read(&self, rows: &[usize]) -> (Tensor, Tensor) {
        let which: Vec<_> = rows.iter().map(|&row| (0, row)).collect();
        let train = self.data.train;
        let labels: Vec<i64> = rows
            .iter()
            .map(|&row| i64::from(train.label(row)))
            .collect();
        let device = self.data.device;
        (
            load(train, &which, self.data.shape.width(), device),
            Tensor::from_slice(&labels).to_device(device),
        )
    }

    /// Predicts the test split with all heads in one pass, and hands them out.
    fn finish<E: From<TrainError>>(
        &self,
        diverged: Vec<Option<(u32, f64)>>,
        done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let predicted = self.predictions()?;
        for (stack, heads) in self.stacks.iter().zip(predicted) {
            for (position, (ranked, logits)) in heads.into_iter().enumerate() {
                let job = stack.jobs[position];
                if let Some((epoch, learning_rate)) = diverged[job]
                    && stack.training.holdout == 0.0
                {
                    let error = TrainError::Diverged {
                        epoch,
                        learning_rate,
                    };
                    done(job, Err(error))?;
                    continue;
                }
                let rows = ranked.into_iter().enumerate();
                let rows = rows.map(|(row, (predicted, rank))| Prediction {
                    id: self.data.test.id(row).to_owned(),
                    label: self.data.test.label(row),
                    predicted,
                    rank,
                });
                let weights = stack.weights(position);
                let weights = weights.iter().map(|(name, tensor)| (*name, tensor));
                let outcome = Outcome {
                    epochs: stack.curves[position].clone(),
                    epoch: stack.last_epoch(position),
                    predictions: Predictions {
                        rows: rows.collect(),
                    },
                    logits: stack.training.logits.then_some(logits),
                    weights: to_safetensors(weights)
                        .map_err(|error| TrainError::Weights(error.to_string()))?,
                };
                done(job, Ok(outcome))?;
            }
        }
        Ok(())
    }

    /// For each stack and head: predicted class and rank of the true one, sample by sample, and logits where they are kept.
    fn predictions(&self) -> Result<Vec<Vec<Ranked>>, TrainError> {
        let _guard = tch::no_grad_guard();
        let mut all: Vec<Vec<Ranked>> = self
            .stacks
            .iter()
            .map(|stack| vec![Ranked::default(); stack.jobs.len()])
            .collect();
        let (test, classes) = (self.data.test, self.data.classes);
        let rows: Vec<usize> = (0..test.len()).collect();
        for rows in rows.chunks(self.predicted_at_once(test.element().bytes())) {
            if !(self.limits.keep_going)() {
                return Err(TrainError::Stopped);
            }
            let which: Vec<_> = rows.iter().map(|&row| (0, row)).collect();
            let stored = load(test, &which, self.data.shape.width(), self.data.device);
            for (stack, heads) in self.stacks.iter().zip(&mut all) {
                let logits = stack.predict(&shaped(&stored, self.data, stack.training.precision));
                for (position, (ranked, kept)) in heads.iter_mut().enumerate() {
                    let own = to_vec(&logits.select(1, length(position)).contiguous());
                    let of_rows = own.par_chunks_exact(classes).zip(rows);
                    ranked.par_extend(of_rows.map(|(logits, &row)| {
                        (highest(logits), rank_of_label(logits, test.label(row)))
                    }));
                    if stack.training.logits {
                        kept.extend(own);
                    }
                }
            }
        }
        test.forget();
        Ok(all)
    }

    /// Samples that are read at once where nothing is learned from them: a sixteenth of the memory at most.
    fn predicted_at_once(&self, element_bytes: usize) -> usize {
        let row_bytes = (self.data.shape.width() * (element_bytes + 4)).max(1) as u64;
        let fitting = usize::try_from(self.limits.memory / 16 / row_bytes).unwrap_or(1);
        fitting.clamp(1, PREDICTED_AT_ONCE)
    }

    /// Keeps libtorch to one thread where a step is small.
    fn threads(&self) -> Option<Threads> {
        let heads: usize = self.stacks.iter().map(|stack| stack.jobs.len()).sum();
        let batch = u32::try_from(self.batch).unwrap_or(u32::MAX);
        let small = is_small(self.data.shape, batch, self.data.classes, heads);
        (self.data.device == Device::Cpu && small).then(Threads::one)
    }
}

/// Predicted class and rank of the true one for each sample, and logits.
type Ranked = (Vec<(u32, u32)>, Vec<f32>);

/// The class with the highest logit; the lowest such class among ties.
fn highest(logits: &[f32]) -> u32 {
    let mut best: Option<(usize, f32)> = None;
    for (class, &logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((class, logit));
        }
    }
    best.and_then(|(class, _)| u32::try_from(class).ok())
        .unwrap_or(0)
}

/// Stored features as a head reads them, `[N, C, S, S]`.
fn shaped(stored: &Tensor, data: &Data<'_>, precision: Precision) -> Tensor {
    let kind = match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
        Precision::F16 => Kind::Half,
    };
    let side = length(data.shape.side);
    stored
        .to_kind(kind)
        .view([-1, length(data.shape.channels), side, side])
}

/// N / (K × samples of its class) for each class; 0 for one without any.
fn balanced(data: &Data<'_>, fit: &[usize]) -> Tensor {
    let mut counts = vec![0u32; data.classes];
    for &row in fit {
        if let Some(count) = counts.get_mut(data.train.label(row) as usize) {
            *count += 1;
        }
    }
    let share = fit.len() as f64 / data.classes.max(1) as f64;
    let weights: Vec<f64> = counts
        .iter()
        .map(|&count| match count {
            0 => 0.0,
            count => share / f64::from(count),
        })
        .collect();
    Tensor::from_slice(&weights)
        .to_kind(Kind::Float)
        .to_device(data.device)
}

/// Keeps libtorch to one thread on this thread: handing out thousandths of a millisecond of work takes longer than doing it,
/// and far longer where other programs want the processor too.
struct Threads {
    before: i32,
}

impl Threads {
    fn one() -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        Self { before }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}
