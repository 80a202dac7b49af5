//! Heads: features from the store, training, predictions into the store.
//!
//! Heads that read the same features are one group and train in one pass over them; the trainer knows how. Small groups run
//! side by side, one core each; large ones one after another, with all of them. Heads that train the network as well come last.

mod features;
mod fresh;
mod tables;
mod tuning;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::event::Event;
use super::run::Run;
use super::{NodeError, attempt, pretrain};
use crate::graph::{ExtractionNode, OnBadImage};
use crate::heads::FeatureShape;
use crate::machine::device::Device;
use crate::models::extractor::TapRequest;
use crate::models::find_block;
use crate::plan::{HeadStep, PassKey, Plan};
use crate::store::names::{CURVES, HEAD_WEIGHTS, LOGITS, OBJECTIVE, PREDICTIONS, SELECTION};
use crate::store::{ArtifactKind, ArtifactWriter, Checkpoints, FeatureReader, Recipe, StoreError};
use crate::trainer::TrainError;
use crate::trainer::heads::{Data, Job, Keep, Limits, Outcome, Rows, WriteTo, is_small, train};
use features::FeatureRows;
use fresh::{FreshImages, FreshRows};

/// Heads that train in one pass: steps that agree in features, splits, batch size, views and held-out share.
#[derive(Clone)]
struct Group<'a> {
    steps: Vec<(usize, &'a HeadStep)>,
}

/// What became of heads, by their positions. One that is not named was not reached before the user asked to stop.
pub(super) enum Fate {
    /// It is in the store.
    Made,
    /// It failed.
    Failed(NodeError),
    /// It was not made because of what failed another head, which trains together with it.
    Unmade {
        /// The position of the other head.
        culprit: usize,
    },
}

impl From<Result<(), NodeError>> for Fate {
    fn from(outcome: Result<(), NodeError>) -> Self {
        outcome.map_or_else(Self::Failed, |()| Self::Made)
    }
}

/// Takes the fate of a head.
type Tell<'t> = &'t (dyn Fn(usize, Fate) + Sync);

/// Trains heads, and says what became of each.
pub(super) fn train_all(run: &Run<'_>, plan: &Plan, steps: &[&HeadStep]) -> Vec<(usize, Fate)> {
    let tunes = |step: &HeadStep| {
        let training = &run.experiment.heads[step.head].training;
        training.fine_tune.is_some()
    };
    let steps = steps.iter().copied().enumerate();
    let (tuned, frozen): (Vec<_>, Vec<_>) = steps.partition(|(_, step)| tunes(step));
    let (small, large): (Vec<_>, Vec<_>) = groups(run, &frozen)
        .into_iter()
        .partition(|group| run.device == Device::Cpu && is_of_small_steps(run, group));
    let outcomes = Mutex::new(Vec::new());
    let tell = |position: usize, fate: Fate| {
        let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push((position, fate));
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    side_by_side(run, plan, &small, workers.min(small.len()), &tell);
    side_by_side(run, plan, &large, 1.min(large.len()), &tell);
    for (position, step) in tuned {
        if run.stop.is_given() {
            break;
        }
        tell(
            position,
            attempt(|| tuning::run_tuned(run, plan, step)).into(),
        );
    }
    outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Takes one group after another, with so many workers.
fn side_by_side(run: &Run<'_>, plan: &Plan, groups: &[Group<'_>], workers: usize, tell: Tell<'_>) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            if run.stop.is_given() {
                return;
            }
            let memory = run.memory / workers.max(1) as u64;
            let told = Mutex::new(BTreeSet::new());
            let note = |position: usize, fate: Fate| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.insert(position);
                tell(position, fate);
            };
            let Err(error) = attempt(|| run_group(run, plan, group, memory, &note)) else {
                continue;
            };
            // What fails a group fails the first head of it that nothing was said of, and leaves the others unmade.
            let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
            let positions = group.steps.iter().map(|(position, _)| *position);
            let mut left = positions.filter(|position| !told.contains(position));
            if let Some(culprit) = left.next() {
                tell(culprit, Fate::Failed(error));
                left.for_each(|position| tell(position, Fate::Unmade { culprit }));
            }
        }
    };
    if workers <= 1 {
        work();
        return;
    }
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
}

