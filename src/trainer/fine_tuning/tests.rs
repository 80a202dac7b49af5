//! Fine-tuning as users know it: the network learns, and neither pieces nor stops change what comes out.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::checked_file::CheckedFile;
use crate::diffusion::noise::fill_noise;
use crate::heads::Head;
use crate::message::Message;
use crate::models::extractor::to_vec;
use crate::models::tuning::ActivationCheckpointing;
use crate::models::{BlockIndex, Precision, WeightsSource};
use crate::spec::{Diagnostics, Fields, Source, tree};
use crate::trainer::heads::{Samples, WriteTo};
use crate::trainer::{Optimizer, Training, UpdateRule};

const CLASSES: usize = 3;
const TAP: BlockIndex = BlockIndex(3);

/// Images of noise around a brightness that shows the class, or does not.
struct Images {
    count: usize,
    input: InputSpec,
    told: bool,
}

impl Samples for Images {
    fn len(&self) -> usize {
        self.count
    }

    fn id(&self, _row: usize) -> &'static str {
        "image"
    }

    fn label(&self, row: usize) -> u32 {
        u32::try_from(row % CLASSES).unwrap()
    }
}

impl NoisyImages for Images {
    fn x_t(&self, rows: &[usize], draw: u32) -> Result<Vec<f32>, Message> {
        let side = self.input.side as usize;
        let size = self.input.channels as usize * side * side;
        let mut all = vec![0f32; rows.len() * size];
        for (image, &row) in all.chunks_mut(size).zip(rows) {
            fill_noise(3, &format!("image/{row}"), "center", 0, draw, image);
            if self.told {
                let brightness = self.label(row) as f32 - 1.0;
                for value in image {
                    *value = 0.3 * *value + brightness;
                }
            }
        }
        Ok(all)
    }
}

/// Checkpoints of one folder, or none.
struct Folder(Option<PathBuf>);

impl CheckpointStore for Folder {
    fn newest(&self, _at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        let steps = (0..1000u32).rev();
        let mut all = steps.map(|step| (step, folder.join(step.to_string())));
        let newest = all.find(|(_, path)| path.exists());
        Ok(newest.map(|(step, path)| (step, CheckedFile::open_where(&path, |_| true).unwrap())))
    }

    fn write(&self, count: u32, write: WriteTo<'_>) -> Result<(), TrainError> {
        match &self.0 {
            Some(folder) => write(&folder.join(count.to_string()))
                .map_err(|error| TrainError::Checkpoint(error.to_string())),
            None => Ok(()),
        }
    }
}

fn head() -> Arc<dyn Head> {
    let source = Source::new("head.toml", "kind = 'batchnorm-linear'\n");
    let mut diagnostics = Diagnostics::new(source.clone());
    let table = tree::parse(&source, &mut diagnostics);
    let diagnostics = std::cell::RefCell::new(diagnostics);
    let fields = Fields::new(&table, "head", crate::spec::Span::default(), &diagnostics);
    let kind = crate::heads::ALL
        .iter()
        .find(|kind| kind.doc.name == "batchnorm-linear");
    kind.unwrap().read(&fields).unwrap()
}

fn training(epochs: u32, batch_size: u32) -> Training {
    Training {
        epochs,
        batch_size,
        optimizer: Optimizer {
            lr: 1e-2,
            ..Optimizer::default()
        },
        holdout: 0.2,
        ..Training::default()
    }
}

struct Case {
    training: Training,
    rule: UpdateRule,
    rate: f64,
    at_once: usize,
    told: bool,
    /// Images to train on, and to predict.
    images: (usize, usize),
    /// Steps after which the user stops.
    stop_after: usize,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            training: training(2, 5),
            rule: UpdateRule::Adam,
            rate: 1e-3,
            at_once: 100,
            told: true,
            images: (24, 6),
            stop_after: usize::MAX,
        }
    }
}

/// What training leaves: the outcome, and the network's parameters.
type Left = (Outcome, Vec<Vec<f32>>);

fn run(case: &Case, keep: &Folder) -> Result<Left, TrainError> {
    let model = crate::models::preset("adm-nano").unwrap().model;
    let model = model.with_weights(WeightsSource::Synthetic(1));
    let input = model.input();
    let channels = model.blocks()[TAP.0 as usize - 1].shape.sizes()[0] as usize;
    let tunable = model.tunable().unwrap();
    let mut tuned = tunable
        .begin_tuning(
            Path::new("."),
            Device::Cpu,
            Precision::F32,
            TAP,
            ActivationCheckpointing::On,
        )
        .unwrap();
    let images = |count| Images {
        count,
        input,
        told: case.told,
    };
    let (train, test) = (images(case.images.0), images(case.images.1));
    let head = head();
    let task = Task {
        job: Job {
            head: &*head,
            training: &case.training,
            seed: 1,
            name: "head",
        },
        fine_tuning: FineTuning {
            optimizer: Optimizer {
                kind: case.rule,
                lr: case.rate,
                momentum: Some(0.9),
                ..Optimizer::default()
            },
            checkpointing: ActivationCheckpointing::On,
        },
        train: &train,
        judged: &train,
        test: &test,
        input,
        timestep: 10,
        shape: FeatureShape::square(channels, 2),
        classes: CLASSES,
        at_once: case.at_once,
        device: Device::Cpu,
    };
    let asked = Cell::new(0);
    let watch = Watch {
        keep_going: &|| {
            asked.set(asked.get() + 1);
            asked.get() <= case.stop_after
        },
        advanced: &|_, _, _| {},
        checkpoint_due: &|| false,
    };
    let outcome = fine_tune(&task, &mut tuned, &watch, keep)?;
    let parameters = tuned.trained.tensors().iter();
    let parameters = parameters.map(|parameter| to_vec(&parameter.detach()));
    Ok((outcome, parameters.collect()))
}

