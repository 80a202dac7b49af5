//! Heads that are fitted to all samples: block by block, or with both splits in memory.

use std::cell::RefCell;

use tch::{Device, Kind, Reduction, Tensor};

use super::held::computing_memory;
use super::held_out::empty;
use super::order::hold_out;
use super::rows::{Rows, load};
use super::scoring::{Ranked, rank_all, serialized};
use super::standard::Standard;
use super::{Data, Job, Limits, Outcome, TrainError};
use crate::bug::Bug;
use crate::heads::{Blocks, FitBlocks, FitError, FitTrace, Fitting, FullBatch, FullBatchFit};
use crate::metrics::{HeldOutLogits, Predictions};
use crate::models::extractor::to_vec;
use crate::numbers::to_i64;
use crate::text;

/// Numbers of a block in 64 bits: 32 MiB, whatever memory there is, so that sums are the same.
const BLOCK_NUMBERS: usize = 1 << 22;
/// Tensors of the size of a block that are there at once.
const BLOCKS: u64 = 4;

/// Fits one head.
pub(super) fn fit(
    job: &Job<'_>,
    data: &Data<'_>,
    limits: &Limits<'_>,
) -> Result<Outcome, TrainError> {
    let _guard = tch::no_grad_guard();
    let (fit, held_out) = hold_out(data.train, job.training.holdout, job.seed);
    let split = Split {
        fit: &fit,
        held_out: &held_out,
    };
    match job.head.fitting() {
        Fitting::FullBatch(head) => from_memory(head, job, data, limits, split),
        Fitting::Blocks(head) => by_blocks(head, job, data, limits, split),
        Fitting::Steps => {
            Err(Bug::new("a head that is trained in steps was to be fitted full-batch").into())
        }
    }
}

/// Rows of the training split: those to fit to, and those of the validation split.
#[derive(Clone, Copy)]
struct Split<'a> {
    fit: &'a [usize],
    held_out: &'a [usize],
}

impl Split<'_> {
    /// Room for the logits of the validation split, where they are kept and there is one.
    fn kept(self, job: &Job<'_>, data: &Data<'_>) -> Option<HeldOutLogits> {
        let wanted = job.training.logits && !self.held_out.is_empty();
        wanted.then(|| empty(data, self.held_out))
    }
}

fn check_memory(needed: u64, limits: &Limits<'_>) -> Result<(), TrainError> {
    let allowed = computing_memory(limits);
    if needed <= allowed {
        return Ok(());
    }
    Err(TrainError::Memory {
        needed: text::bytes(needed),
        allowed: text::bytes(allowed),
    })
}

fn from_memory(
    head: &dyn FullBatchFit,
    job: &Job<'_>,
    data: &Data<'_>,
    limits: &Limits<'_>,
    split: Split<'_>,
) -> Result<Outcome, TrainError> {
    let width = data.shape.values();
    let numbers = ((data.train.len() + data.test.len()) * width) as u64;
    // As they are stored, as 32-bit floats, and once more for what the head makes of them.
    let needed = numbers * (data.train.feature_type().bytes() as u64 + 8);
    check_memory(needed, limits)?;
    let read = |rows: &dyn Rows, view: usize, which: &[usize]| -> Result<Tensor, TrainError> {
        let which: Vec<_> = which.iter().map(|&row| (view, row)).collect();
        Ok(load(rows, &which, width, data.device)?.to_kind(Kind::Float))
    };
    let features = read(data.train, 0, split.fit)?;
    let labels = labels_of(data, split.fit);
    let whole = FullBatch {
        features: &features,
        labels: &labels,
        classes: data.classes,
    };
    let all: Vec<usize> = (0..data.test.len()).collect();
    let logits = of_all_views(data, |view| {
        Ok(to_vec(&head.predict(whole, &read(data.test, view, &all)?)))
    })?;
    let mut kept = split.kept(job, data);
    let held_out = if split.held_out.is_empty() {
        None
    } else {
        let mut score = Score::default();
        let logits = head.predict(whole, &read(data.judged(), 0, split.held_out)?);
        if let Some(kept) = &mut kept {
            kept.logits.values = to_vec(&logits);
        }
        score.add(
            &logits.to_kind(Kind::Double),
            &labels_of(data, split.held_out),
        );
        Some(score.means())
    };
    outcome(
        job,
        data,
        &logits,
        Found {
            held_out,
            held_out_logits: kept,
            ..Found::default()
        },
    )
}

