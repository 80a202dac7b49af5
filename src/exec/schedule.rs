//! Ready jobs to workers; failures along edges.
//!
//! A job is ready when the jobs that it needs are through. Workers take ready jobs in the order of their kinds, so that a single worker
//! does what a plain loop over the plan would do: passes first, with the network kept in between, then heads, then metrics. A
//! worker for whom no job is ready joins a pass, or samples, that another worker has begun: the shards are shared out by claims. Of heads
//! whose features fit into the memory of some GPUs and not of others, the latter take none.
//!
//! A worker on the CPU has several lanes, one for each of its threads. The first lane takes any job; the others take scans of heads
//! whose steps are so small that one thread does them best, side by side.
//!
//! What needs something that was not made is not begun: that was reported where it happened. What does not need it still runs, unless
//! the disk is full: then nothing is begun any more, since nothing could be kept.

mod heads_progress;
mod lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use self::heads_progress::HeadsProgress;
pub use self::lanes::Worker;
use self::lanes::{side_by_side, with_threads_of};
use super::context::{Outcome, Run, StepResult};
use super::jobs::{self, Lane};
use crate::plan::{JobKind, StepId, Work};
use crate::store::Fingerprint;

/// Carries out the jobs of a plan.
pub fn schedule(run: &Run<'_>, workers: &[Worker]) -> Outcome {
    let jobs = 0..run.plan.jobs.len();
    let scans = run
        .plan
        .jobs
        .iter()
        .filter(|job| job.kind == JobKind::Heads);
    let shared = Shared {
        state: Mutex::new(ScheduleState {
            waiting: jobs.collect(),
            scans: scans.count(),
            running: BTreeMap::new(),
            finished: BTreeSet::new(),
            busy: vec![Busy::default(); workers.len()],
            workers: workers.to_vec(),
            outcome: Outcome::default(),
            heads: HeadsProgress::of(run),
        }),
        changed: Condvar::new(),
    };
    let share = run.memory / workers.len().max(1) as u64;
    let lanes = workers.iter().enumerate().flat_map(|(number, worker)| {
        let shared = &shared;
        (0..worker.lanes()).map(move |lane| {
            move || {
                let run = Run {
                    device: worker.device,
                    memory: share,
                    ..*run
                };
                with_threads_of(worker, workers, || {
                    shared.work(&run, number, lane, worker.lanes());
                });
            }
        })
    });
    side_by_side(lanes);
    let state = shared.state.into_inner();
    let mut state = state.unwrap_or_else(PoisonError::into_inner);
    state.heads.tell(run);
    state.outcome.stopped |= run.stop.is_wanted() && !state.waiting.is_empty();
    state.outcome
}

/// Does one job, or some of its shards, with all workers; what it needs has to be there.
pub fn run_one(
    run: &Run<'_>,
    workers: &[Worker],
    job: usize,
    shards: Option<&Range<usize>>,
) -> Outcome {
    let steps = &run.plan.jobs[job].steps;
    let outcome = Mutex::new(Outcome::default());
    let mut heads = HeadsProgress::of_one(run, job);
    heads.begin(run, job);
    let heads = Mutex::new(heads);
    // Only what has shards can be shared out.
    let workers = if run.plan.jobs[job].shards.is_some() {
        workers
    } else {
        workers.get(..1).unwrap_or_default()
    };
    let share = run.memory / workers.len().max(1) as u64;
    let parts = workers.iter().enumerate().map(|(number, worker)| {
        let (outcome, heads, shards) = (&outcome, &heads, shards.cloned());
        move || {
            let run = Run {
                device: worker.device,
                memory: share,
                ..*run
            };
            let fates = with_threads_of(worker, workers, || {
                jobs::run(&run, job, steps, shards, number > 0, &mut Lane::new())
            });
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            let mut heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, fate) in fates {
                match fate {
                    StepResult::Made => heads.made(&run, job, id),
                    StepResult::Failed(error) => outcome.fail(&run, id, &error),
                    StepResult::Unmade { .. } => {}
                }
            }
        }
    });
    side_by_side(parts);
    let heads = heads.into_inner();
    heads.unwrap_or_else(PoisonError::into_inner).tell(run);
    let outcome = outcome.into_inner();
    let mut outcome = outcome.unwrap_or_else(PoisonError::into_inner);
    outcome.stopped |= run.stop.is_wanted();
    outcome
}

