//! Heads: features from the store, training, predictions into the store.
//!
//! The heads of one job read the same features and train in one scan of them; the trainer knows how. A head that trains its network as
//! well is a job of its own, in `tuning`.

mod commit;
mod features;
mod fits;
mod fresh;
mod refit;
mod tables;
mod tuning;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arrow::array::RecordBatch;

use crate::checked_file::CheckedFile;
use crate::exec::context::{Run, StepResult};
use crate::exec::event::Event;
use crate::exec::weights::loadable;
use crate::exec::{NodeError, attempt};
use crate::graph::OnBadImage;
use crate::machine::device::{self, Device};
use crate::models::extractor::TapRequest;
use crate::models::find_block;
use crate::plan::{self, Extract, JobKind, PassKey, PlannedArtifact, ScanKey, StepId, Train, Work};
use crate::store::{ArtifactWriter, Checkpoints, FeatureReader, Fingerprint, Recipe, StoreError};
use crate::trainer::heads::{
    self as trainer, CheckpointStore, Data, Job, Limits, MeanRows, Rows, Samples, WriteTo,
};
use crate::trainer::{TestAverage, TrainError};
use commit::commit;
use features::FeatureRows;
use fresh::{FreshImages, FreshRows};

pub(super) use refit::run_refits;
pub(super) use tuning::run_tuned;

/// Takes what became of a head.
type Tell<'t> = &'t (dyn Fn(StepId, StepResult) + Sync);

/// One head that is trained.
#[derive(Clone, Copy)]
pub(super) struct OneHead<'a> {
    step: StepId,
    artifact: &'a PlannedArtifact,
    train: &'a Train,
    /// What it was chosen among, where it was chosen.
    candidates: Option<&'a RecordBatch>,
}

impl<'a> OneHead<'a> {
    /// One that nobody chose.
    pub(super) fn of(step: StepId, artifact: &'a PlannedArtifact, train: &'a Train) -> Self {
        Self {
            step,
            artifact,
            train,
            candidates: None,
        }
    }
}

/// The steps that train heads, each with its artifact.
fn heads_of<'a>(run: &Run<'a>, steps: &[StepId]) -> Vec<OneHead<'a>> {
    let heads = steps.iter().filter_map(|&step| {
        let planned = run.plan.step(step);
        match &planned.work {
            Work::Train(train) => Some(OneHead::of(step, &planned.artifact, train)),
            _ => None,
        }
    });
    heads.collect()
}

/// The first head of a scan of cached features on the CPU; `None` for any other job.
fn first_of_scan<'r>(run: &Run<'r>, job: &plan::Job) -> Option<&'r Train> {
    let first = job.steps.first().map(|&id| &run.plan.step(id).work);
    match first {
        Some(Work::Train(train)) if job.kind == JobKind::Heads && run.device == Device::Cpu => {
            // A network that computes features beside the heads wants all threads.
            (!train.node.training.online).then_some(&**train)
        }
        _ => None,
    }
}

/// Whether a job is a scan of cached features on the CPU.
pub(in crate::exec) fn is_scan(run: &Run<'_>, job: &plan::Job) -> bool {
    first_of_scan(run, job).is_some()
}

/// Bytes of features that a scan reads once an epoch, in 32 bits, and would keep at hand where there is room; `None` for another job.
pub(in crate::exec) fn bytes_at_hand(run: &Run<'_>, job: &plan::Job) -> Option<u64> {
    let features = &first_of_scan(run, job)?.features;
    Some(features.samples() as u64 * features.shape.values() as u64 * size_of::<f32>() as u64)
}

/// Whether such a scan's steps are so small that one thread does them best. Fits to all samples never are.
pub(in crate::exec) fn is_small(run: &Run<'_>, job: &plan::Job) -> bool {
    let has_steps = |id: &StepId| match &run.plan.step(*id).work {
        Work::Train(train) => train.node.head.trains_in_steps(),
        _ => false,
    };
    let all_have_steps = job.steps.iter().all(has_steps);
    first_of_scan(run, job).is_some_and(|train| {
        all_have_steps
            && trainer::is_small(
                train.shape,
                train.node.training.batch_size,
                train.classes(),
                job.steps.len(),
            )
    })
}

/// Trains and commits the heads of one scan; reports what became of each.
pub(super) fn run_scan(run: &Run<'_>, steps: &[StepId]) -> Vec<(StepId, StepResult)> {
    scanned(steps, |tell| {
        let heads = heads_of(run, steps);
        let first = heads.first().and_then(|head| ScanKey::of(head.train));
        let key = first.ok_or_else(|| NodeError::bug("a scan was given a head that trains its network, and not one that reads cached features"))?;
        let recipe = key
            .recipe()
            .map_err(|error| NodeError::bug(&error.to_string()))?;
        scan(run, &heads, &recipe, tell)
    })
}

