//! What follows from how tasks ended: more memory, more time, another node, another try, or none.

use std::collections::{BTreeMap, BTreeSet};

use super::cut::limit;
use super::ending::Ending;
use super::record::Submission;

/// How often a task is continued that its time limit or another job stops. It resumes where it stopped, so this is not a failure.
const MOST_STOPS: u32 = 50;
/// Exit codes that another try does not change: an error in the experiment file, and a bug.
const FOR_GOOD: [i32; 2] = [2, 5];

/// How a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// What it makes is in the cache.
    Done,
    /// It runs, on this node.
    Running(String),
    /// It waits in the queue, for this reason.
    Queued(String),
    /// It waits in the queue until somebody releases it, for this reason.
    Held(String),
    /// Its job ended, and its work is not done.
    Ended(Ending),
    /// It was not submitted yet.
    Unsubmitted,
    /// The plan has no such job any more: the experiment file has changed since.
    Unknown,
}

impl Standing {
    /// Whether its job is in the queue.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Queued(_) | Self::Held(_))
    }
}

/// Writes down how the tasks of the last rounds ended, each once, and what they are given next.
pub fn judge(submission: &mut Submission, standings: &[Standing]) {
    let settings = submission.settings.clone();
    let rounds: Vec<Option<u32>> = (0..submission.tasks.len())
        .map(|task| submission.place_of(task).map(|(round, ..)| round.number))
        .collect();
    let ended = submission.tasks.iter_mut().zip(standings).zip(rounds);
    for ((task, standing), round) in ended {
        let (Standing::Ended(ending), Some(round)) = (standing, round) else {
            continue;
        };
        if task.judged >= round {
            continue;
        }
        task.judged = round;
        match ending {
            Ending::Waits | Ending::Canceled => {}
            Ending::OutOfMemory => {
                let most = settings.most_memory(task.first_memory);
                if task.memory >= most {
                    // With as much as there may be, nothing would be different.
                    task.failures = settings.retries() + 1;
                }
                task.memory = task.memory.saturating_mul(2).min(most);
            }
            Ending::TimeLimit => {
                let most = settings.time_limit().0;
                task.minutes = task.minutes.saturating_mul(2).min(most);
                task.stops += 1;
            }
            Ending::Preempted => task.stops += 1,
            Ending::Failed(code) if FOR_GOOD.contains(code) => {
                task.failures = settings.retries() + 1;
            }
            Ending::Failed(_)
            | Ending::Lost
            | Ending::NodeFailed
            | Ending::Stopped
            | Ending::Killed
            | Ending::NoTrace => task.failures += 1,
        }
    }
}

/// Whether a task is not tried again.
pub fn is_given_up(submission: &Submission, task: usize) -> bool {
    submission.tasks.get(task).is_some_and(|task| {
        task.failures > submission.settings.retries() || task.stops > MOST_STOPS
    })
}

/// Forgets failures, for whoever has removed their cause and wants all tasks tried again: with so much memory, where it is named, and with
/// time limits that the settings now allow.
pub fn forgive(submission: &mut Submission, memory: Option<u64>) {
    let settings = &submission.settings;
    for task in &mut submission.tasks {
        task.failures = 0;
        task.stops = 0;
        if let Some(memory) = memory {
            (task.memory, task.first_memory) = (memory, memory);
        }
        let limit = limit(task.seconds, settings).0.max(task.minutes);
        task.minutes = limit.min(settings.time_limit().0);
    }
}

/// Nodes on which so many tasks failed as the settings say and none succeeded, while tasks succeeded on others. `on` are the nodes of
/// tasks whose job ended, and whether it succeeded; running out of memory or of time is not a failure of the node.
pub fn bad_nodes(submission: &Submission, on: &[(String, bool)]) -> BTreeSet<String> {
    let mut counted: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (node, succeeded) in on {
        let (failures, successes) = counted.entry(node).or_default();
        *(if *succeeded { successes } else { failures }) += 1;
    }
    let has_succeeded_elsewhere = |node: &str| {
        let mut others = counted.iter().filter(|(other, _)| **other != node);
        others.any(|(_, (_, successes))| *successes > 0)
    };
    let bad = counted.iter().filter(|(node, (failures, successes))| {
        *failures >= submission.settings.bad_node_after()
            && *successes == 0
            && has_succeeded_elsewhere(node)
    });
    bad.map(|(node, _)| (*node).to_owned()).collect()
}