fn groups<'a>(run: &Run<'_>, steps: &[(usize, &'a HeadStep)]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for &(position, step) in steps {
        let training = |step: &HeadStep| &run.experiment.heads[step.head].training;
        let own = training(step);
        let known = groups.iter_mut().find(|group| {
            group.steps.first().is_some_and(|(_, first)| {
                let other = training(first);
                first.features == step.features
                    && other.train_split == own.train_split
                    && other.test_split == own.test_split
                    && other.batch_size == own.batch_size
                    && other.views == own.views
                    && other.online == own.online
                    && other.holdout.to_bits() == own.holdout.to_bits()
            })
        });
        match known {
            Some(group) => group.steps.push((position, step)),
            None => groups.push(Group {
                steps: vec![(position, step)],
            }),
        }
    }
    groups
}

fn is_of_small_steps(run: &Run<'_>, group: &Group<'_>) -> bool {
    let Some((_, first)) = group.steps.first() else {
        return true;
    };
    let node = &run.experiment.heads[first.head];
    if node.training.online {
        return false;
    }
    let extraction = &run.experiment.extractions[node.features];
    let Ok(shape) = shape_of(run, extraction) else {
        return true;
    };
    let classes = run.inputs.facts.datasets[extraction.dataset].classes.len();
    is_small(shape, node.training.batch_size, classes, group.steps.len())
}

