//! One pass: images through a network, many taps at once.
//!
//! Four things run concurrently: batches are prepared, the network runs, features are gathered, shards are written. The network
//! never runs past the deepest tap, and a shard is committed as soon as it is whole, so that a killed run loses no more than the
//! shards under way: one in the network, one waiting, one being written.
//!
//! Several workers, in one process or in several, may be at the same pass: each claims a shard before it prepares it. Parts are written
//! without a lock; whoever finds all parts in place finishes the artifacts.

pub(in crate::exec) mod audit;
mod gather;
mod import;
mod shard;

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use self::gather::{Computed, gather};
pub(super) use self::import::run_import;
use self::shard::{Place, Shard};
use super::claimed::{Claimed, Cut};
use crate::datasets::{Manifest, OpenDataset, Sample};
use crate::exec::batches::{self, BackOff};
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::latents::LatentRows;
use crate::exec::prepare::{Batch, Preparation};
use crate::exec::{NodeError, StageSeconds};
use crate::models::Precision;
use crate::models::extractor::{Images, Network, TapRequest};
use crate::plan::{Pass, Tap};

/// Batches of one shard, in order; the first says which shard it is.
struct Prepared {
    shard: usize,
    batch: Batch,
}

/// The images of a pass, in the order in which their features are kept.
struct Listed<'a> {
    manifest: &'a Manifest,
    /// The row in the manifest of each.
    order: Vec<usize>,
}

impl<'a> Listed<'a> {
    /// The images of a pass, by the list of its dataset.
    fn of(pass: &Pass, dataset: &'a OpenDataset) -> Result<Self, NodeError> {
        let manifest = &dataset.manifest;
        let order = manifest.reading_order(pass.key.shown.split.as_deref());
        if order.len() != pass.images() {
            return Err(NodeError::bug(
                "a pass of another number of images than its dataset lists",
            ));
        }
        Ok(Self { manifest, order })
    }

    /// The image at a place of the order.
    fn sample(&self, place: usize) -> &Sample {
        &self.manifest.samples[self.order[place]]
    }
}

/// The dataset of a pass, of which these rows are looked at. Of images whose latents are read, only the list is needed.
fn dataset_of(
    run: &Run<'_>,
    pass: &Pass,
    rows: Range<usize>,
) -> Result<Arc<OpenDataset>, NodeError> {
    let decoded = match pass.latents {
        Some(_) => 0..0,
        None => rows,
    };
    Ok(run.inputs.images(&pass.dataset, run.store, decoded)?)
}

/// What prepares the images of a pass.
fn preparation_of<'a>(
    run: &Run<'_>,
    pass: &'a Pass,
    dataset: &Arc<OpenDataset>,
) -> Result<Preparation<'a>, NodeError> {
    let latents = pass.latents.as_deref();
    let latents = latents.map(|latents| LatentRows::open(run.store, latents, &dataset.manifest));
    let images = (Arc::clone(dataset), latents.transpose()?);
    Preparation::new(images, &pass.key, &*pass.model.model, pass.skip_bad_images)
        .ok_or_else(|| NodeError::bug("a pass at a timestep that its model does not have"))
}

/// Runs a pass, or some of its shards, and commits every tap whose parts are all in place then.
///
/// - `shards`: those that are asked for; all where there is none
/// - `joins`: whether another worker of this process has begun it, and reports it
pub(super) fn run_pass(
    run: &Run<'_>,
    number: usize,
    pass: &Pass,
    shards: Option<Range<usize>>,
    joins: bool,
    network: &dyn Network,
) -> Result<(), NodeError> {
    let started = Instant::now();
    let rows = match &shards {
        Some(wanted) => {
            let last = pass.shards.rows_of(wanted.end.saturating_sub(1));
            pass.shards.rows_of(wanted.start).start..last.end
        }
        None => 0..pass.images(),
    };
    let cut = Cut {
        name: &pass.name,
        label: label(pass),
        shards: pass.shards,
        wanted: shards,
        joins,
    };
    let artifacts: Vec<_> = pass.taps.iter().map(|tap| &tap.artifact).collect();
    let claimed = Claimed::begin(run, cut, &artifacts)?;
    let images = claimed.missing_images();
    let places = claimed.places().into_iter();
    let taps: Vec<Tap> = places.map(|place| pass.taps[place].clone()).collect();
    if !joins {
        (run.emit)(Event::PassStarted {
            pass: number,
            label: label(pass),
            images,
            committed: claimed.committed_images(),
            taps: taps.len(),
        });
    }
    let dataset = dataset_of(run, pass, rows)?;
    let rows = Listed::of(pass, &dataset)?;
    let preparation = preparation_of(run, pass, &dataset)?;
    let model = &pass.model.model;
    let batch_size = pass.batch_size.map_or_else(
        || batches::choose(run.device, &**model, pass.deepest(), pass.key.precision),
        |size| size as usize,
    );
    let stages = std::thread::scope(|scope| -> Result<StageSeconds, NodeError> {
        let (batch_sender, batches) = sync_channel::<Result<Prepared, NodeError>>(2);
        let (shard_sender, finished) = sync_channel::<Shard>(1);
        let (claimed, preparation) = (&claimed, &preparation);
        let (taps, rows) = (taps.as_slice(), &rows);
        let preparing = scope.spawn(move || {
            prepare(
                claimed,
                preparation,
                (pass, rows),
                batch_size,
                &batch_sender,
            )
        });
        let writing = scope.spawn(move || write(pass, (taps, rows), claimed, &finished));
        let (computed_sender, computed) = sync_channel::<Computed>(1);
        let gathering = scope
            .spawn(move || gather(run, (number, pass), (taps, rows), &computed, &shard_sender));
        let forward = compute(run, pass, taps, network, &batches, &computed_sender);
        // Each thread ends when the one before it does; only then is known whether all shards are on disk.
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
    })?;
    let seconds = started.elapsed().as_secs_f64();
    claimed.finish(seconds)?;
    if !joins {
        (run.emit)(Event::PassFinished {
            pass: number,
            images,
            seconds,
            prepare_seconds: stages.prepare,
            forward_seconds: stages.forward,
            write_seconds: stages.write,
        });
    }
    Ok(())
}

