//! What is not learned from: the validation split after every epoch, and the predictions in the end.

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::held::Held;
use super::rows::{Samples, load};
use super::scan::Scan;
use super::stack::Stack;
use super::{Outcome, TrainError};
use crate::bug::Bug;
use crate::metrics::{Prediction, Predictions, rank_of_label};
use crate::models::checkpoint::parameters::to_safetensors;
use crate::models::extractor::to_vec;
use crate::numbers::{to_i64, to_u32};
use crate::trainer::config::Progress;

/// Samples that are predicted at once.
const PREDICTED_AT_ONCE: usize = 2048;

impl Scan<'_> {
    pub(super) fn end_epoch(
        &mut self,
        epoch: u32,
        held: &Held,
        diverged: &mut [Option<(u32, f64)>],
    ) -> Result<(), TrainError> {
        let (steps, samples) = (self.steps(), self.samples);
        let scores = self.held_out_scores(epoch, held)?;
        for ((_, stack), scores) in self.stacks.iter_mut().zip(scores) {
            if !stack.is_active(epoch) {
                continue;
            }
            let factor = stack.training.schedule.factor(Progress {
                epoch,
                step: steps - 1,
                steps,
                epochs: stack.training.epochs,
            });
            let lost = stack.end_epoch(epoch, samples, factor, scores.as_deref())?;
            for position in lost {
                let rate = stack.curves[position]
                    .last()
                    .map_or(0.0, |epoch| epoch.learning_rate);
                diverged[stack.jobs[position]] = Some((epoch + 1, rate));
            }
        }
        Ok(())
    }

    /// Mean loss and share of right answers on the validation split, for each stack and head; by batches of the training's size, for
    /// which there is memory whatever was declared.
    fn held_out_scores(&self, epoch: u32, held: &Held) -> Result<Vec<Option<HeldOut>>, TrainError> {
        let _guard = tch::no_grad_guard();
        let mut sums: Vec<Option<(Tensor, Tensor)>> = Vec::new();
        sums.resize_with(self.stacks.len(), || None);
        for (number, course) in self.courses.iter().enumerate() {
            let is_own = |stack: &(usize, Stack<'_>)| stack.0 == number && stack.1.is_active(epoch);
            if !self.stacks.iter().any(is_own) {
                continue;
            }
            for rows in course.held_out.chunks(self.batch) {
                let (stored, targets) = self.read(rows, held)?;
                let own = self.stacks.iter().zip(&mut sums);
                for ((_, stack), sum) in own.filter(|(stack, _)| is_own(stack)) {
                    let features = stack.features(&stored, course.standard.as_ref(), self.data);
                    let (losses, right) = stack.score(&features, &targets);
                    *sum = Some(match sum.take() {
                        Some(sum) => (sum.0 + losses, sum.1 + right),
                        None => (losses, right),
                    });
                }
            }
        }
        let counts = self.stacks.iter().map(|&(course, _)| {
            let held_out = &self.courses[course].held_out;
            held_out.len() as f64
        });
        let sums = sums.into_iter().zip(counts);
        Ok(sums.map(|(sums, count)| means(sums?, count)).collect())
    }

    /// Training rows as they are shown where they are held out, and their classes.
    fn read(&self, rows: &[usize], held: &Held) -> Result<(Tensor, Tensor), TrainError> {
        let indices: Vec<i64> = rows.iter().map(|&row| to_i64(row)).collect();
        let indices = Tensor::from_slice(&indices).to_device(self.data.device);
        let features = match held {
            Held::All(features) if self.data.judged.is_none() => features.index_select(0, &indices),
            _ => {
                let which: Vec<_> = rows.iter().map(|&row| (0, row)).collect();
                let width = self.data.shape.values();
                load(self.data.judged(), &which, width, self.data.device)?
            }
        };
        Ok((features, self.targets.index_select(0, &indices)))
    }

    /// Predicts the test split with all heads in one pass, and hands them out.
    pub(super) fn finish<E: From<TrainError>>(
        &self,
        diverged: &[Option<(u32, f64)>],
        done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let predicted = self.predictions()?;
        let mut held_out_logits = self.held_out_logits()?.into_iter();
        for ((course, stack), heads) in self.stacks.iter().zip(predicted) {
            let standard = self.courses[*course].standard.as_ref();
            for (position, (ranked, logits)) in heads.into_iter().enumerate() {
                let job = stack.jobs[position];
                let held_out_logits = held_out_logits.next().flatten();
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
                let weights = stack.weights(position, standard);
                let weights = weights.iter().map(|(name, tensor)| (*name, tensor));
                let outcome = Outcome {
                    epochs: stack.curves[position].clone(),
                    epoch: stack.last_epoch(position),
                    trace: None,
                    held_out: None,
                    predictions: Predictions::new(predictions(self.data.test, ranked)),
                    logits: stack.training.logits.then_some(logits),
                    held_out_logits,
                    weights: serialized(weights)?,
                };
                done(job, Ok(outcome))?;
            }
        }
        Ok(())
    }

    /// For each stack and head: predicted class and rank of the true one, sample by sample, and logits where they are kept. They are means
    /// over the views of the test split.
    fn predictions(&self) -> Result<Vec<Vec<Ranked>>, TrainError> {
        let _guard = tch::no_grad_guard();
        let mut all: Vec<Vec<Ranked>> = self
            .stacks
            .iter()
            .map(|(_, stack)| vec![Ranked::default(); stack.jobs.len()])
            .collect();
        let test = self.data.test;
        let rows: Vec<usize> = (0..test.len()).collect();
        for rows in rows.chunks(self.predicted_at_once(test.feature_type().bytes())) {
            if !(self.limits.keep_going)() {
                return Err(TrainError::Stopped);
            }
            let mut sums: Vec<Option<Tensor>> = Vec::new();
            sums.resize_with(self.stacks.len(), || None);
            for view in 0..test.views() {
                let which: Vec<_> = rows.iter().map(|&row| (view, row)).collect();
                let stored = load(test, &which, self.data.shape.values(), self.data.device)?;
                for ((course, stack), sum) in self.stacks.iter().zip(&mut sums) {
                    let standard = self.courses[*course].standard.as_ref();
                    let logits = stack.predict(&stack.features(&stored, standard, self.data));
                    *sum = Some(match sum.take() {
                        Some(sum) => sum + logits,
                        None => logits,
                    });
                }
            }
            for (((_, stack), heads), sum) in self.stacks.iter().zip(&mut all).zip(sums) {
                let logits = sum.ok_or_else(|| Bug::new("test samples without a view"))?;
                let logits = match test.views() {
                    1 => logits,
                    views => logits / to_i64(views),
                };
                for (position, (ranked, kept)) in heads.iter_mut().enumerate() {
                    let own = to_vec(&logits.select(1, to_i64(position)).contiguous());
                    rank_all(&own, (test, self.data.classes), rows, ranked);
                    if stack.training.logits {
                        kept.extend(own);
                    }
                }
            }
        }
        Ok(all)
    }

    /// Samples that are read at once where nothing is learned from them: a sixteenth of the memory at most.
    pub(super) fn predicted_at_once(&self, element_bytes: usize) -> usize {
        let row_bytes = (self.data.shape.values() * (element_bytes + 4)).max(1) as u64;
        let fitting = usize::try_from(self.limits.memory / 16 / row_bytes).unwrap_or(1);
        fitting.clamp(1, PREDICTED_AT_ONCE)
    }
}