/// Trains and commits the heads of one group.
fn run_group(
    run: &Run<'_>,
    plan: &Plan,
    group: &Group<'_>,
    memory: u64,
    tell: Tell<'_>,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let mut writers: Vec<(usize, &HeadStep, Option<Box<ArtifactWriter>>)> = Vec::new();
    // In one order for everybody, so that no two processes wait for each other.
    let mut steps = group.steps.clone();
    steps.sort_by_key(|(_, step)| step.artifact.fingerprint);
    for (position, step) in steps {
        match run.begin(&step.artifact)? {
            Some(writer) => writers.push((position, step, Some(writer))),
            // Another process has made it meanwhile.
            None => tell(position, Fate::Made),
        }
    }
    let Some((_, first, _)) = writers.first() else {
        return Ok(());
    };
    let node = &run.experiment.heads[first.head];
    let extraction = &run.experiment.extractions[node.features];
    let readers = first
        .features
        .iter()
        .map(|features| run.store.features(features));
    let readers: Vec<FeatureReader> = readers.collect::<Result<_, StoreError>>()?;
    let skip = extraction.on_bad_image == OnBadImage::Skip;
    let rows = |split: &str| FeatureRows::new(readers.iter().collect(), split, skip);
    let (train_rows, test_rows) = (
        rows(&node.training.train_split)?,
        rows(&node.training.test_split)?,
    );
    let epochs = writers
        .iter()
        .map(|(_, step, _)| run.experiment.heads[step.head].training.epochs)
        .max()
        .unwrap_or(0);
    let seen = |epoch: u32, images: usize, of: usize| {
        (run.emit)(Event::ImagesSeen {
            label: first_label(group),
            epoch,
            epochs,
            images,
            of,
        });
    };
    let key = PassKey::of(extraction);
    let fresh_rows = if node.training.online {
        let split = &node.training.train_split;
        let images = FreshImages::new(run, &key, split)?;
        let network = pretrain::with_weights(run, plan, extraction.model);
        let network = network.load(run.base, run.device, extraction.precision)?;
        let at_once = fresh::images_at_once(run, extraction);
        let model = &run.experiment.models[extraction.model].model;
        let block = find_block(&**model, extraction.block)
            .ok_or_else(|| bug("an extraction reads a block that its model does not have"))?;
        let tap = (
            extraction.timestep,
            TapRequest::of(block, extraction.reduce),
        );
        let fresh = FreshRows::new(&train_rows, images, network, tap, (epochs, at_once));
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
        test: &test_rows,
        shape: shape_of(run, extraction)?,
        classes: run.inputs.facts.datasets[extraction.dataset].classes.len(),
        device: run.device,
    };
    let names: Vec<String> = writers
        .iter()
        .map(|(_, step, _)| step.artifact.fingerprint.to_string())
        .collect();
    let jobs: Vec<Job<'_>> = writers
        .iter()
        .zip(&names)
        .map(|((_, step, _), name)| {
            let node = &run.experiment.heads[step.head];
            Job {
                head: &*node.head,
                training: &node.training,
                seed: node.seed,
                name,
            }
        })
        .collect();
    let limits = Limits {
        memory,
        keep_going: &|| !run.stop.is_given(),
        epoch_done: &|epoch| {
            (run.emit)(Event::HeadsAdvanced {
                label: first_label(group),
                heads: group.steps.len(),
                epoch,
                epochs,
            });
        },
        checkpoint_seconds: run.checkpoint_seconds,
    };
    let kept = Kept(run.store.checkpoints(&trunk(first, node)?));
    let share = writers.len() as f64;
    let trained = train(&jobs, &data, &limits, &kept, &mut |job, outcome| {
        let (position, step, writer) = &mut writers[job];
        let outcome = outcome.map_err(NodeError::from).and_then(|outcome| {
            // Heads that train together share their time.
            let seconds = started.elapsed().as_secs_f64() / share;
            match writer.take() {
                Some(writer) => commit(run, step, writer, &outcome, data.classes, seconds),
                None => Ok(()),
            }
        });
        tell(*position, outcome.into());
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

fn bug(what: &str) -> NodeError {
    NodeError::Values(format!("{what}; this is a bug in repro"))
}

fn shape_of(run: &Run<'_>, extraction: &ExtractionNode) -> Result<FeatureShape, NodeError> {
    run.experiment
        .feature_shape(extraction)
        .ok_or_else(|| bug("an extraction reads a block that its model does not have"))
}

fn first_label(group: &Group<'_>) -> String {
    let first = group.steps.first();
    first.map_or_else(String::new, |(_, step)| step.artifact.label.clone())
}

/// What the checkpoints of a group are found by: all that a group agrees in.
fn trunk(step: &HeadStep, node: &crate::graph::HeadNode) -> Result<Recipe, NodeError> {
    let training = &node.training;
    let agreed = serde_json::json!({
        "features": step.features.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "train": training.train_split,
        "test": training.test_split,
        "batch_size": training.batch_size,
        "views": training.views,
        "online": training.online,
        "holdout": training.holdout,
    });
    Recipe::new(
        ArtifactKind::Head,
        crate::plan::recipes::HeadRecipe::VERSION,
        &agreed,
    )
    .map_err(|error| NodeError::Values(error.to_string()))
}

fn commit(
    run: &Run<'_>,
    step: &HeadStep,
    mut writer: Box<ArtifactWriter>,
    outcome: &Outcome,
    classes: usize,
    seconds: f64,
) -> Result<(), NodeError> {
    if !outcome.epochs.is_empty() {
        writer.write_table(CURVES, &tables::curves(&outcome.epochs)?)?;
    }
    if !outcome.objective.is_empty() {
        writer.write_table(OBJECTIVE, &tables::objective(&outcome.objective)?)?;
    }
    writer.write_table(PREDICTIONS, &outcome.predictions.to_batch()?)?;
    if let Some(logits) = &outcome.logits {
        let table = tables::logits(&outcome.predictions, logits, classes)?;
        writer.write_table(LOGITS, &table)?;
    }
    if let Some(scores) = tables::held_out(outcome)? {
        writer.write_table(SELECTION, &scores)?;
    }
    writer.write_bytes(HEAD_WEIGHTS, &outcome.weights)?;
    writer.finish(run.made(seconds))?;
    (run.emit)(Event::HeadFinished {
        label: step.artifact.label.clone(),
        train_loss: outcome.epochs.last().map(|epoch| epoch.train_loss),
        seconds,
    });
    Ok(())
}

/// Checkpoints in the store.
struct Kept(Checkpoints);

impl Keep for Kept {
    fn newest(&self, at_most: u32) -> Result<Option<(u32, PathBuf)>, String> {
        // Damaged ones are passed over: what they would have saved is trained again.
        let (newest, _) = self.0.newest(at_most).map_err(|error| error.to_string())?;
        Ok(newest.map(|checkpoint| (checkpoint.step, checkpoint.path)))
    }

    fn write(&self, epochs: u32, write: WriteTo<'_>) -> Result<(), String> {
        let written = self.0.write_by_path(epochs, write);
        written.map_err(|error| error.to_string())
    }
}