fn by_blocks(
    head: &dyn FitBlocks,
    job: &Job<'_>,
    data: &Data<'_>,
    limits: &Limits<'_>,
    split: Split<'_>,
) -> Result<Outcome, TrainError> {
    let (width, classes) = (data.shape.values(), data.classes);
    let samples = split.fit.len();
    let at_once = (BLOCK_NUMBERS / width.max(classes).max(1)).clamp(1, samples);
    let block = (at_once * width.max(classes)) as u64 * 8 * BLOCKS;
    let needed = block + head.bytes(samples as u64, width as u64, classes as u64);
    check_memory(needed, limits)?;
    let standard = if job.head.standardizes() {
        let sets = [split.fit];
        Standard::of(data, 1, &sets, limits.keep_going)?.pop()
    } else {
        None
    };
    let source = |rows, which| Source {
        data,
        rows,
        view: 0,
        which,
        at_once,
        standard: standard.as_ref(),
        kept: None,
        keep_going: limits.keep_going,
        failed: RefCell::new(None),
    };
    let mut train = source(data.train, split.fit);
    let stored = (samples * width * data.train.feature_type().bytes()) as u64;
    if needed.saturating_add(stored) <= computing_memory(limits) {
        train.keep()?;
    }
    let held_out = source(data.judged(), split.held_out);
    let judged: Option<&dyn Blocks> = match split.held_out {
        [] => None,
        _ => Some(&held_out),
    };
    let fitted = head.fit(&train, judged);
    let fitted = fitted.map_err(|error| train.why(&held_out, error))?;
    drop(train);
    let logits_of = |features: &Tensor| features.linear(&fitted.weight, Some(&fitted.bias));
    let mut scores = Score::default();
    let mut kept = split.kept(job, data);
    let scored = held_out.each(&mut |features, labels| {
        let logits = logits_of(features);
        scores.add(&logits, labels);
        if let Some(kept) = &mut kept {
            let own = to_vec(&logits.to_kind(Kind::Float));
            kept.logits.values.extend(own);
        }
    });
    scored.map_err(|error| held_out.why(&held_out, error))?;
    let all: Vec<usize> = (0..data.test.len()).collect();
    let logits = of_all_views(data, |view| {
        let mut test = source(data.test, &all);
        test.view = view;
        let mut logits: Vec<f32> = Vec::with_capacity(all.len() * classes);
        let predicted = test.each(&mut |features, _| {
            logits.extend(to_vec(&logits_of(features).to_kind(Kind::Float)));
        });
        predicted.map_err(|error| test.why(&test, error))?;
        Ok(logits)
    })?;
    let (weight, bias) = match &standard {
        Some(standard) => standard.folded(&fitted.weight, &fitted.bias),
        None => (
            fitted.weight.to_kind(Kind::Float),
            fitted.bias.to_kind(Kind::Float),
        ),
    };
    let judged = match &fitted.trace {
        FitTrace::Path {
            candidates, chosen, ..
        } => candidates.get(*chosen).map(|one| (one.loss, one.top1)),
        FitTrace::Iterated { .. } => (scores.samples > 0.0).then(|| scores.means()),
    };
    outcome(
        job,
        data,
        &logits,
        Found {
            held_out: judged,
            held_out_logits: kept,
            trace: Some(fitted.trace),
            weights: vec![("fcs.0.weight", weight), ("fcs.0.bias", bias)],
        },
    )
}

