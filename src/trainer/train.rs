//! The training loop: cross entropy on one split, predictions on another.
//!
//! # Deviations
//! The last batch of an epoch holds what is left and is never dropped (soumik-kanad/diffssl drops it, in testing too).

use tch::{Kind, Reduction, Tensor};

use super::Training;
use super::optimiser::Moments;
use crate::heads::{FeatureShape, Head, Mode};
use crate::metrics::{Prediction, Predictions, rank_of_label};
use crate::models::parameters::to_safetensors;
use crate::random::Stream;
use tch::Device;

/// The samples of one split: features `[N, C, S, S]` f32 and labels, on the training device.
#[derive(Debug)]
pub struct Samples {
    ids: Vec<String>,
    labels: Vec<u32>,
    features: Tensor,
    targets: Tensor,
    shape: FeatureShape,
}

/// One epoch's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// The learning rate in force.
    pub learning_rate: f64,
    /// Mean cross entropy over the training split, in nats, each sample under the weights of its own step.
    pub train_loss: f64,
    /// The share of training samples that were right, each under the weights of its own step.
    pub train_top1: f64,
}

/// What training leaves.
#[derive(Debug)]
pub struct Outcome {
    /// One row for each epoch.
    pub epochs: Vec<Epoch>,
    /// Predictions for every sample of the test split.
    pub predictions: Predictions,
    /// The trained parameters as a safetensors file.
    pub weights: Vec<u8>,
}

/// Why a head could not be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss left the numbers.
    #[error(
        "the loss is no longer a number after epoch {epoch}\n  hint: lower the learning rate (it was {learning_rate})"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
        /// The learning rate in force.
        learning_rate: f64,
    },
    /// A split without samples.
    #[error("split `{0}` has no samples\n  hint: `train` and `test` of the head name the splits")]
    Empty(String),
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
    /// Weights that could not be written into memory: a bug.
    #[error("the trained weights could not be serialised: {0}")]
    Weights(String),
}

