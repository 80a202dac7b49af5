//! Which tasks are submitted next, and in which arrays.
//!
//! A round is as many tasks as may be in the queue, in the order of the plan, each with what it needs before it: in the cache, in the queue
//! or in the same round. Tasks that are alike and wait for the same jobs are one array; what others read is one of its own, so that what
//! needs one pass does not wait for another. The last job of a round begins the next one, or writes the report.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Standing, is_given_up};
use super::record::{Submission, Task, TaskArray};
use crate::plan::{JobKind, Pass, Plan, PlanError, Work, job_name, transfer_name};

/// Slurm takes arrays of 1001 tasks where nobody has changed that.
const LONGEST_ARRAY: usize = 1_000;

/// What of the jobs of a plan is not in the cache.
#[derive(Debug, Default)]
pub struct Lacking {
    /// The jobs that are left, with the shards that are missing where they can be cut.
    left: BTreeMap<String, Vec<usize>>,
    /// All jobs that the experiment has, done or not.
    all: BTreeSet<String>,
}

impl Lacking {
    /// What a plan has to do.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn of(plan: &Plan) -> Result<Self, PlanError> {
        let left = plan.jobs.iter().map(|job| {
            let shards = match job.steps.as_slice() {
                [id] if job.kind == JobKind::Sample => match &plan.step(*id).work {
                    Work::Sample(work) => work.shards.lacking([&plan.step(*id).artifact]),
                    _ => Vec::new(),
                },
                _ => Pass::of(plan, job).map_or_else(Vec::new, |pass| pass.missing_shards()),
            };
            (job.name.clone(), shards)
        });
        let left: BTreeMap<String, Vec<usize>> = left.collect();
        let mut all = BTreeSet::new();
        for step in &plan.steps {
            let name = job_name(step)?;
            // What has to be made is downloaded by nobody any more.
            if !left.contains_key(&name) {
                all.insert(transfer_name(&name));
            }
            all.insert(name);
        }
        Ok(Self { left, all })
    }

    /// Whether the experiment has the job of a task.
    pub fn knows(&self, task: &Task) -> bool {
        self.all.contains(&task.job)
    }

    /// Whether what a task makes is in the cache.
    pub fn has_done(&self, task: &Task) -> bool {
        let (Some(shards), Some((first, end))) = (self.left.get(&task.job), task.shards) else {
            return self.knows(task) && !self.left.contains_key(&task.job);
        };
        // Where all parts are there and the whole is not finished, whoever does any of them finishes it.
        !shards.is_empty() && !shards.iter().any(|shard| (first..end).contains(shard))
    }
}

/// What is submitted next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The tasks of the round, as indices into [`Submission::tasks`].
    pub tasks: Vec<usize>,
    /// How many are left for later rounds.
    pub later: usize,
    /// Tasks that have failed too often.
    pub given_up: Vec<usize>,
    /// Tasks that need what these would have made.
    pub blocked: Vec<usize>,
}

/// Chooses the tasks of the next round.
pub fn choose(submission: &Submission, standings: &[Standing]) -> Chosen {
    let mut by_job: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, task) in submission.tasks.iter().enumerate() {
        by_job.entry(&task.job).or_default().push(index);
    }
    let live = standings
        .iter()
        .filter(|standing| standing.is_live())
        .count();
    // One more is the job that ends the round.
    let room = submission.settings.max_jobs().saturating_sub(live + 1);
    let mut chosen = Chosen::default();
    let mut is_coming: BTreeSet<usize> = BTreeSet::new();
    let mut is_hopeless: BTreeSet<usize> = BTreeSet::new();
    for (index, (task, standing)) in submission.tasks.iter().zip(standings).enumerate() {
        let needed = || {
            let jobs = task.needs.iter().filter_map(|job| by_job.get(job.as_str()));
            jobs.flatten().copied()
        };
        if *standing == Standing::Unknown {
            continue;
        }
        if *standing == Standing::Done || standing.is_live() {
            is_coming.insert(index);
        } else if is_given_up(submission, index) {
            is_hopeless.insert(index);
            chosen.given_up.push(index);
        } else if needed().any(|need| is_hopeless.contains(&need)) {
            is_hopeless.insert(index);
            chosen.blocked.push(index);
        } else if chosen.tasks.len() < room && needed().all(|need| is_coming.contains(&need)) {
            is_coming.insert(index);
            chosen.tasks.push(index);
        } else {
            chosen.later += 1;
        }
    }
    chosen
}

/// What tasks of one array share: the word of its name, the jobs that they need, and what they are given.
type Alike<'a> = (JobKind, &'a str, Vec<&'a str>, u32, u64);