/// What the lanes of all workers share.
struct Shared {
    state: Mutex<ScheduleState>,
    changed: Condvar,
}

struct ScheduleState {
    /// Jobs that nobody has begun.
    waiting: BTreeSet<usize>,
    /// Scans of features in the plan.
    scans: usize,
    /// Jobs under way, and how many workers are at each.
    running: BTreeMap<usize, usize>,
    /// Jobs that are through, however they ended.
    finished: BTreeSet<usize>,
    /// What each worker does.
    busy: Vec<Busy>,
    workers: Vec<Worker>,
    outcome: Outcome,
    heads: HeadsProgress,
}

/// What one worker does.
#[derive(Debug, Clone, Copy, Default)]
struct Busy {
    /// A job that takes all its threads.
    whole: bool,
    /// Jobs that take one thread each.
    single: usize,
}

/// A job for a lane.
enum Task {
    /// One that nobody has begun, with the steps that can be made.
    Begin(usize, Vec<StepId>),
    /// One with shards that another worker is at.
    Join(usize),
    /// None now.
    Wait,
    /// None any more.
    End,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, ScheduleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes jobs until there are none.
    fn work(&self, run: &Run<'_>, worker: usize, lane: usize, lanes: usize) {
        let mut own = Lane::new();
        loop {
            let mut state = self.lock();
            let (job, steps, joins) = loop {
                if run.stop.is_given() {
                    return;
                }
                match state.next(run, worker, lane, lanes) {
                    Task::Begin(job, steps) => break (job, steps, false),
                    Task::Join(job) => break (job, run.plan.jobs[job].steps.clone(), true),
                    Task::End => {
                        self.changed.notify_all();
                        return;
                    }
                    // Woken now and then too, to see whether the user wants to stop.
                    Task::Wait => {
                        own.idle();
                        let waited = self.changed.wait_timeout(state, Duration::from_millis(200));
                        state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
            };
            let is_single = state.is_single(run, job, lanes);
            state.enter(job, worker, is_single);
            drop(state);
            let run = if is_single {
                // Those beside it take their share.
                let memory = run.memory / lanes.max(1) as u64;
                Run { memory, ..*run }
            } else {
                *run
            };
            let whole = crate::machine::threads::current();
            if is_single {
                crate::machine::threads::set(1);
            }
            let fates = jobs::run(&run, job, &steps, None, joins, &mut own);
            crate::machine::threads::set(whole);
            let mut state = self.lock();
            state.leave(&run, job, worker, is_single, fates);
            self.changed.notify_all();
        }
    }
}

impl ScheduleState {
    /// Whether a job takes one thread of several, and others may run beside it: a scan of heads whose steps are small, or one of so
    /// many scans that every lane has one of its own. Two scans on a thread each are done sooner than one after the other on two.
    fn is_single(&self, run: &Run<'_>, job: usize, lanes: usize) -> bool {
        let job = &run.plan.jobs[job];
        let is_one_of_many = self.scans >= lanes && jobs::is_scan(run, job);
        let waits = job.kind == JobKind::Transfer;
        lanes > 1 && (waits || is_one_of_many || jobs::is_small(run, job))
    }

    /// The next job for a lane of a worker, or whether to wait or end.
    fn next(&mut self, run: &Run<'_>, worker: usize, lane: usize, lanes: usize) -> Task {
        let plan = run.plan;
        // What cannot be made is out of the way at once, so that what hangs on it is seen too.
        let mut ready;
        loop {
            let own = &self.workers[worker];
            ready = self.ready(run).find(|&job| {
                let wanted = jobs::bytes_at_hand(run, &run.plan.jobs[job]);
                wanted.is_none_or(|wanted| !own.leaves(wanted, &self.workers))
            });
            match ready {
                Some(job) if self.possible(run, job).is_empty() => self.give_up(run, job),
                _ => break,
            }
        }
        let busy = self.busy[worker];
        if let Some(job) = ready {
            let is_single = self.is_single(run, job, lanes);
            let is_free = if is_single {
                !busy.whole
            } else {
                lane == 0 && !busy.whole && busy.single == 0
            };
            if is_free {
                self.waiting.remove(&job);
                let steps = self.possible(run, job);
                self.heads.begin(run, job);
                return Task::Begin(job, steps);
            }
            return Task::Wait;
        }
        let is_idle = lane == 0 && !busy.whole && busy.single == 0;
        if is_idle {
            let mut shared = self.running.iter();
            let joined = shared.find(|&(&job, &workers)| {
                let shards = plan.jobs[job].shards;
                shards.is_some_and(|shards| shards > workers)
            });
            if let Some((&job, _)) = joined
                && self.busy.len() > 1
            {
                return Task::Join(job);
            }
        }
        if self.waiting.is_empty() && self.running.is_empty() {
            Task::End
        } else {
            Task::Wait
        }
    }

    /// Jobs that nobody has begun and that need nothing that is not through, in their order.
    fn ready<'s>(&'s self, run: &'s Run<'_>) -> impl Iterator<Item = usize> + 's {
        let is_ready = |job: &usize| {
            let needs = &run.plan.jobs[*job].needs;
            needs.is_subset(&self.finished)
        };
        self.waiting.iter().copied().filter(is_ready)
    }