impl Samples {
    /// Samples from row-major features: `values` holds `ids.len() * shape.width()` numbers.
    pub fn new(
        ids: Vec<String>,
        labels: Vec<u32>,
        values: &[f32],
        shape: FeatureShape,
        device: Device,
    ) -> Self {
        let targets: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let side = length(shape.side);
        let sizes = [length(ids.len()), length(shape.channels), side, side];
        Self {
            ids,
            labels,
            features: Tensor::from_slice(values).view(sizes).to_device(device),
            targets: Tensor::from_slice(&targets).to_device(device),
            shape,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Trains one head.
///
/// `classes` is the number of classes of the dataset, `keep_going` is asked between steps.
///
/// # Errors
/// See [`TrainError`]. Operations of libtorch panic on errors of their own (such as running out of memory); the caller turns
/// that into a failed node.
pub fn train(
    head: &dyn Head,
    training: &Training,
    seed: u64,
    classes: usize,
    (train, test): (&Samples, &Samples),
    keep_going: &dyn Fn() -> bool,
) -> Result<Outcome, TrainError> {
    for (split, samples) in [(&training.train_split, train), (&training.test_split, test)] {
        if samples.is_empty() {
            return Err(TrainError::Empty(split.clone()));
        }
    }
    let device = train.features.device();
    let _threads = Threads::for_step(
        device,
        training.batch_size as usize * train.shape.width() * classes,
    );
    let initial = head.initial(train.shape, classes, seed);
    let mut parameters: Vec<Tensor> = initial
        .iter()
        .map(|parameter| {
            let values = Tensor::from_slice(&parameter.values).view(parameter.shape.as_slice());
            values
                .unsqueeze(0)
                .to_device(device)
                .set_requires_grad(true)
        })
        .collect();
    let mut moments = Moments::new(&parameters);
    let mut epochs = Vec::new();
    for epoch in 0..training.epochs {
        let factor = training.schedule.factor(epoch);
        let order = Stream::new(seed, &format!("shuffle/epoch-{epoch}")).permutation(train.len());
        let mut loss_sum = Tensor::zeros([], (Kind::Double, device));
        let mut right = Tensor::zeros([], (Kind::Int64, device));
        for batch in order.chunks(training.batch_size as usize) {
            if !keep_going() {
                return Err(TrainError::Stopped);
            }
            let rows = Tensor::from_slice(batch).to_device(device);
            let targets = train.targets.index_select(0, &rows);
            let logits = head
                .forward(
                    &parameters,
                    &train.features.index_select(0, &rows),
                    Mode::Train,
                )
                .squeeze_dim(1);
            let loss =
                logits.cross_entropy_loss::<Tensor>(&targets, None, Reduction::Mean, -100, 0.0);
            loss.backward();
            moments.step(&training.optimiser, factor, &mut parameters);
            loss_sum += loss.detach().to_kind(Kind::Double) * batch.len() as f64;
            right += logits
                .detach()
                .argmax(1, false)
                .eq_tensor(&targets)
                .sum(Kind::Int64);
        }
        let learning_rate = training.optimiser.lr * factor;
        let train_loss = loss_sum.double_value(&[]) / train.len() as f64;
        if !train_loss.is_finite() {
            return Err(TrainError::Diverged {
                epoch: epoch + 1,
                learning_rate,
            });
        }
        epochs.push(Epoch {
            epoch: epoch + 1,
            learning_rate,
            train_loss,
            train_top1: right.int64_value(&[]) as f64 / train.len() as f64,
        });
    }
    let predictions = tch::no_grad(|| predict(head, &parameters, test, classes));
    let names = initial.iter().map(|parameter| parameter.name.as_str());
    let plain: Vec<Tensor> = parameters
        .iter()
        .map(|stacked| stacked.detach().squeeze_dim(0))
        .collect();
    let weights = to_safetensors(names.zip(&plain))
        .map_err(|error| TrainError::Weights(error.to_string()))?;
    Ok(Outcome {
        epochs,
        predictions,
        weights,
    })
}

/// Multiply-adds of a step below which a second thread costs more than it gives.
const SMALL_STEP: usize = 1 << 24;

/// Keeps libtorch to one thread while small heads train on the CPU: handing out thousandths of a millisecond of work takes
/// longer than doing it, and far longer where other programs want the processor too.
struct Threads {
    before: i32,
}

impl Threads {
    fn for_step(device: Device, multiply_adds: usize) -> Option<Self> {
        if device != Device::Cpu || multiply_adds > SMALL_STEP {
            return None;
        }
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        Some(Self { before })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}

/// Predicts every sample; the batch size here changes nothing but memory.
fn predict(
    head: &dyn Head,
    parameters: &[Tensor],
    samples: &Samples,
    classes: usize,
) -> Predictions {
    const BATCH: i64 = 4096;
    let mut rows = Vec::with_capacity(samples.len());
    let total = length(samples.len());
    let mut start = 0;
    while start < total {
        let count = BATCH.min(total - start);
        let logits = head
            .forward(
                parameters,
                &samples.features.narrow(0, start, count),
                Mode::Predict,
            )
            .squeeze_dim(1);
        let logits = logits
            .to_device(tch::Device::Cpu)
            .to_kind(Kind::Float)
            .contiguous();
        let mut values = vec![0f32; logits.numel()];
        let values_length = values.len();
        logits.copy_data(&mut values, values_length);
        for logits in values.chunks_exact(classes) {
            let row = rows.len();
            let label = samples.labels[row];
            let predicted = (0..classes).find(|&class| {
                rank_of_label(logits, u32::try_from(class).unwrap_or(u32::MAX)) == 0
            });
            rows.push(Prediction {
                id: samples.ids[row].clone(),
                label,
                predicted: predicted
                    .and_then(|class| u32::try_from(class).ok())
                    .unwrap_or(0),
                rank: rank_of_label(logits, label),
            });
        }
        start += count;
    }
    Predictions { rows }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Optimiser, Schedule, UpdateRule};
    use super::*;
    use crate::spec::{Diagnostics, Fields, Source, Span, Table};

    fn linear() -> std::sync::Arc<dyn Head> {
        let diagnostics = std::cell::RefCell::new(Diagnostics::new(Source::new("x", "")));
        let table = Table::default();
        let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
        crate::heads::ALL[0].parse(&fields).unwrap()
    }

    fn training(epochs: u32) -> Training {
        Training {
            epochs,
            batch_size: 32,
            optimiser: Optimiser {
                kind: UpdateRule::Adam,
                lr: 0.05,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
            },
            schedule: Schedule::Step {
                every: 8,
                gamma: 0.1,
            },
            train_split: "train".to_owned(),
            test_split: "test".to_owned(),
        }
    }

    /// `count` samples of 4 classes; the features point at the class where `separable`, else they are noise.
    fn samples(count: usize, separable: bool, seed: u64) -> Samples {
        let mut stream = Stream::new(seed, "samples");
        let labels: Vec<u32> = (0..count)
            .map(|_| u32::try_from(stream.next_below(4)).unwrap())
            .collect();
        let mut values = Vec::new();
        for &label in &labels {
            for axis in 0..8u32 {
                let signal = if separable && axis == label { 4.0 } else { 0.0 };
                values.push(stream.next_unit() - 0.5 + signal);
            }
        }
        let ids = (0..count).map(|index| index.to_string()).collect();
        Samples::new(
            ids,
            labels,
            &values,
            FeatureShape {
                channels: 8,
                side: 1,
            },
            Device::Cpu,
        )
    }

    fn right(outcome: &Outcome) -> usize {
        outcome
            .predictions
            .rows
            .iter()
            .filter(|row| row.rank == 0)
            .count()
    }

    #[test]
    fn separable_features_reach_every_sample_and_noise_stays_at_chance() {
        let (train_set, test_set) = (samples(203, true, 1), samples(101, true, 2));
        let outcome = train(
            &*linear(),
            &training(20),
            0,
            4,
            (&train_set, &test_set),
            &|| true,
        )
        .unwrap();
        assert_eq!(
            (right(&outcome), outcome.predictions.rows.len()),
            (101, 101)
        );
        assert!(outcome.epochs[19].train_loss < outcome.epochs[0].train_loss);

        let (train_set, test_set) = (samples(200, false, 3), samples(1000, false, 4));
        let outcome = train(
            &*linear(),
            &training(5),
            0,
            4,
            (&train_set, &test_set),
            &|| true,
        )
        .unwrap();
        // Chance is 250 of 1,000, its standard deviation 13.7; five of them.
        assert!(right(&outcome).abs_diff(250) < 69, "{}", right(&outcome));
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_stopping_stops() {
        let (train_set, test_set) = (samples(100, true, 1), samples(50, true, 2));
        let run = |seed| {
            train(
                &*linear(),
                &training(3),
                seed,
                4,
                (&train_set, &test_set),
                &|| true,
            )
            .unwrap()
        };
        assert_eq!(run(1).weights, run(1).weights);
        assert_ne!(run(1).weights, run(2).weights);
        let stopped = train(
            &*linear(),
            &training(3),
            0,
            4,
            (&train_set, &test_set),
            &|| false,
        );
        assert!(matches!(stopped, Err(TrainError::Stopped)));
    }
}