/// Groups tasks into arrays. `live` are the numbers in Slurm of tasks that are in the queue already, by their jobs.
pub fn group(
    submission: &Submission,
    chosen: &[usize],
    live: &BTreeMap<String, Vec<String>>,
) -> Vec<TaskArray> {
    let mut places: BTreeMap<Alike<'_>, usize> = BTreeMap::new();
    let mut arrays: Vec<TaskArray> = Vec::new();
    let mut made_by: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, task) in chosen
        .iter()
        .filter_map(|&index| Some((index, submission.tasks.get(index)?)))
    {
        let own = match task.kind {
            JobKind::Pretrain | JobKind::Sample | JobKind::Pass | JobKind::Import => &*task.job,
            JobKind::Heads
            | JobKind::Tuning
            | JobKind::Refit
            | JobKind::Metric
            | JobKind::Transfer => "",
        };
        let needs: BTreeSet<&str> = task.needs.iter().map(String::as_str).collect();
        let key = (
            task.kind,
            own,
            needs.iter().copied().collect(),
            task.minutes,
            task.memory,
        );
        let known = places.get(&key).copied();
        let known = known.filter(|&place| arrays[place].tasks.len() < LONGEST_ARRAY);
        let place = known.unwrap_or_else(|| {
            let of_needs = needs.iter().filter_map(|need| made_by.get(need));
            let after: BTreeSet<usize> = of_needs.flatten().copied().collect();
            let of_live = needs.iter().filter_map(|need| live.get(*need));
            let after_jobs: BTreeSet<&String> = of_live.flatten().collect();
            let names = after.iter().map(|&array| arrays[array].name.clone());
            let names = names.collect();
            arrays.push(TaskArray {
                name: format!("{:02}-{}", arrays.len() + 1, task.kind.word()),
                tasks: Vec::new(),
                minutes: task.minutes,
                memory: task.memory,
                uses_device: task.uses_device(),
                after: names,
                after_jobs: after_jobs.into_iter().cloned().collect(),
            });
            places.insert(key, arrays.len() - 1);
            arrays.len() - 1
        });
        arrays[place].tasks.push(index);
        made_by.entry(&task.job).or_default().insert(place);
    }
    arrays
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::ending::Ending;
    use crate::cluster::record::VERSION;
    use crate::cluster::settings::ExecutorSettings;

    fn task(kind: JobKind, job: &str, shards: Option<(usize, usize)>, needs: &[&str]) -> Task {
        Task {
            job: job.to_owned(),
            kind,
            label: format!("what {job} makes"),
            shards,
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
            seconds: 60.0,
            minutes: 10,
            memory: 4 << 30,
            first_memory: 4 << 30,
            failures: 0,
            stops: 0,
            judged: 0,
        }
    }

    /// Two passes, one of them cut; heads on either; a metric of all of them.
    pub(in crate::cluster) fn submission() -> Submission {
        Submission {
            version: VERSION,
            id: 3,
            experiment: "first-probe".to_owned(),
            file: "first-probe.toml".to_owned(),
            profile: None,
            set: vec!["experiment.title=It's one".to_owned()],
            folder: "/srv/ada/my probes".to_owned(),
            directory: None,
            base: "/srv/ada/my probes".to_owned(),
            cache: "/srv/ada/my probes/.repro".to_owned(),
            program: "/opt/repro/bin/repro".to_owned(),
            user: "ada".to_owned(),
            at: "2026-11-29T11:00:00Z".to_owned(),
            settings: ExecutorSettings::default(),
            tasks: vec![
                task(JobKind::Pass, "pass-aa", Some((0, 4)), &[]),
                task(JobKind::Pass, "pass-aa", Some((4, 8)), &[]),
                task(JobKind::Pass, "pass-bb", None, &[]),
                task(JobKind::Heads, "heads-a1", None, &["pass-aa"]),
                task(JobKind::Heads, "heads-a2", None, &["pass-aa"]),
                task(JobKind::Heads, "heads-b1", None, &["pass-bb"]),
                task(
                    JobKind::Metric,
                    "metric-1",
                    None,
                    &["heads-a1", "heads-a2", "heads-b1"],
                ),
            ],
            rounds: vec![],
            bad_nodes: vec![],
        }
    }

    #[test]
    fn arrays_follow_the_edges_of_the_plan() {
        let one = submission();
        let standings = vec![Standing::Unsubmitted; 7];
        let chosen = choose(&one, &standings);
        assert_eq!(chosen.tasks, [0, 1, 2, 3, 4, 5, 6]);
        let arrays = group(&one, &chosen.tasks, &BTreeMap::new());
        let shown: Vec<(String, Vec<usize>, String)> = arrays
            .into_iter()
            .map(|array| (array.name, array.tasks, array.after.join(" ")))
            .collect();
        let expected = [
            ("01-pass", vec![0, 1], ""),
            ("02-pass", vec![2], ""),
            ("03-heads", vec![3, 4], "01-pass"),
            ("04-heads", vec![5], "02-pass"),
            ("05-metric", vec![6], "03-heads 04-heads"),
        ];
        let expected =
            expected.map(|(name, tasks, after)| (name.to_owned(), tasks, after.to_owned()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_round_holds_what_may_be_in_the_queue() {
        let mut one = submission();
        one.settings.max_jobs = Some(4);
        let mut standings = vec![Standing::Unsubmitted; 7];
        let first = choose(&one, &standings);
        assert_eq!(
            (first.tasks.as_slice(), first.later),
            ([0, 1, 2].as_slice(), 4)
        );
        standings[0] = Standing::Done;
        standings[2] = Standing::Done;
        standings[1] = Standing::Running("n0".to_owned());
        let second = choose(&one, &standings);
        assert_eq!(second.tasks, [3, 4]);
        let live = BTreeMap::from([("pass-aa".to_owned(), vec!["12_1".to_owned()])]);
        let arrays = group(&one, &second.tasks, &live);
        assert_eq!(arrays.len(), 1);
        assert_eq!(arrays[0].after_jobs, ["12_1"]);
    }

    #[test]
    fn what_needs_something_that_failed_is_not_submitted() {
        let mut one = submission();
        one.tasks[2].failures = 3;
        let mut standings = vec![Standing::Done; 7];
        standings[2] = Standing::Ended(Ending::Failed(1));
        standings[5] = Standing::Ended(Ending::Waits);
        standings[6] = Standing::Ended(Ending::Waits);
        let chosen = choose(&one, &standings);
        assert!(chosen.tasks.is_empty());
        assert_eq!(chosen.given_up, [2]);
        assert_eq!(chosen.blocked, [5, 6]);
    }
}