    /// The steps of a job that need nothing that was not made, and metrics that can score a part.
    fn possible(&self, run: &Run<'_>, job: usize) -> Vec<StepId> {
        let steps = run.plan.jobs[job].steps.iter().copied();
        steps
            .filter(|&id| self.culprit(run, id).is_none() || self.has_part(run, id))
            .collect()
    }

    /// Whether a step is a metric of which some items could be made.
    fn has_part(&self, run: &Run<'_>, id: StepId) -> bool {
        let Work::Evaluate(work) = &run.plan.step(id).work else {
            return false;
        };
        let fingerprint = |step| run.plan.step(step).artifact.fingerprint;
        let is_made = |fingerprint: &Fingerprint| !self.outcome.unmade.contains_key(fingerprint);
        // What was set aside is made again by the next run, and everything that hangs on it.
        let is_last = !self.outcome.disk_full && !self.outcome.set_aside;
        is_last && work.has_made(&fingerprint, &is_made)
    }

    /// Which failure is to blame if a step cannot be made.
    fn culprit(&self, run: &Run<'_>, id: StepId) -> Option<&String> {
        let inputs = run.plan.step(id).inputs.iter();
        let mut inputs = inputs.map(|&input| &run.plan.step(input).artifact.fingerprint);
        inputs.find_map(|fingerprint| self.outcome.unmade.get(fingerprint))
    }

    /// Records the steps of a job that cannot be made.
    fn give_up_on(&mut self, run: &Run<'_>, job: usize) {
        for &id in &run.plan.jobs[job].steps {
            if let Some(culprit) = self.culprit(run, id).cloned() {
                let fingerprint = run.plan.step(id).artifact.fingerprint;
                self.outcome.unmade.insert(fingerprint, culprit);
            }
        }
    }

    fn give_up(&mut self, run: &Run<'_>, job: usize) {
        self.give_up_on(run, job);
        self.waiting.remove(&job);
        self.finish(run, job);
    }

    fn finish(&mut self, run: &Run<'_>, job: usize) {
        self.finished.insert(job);
        self.heads.finish(run, job);
    }

    fn enter(&mut self, job: usize, worker: usize, is_single: bool) {
        *self.running.entry(job).or_default() += 1;
        let busy = &mut self.busy[worker];
        if is_single {
            busy.single += 1;
        } else {
            busy.whole = true;
        }
    }

    fn leave(
        &mut self,
        run: &Run<'_>,
        job: usize,
        worker: usize,
        is_single: bool,
        fates: Vec<(StepId, StepResult)>,
    ) {
        let busy = &mut self.busy[worker];
        if is_single {
            busy.single -= 1;
        } else {
            busy.whole = false;
        }
        for (id, fate) in fates {
            match fate {
                StepResult::Made => self.heads.made(run, job, id),
                StepResult::Failed(error) => self.outcome.fail(run, id, &error),
                StepResult::Unmade { culprit } => {
                    let label = run.plan.step(culprit).artifact.label.clone();
                    let fingerprint = run.plan.step(id).artifact.fingerprint;
                    self.outcome.unmade.insert(fingerprint, label);
                }
            }
        }
        self.give_up_on(run, job);
        let workers = self.running.entry(job).or_default();
        *workers -= 1;
        if *workers == 0 {
            self.running.remove(&job);
            self.finish(run, job);
        }
    }
}
