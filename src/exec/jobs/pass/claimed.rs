//! Which shards of a pass this worker computes: those that are missing, and that nobody else computes now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::shard::Shard;
use super::{OpenTap, Writers};
use crate::datasets::Sample;
use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::plan::{Pass, Tap};
use crate::store::{Claim, Claims};

/// How long to wait before asking again whether somebody else is done with a shard.
const PAUSE: Duration = Duration::from_millis(50);

/// The shards of a pass, as one worker sees them.
pub(super) struct Claimed<'a> {
    run: &'a Run<'a>,
    pass: &'a Pass,
    claims: Claims,
    writers: Writers,
    state: Mutex<State>,
}

struct State {
    /// Shards that were missing at the beginning, and that nobody has been seen to finish.
    left: BTreeSet<usize>,
    /// Shards that somebody else was at when they were last asked for.
    elsewhere: BTreeSet<usize>,
    /// Claims of shards on their way through the network.
    held: BTreeMap<usize, Claim>,
    /// Whether it was said that this worker waits for another.
    said: bool,
    /// Images of the shards that were missing at the beginning.
    images: usize,
}

impl<'a> Claimed<'a> {
    /// - `shards`: those that are asked for; all where there is none
    pub(super) fn new(
        run: &'a Run<'a>,
        pass: &'a Pass,
        shards: Option<Range<usize>>,
        mut open: Vec<OpenTap>,
    ) -> Result<Self, NodeError> {
        let all = 0..pass.shards.count();
        let wanted = shards.unwrap_or_else(|| all.clone());
        let mut left = BTreeSet::new();
        for shard in all.filter(|shard| wanted.contains(shard)) {
            if !is_there(&mut open, shard)? {
                left.insert(shard);
            }
        }
        let images = left
            .iter()
            .map(|&shard| pass.shards.rows_of(shard).len())
            .sum();
        Ok(Self {
            run,
            pass,
            claims: run.store.claims(&pass.name),
            writers: Mutex::new(open),
            state: Mutex::new(State {
                left,
                elsewhere: BTreeSet::new(),
                held: BTreeMap::new(),
                said: false,
                images,
            }),
        })
    }

    /// Images of the shards that were missing at the beginning.
    pub(super) fn missing_images(&self) -> usize {
        lock(&self.state).images
    }

    /// The taps that have to be made.
    pub(super) fn taps(&self) -> Vec<Tap> {
        let writers = lock(&self.writers);
        writers.iter().map(|open| open.tap.clone()).collect()
    }

    /// The next shard to compute; `None` once every one that was asked for is in place or on its way.
    ///
    /// Shards that somebody else computes are asked for again when nothing else is left: whoever claimed them may have been killed.
    pub(super) fn next(&self) -> Result<Option<usize>, NodeError> {
        loop {
            if self.run.stop.is_given() {
                return Ok(None);
            }
            let mut state = lock(&self.state);
            let fresh = state.left.difference(&state.elsewhere).next().copied();
            let Some(shard) = fresh else {
                if state.left.is_empty() {
                    return Ok(None);
                }
                self.say_waiting(&mut state);
                state.elsewhere.clear();
                drop(state);
                std::thread::sleep(PAUSE);
                continue;
            };
            match self.claims.claim(shard)? {
                None => {
                    state.elsewhere.insert(shard);
                }
                Some(claim) => {
                    state.left.remove(&shard);
                    // Somebody may have finished it since this worker last looked.
                    if !is_there(&mut lock(&self.writers), shard)? {
                        state.held.insert(shard, claim);
                        return Ok(Some(shard));
                    }
                }
            }
        }
    }

    fn say_waiting(&self, state: &mut State) {
        if std::mem::replace(&mut state.said, true) {
            return;
        }
        let holder = state.left.first().map(|&shard| self.claims.holder(shard));
        (self.run.emit)(Event::Waiting {
            label: super::label(self.pass),
            holder: holder.unwrap_or_default(),
        });
    }

    /// Writes a shard's part of every tap that lacks it, and gives the claim back.
    pub(super) fn write(
        &self,
        shard: &Shard,
        (view, draw): (&str, u32),
        samples: &[Sample],
    ) -> Result<(), NodeError> {
        let mut writers = lock(&self.writers);
        let part = part_of(shard.index)?;
        for (position, open) in writers.iter_mut().enumerate() {
            if !open.writer.has_part(part)? {
                shard.write(position, &open.tap, view, draw, samples, &mut open.writer)?;
            }
        }
        drop(writers);
        lock(&self.state).held.remove(&shard.index);
        Ok(())
    }

    /// Finishes every tap whose parts are all in place. Those of shards that were not asked for may be missing still.
    pub(super) fn finish(self, run: &Run<'_>, seconds: f64) -> Result<(), NodeError> {
        let writers = self.writers.into_inner();
        let writers = writers.unwrap_or_else(PoisonError::into_inner);
        let share = seconds / writers.len().max(1) as f64;
        let mut is_complete = true;
        for mut open in writers {
            if open.writer.is_complete()? {
                open.writer.finish(run.made(share))?;
            } else {
                is_complete = false;
            }
        }
        if is_complete {
            self.claims.clear()?;
        }
        Ok(())
    }
}

/// Whether every tap has its part of a shard.
fn is_there(open: &mut [OpenTap], shard: usize) -> Result<bool, NodeError> {
    let part = part_of(shard)?;
    for tap in open {
        if !tap.writer.has_part(part)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The number of a shard's part.
fn part_of(shard: usize) -> Result<u32, NodeError> {
    u32::try_from(shard).map_err(|_| NodeError::bug("a pass has more than 2^32 shards"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
