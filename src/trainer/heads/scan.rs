//! The loop over epochs, and what it begins with: stacks, the samples of each seed, features in memory.

use std::collections::BTreeSet;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::held::{Held, Place, Wanted, place};
use super::order::{Sizes, hold_out};
use super::rounds::{Threads, is_small};
use super::rows::{Samples, load};
use super::stack::{Stack, agree, bytes_of};
use super::standard::Standard;
use super::{CheckpointStore, Data, Job, Limits, Outcome, TrainError, checkpoint};
use crate::bug::Bug;
use crate::heads::FeatureShape;
use crate::models::Precision;
use crate::numbers::{to_i64, to_u32};
use crate::trainer::config::{ClassWeights, Views};

/// What the heads of one seed see of the training split.
pub(super) struct SeedSamples {
    pub(super) seed: u64,
    /// Rows to train on, and rows of the validation split.
    pub(super) fit: Vec<usize>,
    pub(super) held_out: Vec<usize>,
    /// The moments of what is trained on, where a head standardizes its features.
    pub(super) standard: Option<Standard>,
}

/// Heads that train together, and what they read.
pub(super) struct Scan<'a> {
    pub(super) jobs: &'a [Job<'a>],
    pub(super) data: &'a Data<'a>,
    pub(super) limits: &'a Limits<'a>,
    /// Each with the place of its course.
    pub(super) stacks: Vec<(usize, Stack<'a>)>,
    /// One for each seed.
    pub(super) courses: Vec<SeedSamples>,
    /// Rows to train on; as many for each seed.
    pub(super) samples: usize,
    /// Classes of all rows of the training split, `[n]`, on the device.
    pub(super) targets: Tensor,
    pub(super) batch: usize,
    pub(super) views: Views,
    pub(super) sizes: Sizes,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        jobs: &'a [Job<'a>],
        members: Vec<usize>,
        data: &'a Data<'a>,
        limits: &'a Limits<'a>,
    ) -> Result<Self, TrainError> {
        let training = jobs[members[0]].training;
        let seeds: BTreeSet<u64> = members.iter().map(|&job| jobs[job].seed).collect();
        let courses: Vec<SeedSamples> = seeds
            .into_iter()
            .map(|seed| {
                let (fit, held_out) = hold_out(data.train, training.holdout, seed);
                SeedSamples {
                    seed,
                    fit,
                    held_out,
                    standard: None,
                }
            })
            .collect();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for job in members {
            match groups
                .iter_mut()
                .find(|group| agree(&jobs[group[0]], &jobs[job]))
            {
                Some(group) => group.push(job),
                None => groups.push(vec![job]),
            }
        }
        let mut stacks = Vec::with_capacity(groups.len());
        for group in groups {
            let first = jobs[group[0]];
            let course = courses.iter().position(|course| course.seed == first.seed);
            let course = course.ok_or_else(|| Bug::new("a head whose seed has no course"))?;
            let weights = match first.training.class_weights {
                ClassWeights::Equal => None,
                ClassWeights::Balanced => {
                    let fit = &courses[course].fit;
                    Some(balanced(data.train, fit, data.classes, data.device))
                }
            };
            let (shape, classes) = (data.shape, data.classes);
            let stack = Stack::new(jobs, group, shape, classes, weights, data.device);
            stacks.extend(stack.map(|stack| (course, stack)));
        }
        let labels: Vec<i64> = (0..data.train.len())
            .map(|row| i64::from(data.train.label(row)))
            .collect();
        let batch = training.batch_size as usize;
        let mut scan = Self {
            jobs,
            data,
            limits,
            stacks,
            samples: courses.first().map_or(0, |course| course.fit.len()),
            courses,
            targets: Tensor::from_slice(&labels).to_device(data.device),
            batch,
            views: if training.online {
                Views::InTurn
            } else {
                training.views
            },
            sizes: Sizes::new(data.shape.values(), batch),
        };
        scan.find_moments()?;
        Ok(scan)
    }

    /// The moments of each seed's samples, in one scan, where a head wants them.
    fn find_moments(&mut self) -> Result<(), TrainError> {
        let standardizes = |stack: &Stack<'_>| stack.head.standardizes();
        if !self.stacks.iter().any(|(_, stack)| standardizes(stack)) {
            return Ok(());
        }
        let sets: Vec<&[usize]> = self.courses.iter().map(|course| &*course.fit).collect();
        // Without a validation split all seeds have the same samples.
        let same = self.courses.iter().all(|course| course.held_out.is_empty());
        let sets = if same { &sets[..1] } else { &sets };
        let views = self.views_held();
        let standards = Standard::of(self.data, views, sets, self.limits.keep_going)?;
        for (index, course) in self.courses.iter_mut().enumerate() {
            let own = if same { 0 } else { index };
            course.standard = standards.get(own).map(Standard::shared);
        }
        Ok(())
    }

    /// How many views an epoch may see.
    fn views_held(&self) -> usize {
        match self.views {
            Views::Apart => 1,
            Views::Mixed | Views::InTurn => self.data.train.views(),
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
            for (_, stack) in &mut self.stacks {
                let names: Vec<&str> = stack.jobs.iter().map(|&job| self.jobs[job].name).collect();
                stored.restore(stack, &names, self.data.device)?;
            }
        }
        let held = self.features()?;
        let mut diverged = vec![None; self.jobs.len()];
        let mut kept_at = Instant::now();
        let mut epoch = first;
        while self.is_active(epoch) {
            self.epoch(epoch, &held)?;
            self.end_epoch(epoch, &held, &mut diverged)?;
            epoch += 1;
            (self.limits.epoch_done)(epoch);
            let more = self.is_active(epoch);
            if more && kept_at.elapsed().as_secs_f64() >= self.limits.checkpoint_seconds {
                let tensors =
                    checkpoint::tensors(self.stacks.iter().map(|(_, stack)| stack), |job| {
                        self.jobs[job].name
                    });
                checkpoint::write(keep, epoch, &tensors)?;
                kept_at = Instant::now();
            }
        }
        drop(held);
        self.finish(&diverged, done)
    }

    fn is_active(&self, epoch: u32) -> bool {
        self.stacks.iter().any(|(_, stack)| stack.is_active(epoch))
    }

    /// All features of the training split, where they fit.
    fn features(&self) -> Result<Held, TrainError> {
        let (shape, classes) = (self.data.shape, self.data.classes);
        let of_stack =
            |stack: &Stack<'_>| stack.jobs.len() as u64 * bytes_of(stack.head, shape, classes);
        let weights: u64 = self.stacks.iter().map(|(_, stack)| of_stack(stack)).sum();
        let (rows, width) = (self.data.train, shape.values());
        let views = self.views_held();
        let row_bytes = width * rows.feature_type().bytes();
        // A batch is there as it is stored and as 32-bit floats.
        let batch = self.batch.min(self.samples) * (row_bytes + width * 4);
        let wanted = Wanted {
            all: (rows.len() * views * row_bytes) as u64,
            window: (self.sizes.window().min(self.samples) * row_bytes) as u64,
            beside: weights + batch as u64,
            fresh: rows.is_fresh(),
        };
        match place(wanted, self.limits)? {
            Place::All => {
                let which: Vec<_> = (0..views)
                    .flat_map(|view| (0..rows.len()).map(move |row| (view, row)))
                    .collect();
                load(rows, &which, width, self.data.device).map(Held::All)
            }
            Place::Windows => Ok(Held::Windows),
            Place::Batches => Ok(Held::Batches),
        }
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> u32 {
        to_u32(self.samples.div_ceil(self.batch))
    }

    /// Keeps libtorch to one thread where a step is small.
    fn threads(&self) -> Option<Threads> {
        let heads: usize = self.stacks.iter().map(|(_, stack)| stack.jobs.len()).sum();
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
