//! Training as users know it: what is learned, what is shared, what is the same after a stop.

use std::cell::RefCell;
use std::path::PathBuf;

use super::*;
use crate::random::Stream;
use crate::spec::{Diagnostics, Fields, Source, Span, Table, tree};
use crate::trainer::{Decay, Optimizer, Schedule, UpdateRule, Views};

mod converged;
mod seeds;
mod standardized;

/// A head of a kind with these keys.
fn head(kind: &str, keys: &str) -> std::sync::Arc<dyn Head> {
    let source = Source::new("head.toml", format!("features = \"taps\"\n{keys}"));
    let mut diagnostics = Diagnostics::new(source.clone());
    let table: Table = tree::parse(&source, &mut diagnostics);
    let diagnostics = RefCell::new(diagnostics);
    let fields = Fields::new(&table, "head", Span::default(), &diagnostics);
    let kind = crate::heads::ALL.iter().find(|one| one.doc.name == kind);
    let head = kind.unwrap().read(&fields);
    assert!(diagnostics.borrow().is_empty());
    head.unwrap()
}

fn training(epochs: u32) -> Training {
    Training {
        epochs,
        batch_size: 32,
        optimizer: Optimizer {
            lr: 0.05,
            ..Optimizer::default()
        },
        ..Training::default()
    }
}

/// `count` samples of 4 classes; the features point at the class where `separable`, else they are noise.
fn samples(count: usize, separable: bool, seed: u64) -> RowsInMemory {
    samples_of(8, count, separable, seed)
}

/// The same with features of `width` values.
fn samples_of(width: u32, count: usize, separable: bool, seed: u64) -> RowsInMemory {
    let mut stream = Stream::new(seed, "samples");
    let labels: Vec<u32> = (0..count)
        .map(|_| u32::try_from(stream.next_below(4)).unwrap())
        .collect();
    let mut values = Vec::new();
    for &label in &labels {
        for axis in 0..width {
            let signal = if separable && axis == label { 4.0 } else { 0.0 };
            values.push(stream.next_unit() - 0.5 + signal);
        }
    }
    RowsInMemory {
        ids: (0..count).map(|index| format!("{seed}/{index}")).collect(),
        labels,
        views: vec![values],
    }
}

/// Keeps checkpoints in a folder, or nowhere.
struct Folder(Option<PathBuf>);

impl CheckpointStore for Folder {
    fn newest(&self, at_most: u32) -> Result<Option<(u32, PathBuf)>, String> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        let all = (0..=at_most)
            .rev()
            .map(|epoch| (epoch, folder.join(epoch.to_string())));
        Ok(all.into_iter().find(|(_, path)| path.exists()))
    }

    fn write(&self, epochs: u32, write: WriteTo<'_>) -> Result<(), TrainError> {
        match &self.0 {
            Some(folder) => write(&folder.join(epochs.to_string()))
                .map_err(|error| TrainError::Checkpoint(error.to_string())),
            None => Ok(()),
        }
    }
}

/// Trains heads, and gives what each became.
fn run(
    jobs: &[(&Training, u64)],
    (train_rows, test_rows): (&RowsInMemory, &RowsInMemory),
    memory: u64,
    keep: &Folder,
    stop_after: u32,
) -> Result<Vec<Result<Outcome, TrainError>>, TrainError> {
    let data = (train_rows, test_rows);
    run_head(&*head("linear", ""), jobs, data, memory, keep, stop_after)
}