/// Mean loss and share of right answers on the validation split, for each head of a stack.
pub(in crate::trainer) type HeldOut = Vec<(f64, f64)>;

/// Means of what [`Stack::score`](super::stack::Stack::score) gives, summed over so many samples.
pub(in crate::trainer) fn means((losses, right): (Tensor, Tensor), count: f64) -> Option<HeldOut> {
    let read = |sum: Tensor| Vec::<f64>::try_from(sum.to_device(Device::Cpu)).ok();
    let pairs = read(losses)?.into_iter().zip(read(right)?);
    let means = pairs.map(|(loss, right)| (loss / count, right / count));
    Some(means.collect())
}

/// Adds what logits `[n, K]` of some samples of the test split predict.
pub(in crate::trainer) fn rank_all(
    logits: &[f32],
    (test, classes): (&dyn Samples, usize),
    rows: &[usize],
    ranked: &mut Vec<(u32, u32)>,
) {
    let of_rows = logits.par_chunks_exact(classes).zip(rows);
    ranked.par_extend(of_rows.map(|(logits, &row)| {
        let rank = rank_of_label(logits, test.label(row));
        (highest(logits), rank)
    }));
}

/// The predictions of all samples of the test split.
pub(in crate::trainer) fn predictions(
    test: &dyn Samples,
    ranked: Vec<(u32, u32)>,
) -> Vec<Prediction> {
    let rows = ranked.into_iter().enumerate();
    rows.map(|(row, (predicted, rank))| Prediction {
        id: test.id(row).to_owned(),
        label: test.label(row),
        predicted,
        rank,
    })
    .collect()
}

/// Predicted class and rank of the true one for each sample, and logits.
pub(super) type Ranked = (Vec<(u32, u32)>, Vec<f32>);

/// Trained parameters as a safetensors file in memory.
pub(in crate::trainer) fn serialized<'a, N: AsRef<str>>(
    weights: impl IntoIterator<Item = (N, &'a Tensor)>,
) -> Result<Vec<u8>, TrainError> {
    to_safetensors(weights).map_err(|error| {
        Bug::new(format!(
            "the trained weights could not be serialized: {error}"
        ))
        .into()
    })
}

/// The class with the highest logit; the lowest such class among ties, and class 0 where no logit is a number.
fn highest(logits: &[f32]) -> u32 {
    let mut best: Option<(usize, f32)> = None;
    for (class, &logit) in logits.iter().enumerate() {
        if !logit.is_nan() && best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((class, logit));
        }
    }
    best.map_or(0, |(class, _)| to_u32(class))
}
