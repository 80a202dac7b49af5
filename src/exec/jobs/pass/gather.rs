//! Behind the network: features come from the device and become shards.
//!
//! On a thread of its own, so that on a GPU the next batch is begun while this one is still computed: only here does
//! anybody wait for the GPU.

use std::sync::mpsc::{Receiver, SyncSender};

use super::Listed;
use super::shard::Shard;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::exec::{NodeError, attempt};
use crate::models::extractor::Features;
use crate::plan::{Pass, Tap};

/// One batch that the network has begun.
pub(super) struct Computed {
    /// The shard that it belongs to.
    pub(super) shard: usize,
    /// Its features, in pieces that follow one another.
    pub(super) pieces: Vec<Features>,
    /// Number of images.
    pub(super) images: usize,
    /// Images that did not decode: position and reason.
    pub(super) skipped: Vec<(usize, String)>,
}

/// Takes batches in order and hands whole shards on, until nobody gives or takes any more.
pub(super) fn gather(
    run: &Run<'_>,
    (number, pass): (usize, &Pass),
    (taps, listed): (&[Tap], &Listed<'_>),
    computed: &Receiver<Computed>,
    finished: &SyncSender<Shard>,
) -> Result<(), NodeError> {
    while let Ok(first) = computed.recv() {
        let mut shard = Shard::new(first.shard, pass.shards.rows_of(first.shard), taps);
        let mut done = 0;
        let mut next = Some(first);
        while done < shard.rows.len() {
            let Some(batch) = next.take().or_else(|| computed.recv().ok()) else {
                // The network has stopped; its own error says why.
                return Ok(());
            };
            if batch.shard != shard.index {
                return Err(NodeError::bug("the batches of two shards came mixed"));
            }
            for piece in batch.pieces {
                let features = attempt(|| Ok(piece.read()))?;
                for (values, features) in shard.values.iter_mut().zip(features) {
                    values.extend(features);
                }
            }
            for (position, reason) in batch.skipped {
                let row = done + position;
                shard.skipped.push(row);
                (run.emit)(Event::ImageSkipped {
                    id: listed.sample(shard.rows.start + row).id.clone(),
                    reason,
                });
            }
            done += batch.images;
            (run.emit)(Event::PassAdvanced {
                pass: number,
                images: batch.images,
            });
        }
        if finished.send(shard).is_err() {
            // The writer has stopped; its own error says why.
            return Ok(());
        }
    }
    Ok(())
}