/// Trains heads of one form, and gives what each became.
fn run_head(
    head: &dyn Head,
    jobs: &[(&Training, u64)],
    (train_rows, test_rows): (&RowsInMemory, &RowsInMemory),
    memory: u64,
    keep: &Folder,
    stop_after: u32,
) -> Result<Vec<Result<Outcome, TrainError>>, TrainError> {
    let names: Vec<String> = (0..jobs.len())
        .map(|index| format!("head-{index}"))
        .collect();
    let jobs: Vec<Job<'_>> = jobs
        .iter()
        .zip(&names)
        .map(|(&(training, seed), name)| Job {
            head,
            training,
            seed,
            name,
        })
        .collect();
    let data = Data {
        train: train_rows,
        judged: None,
        test: test_rows,
        shape: FeatureShape::square(train_rows.views[0].len() / train_rows.ids.len(), 1),
        classes: 4,
        device: Device::Cpu,
    };
    let done = std::sync::atomic::AtomicU32::new(0);
    let limits = Limits {
        memory,
        device_memory: None,
        keep_going: &|| done.load(std::sync::atomic::Ordering::Relaxed) < stop_after,
        epoch_done: &|epoch| done.store(epoch, std::sync::atomic::Ordering::Relaxed),
        checkpoint_seconds: 0.0,
    };
    let mut outcomes: Vec<_> = jobs.iter().map(|_| None).collect();
    train(&jobs, &data, &limits, keep, &mut |job, outcome| {
        outcomes[job] = Some(outcome);
        Ok::<(), TrainError>(())
    })?;
    Ok(outcomes.into_iter().map(Option::unwrap).collect())
}

const PLENTY: u64 = 1 << 30;
const NOWHERE: Folder = Folder(None);

fn one(training: &Training, seed: u64, data: (&RowsInMemory, &RowsInMemory)) -> Outcome {
    let outcomes = run(&[(training, seed)], data, PLENTY, &NOWHERE, u32::MAX).unwrap();
    outcomes.into_iter().next().unwrap().unwrap()
}

fn right(outcome: &Outcome) -> usize {
    let rows = outcome.predictions.rows.iter();
    rows.filter(|row| row.rank == 0).count()
}

#[test]
fn separable_features_reach_every_sample_and_noise_stays_at_chance() {
    let (train_rows, test_rows) = (samples(203, true, 1), samples(101, true, 2));
    let mut everything = training(20);
    for (kind, lr) in [
        (UpdateRule::Adam, 0.05),
        (UpdateRule::AdamW, 0.05),
        (UpdateRule::Sgd, 0.1),
        (UpdateRule::Lars, 1.0),
    ] {
        everything.optimizer = Optimizer {
            kind,
            lr,
            momentum: Some(0.9),
            trust: Some(0.02),
            ..Optimizer::default()
        };
        let outcome = one(&everything, 0, (&train_rows, &test_rows));
        assert_eq!(
            (right(&outcome), outcome.predictions.rows.len()),
            (101, 101),
            "{kind:?}"
        );
        assert!(outcome.epochs[19].train_loss < outcome.epochs[0].train_loss);
    }
    let (train_rows, test_rows) = (samples(200, false, 3), samples(1000, false, 4));
    let outcome = one(&training(5), 0, (&train_rows, &test_rows));
    // Chance is 250 of 1,000, its standard deviation 13.7; five of them.
    assert!(right(&outcome).abs_diff(250) < 69, "{}", right(&outcome));
}

#[test]
fn a_seed_gives_the_same_bytes_and_stopping_stops() {
    let (train_rows, test_rows) = (samples(100, true, 1), samples(50, true, 2));
    let run_one = |seed| one(&training(3), seed, (&train_rows, &test_rows)).weights;
    assert_eq!(run_one(1), run_one(1));
    assert_ne!(run_one(1), run_one(2));
    let data = (&train_rows, &test_rows);
    let stopped = run(&[(&training(3), 0)], data, PLENTY, &NOWHERE, 0);
    assert!(matches!(stopped, Err(TrainError::Stopped)));
}