/// Whether an ending may be the fault of the node.
pub fn may_be_the_node(ending: &Ending) -> bool {
    match ending {
        Ending::Failed(code) => !FOR_GOOD.contains(code),
        Ending::NodeFailed | Ending::Killed | Ending::Lost => true,
        Ending::Waits
        | Ending::OutOfMemory
        | Ending::TimeLimit
        | Ending::Preempted
        | Ending::Canceled
        | Ending::Stopped
        | Ending::NoTrace => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::record::{Round, TaskArray};
    use crate::cluster::rounds::tests::submission;

    fn in_round(submission: &mut Submission, tasks: usize) {
        submission.rounds.push(Round {
            number: 1,
            at: String::new(),
            arrays: vec![TaskArray {
                name: "01-pass".to_owned(),
                tasks: (0..tasks).collect(),
                minutes: 10,
                memory: 1 << 30,
                uses_device: true,
                after: vec![],
                after_jobs: vec![],
            }],
            after_jobs: vec![],
        });
    }

    #[test]
    fn what_was_short_is_doubled_within_bounds() {
        let mut one = submission();
        in_round(&mut one, 3);
        let short = [
            Standing::Ended(Ending::OutOfMemory),
            Standing::Ended(Ending::TimeLimit),
            Standing::Ended(Ending::Failed(2)),
        ];
        let before = one.tasks[0].memory;
        judge(&mut one, &short);
        assert_eq!(one.tasks[0].memory, 2 * before);
        assert_eq!(one.tasks[1].minutes, 20);
        assert_eq!((one.tasks[0].failures, one.tasks[1].failures), (0, 0));
        assert!(!is_given_up(&one, 0) && !is_given_up(&one, 1) && is_given_up(&one, 2));
        // Asked again about the same round, nothing is counted twice.
        judge(&mut one, &short);
        assert_eq!(one.tasks[0].memory, 2 * before);
        for round in 2..9 {
            one.rounds[0].number = round;
            judge(&mut one, &short);
        }
        assert_eq!(one.tasks[0].memory, 8 * before);
        assert_eq!(one.tasks[1].minutes, 720);
        assert!(is_given_up(&one, 0) && !is_given_up(&one, 1));
        forgive(&mut one, Some(1 << 30));
        assert_eq!(one.tasks[0].memory, 1 << 30);
        assert!(!is_given_up(&one, 0));
    }

    #[test]
    fn waiting_and_giving_way_are_no_failures() {
        let mut one = submission();
        in_round(&mut one, 1);
        judge(&mut one, &[Standing::Ended(Ending::Waits)]);
        assert_eq!(one.tasks[0].failures, 0);
        // Nor is it one to have given way to another job, however often.
        for round in 2..12 {
            one.rounds[0].number = round;
            judge(&mut one, &[Standing::Ended(Ending::Preempted)]);
        }
        assert_eq!((one.tasks[0].failures, one.tasks[0].stops), (0, 10));
        assert!(!is_given_up(&one, 0));
    }

    #[test]
    fn a_node_is_bad_where_others_are_not() {
        let one = submission();
        let on = |listed: &[(&str, bool)]| -> Vec<String> {
            let listed: Vec<(String, bool)> = listed
                .iter()
                .map(|(node, good)| ((*node).to_owned(), *good))
                .collect();
            bad_nodes(&one, &listed).into_iter().collect()
        };
        assert_eq!(on(&[("n0", false), ("n0", false), ("n1", true)]), ["n0"]);
        assert!(on(&[("n0", false), ("n1", true)]).is_empty());
        assert!(on(&[("n0", false), ("n0", false), ("n1", false)]).is_empty());
        assert!(on(&[("n0", false), ("n0", false), ("n0", true), ("n1", true)]).is_empty());
    }
}
