//! Behind the network: features come from the device and become shards.
//!
//! On a thread of its own, so that on a GPU the next batch is begun while this one is still computed: only here does
//! anybody wait for the GPU.

use std::sync::mpsc::{Receiver, SyncSender};

use super::event::Event;
use super::run::Run;
use super::shard::Shard;
use super::{NodeError, attempt};
use crate::models::extractor::Features;
use crate::plan::{Pass, Shards, Tap};

/// One batch that the network has begun.
pub(super) struct Computed {
    /// Its features, in pieces that follow one another.
    pub(super) pieces: Vec<Features>,
    /// Number of images.
    pub(super) images: usize,
    /// Images that did not decode: position and reason.
    pub(super) skipped: Vec<(usize, String)>,
}

/// Takes batches in order and hands whole shards on, until all are there, or nobody gives or takes any more.
pub(super) fn gather(
    run: &Run<'_>,
    number: usize,
    pass: &Pass,
    (taps, missing, shards): (&[Tap], &[usize], Shards),
    computed: &Receiver<Computed>,
    finished: &SyncSender<Shard>,
) -> Result<(), NodeError> {
    let samples = &run.inputs.datasets[pass.key.dataset].manifest.samples;
    for &index in missing {
        let mut shard = Shard::new(index, shards.rows_of(index), taps);
        let mut done = 0;
        while done < shard.rows.len() {
            let Ok(batch) = computed.recv() else {
                // The network has stopped; its own error says why.
                return Ok(());
            };
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
                    id: samples[shard.rows.start + row].id.clone(),
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