#[test]
fn a_head_is_the_same_alone_and_in_company() {
    let (train_rows, test_rows) = (samples(100, true, 1), samples(50, true, 2));
    let data = (&train_rows, &test_rows);
    let (mut fast, mut slow) = (training(4), training(4));
    fast.optimizer.lr = 0.2;
    slow.optimizer.lr = 0.01;
    slow.optimizer.weight_decay = 0.1;
    let mut smooth = training(4);
    smooth.label_smoothing = 0.1;
    smooth.clip = Some(0.5);
    let mut longer = training(6);
    longer.schedule = Schedule {
        decay: Decay::Cosine,
        warmup: 2,
    };
    let jobs = [
        (&fast, 0),
        (&slow, 0),
        (&smooth, 0),
        (&longer, 0),
        (&fast, 1),
    ];
    let together = run(&jobs, data, PLENTY, &NOWHERE, u32::MAX).unwrap();
    for ((training, seed), outcome) in jobs.iter().zip(together) {
        let (outcome, alone) = (outcome.unwrap(), one(training, *seed, data));
        assert_eq!(outcome.epochs.len(), alone.epochs.len());
        for (left, right) in outcome.epochs.iter().zip(&alone.epochs) {
            assert!((left.train_loss - right.train_loss).abs() < 1e-5);
            assert!((left.learning_rate - right.learning_rate).abs() < 1e-12);
        }
        assert_eq!(outcome.predictions, alone.predictions);
    }
}

/// Whether a scan gets one thread or several depends on what else there is to do.
#[test]
fn a_head_is_the_same_on_one_thread_and_on_several() {
    let (train_rows, test_rows) = (
        samples_of(1024, 300, true, 1),
        samples_of(1024, 50, true, 2),
    );
    let trainings: Vec<Training> = (0..10)
        .map(|rate| {
            let mut training = training(2);
            training.batch_size = 256;
            training.optimizer.lr = 0.01 / f64::from(rate + 1);
            training
        })
        .collect();
    assert!(!is_small(FeatureShape::square(1024, 1), 256, 4, 20));
    let jobs: Vec<(&Training, u64)> = trainings
        .iter()
        .flat_map(|training| [(training, 0), (training, 1)])
        .collect();
    let on = |threads: i32| {
        tch::set_num_threads(threads);
        run(&jobs, (&train_rows, &test_rows), PLENTY, &NOWHERE, u32::MAX).unwrap()
    };
    for (one, two) in on(1).into_iter().zip(on(2)) {
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.epochs, two.epochs);
        assert_eq!(one.predictions, two.predictions);
        assert_eq!(one.weights, two.weights);
    }
}

#[test]
fn what_went_on_after_a_stop_has_the_same_bytes() {
    let (train_rows, test_rows) = (samples(100, true, 1), samples(50, true, 2));
    let data = (&train_rows, &test_rows);
    for kind in [UpdateRule::Adam, UpdateRule::Lars] {
        let mut first = training(6);
        first.optimizer = Optimizer {
            kind,
            lr: 0.05,
            momentum: Some(0.9),
            trust: Some(0.1),
            ..Optimizer::default()
        };
        first.holdout = 0.2;
        first.patience = Some(2);
        let mut second = first.clone();
        second.optimizer.lr = 0.01;
        let jobs = [(&first, 0), (&second, 0), (&first, 3)];
        let unbroken = run(&jobs, data, PLENTY, &NOWHERE, u32::MAX).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keep = Folder(Some(folder.path().to_owned()));
        for stop_after in [2, 3] {
            let stopped = run(&jobs, data, PLENTY, &keep, stop_after);
            assert!(matches!(stopped, Err(TrainError::Stopped)), "{kind:?}");
        }
        let went_on = run(&jobs, data, PLENTY, &keep, u32::MAX).unwrap();
        for (left, right) in unbroken.into_iter().zip(went_on) {
            let (left, right) = (left.unwrap(), right.unwrap());
            assert_eq!(left.weights, right.weights);
            assert_eq!(left.epochs, right.epochs);
            assert_eq!(
                (left.epoch, &left.predictions),
                (right.epoch, &right.predictions)
            );
        }
    }
}

#[test]
fn memory_decides_nothing_but_what_is_possible() {
    let (train_rows, test_rows) = (samples(5000, false, 1), samples(50, true, 2));
    let data = (&train_rows, &test_rows);
    // 5,000 samples of 8 values are 160 kB, in windows of 64 KiB; the weights take less than 1 kB.
    let with = |memory| run(&[(&training(2), 0)], data, memory, &NOWHERE, u32::MAX).unwrap();
    let (plenty, little, least) = (with(PLENTY), with(150_000), with(60_000));
    let weights = |outcomes: Vec<Result<Outcome, TrainError>>| {
        outcomes.into_iter().map(|one| one.unwrap().weights).next()
    };
    let all = weights(plenty);
    assert_eq!(all, weights(little));
    assert_eq!(all, weights(least));
    let none = run(&[(&training(2), 0)], data, 500, &NOWHERE, u32::MAX);
    let error = none.unwrap_err().to_string();
    assert!(
        error.contains("--memory") && error.contains("500 B"),
        "{error}"
    );
}