/// Claims shards and prepares their batches, until none is left or nobody takes them any more; returns the seconds that it worked.
fn prepare(
    claimed: &Claimed<'_>,
    preparation: &Preparation<'_>,
    (pass, listed): (&Pass, &Listed<'_>),
    batch_size: usize,
    sender: &SyncSender<Result<Prepared, NodeError>>,
) -> f64 {
    let mut seconds = 0.0;
    let (draw, _) = pass.key.draw_and_seed();
    loop {
        let shard = match claimed.next() {
            Ok(Some(shard)) => shard,
            Ok(None) => return seconds,
            Err(error) => {
                // Whoever does not take it any more has an error of its own.
                let _ = sender.send(Err(error));
                return seconds;
            }
        };
        let rows = pass.shards.rows_of(shard);
        for start in rows.clone().step_by(batch_size) {
            let since = Instant::now();
            let of_batch = &listed.order[start..(start + batch_size).min(rows.end)];
            let batch = preparation
                .batch(of_batch, draw)
                .map(|batch| Prepared { shard, batch })
                .map_err(NodeError::from);
            seconds += since.elapsed().as_secs_f64();
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return seconds;
            }
        }
    }
}

/// Writes shards as they come; returns the seconds that it worked.
fn write(
    pass: &Pass,
    (taps, listed): (&[Tap], &Listed<'_>),
    claimed: &Claimed<'_>,
    finished: &Receiver<Shard>,
) -> Result<f64, NodeError> {
    let mut seconds = 0.0;
    for shard in finished {
        let since = Instant::now();
        commit(pass, (taps, listed), claimed, &shard)?;
        seconds += since.elapsed().as_secs_f64();
    }
    Ok(seconds)
}

/// Writes a shard's parts.
fn commit(
    pass: &Pass,
    (taps, listed): (&[Tap], &Listed<'_>),
    claimed: &Claimed<'_>,
    shard: &Shard,
) -> Result<(), NodeError> {
    let (draw, _) = pass.key.draw_and_seed();
    let view = pass.key.view.name();
    claimed.write(shard.index, &mut |position, part, writer| {
        let place = Place {
            position,
            part,
            tap: &taps[position],
        };
        shard.write(place, (view, draw), listed, writer)
    })
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
    pass: &Pass,
    taps: &[Tap],
    network: &dyn Network,
    batches: &Receiver<Result<Prepared, NodeError>>,
    computed: &SyncSender<Computed>,
) -> Result<f64, NodeError> {
    let mut seconds = 0.0;
    let mut back_off = BackOff::new();
    let requests: Vec<TapRequest> = taps.iter().map(tap_request).collect();
    for prepared in batches {
        if run.stop.is_given() {
            return Err(NodeError::Stopped);
        }
        let Prepared { shard, batch } = prepared?;
        let since = Instant::now();
        let images = Images {
            pixels: &batch.pixels,
            count: batch.images,
            timestep: pass.key.timestep,
            classes: batch.classes.as_deref(),
        };
        let pieces = back_off.features(network, images, &requests, &mut |images| {
            (run.emit)(Event::BatchHalved {
                job: pass.name.clone(),
                images,
            });
        })?;
        let next = Computed {
            shard,
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
    if run.stop.is_given() {
        return Err(NodeError::Stopped);
    }
    Ok(seconds)
}

/// What a tap asks of the network.
fn tap_request(tap: &Tap) -> TapRequest {
    TapRequest {
        block: tap.block,
        reduce: tap.reduce,
        tokens_before: tap.shape.tokens_before(),
    }
}

fn label(pass: &Pass) -> String {
    let timestep = pass
        .key
        .timestep
        .map_or_else(String::new, |timestep| format!("  t={timestep}"));
    let precision = match pass.key.precision {
        Precision::F32 => String::new(),
        other => format!("  {}", other.name()),
    };
    let class = pass
        .key
        .class
        .map_or_else(String::new, |class| format!("  class={class}"));
    format!(
        "{} ← {}{timestep}{class}{precision}",
        pass.model.name, pass.dataset.name
    )
}
