//! Which shards of a job this worker computes: those that are missing, and that nobody else computes now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exec::NodeError;
use crate::exec::context::Run;
use crate::exec::event::Event;
use crate::machine::{device, instructions};
use crate::plan::{PlannedArtifact, Shards};
use crate::store::{ArtifactWriter, Begin, Claim, Claims, ComputedOn};

/// How long to wait before asking again whether somebody else is done with a shard.
const PAUSE: Duration = Duration::from_millis(50);

/// A job that is cut into shards, as one worker is given it.
pub(super) struct Cut<'a> {
    /// The job's name.
    pub(super) name: &'a str,
    /// What a worker that waits for others is reported to wait for.
    pub(super) label: String,
    /// All shards.
    pub(super) shards: Shards,
    /// Those that are asked for; all where there is none.
    pub(super) wanted: Option<Range<usize>>,
    /// Whether another worker of this process has begun the job, and reports it.
    pub(super) joins: bool,
}

/// The shards of a job, as one worker sees them.
pub(super) struct Claimed<'a> {
    run: &'a Run<'a>,
    cut: Cut<'a>,
    claims: Claims,
    /// Behind one lock: the thread that claims asks them what is there, the thread that writes writes.
    writers: Mutex<Vec<Open>>,
    state: Mutex<ClaimState>,
}

/// An artifact that has to be made.
struct Open {
    /// Its place among the artifacts of the job.
    place: usize,
    writer: ArtifactWriter,
}

struct ClaimState {
    /// Shards that were missing at the beginning, and that nobody has been seen to finish.
    left: BTreeSet<usize>,
    /// Shards that somebody else was at when they were last asked for.
    elsewhere: BTreeSet<usize>,
    /// Claims of shards that are being computed.
    held: BTreeMap<usize, Claim>,
    /// Whether it was reported that this worker waits for another.
    said: bool,
    /// Images of the shards that were asked for: those that were missing at the beginning, and all.
    images: (usize, usize),
}

impl<'a> Claimed<'a> {
    /// Opens all artifacts of the job for writing and finds what earlier runs have committed.
    pub(super) fn begin(
        run: &'a Run<'a>,
        cut: Cut<'a>,
        artifacts: &[&PlannedArtifact],
    ) -> Result<Self, NodeError> {
        let mut open = Vec::new();
        for (place, artifact) in artifacts.iter().enumerate() {
            let begun = run.store.begin_parts(&artifact.recipe, &artifact.label)?;
            let Begin::Writer(mut writer) = begun else {
                continue;
            };
            writer.computed_on(ComputedOn {
                device: device::name(run.device),
                instructions: instructions::of_libtorch().to_owned(),
            });
            let committed = writer.committed_parts(&cut.shards.lengths())?;
            for aside in writer.set_aside().iter().chain(&committed.set_aside) {
                if !cut.joins {
                    (run.emit)(Event::SetAside {
                        what: format!("{} {}", aside.from.display(), aside.reason),
                    });
                }
            }
            open.push(Open {
                place,
                writer: *writer,
            });
        }
        let count = cut.shards.count();
        let wanted = cut.wanted.as_ref();
        let wanted = wanted.map_or(0..count, |wanted| wanted.start..wanted.end.min(count));
        let mut left = BTreeSet::new();
        for shard in wanted.clone() {
            if !is_there(&mut open, shard)? {
                left.insert(shard);
            }
        }
        let missing = left.iter().map(|&shard| cut.shards.rows_of(shard).len());
        let all = wanted.map(|shard| cut.shards.rows_of(shard).len());
        let images = (missing.sum(), all.sum());
        Ok(Self {
            run,
            claims: run.store.claims(cut.name),
            cut,
            writers: Mutex::new(open),
            state: Mutex::new(ClaimState {
                left,
                elsewhere: BTreeSet::new(),
                held: BTreeMap::new(),
                said: false,
                images,
            }),
        })
    }

    /// Images of the shards that were asked for and missing at the beginning.
    pub(super) fn missing_images(&self) -> usize {
        lock(&self.state).images.0
    }

    /// Images of the shards that were asked for and in place at the beginning.
    pub(super) fn committed_images(&self) -> usize {
        let (missing, all) = lock(&self.state).images;
        all - missing
    }

    /// The artifacts that have to be made, by their places among those of the job.
    pub(super) fn places(&self) -> Vec<usize> {
        let writers = lock(&self.writers);
        writers.iter().map(|open| open.place).collect()
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

    fn say_waiting(&self, state: &mut ClaimState) {
        if std::mem::replace(&mut state.said, true) {
            return;
        }
        let holder = state.left.first().map(|&shard| self.claims.holder(shard));
        (self.run.emit)(Event::Waiting {
            label: self.cut.label.clone(),
            holder: holder.unwrap_or_default(),
        });
    }

    /// Writes a shard's part of every artifact that lacks it, and gives the claim back.
    ///
    /// - `write`: given the number of the artifact among [`Claimed::places`], the number of the part, and the writer
    pub(super) fn write(
        &self,
        shard: usize,
        write: &mut dyn FnMut(usize, u32, &mut ArtifactWriter) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let mut writers = lock(&self.writers);
        let part = part_of(shard)?;
        for (position, open) in writers.iter_mut().enumerate() {
            if !open.writer.has_part(part)? {
                write(position, part, &mut open.writer)?;
            }
        }
        drop(writers);
        lock(&self.state).held.remove(&shard);
        (self.run.emit)(Event::ShardCommitted {
            job: self.cut.name.to_owned(),
            shard,
        });
        Ok(())
    }

    /// Finishes every artifact whose parts are all in place. Those of shards that were not asked for may be missing still.
    pub(super) fn finish(self, seconds: f64) -> Result<(), NodeError> {
        let writers = self.writers.into_inner();
        let writers = writers.unwrap_or_else(PoisonError::into_inner);
        let share = seconds / writers.len().max(1) as f64;
        let mut is_complete = true;
        for mut open in writers {
            if open.writer.is_complete()? {
                open.writer.finish(self.run.made(share))?;
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

/// Whether every artifact has its part of a shard.
fn is_there(open: &mut [Open], shard: usize) -> Result<bool, NodeError> {
    let part = part_of(shard)?;
    for one in open {
        if !one.writer.has_part(part)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The number of a shard's part.
fn part_of(shard: usize) -> Result<u32, NodeError> {
    u32::try_from(shard).map_err(|_| NodeError::bug("a job has more than 2^32 shards"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