fn right(outcome: &Outcome) -> usize {
    let rows = outcome.predictions.rows.iter();
    rows.filter(|row| row.rank == 0).count()
}

#[test]
fn what_can_be_told_apart_is_learned_and_what_cannot_is_not() {
    let case = Case {
        training: training(7, 10),
        rate: 1e-4,
        images: (45, 30),
        ..Case::default()
    };
    let (outcome, _) = run(&case, &Folder(None)).unwrap();
    assert_eq!(right(&outcome), 30, "{:?}", outcome.epochs);
    let (first, last) = (&outcome.epochs[0], &outcome.epochs[6]);
    assert!(
        last.train_loss < 0.5 * first.train_loss,
        "{:?}",
        outcome.epochs
    );
    assert_eq!(last.holdout_top1, Some(1.0));

    let noise = Case {
        told: false,
        training: training(3, 10),
        ..case
    };
    // 10 of 30 by chance, with a standard deviation of 2.6; four of them.
    let found = right(&run(&noise, &Folder(None)).unwrap().0);
    assert!(found.abs_diff(10) <= 10, "{found}");
}

#[test]
fn the_network_moves_by_its_own_learning_rate() {
    let case = |rate| Case {
        rate,
        ..Case::default()
    };
    let (frozen, before) = run(&case(1e-30), &Folder(None)).unwrap();
    let (tuned, after) = run(&case(1e-3), &Folder(None)).unwrap();
    let distance = |left: &[Vec<f32>], right: &[Vec<f32>]| {
        let pairs = left.iter().flatten().zip(right.iter().flatten());
        pairs.map(|(l, r)| (l - r).abs()).fold(0.0, f32::max)
    };
    // Eight steps of Adam move a parameter by eight learning rates at most.
    let moved = distance(&before, &after);
    assert!((1e-3..=8.001e-3).contains(&moved), "{moved}");
    let losses = |outcome: &Outcome| outcome.epochs[1].train_loss;
    assert!((losses(&frozen) - losses(&tuned)).abs() > 1e-3);
}

#[test]
fn pieces_of_a_batch_give_what_the_batch_gives() {
    let case = |at_once| Case {
        rule: UpdateRule::Sgd,
        at_once,
        ..Case::default()
    };
    let (whole, network) = run(&case(5), &Folder(None)).unwrap();
    for at_once in [1, 2] {
        let (pieces, other) = run(&case(at_once), &Folder(None)).unwrap();
        for (left, right) in whole.epochs.iter().zip(&pieces.epochs) {
            let difference = (left.train_loss - right.train_loss).abs();
            assert!(difference < 1e-4, "{difference}");
        }
        let pairs = network.iter().flatten().zip(other.iter().flatten());
        let farthest = pairs.map(|(l, r)| (l - r).abs()).fold(0.0, f32::max);
        assert!(farthest < 1e-4, "{farthest}");
    }
}

#[test]
fn a_stop_at_any_step_changes_no_bit() {
    // Four steps an epoch and a look at the validation split: within the first epoch, at that look, between the two, within the second,
    // and while predictions are made.
    let everywhere: &[usize] = &[1, 4, 5, 7, 10];
    for (rule, stops) in [
        (UpdateRule::Adam, everywhere),
        (UpdateRule::Lars, &[4, 7][..]),
    ] {
        let case = |stop_after| Case {
            rule,
            stop_after,
            ..Case::default()
        };
        let (unbroken, network) = run(&case(usize::MAX), &Folder(None)).unwrap();
        for &stop_after in stops {
            let folder = tempfile::tempdir().unwrap();
            let keep = Folder(Some(folder.path().to_owned()));
            let stopped = run(&case(stop_after), &keep);
            assert!(matches!(stopped, Err(TrainError::Stopped)));
            let (outcome, other) = run(&case(usize::MAX), &keep).unwrap();
            assert_eq!(outcome.weights, unbroken.weights, "{rule:?} {stop_after}");
            assert_eq!(outcome.epochs, unbroken.epochs);
            assert_eq!(outcome.predictions, unbroken.predictions);
            assert!(other == network, "{rule:?} {stop_after}");
        }
    }
}

#[test]
fn a_loss_that_leaves_the_numbers_is_told() {
    let case = Case {
        training: Training {
            holdout: 0.0,
            ..training(2, 5)
        },
        rule: UpdateRule::Sgd,
        rate: 1e30,
        ..Case::default()
    };
    let error = run(&case, &Folder(None)).unwrap_err();
    assert!(
        matches!(error, TrainError::Diverged { epoch: 1, .. }),
        "{error}"
    );
}
