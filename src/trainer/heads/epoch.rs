//! One epoch: windows, batches, and all stacks in each of them.

use std::sync::mpsc::{channel, sync_channel};

use tch::Tensor;

use super::TrainError;
use super::held::Held;
use super::order::{Window, mixed_views, within};
use super::rows::{load, load_into, room};
use super::scan::{Scan, SeedSamples};
use super::stack::Stack;
use crate::numbers::{to_i64, to_u32};
use crate::trainer::config::{Progress, Views};

/// Where the samples of a window are.
enum Source<'t> {
    /// In all features: the tensor, and the place of each of the window's samples in it.
    Places(&'t Tensor, Vec<usize>),
    /// In the window's features, in its order.
    Window(&'t Tensor),
    /// Where they are stored: the view and the row of each of the window's samples.
    Files(Vec<(usize, usize)>),
}

impl Scan<'_> {
    /// Courses that walk through the same windows, so that a window that is read serves all of them, and the seed of the order of
    /// pieces.
    fn walks(&self, epoch: u32) -> Vec<(Vec<usize>, u64)> {
        let is_active = |course: &usize| {
            let mut own = self.stacks.iter().filter(|(of, _)| of == course);
            own.any(|(_, stack)| stack.is_active(epoch))
        };
        let active: Vec<usize> = (0..self.courses.len()).filter(is_active).collect();
        // Features that are computed while they are read are computed once for all seeds, in one order for all of them.
        let fresh = self.data.train.is_fresh();
        let single_window = self.samples <= self.sizes.window() && self.views != Views::Mixed;
        let whole = self.courses.iter().all(|course| course.held_out.is_empty());
        if whole && (fresh || single_window) {
            return vec![(active, 0)];
        }
        let alone = |course: usize| (vec![course], self.courses[course].seed);
        active.into_iter().map(alone).collect()
    }

    /// One epoch of all stacks.
    pub(super) fn epoch(&mut self, epoch: u32, held: &Held) -> Result<(), TrainError> {
        for (courses, seed) in self.walks(epoch) {
            let windows = self.sizes.windows(self.samples, seed, epoch);
            let Some(&first) = courses.first() else {
                continue;
            };
            let which = self.seen(first, epoch);
            if matches!(held, Held::Windows) {
                self.read_windows(epoch, &courses, &windows, &which)?;
                continue;
            }
            let rows = self.data.train.len();
            for window in &windows {
                let own = window.positions.iter().map(|&position| which[position]);
                let source = match held {
                    Held::All(features) => {
                        Source::Places(features, own.map(|(view, row)| view * rows + row).collect())
                    }
                    _ => Source::Files(own.collect()),
                };
                self.window(epoch, &courses, window, &source)?;
            }
        }
        Ok(())
    }

    /// The view and the row of each sample that a course trains on, in an epoch.
    fn seen(&self, course: usize, epoch: u32) -> Vec<(usize, usize)> {
        let (count, views) = (self.samples, self.data.train.views());
        let SeedSamples { seed, fit, .. } = &self.courses[course];
        let views: Vec<usize> = match self.views {
            Views::Apart => vec![0; count],
            Views::InTurn => vec![epoch as usize % views; count],
            Views::Mixed => mixed_views(views, count, *seed, epoch),
        };
        views.into_iter().zip(fit.iter().copied()).collect()
    }

    /// Windows that are read while the one before is used, into the memory of the one before that: new memory would have to be
    /// cleared by the system, which takes longer than reading.
    fn read_windows(
        &mut self,
        epoch: u32,
        courses: &[usize],
        windows: &[Window],
        which: &[(usize, usize)],
    ) -> Result<(), TrainError> {
        let (rows, width) = (self.data.train, self.data.shape.values());
        let largest = windows.iter().map(|window| window.positions.len()).max();
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(0);
            let (give_back, given_back) = channel();
            scope.spawn(move || {
                for (number, window) in windows.iter().enumerate() {
                    let mut features = if number < 2 {
                        room(rows, largest.unwrap_or(0), width)
                    } else {
                        let Ok(features) = given_back.recv() else {
                            return;
                        };
                        features
                    };
                    let which: Vec<_> = window
                        .positions
                        .iter()
                        .map(|&position| which[position])
                        .collect();
                    let loaded = load_into(rows, &which, &mut features);
                    if sender.send(loaded.map(|()| features)).is_err() {
                        return;
                    }
                }
            });
            for window in windows {
                let Ok(features) = receiver.recv() else {
                    break;
                };
                let features = features?;
                let own = features.narrow(0, 0, to_i64(window.positions.len()));
                let own = own.to_device(self.data.device);
                self.window(epoch, courses, window, &Source::Window(&own))?;
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
        courses: &[usize],
        window: &Window,
        source: &Source<'_>,
    ) -> Result<(), TrainError> {
        let steps = self.steps();
        for &course in courses {
            let SeedSamples {
                seed,
                fit,
                standard,
                ..
            } = &self.courses[course];
            let order = within(*seed, epoch, window.first, window.positions.len());
            for (number, batch) in window.batches.iter().enumerate() {
                if !(self.limits.keep_going)() {
                    return Err(TrainError::Stopped);
                }
                let batch = &order[batch.clone()];
                let on_device = |rows: &mut dyn Iterator<Item = usize>| {
                    let rows: Vec<i64> = rows.map(to_i64).collect();
                    Tensor::from_slice(&rows).to_device(self.data.device)
                };
                let mut rows = batch.iter().map(|&one| fit[window.positions[one]]);
                let targets = self.targets.index_select(0, &on_device(&mut rows));
                let stored = match source {
                    Source::Places(features, places) => {
                        let mut places = batch.iter().map(|&one| places[one]);
                        features.index_select(0, &on_device(&mut places))
                    }
                    Source::Window(features) => {
                        features.index_select(0, &on_device(&mut batch.iter().copied()))
                    }
                    Source::Files(which) => {
                        let which: Vec<_> = batch.iter().map(|&one| which[one]).collect();
                        let width = self.data.shape.values();
                        load(self.data.train, &which, width, self.data.device)?
                    }
                };
                let moment = |epochs: u32| Progress {
                    epoch,
                    step: to_u32(window.first + number),
                    steps,
                    epochs,
                };
                let own =
                    |(of, stack): &&mut (usize, Stack<'_>)| *of == course && stack.is_active(epoch);
                for (_, stack) in self.stacks.iter_mut().filter(own) {
                    let training = stack.training;
                    let factor = training.schedule.factor(moment(training.epochs));
                    let features = stack.features(&stored, standard.as_ref(), self.data);
                    let _ = stack.step(&features, &targets, factor);
                }
            }
        }
        Ok(())
    }
}
