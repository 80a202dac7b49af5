//! From jobs to scans: as many heads at once as memory allows, and those first that a stopped run has left.

use super::held::computing_memory;
use super::scan::Scan;
use super::stack::bytes_of;
use super::whole::fit;
use super::{CheckpointStore, Data, Job, Limits, Outcome, TrainError, checkpoint};
use crate::heads::{FeatureShape, Fitting};

/// Multiply-adds of a step below which a second thread costs more than it gives.
const SMALL_STEP: usize = 1 << 24;

/// Whether a step of so many heads is done faster by one core than by several.
pub fn is_small(shape: FeatureShape, batch: u32, classes: usize, heads: usize) -> bool {
    batch as usize * shape.values() * classes * heads <= SMALL_STEP
}

/// Trains heads in one pass over their data, and gives each to `done` as soon as it is whole.
///
/// All jobs must agree in splits, batch size, views and validation share. What `done` returns ends the scan if it is an error.
///
/// # Errors
/// What stops all of them; what goes wrong with one head alone is given to `done`. Operations of libtorch panic on errors of
/// their own (such as running out of memory); the caller turns that into failed nodes.
pub fn train<E: From<TrainError>>(
    jobs: &[Job<'_>],
    data: &Data<'_>,
    limits: &Limits<'_>,
    keep: &dyn CheckpointStore,
    done: &mut dyn FnMut(usize, Result<Outcome, TrainError>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(first) = jobs.first() else {
        return Ok(());
    };
    let splits = [
        (&first.training.train_split, data.train),
        (&first.training.test_split, data.test),
    ];
    for (split, rows) in splits {
        if rows.is_empty() {
            return Err(TrainError::Empty(split.clone()).into());
        }
    }
    let (whole, steps): (Vec<usize>, Vec<usize>) =
        (0..jobs.len()).partition(|&job| !matches!(jobs[job].head.fitting(), Fitting::Steps));
    for job in whole {
        if !(limits.keep_going)() {
            return Err(TrainError::Stopped.into());
        }
        done(job, fit(&jobs[job], data, limits))?;
    }
    for round in rounds(jobs, &steps, data, limits)? {
        let most = round.iter().map(|&job| jobs[job].training.epochs).max();
        let stored = checkpoint::open(keep, most.unwrap_or(0))?;
        let (known, new): (Vec<usize>, Vec<usize>) = round.into_iter().partition(|&job| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.has(jobs[job].name))
        });
        if !known.is_empty() {
            Scan::new(jobs, known, data, limits)?.run(stored.as_ref(), keep, done)?;
        }
        if !new.is_empty() {
            Scan::new(jobs, new, data, limits)?.run(None, keep, done)?;
        }
    }
    Ok(())
}

/// The jobs in as many rounds as memory asks for: the weights of a round and what belongs to them take half of it at most. Where
/// features are computed while they are read and some are held out, each seed has a round of its own.
fn rounds(
    jobs: &[Job<'_>],
    members: &[usize],
    data: &Data<'_>,
    limits: &Limits<'_>,
) -> Result<Vec<Vec<usize>>, TrainError> {
    let memory = computing_memory(limits);
    let allowed = memory / 2;
    let (mut rounds, mut taken) = (vec![Vec::new()], 0);
    let mut members = members.to_vec();
    // Each seed holds out other samples, while what is computed is computed for one set of them.
    let apart = data.train.is_fresh() && jobs[0].training.holdout > 0.0;
    if apart {
        members.sort_by_key(|&index| jobs[index].seed);
    }
    let mut seed = None;
    for index in members {
        let bytes = bytes_of(jobs[index].head, data.shape, data.classes);
        if bytes > allowed {
            return Err(TrainError::Memory {
                needed: crate::text::bytes(bytes * 2),
                allowed: crate::text::bytes(memory),
            });
        }
        let other_seed = seed.is_some_and(|seed| seed != jobs[index].seed);
        seed = Some(jobs[index].seed);
        if taken + bytes > allowed || (apart && other_seed) {
            rounds.push(Vec::new());
            taken = 0;
        }
        taken += bytes;
        if let Some(round) = rounds.last_mut() {
            round.push(index);
        }
    }
    rounds.retain(|round| !round.is_empty());
    Ok(rounds)
}

/// Keeps libtorch to one thread on this thread: handing out thousandths of a millisecond of work takes longer than doing it,
/// and far longer where other programs want the processor too.
pub(super) struct Threads {
    before: i32,
}

impl Threads {
    pub(super) fn one() -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        Self { before }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}