/// Reports what became of each step of a scan.
fn scanned(
    steps: &[StepId],
    work: impl FnOnce(Tell<'_>) -> Result<(), NodeError>,
) -> Vec<(StepId, StepResult)> {
    let fates = Mutex::new(Vec::new());
    let lock = || fates.lock().unwrap_or_else(PoisonError::into_inner);
    let tell = |step: StepId, fate: StepResult| lock().push((step, fate));
    let outcome = attempt(|| work(&tell));
    if let Err(error) = outcome {
        // What fails a scan fails the first head of it that nothing was reported of, and leaves the others unmade.
        let told: BTreeSet<StepId> = lock().iter().map(|(step, _)| *step).collect();
        let mut left = steps.iter().copied().filter(|step| !told.contains(step));
        if let Some(culprit) = left.next() {
            tell(culprit, StepResult::Failed(error));
            left.for_each(|step| tell(step, StepResult::Unmade { culprit }));
        }
    }
    fates.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the validation split is shown otherwise than what is trained on.
fn is_held_out_apart(train: &Train) -> bool {
    let other = |held_out: &Extract, trained: &Extract| held_out.fingerprint != trained.fingerprint;
    other(&train.held_out, &train.trained)
        || train
            .joined
            .iter()
            .any(|joined| other(&joined.held_out, &joined.trained))
}

/// Trains and commits heads that read the same features; `checkpoints` is what their checkpoints are found by.
fn scan(
    run: &Run<'_>,
    heads: &[OneHead<'_>],
    checkpoints: &Recipe,
    tell: Tell<'_>,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let mut writers: Vec<(OneHead<'_>, Option<Box<ArtifactWriter>>)> = Vec::new();
    // In one order for everybody, so that no two processes wait for each other.
    let mut ordered = heads.to_vec();
    ordered.sort_by_key(|head| head.artifact.fingerprint);
    for head in ordered {
        match run.begin(head.artifact)? {
            Some(writer) => writers.push((head, Some(writer))),
            // Another process has made it meanwhile.
            None => tell(head.step, StepResult::Made),
        }
    }
    let Some((first, _)) = writers.first() else {
        return Ok(());
    };
    let (node, extract) = (&first.train.node, &*first.train.trained);
    let training = &node.training;
    let readers = first
        .train
        .reads
        .iter()
        .map(|features| run.store.features(features));
    let readers: Vec<FeatureReader> = readers.collect::<Result<_, StoreError>>()?;
    let skip = extract.node.on_bad_image == OnBadImage::Skip;
    let of = |extract: &Extract| run.store.features(&extract.fingerprint);
    let tested = of(&first.train.features)?;
    let held_out = of(&first.train.held_out)?;
    let joined = first.train.joined.iter();
    let joined = joined.map(|one| Ok([of(&one.trained)?, of(&one.features)?, of(&one.held_out)?]));
    let joined: Vec<[FeatureReader; 3]> = joined.collect::<Result<_, StoreError>>()?;
    let (train_split, test_split) = (&training.train_split, &training.test_split);
    let more_draws = first.train.more_draws.iter().map(|extract| of(extract));
    let more_draws: Vec<FeatureReader> = more_draws.collect::<Result<_, StoreError>>()?;
    let test_rows = FeatureRows::new(vec![&tested], test_split, skip)?
        .with_views(more_draws.iter(), test_split, skip)?
        .joining(joined.iter().map(|[_, tested, _]| tested), test_split, skip)?;
    let mean_of_draws = MeanRows(&test_rows);
    let test_rows: &dyn Rows = match training.test_average {
        TestAverage::Features => &mean_of_draws,
        TestAverage::Logits => &test_rows,
    };
    let train_rows = FeatureRows::new(readers.iter().collect(), train_split, skip)?.joining(
        joined.iter().map(|[trained, _, _]| trained),
        train_split,
        skip,
    )?;
    features::check_left(test_rows.len(), test_split, skip)?;
    features::check_left(train_rows.len(), train_split, skip)?;
    let judged_rows = if is_held_out_apart(first.train) {
        let behind = joined.iter().map(|[_, _, held_out]| held_out);
        let rows = FeatureRows::new(vec![&held_out], train_split, skip)?;
        let rows = rows.joining(behind, train_split, skip)?;
        if !rows.has_samples_of(&train_rows) {
            return Err(NodeError::bug(
                "the validation split is shown otherwise in another order",
            ));
        }
        Some(rows)
    } else {
        None
    };
    let epochs = writers
        .iter()
        .map(|(head, _)| head.train.node.training.epochs)
        .max()
        .unwrap_or(0);
    let first_label = heads
        .first()
        .map_or("", |head| head.artifact.label.as_str());
    let seen = |epoch: u32, images: usize, of: usize| {
        (run.emit)(Event::ImagesSeen {
            label: first_label.to_owned(),
            epoch,
            epochs,
            images,
            of,
        });
    };
    let key = PassKey::of(extract);
    let fresh_rows = if node.training.online {
        let fresh = fresh_rows(run, &train_rows, extract, &key, (node, epochs))?;
        Some(fresh.telling(&seen))
    } else {
        None
    };
    let train_rows: &dyn Rows = match &fresh_rows {
        Some(fresh) => fresh,
        None => &train_rows,
    };
    let data = Data {
        train: train_rows,
        judged: judged_rows.as_ref().map(|rows| rows as &dyn Rows),
        test: test_rows,
        shape: first.train.shape,
        classes: first.train.classes(),
        device: run.device,
    };
    let names: Vec<String> = writers
        .iter()
        .map(|(head, _)| head.artifact.fingerprint.to_string())
        .collect();
    let jobs: Vec<Job<'_>> = writers
        .iter()
        .zip(&names)
        .map(|((head, _), name)| {
            let node = &head.train.node;
            Job {
                head: &*node.head,
                training: &node.training,
                seed: node.seed,
                name,
            }
        })
        .collect();
    let limits = Limits {
        memory: run.memory,
        device_memory: device::free_memory(run.device),
        keep_going: &|| !run.stop.is_given(),
        epoch_done: &|epoch| {
            (run.emit)(Event::HeadsAdvanced {
                label: first_label.to_owned(),
                heads: heads.len(),
                epoch,
                epochs,
            });
        },
        checkpoint_seconds: run.checkpoint_seconds,
    };
    let trained: Vec<Fingerprint> = writers
        .iter()
        .map(|(head, _)| head.artifact.fingerprint)
        .collect();
    let kept = StoredCheckpoints(run.store.checkpoints_of(checkpoints, &trained)?);
    let share = writers.len() as f64;
    let trained = trainer::train(&jobs, &data, &limits, &kept, &mut |job, outcome| {
        let (head, writer) = &mut writers[job];
        let outcome = outcome.map_err(NodeError::from).and_then(|outcome| {
            // Heads that train together share their time.
            let seconds = started.elapsed().as_secs_f64() / share;
            match writer.take() {
                Some(writer) => commit(run, head, writer, &outcome, data.classes, seconds),
                None => Ok(()),
            }
        });
        match outcome {
            // The others would find no room either.
            Err(error) if error.is_disk_full() => return Err(error),
            outcome => tell(head.step, outcome.into()),
        }
        Ok::<(), NodeError>(())
    });
    match trained {
        Err(NodeError::Train(TrainError::Stopped)) => Err(NodeError::Stopped),
        Err(error) => Err(error),
        Ok(()) => {
            kept.0.clear()?;
            Ok(())
        }
    }
}

/// Features of which only the first view is cached; the others are computed as they are read.
fn fresh_rows<'a>(
    run: &'a Run<'_>,
    cached: &'a FeatureRows<'a>,
    extract: &'a Extract,
    key: &'a PassKey,
    (node, epochs): (&crate::graph::HeadNode, u32),
) -> Result<FreshRows<'a>, NodeError> {
    let images = FreshImages::new(run, extract, key, &node.training.train_split)?;
    let network = loadable(run, &extract.model)?;
    let network = network.load(run.base, run.device, extract.node.precision)?;
    let at_once = fresh::images_at_once(run, extract);
    let block = find_block(&*extract.model.model, extract.node.block).ok_or_else(|| {
        NodeError::bug("an extraction reads a block that its model does not have")
    })?;
    let tap = (
        extract.node.timestep,
        TapRequest::of(block, extract.node.reduce),
    );
    Ok(FreshRows::new(
        cached,
        images,
        network,
        tap,
        (epochs, at_once),
    ))
}

/// Checkpoints in the store.
struct StoredCheckpoints(Checkpoints);

impl CheckpointStore for StoredCheckpoints {
    fn newest(&self, at_most: u32) -> Result<Option<(u32, CheckedFile)>, String> {
        // Damaged ones are passed over: what they would have saved is trained again.
        let (newest, _) = self.0.newest(at_most);
        Ok(newest.map(|checkpoint| (checkpoint.step, checkpoint.file)))
    }

    fn write(&self, epochs: u32, write: WriteTo<'_>) -> Result<(), TrainError> {
        let written = self.0.write_by_path(epochs, write);
        written.map_err(|error| match error {
            StoreError::DiskFull { .. } => TrainError::DiskFull(error.to_string()),
            error => TrainError::Checkpoint(error.to_string()),
        })
    }
}
