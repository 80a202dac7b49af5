//! One pass: images through a network, many taps at once.
//!
//! Four things go on side by side: batches are prepared, the network runs, features are gathered, shards are written. The network never runs past the
//! deepest tap, and a shard is committed as soon as it is whole, so that a killed run loses no more than the
//! shards under way: one in the network, one waiting, one being written.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::batches::{self, BackOff};
use super::event::Event;
use super::gather::{Computed, gather};
use super::prepare::{Batch, Preparation};
use super::run::Run;
use super::shard::Shard;
use super::{NodeError, StageSeconds};
use crate::models::extractor::{Images, Network, TapRequest};
use crate::models::{Precision, TapShape};
use crate::plan::{Pass, Shards, Tap};
use crate::store::{ArtifactWriter, Begin};

/// A tap that has to be made, its writer, and the shards that it lacks.
struct OpenTap {
    tap: Tap,
    writer: ArtifactWriter,
    missing: Vec<usize>,
}

/// Runs a pass and commits every tap.
pub(super) fn run_pass(
    run: &Run<'_>,
    number: usize,
    pass: &Pass,
    network: &dyn Network,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let shards = Shards::new(pass.images, pass.side);
    let mut open = begin(run, pass, shards)?;
    let mut missing: Vec<usize> = open
        .iter()
        .flat_map(|tap| tap.missing.iter().copied())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let images: usize = missing
        .iter()
        .map(|&shard| shards.rows_of(shard).len())
        .sum();
    (run.emit)(Event::PassStarted {
        pass: number,
        label: label(run, pass),
        images,
        committed: pass.images - images,
        taps: open.len(),
    });
    let dataset = &run.inputs.datasets[pass.key.dataset];
    let model = &run.experiment.models[pass.key.model].model;
    let Some(preparation) = Preparation::new(dataset, &pass.key, &**model, pass.skip_bad_images)
    else {
        return Err(NodeError::Values(format!(
            "the model has no timestep {:?}",
            pass.key.timestep
        )));
    };
    let batch_size = pass.batch_size.map_or_else(
        || batches::choose(run.device, &**model, pass.deepest(), pass.key.precision),
        |size| size as usize,
    );
    let taps: Vec<Tap> = open.iter().map(|open| open.tap.clone()).collect();
    let samples = &dataset.manifest.samples;
    let draw = pass.key.random.map_or(0, |random| random.draw);
    let view = pass.key.view.name();

    let outcome = std::thread::scope(|scope| -> Result<StageSeconds, NodeError> {
        let (batch_sender, batches) = sync_channel::<Result<Batch, NodeError>>(2);
        let (shard_sender, finished) = sync_channel::<Shard>(1);
        let (plan, preparation) = (&missing, &preparation);
        let preparing =
            scope.spawn(move || prepare(preparation, shards, plan, batch_size, &batch_sender));
        let open = &mut open;
        let writing = scope.spawn(move || -> Result<f64, NodeError> {
            let mut seconds = 0.0;
            for shard in finished {
                let since = Instant::now();
                for (position, open) in open.iter_mut().enumerate() {
                    if open.missing.contains(&shard.index) {
                        shard.write(position, &open.tap, view, draw, samples, &mut open.writer)?;
                    }
                }
                seconds += since.elapsed().as_secs_f64();
                (run.emit)(Event::ShardCommitted {
                    pass: number,
                    shard: shard.index,
                });
            }
            Ok(seconds)
        });
        let (computed_sender, computed) = sync_channel::<Computed>(1);
        let work = (taps.as_slice(), missing.as_slice(), shards);
        let gathering =
            scope.spawn(move || gather(run, number, pass, work, &computed, &shard_sender));
        let forward = compute(run, number, pass, network, work, &batches, &computed_sender);
        // Each thread ends when the one before it does; only then is known whether all shards are on the disk.
        drop((batches, computed_sender));
        let since = Instant::now();
        let gathered = join(gathering);
        let drained = since.elapsed().as_secs_f64();
        let written = join(writing);
        let prepare = join(preparing);
        // Where several failed, the last in the row was first: its end is what stops those before it.
        let write = written?;
        gathered?;
        Ok(StageSeconds {
            prepare,
            forward: forward? + drained,
            write,
        })
    });
    let stages = outcome?;
    let seconds = started.elapsed().as_secs_f64();
    let share = seconds / open.len().max(1) as f64;
    for tap in open {
        tap.writer.finish(run.made(share))?;
    }
    (run.emit)(Event::PassFinished {
        pass: number,
        images,
        seconds,
        prepare_seconds: stages.prepare,
        forward_seconds: stages.forward,
        write_seconds: stages.write,
    });
    Ok(())
}