/// The mean over the views of the test split of logits `[T, K]`, which `of` gives for one view.
fn of_all_views(
    data: &Data<'_>,
    of: impl Fn(usize) -> Result<Vec<f32>, TrainError>,
) -> Result<Vec<f32>, TrainError> {
    let mut sum = of(0)?;
    let views = data.test.views();
    for view in 1..views {
        let own = of(view)?;
        sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    if views > 1 {
        let count = views as f32;
        for sum in &mut sum {
            *sum /= count;
        }
    }
    Ok(sum)
}

/// What a fit leaves beside its predictions.
#[derive(Default)]
struct Found {
    held_out: Option<(f64, f64)>,
    held_out_logits: Option<HeldOutLogits>,
    trace: Option<FitTrace>,
    weights: Vec<(&'static str, Tensor)>,
}

fn outcome(
    job: &Job<'_>,
    data: &Data<'_>,
    logits: &[f32],
    found: Found,
) -> Result<Outcome, TrainError> {
    let mut ranked: Ranked = Ranked::default();
    let rows: Vec<usize> = (0..data.test.len()).collect();
    rank_all(logits, (data.test, data.classes), &rows, &mut ranked.0);
    let weights = found.weights.iter().map(|(name, tensor)| (name, tensor));
    Ok(Outcome {
        epochs: Vec::new(),
        epoch: 0,
        trace: found.trace,
        held_out: found.held_out,
        predictions: Predictions::new(super::scoring::predictions(data.test, ranked.0)),
        logits: job.training.logits.then(|| logits.to_vec()),
        held_out_logits: found.held_out_logits,
        weights: serialized(weights)?,
    })
}

/// Labels of rows of the training split, `[n]`, on the device.
fn labels_of(data: &Data<'_>, rows: &[usize]) -> Tensor {
    let labels = rows.iter().map(|&row| i64::from(data.train.label(row)));
    Tensor::from_slice(&labels.collect::<Vec<_>>()).to_device(data.device)
}

/// Sums over the validation split.
#[derive(Default)]
struct Score {
    loss: f64,
    right: f64,
    samples: f64,
}

impl Score {
    /// Adds a block: logits `[B, K]`, f64, and labels `[B]`.
    fn add(&mut self, logits: &Tensor, labels: &Tensor) {
        let loss = logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0);
        let right = logits.argmax(1, false).eq_tensor(labels);
        self.loss += loss.double_value(&[]);
        self.right += right.sum(Kind::Double).double_value(&[]);
        self.samples += labels.numel() as f64;
    }

    /// Mean cross entropy, and the share of right answers.
    fn means(&self) -> (f64, f64) {
        (self.loss / self.samples, self.right / self.samples)
    }
}

/// Samples as a fit reads them: from memory where they are kept there, else from where they are stored, again in every scan.
struct Source<'a> {
    data: &'a Data<'a>,
    rows: &'a dyn Rows,
    view: usize,
    which: &'a [usize],
    /// Samples of a block.
    at_once: usize,
    standard: Option<&'a Standard>,
    /// All of them as they are stored, `[N, D]`.
    kept: Option<Tensor>,
    keep_going: &'a (dyn Fn() -> bool + Sync),
    /// What ended a scan early.
    failed: RefCell<Option<TrainError>>,
}

impl Source<'_> {
    fn keep(&mut self) -> Result<(), TrainError> {
        self.kept = Some(self.load(self.which)?);
        Ok(())
    }

    fn load(&self, rows: &[usize]) -> Result<Tensor, TrainError> {
        let which: Vec<_> = rows.iter().map(|&row| (self.view, row)).collect();
        load(
            self.rows,
            &which,
            self.data.shape.values(),
            self.data.device,
        )
    }

    /// What was behind an error of a fit that read this and `other`.
    fn why(&self, other: &Self, error: FitError) -> TrainError {
        let failed = || self.failed.take().or_else(|| other.failed.take());
        match error {
            FitError::NotFinite => TrainError::NotFinite,
            FitError::Unread => failed()
                .unwrap_or_else(|| Bug::new("a fit ended early, and nobody knows why").into()),
        }
    }

    fn block(&self, start: usize, rows: &[usize]) -> Result<Tensor, TrainError> {
        if !(self.keep_going)() {
            return Err(TrainError::Stopped);
        }
        let stored = match &self.kept {
            Some(kept) => kept.narrow(0, to_i64(start), to_i64(rows.len())),
            None => self.load(rows)?,
        };
        Ok(match self.standard {
            Some(standard) => standard.apply_wide(&stored),
            None => stored.to_kind(Kind::Double),
        })
    }
}

impl Blocks for Source<'_> {
    fn samples(&self) -> i64 {
        to_i64(self.which.len())
    }

    fn width(&self) -> i64 {
        to_i64(self.data.shape.values())
    }

    fn classes(&self) -> i64 {
        to_i64(self.data.classes)
    }

    fn device(&self) -> Device {
        self.data.device
    }

    fn each(&self, visit: &mut dyn FnMut(&Tensor, &Tensor)) -> Result<(), FitError> {
        for (number, rows) in self.which.chunks(self.at_once).enumerate() {
            let features = self.block(number * self.at_once, rows).map_err(|error| {
                self.failed.replace(Some(error));
                FitError::Unread
            })?;
            let labels: Vec<i64> = rows
                .iter()
                .map(|&row| i64::from(self.rows.label(row)))
                .collect();
            visit(
                &features,
                &Tensor::from_slice(&labels).to_device(self.data.device),
            );
        }
        Ok(())
    }
}
