//! The loop: epochs, windows, batches, and all stacks in each of them.

use std::sync::mpsc::{channel, sync_channel};
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::order::{Sizes, hold_out, mixed_views, within};
use super::rounds::{Threads, is_small};
use super::rows::{Samples, load, load_into, room};
use super::stack::{Stack, agree, bytes_of};
use super::{CheckpointStore, Data, Job, Limits, Outcome, TrainError, checkpoint};
use crate::heads::FeatureShape;
use crate::models::Precision;
use crate::numbers::{to_i64, to_u32};
use crate::trainer::config::{ClassWeights, Moment, Views};

/// Features of the training split in memory.
enum Held {
    /// All of them, `[views × n, D]`.
    All(Tensor),
    /// One window at a time, and the next one beside it.
    Windows,
    /// One batch at a time.
    Batches,
}

/// Where the samples of a window are.
enum Source<'t> {
    /// At these places of all features.
    Places(&'t Tensor, Vec<usize>),
    /// In the window's features, in its order.
    Window(&'t Tensor),
    /// Where they are stored; the views that an epoch sees of them.
    Files(&'t [usize]),
}

/// Heads that train together, and what they read.
pub(super) struct Scan<'a> {
    pub(super) jobs: &'a [Job<'a>],
    pub(super) data: &'a Data<'a>,
    pub(super) limits: &'a Limits<'a>,
    pub(super) stacks: Vec<Stack<'a>>,
    /// Rows to train on, and rows of the validation split.
    pub(super) fit: Vec<usize>,
    pub(super) held_out: Vec<usize>,
    /// Classes of the rows to train on, `[n]`, on the device.
    targets: Tensor,
    pub(super) batch: usize,
    views: Views,
    sizes: Sizes,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        jobs: &'a [Job<'a>],
        members: Vec<usize>,
        data: &'a Data<'a>,
        limits: &'a Limits<'a>,
    ) -> Self {
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
                ClassWeights::Balanced => {
                    Some(balanced(data.train, &fit, data.classes, data.device))
                }
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
        Self {
            jobs,
            data,
            limits,
            stacks,
            targets: Tensor::from_slice(&labels).to_device(data.device),
            fit,
            held_out,
            batch,
            views: if training.online {
                Views::InTurn
            } else {
                training.views
            },
            sizes: Sizes::new(data.shape.values(), batch),
        }
    }

    pub(super) fn run<E: From<TrainError>>(
        mut self,
        stored: Option<&checkpoint::Stored>,
        keep: &dyn CheckpointStore,
        done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let _threads = self.threads();
        let mut first = 0;
        if let Some(stored) = stored {
            first = stored.count;
            for stack in &mut self.stacks {
                let names: Vec<&str> = stack.jobs.iter().map(|&job| self.jobs[job].name).collect();
                stored.restore(stack, &names, self.data.device)?;
            }
        }
        let held = self.features()?;
        let mut diverged = vec![None; self.jobs.len()];
        let mut kept_at = Instant::now();
        let mut epoch = first;
        while self.stacks.iter().any(|stack| stack.is_active(epoch)) {
            self.epoch(epoch, &held)?;
            self.end_epoch(epoch, &mut diverged)?;
            epoch += 1;
            (self.limits.epoch_done)(epoch);
            let more = self.stacks.iter().any(|stack| stack.is_active(epoch));
            if more && kept_at.elapsed().as_secs_f64() >= self.limits.checkpoint_seconds {
                let tensors = checkpoint::tensors(&self.stacks, |job| self.jobs[job].name);
                checkpoint::write(keep, epoch, &tensors)?;
                kept_at = Instant::now();
            }
        }
        drop(held);
        self.finish(&diverged, done)
    }

    /// All features of the training split, where they fit.
    fn features(&self) -> Result<Held, TrainError> {
        let (shape, classes) = (self.data.shape, self.data.classes);
        let of_stack =
            |stack: &Stack<'_>| stack.jobs.len() as u64 * bytes_of(stack.head, shape, classes);
        let weights: u64 = self.stacks.iter().map(of_stack).sum();
        let rows = self.data.train;
        let views = if self.views == Views::Apart {
            1
        } else {
            rows.views()
        };
        let row_bytes = self.data.shape.values() * rows.feature_type().bytes();
        // A batch is there as it is stored and as 32-bit floats.
        let batch = self.batch.min(self.fit.len()) * (row_bytes + self.data.shape.values() * 4);
        let beside = weights + batch as u64;
        let bytes = (self.fit.len() * views + self.held_out.len()) as u64 * row_bytes as u64;
        if rows.is_fresh() || bytes + beside > self.limits.memory {
            let window = self.sizes.window.min(self.fit.len()) as u64 * row_bytes as u64;
            let windows = 2 * window + beside;
            return match windows > self.limits.memory {
                false => Ok(Held::Windows),
                // The network would see other batches, and so round differently.
                true if rows.is_fresh() => Err(TrainError::Memory {
                    needed: crate::text::bytes(windows),
                    allowed: crate::text::bytes(self.limits.memory),
                }),
                true => Ok(Held::Batches),
            };
        }
        let which: Vec<_> = (0..views)
            .flat_map(|view| self.fit.iter().map(move |&row| (view, row)))
            .collect();
        let width = self.data.shape.values();
        load(rows, &which, width, self.data.device).map(Held::All)
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
        if !matches!(held, Held::Windows) {
            let count = self.fit.len();
            let mut before = 0;
            for (number, window) in windows.iter().enumerate() {
                let source = match held {
                    Held::All(features) => {
                        // Where each of the window's samples is in memory.
                        let place = |&position: &usize| views[position] * count + position;
                        Source::Places(features, window.iter().map(place).collect())
                    }
                    _ => Source::Files(&views),
                };
                self.window(epoch, (number, before), window, &source)?;
                before += window.len();
            }
            return Ok(());
        }
        let (fit, width) = (self.fit.clone(), self.data.shape.values());
        // One window is read while the one before is used, into the memory of the one before that: new memory would have to be
        // cleared by the system, which takes longer than reading.
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(0);
            let (give_back, given_back) = channel();
            let windows = &windows;
            scope.spawn(move || {
                for (number, window) in windows.iter().enumerate() {
                    let mut features = if number < 2 {
                        room(rows, windows[0].len(), width)
                    } else {
                        let Ok(features) = given_back.recv() else {
                            return;
                        };
                        features
                    };
                    let which: Vec<_> = window
                        .iter()
                        .map(|&position| (views[position], fit[position]))
                        .collect();
                    let loaded = load_into(rows, &which, &mut features);
                    if sender.send(loaded.map(|()| features)).is_err() {
                        return;
                    }
                }
            });
            let mut before = 0;
            for (number, window) in windows.iter().enumerate() {
                let Ok(features) = receiver.recv() else {
                    break;
                };
                let features = features?;
                let own = features.narrow(0, 0, to_i64(window.len()));
                let own = own.to_device(self.data.device);
                self.window(epoch, (number, before), window, &Source::Window(&own))?;
                before += window.len();
                // Nobody takes it after the last window.
                let _ = give_back.send(features);
            }
            Ok(())
        })
    }

    /// The batches of one window.
    fn window(
        &mut self,
        epoch: u32,
        (number, before): (usize, usize),
        window: &[usize],
        source: &Source<'_>,
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
            for (number_of_batch, batch) in order.chunks(self.batch).enumerate() {
                if !(self.limits.keep_going)() {
                    return Err(TrainError::Stopped);
                }
                let positions: Vec<usize> = batch.iter().map(|&one| window[one]).collect();
                let on_device = |rows: &[usize]| {
                    let rows: Vec<i64> = rows.iter().map(|&row| to_i64(row)).collect();
                    Tensor::from_slice(&rows).to_device(self.data.device)
                };
                let targets = self.targets.index_select(0, &on_device(&positions));
                let stored = match source {
                    Source::Places(features, places) => {
                        let places: Vec<usize> = batch.iter().map(|&one| places[one]).collect();
                        features.index_select(0, &on_device(&places))
                    }
                    Source::Window(features) => features.index_select(0, &on_device(batch)),
                    Source::Files(views) => {
                        let row = |&position: &usize| (views[position], self.fit[position]);
                        let which: Vec<_> = positions.iter().map(row).collect();
                        let width = self.data.shape.values();
                        load(self.data.train, &which, width, self.data.device)?
                    }
                };
                let moment = |epochs: u32| Moment {
                    epoch,
                    step: to_u32(before / self.batch + number_of_batch),
                    steps: to_u32(steps),
                    epochs,
                };
                let shaped = |precision| shaped(&stored, self.data, precision);
                for stack in self.stacks.iter_mut().filter(|stack| is_of(stack)) {
                    let training = stack.training;
                    let factor = training.schedule.factor(moment(training.epochs));
                    let _ = stack.step(&shaped(training.precision), &targets, factor);
                }
            }
        }
        Ok(())
    }

    /// Keeps libtorch to one thread where a step is small.
    fn threads(&self) -> Option<Threads> {
        let heads: usize = self.stacks.iter().map(|stack| stack.jobs.len()).sum();
        let batch = to_u32(self.batch);
        // A network that runs beside it wants all of them, and threads that are begun meanwhile inherit the number.
        let small = is_small(self.data.shape, batch, self.data.classes, heads)
            && !self.data.train.is_fresh();
        (self.data.device == Device::Cpu && small).then(Threads::one)
    }
}

/// Stored features as a head reads them, `[N, C, H, W]`.
pub(super) fn shaped(stored: &Tensor, data: &Data<'_>, precision: Precision) -> Tensor {
    let FeatureShape {
        channels,
        height,
        width,
    } = data.shape;
    stored
        .to_kind(precision.kind())
        .view([-1, to_i64(channels), to_i64(height), to_i64(width)])
}

/// N / (K × samples of its class) for each class, `[K]`; 0 for one without any. `fit` are the rows that are trained on.
pub(in crate::trainer) fn balanced(
    samples: &dyn Samples,
    fit: &[usize],
    classes: usize,
    device: Device,
) -> Tensor {
    let mut counts = vec![0u32; classes];
    for &row in fit {
        if let Some(count) = counts.get_mut(samples.label(row) as usize) {
            *count += 1;
        }
    }
    let share = fit.len() as f64 / classes.max(1) as f64;
    let weights: Vec<f64> = counts
        .iter()
        .map(|&count| match count {
            0 => 0.0,
            count => share / f64::from(count),
        })
        .collect();
    Tensor::from_slice(&weights)
        .to_kind(Kind::Float)
        .to_device(device)
}