/// Opens all taps for writing and finds what earlier runs have committed.
fn begin(run: &Run<'_>, pass: &Pass, shards: Shards) -> Result<Vec<OpenTap>, NodeError> {
    let mut open = Vec::new();
    for tap in &pass.taps {
        let artifact = &tap.artifact;
        let begun = run.store.begin_parts(&artifact.recipe, &artifact.label)?;
        let Begin::Writer(mut writer) = begun else {
            continue;
        };
        writer.computed_on(&crate::machine::device::name(run.device));
        let committed = writer.committed_parts(&shards.lengths())?;
        for aside in writer.set_aside().iter().chain(&committed.set_aside) {
            (run.emit)(Event::SetAside {
                what: format!("{} {}", aside.from.display(), aside.reason),
            });
        }
        let missing = (0..shards.count()).filter(|&shard| {
            !u32::try_from(shard).is_ok_and(|shard| committed.parts.contains(&shard))
        });
        open.push(OpenTap {
            tap: tap.clone(),
            missing: missing.collect(),
            writer: *writer,
        });
    }
    Ok(open)
}

/// Prepares batches in order until all are taken or nobody takes them any more; returns the seconds that it worked.
fn prepare(
    preparation: &Preparation<'_>,
    shards: Shards,
    missing: &[usize],
    batch_size: usize,
    sender: &SyncSender<Result<Batch, NodeError>>,
) -> f64 {
    let mut seconds = 0.0;
    for &shard in missing {
        let rows = shards.rows_of(shard);
        for start in rows.clone().step_by(batch_size) {
            let since = Instant::now();
            let of_batch: Vec<usize> = (start..(start + batch_size).min(rows.end)).collect();
            let batch = preparation
                .batch(
                    &of_batch,
                    preparation.key.random.map_or(0, |random| random.draw),
                )
                .map_err(NodeError::from);
            seconds += since.elapsed().as_secs_f64();
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return seconds;
            }
        }
    }
    seconds
}

/// What a thread returned; its panic is this thread's.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs the network over the batches and hands what it has begun on; returns the seconds in which it did not wait for
/// images. On a GPU it is at most two batches ahead of what is computed.
fn compute(
    run: &Run<'_>,
    number: usize,
    pass: &Pass,
    network: &dyn Network,
    (taps, missing, shards): (&[Tap], &[usize], Shards),
    batches: &Receiver<Result<Batch, NodeError>>,
    computed: &SyncSender<Computed>,
) -> Result<f64, NodeError> {
    let mut seconds = 0.0;
    let mut back_off = BackOff::new();
    let requests: Vec<TapRequest> = taps.iter().map(|tap| tap_request(tap)).collect();
    let mut left: usize = missing
        .iter()
        .map(|&shard| shards.rows_of(shard).len())
        .sum();
    while left > 0 {
        if run.stop.is_given() {
            return Err(NodeError::Stopped);
        }
        let Ok(batch) = batches.recv() else {
            return Err(NodeError::Values(
                "batches ended before the pass did; this is a bug in repro".to_owned(),
            ));
        };
        let batch = batch?;
        let since = Instant::now();
        let images = Images {
            pixels: &batch.pixels,
            count: batch.images,
            timestep: pass.key.timestep,
            classes: None,
        };
        let pieces = back_off.features(network, images, &requests, &mut |images| {
            (run.emit)(Event::BatchHalved {
                pass: number,
                images,
            });
        })?;
        left = left.saturating_sub(batch.images);
        let next = Computed {
            pieces,
            images: batch.images,
            skipped: batch.skipped,
        };
        if computed.send(next).is_err() {
            // Whoever gathers has stopped; its own error says why.
            break;
        }
        seconds += since.elapsed().as_secs_f64();
    }
    Ok(seconds)
}

/// What a tap asks of the network.
pub(super) fn tap_request(tap: &Tap) -> TapRequest {
    TapRequest {
        block: tap.block,
        reduce: tap.reduce,
        class_token: matches!(
            tap.shape,
            TapShape::Tokens {
                class_token: true,
                ..
            }
        ),
    }
}

fn label(run: &Run<'_>, pass: &Pass) -> String {
    let timestep = pass
        .key
        .timestep
        .map_or_else(String::new, |timestep| format!("  t={timestep}"));
    let precision = match pass.key.precision {
        Precision::F32 => String::new(),
        other => format!("  {}", other.name()),
    };
    format!(
        "{} ← {}{timestep}{precision}",
        run.experiment.models[pass.key.model].name, run.experiment.datasets[pass.key.dataset].name,
    )
}