#[test]
fn a_grid_is_judged_on_what_is_held_out() {
    let (train_rows, test_rows) = (samples(200, true, 1), samples(50, true, 2));
    let mut wild = training(12);
    wild.optimizer = Optimizer {
        kind: UpdateRule::Sgd,
        lr: 1e38,
        momentum: Some(0.9),
        ..Optimizer::default()
    };
    let data = (&train_rows, &test_rows);
    let outcome = run(&[(&wild, 0)], data, PLENTY, &NOWHERE, u32::MAX).unwrap();
    let Err(TrainError::Diverged {
        epoch: diverged, ..
    }) = &outcome[0]
    else {
        panic!("{outcome:?}");
    };
    // Among candidates it is none.
    wild.holdout = 0.2;
    let mut tame = training(12);
    tame.holdout = 0.2;
    tame.patience = Some(3);
    let outcomes = run(&[(&wild, 0), (&tame, 0)], data, PLENTY, &NOWHERE, u32::MAX).unwrap();
    let [wild, tame] = outcomes.try_into().unwrap();
    let (wild, tame) = (wild.unwrap(), tame.unwrap());
    assert_eq!(wild.epochs.len(), *diverged as usize);
    assert!(wild.predictions.rows.iter().all(|row| row.rank == 4));
    let best = tame
        .epochs
        .iter()
        .min_by(|one, other| one.holdout_loss.partial_cmp(&other.holdout_loss).unwrap())
        .unwrap();
    assert_eq!(tame.epoch, best.epoch);
    assert!(best.holdout_top1.unwrap() > 0.95);
    assert_eq!(right(&tame), 50);
}

#[test]
fn an_epoch_sees_one_of_the_views_of_each_sample() {
    let (mut train_rows, test_rows) = (samples(100, true, 1), samples(50, true, 2));
    let first = train_rows.views[0].clone();
    train_rows.views.push(vec![0.0; first.len()]);
    let data = (&train_rows, &test_rows);
    let of = |views: Views, epochs: u32| {
        let mut training = training(epochs);
        training.views = views;
        one(&training, 0, data)
    };
    // Turn by turn: the second epoch sees nothing but zeros, and none of them is right but by chance.
    let turns = of(Views::InTurn, 2);
    assert!(turns.epochs[1].train_top1 < 0.5);
    assert_eq!(of(Views::Apart, 1).weights, of(Views::InTurn, 1).weights);
    // Mixed: some of each.
    assert_ne!(of(Views::Mixed, 1).weights, of(Views::InTurn, 1).weights);
    assert_eq!(of(Views::Mixed, 2).weights, of(Views::Mixed, 2).weights);
}

#[test]
fn rare_classes_weigh_more_where_that_is_asked_for() {
    // Noise with nine samples of class 0 for each of class 1: unweighted, class 1 is hardly ever predicted.
    let mut rows = samples(400, false, 5);
    for (row, label) in rows.labels.iter_mut().enumerate() {
        *label = u32::from(row % 10 == 0);
    }
    let test_rows = samples(400, false, 6);
    let predicted = |class_weights| {
        let mut training = training(20);
        training.class_weights = class_weights;
        let outcome = one(&training, 0, (&rows, &test_rows));
        let rows = outcome.predictions.rows.iter();
        rows.filter(|row| row.predicted == 1).count()
    };
    let (equal, balanced) = (
        predicted(crate::trainer::config::ClassWeights::Equal),
        predicted(crate::trainer::config::ClassWeights::Balanced),
    );
    assert!(equal < 20 && balanced > 100, "{equal} {balanced}");
}
