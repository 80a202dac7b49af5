//! How a task ended: by the log of its script, and by what Slurm says of its job.
//!
//! Neither is sure. A log has no end where everything was killed, and Slurm forgets jobs; so both are asked, and what says more wins. For
//! what was computed neither counts: that is in the cache or it is not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::queue::JobState;

/// What the lines of a task's script begin with, apart from what the program itself prints.
pub const MARK: &str = "repro-task: ";
/// What a task's script says when it was told to stop because its job is preempted.
pub const PREEMPTED: &str = "preempted: it gives way to another job";
/// The exit code of a job whose needs are not there yet: what `sysexits.h` calls `EX_TEMPFAIL`, the same command may succeed later.
pub const WAITS: u8 = 75;
/// The exit code of a program that was told to stop, and kept what it had: 128 and the number of SIGINT, as a shell says it.
pub const STOPPED: u8 = 130;
/// 128 and the numbers of SIGKILL and SIGTERM, as a shell says them.
const KILLED: [i32; 2] = [137, 143];
/// What logs say where memory was short: this program, oneDNN, the loader of libraries, Linux and Slurm, libtorch, C++ and Rust.
const SHORT_OF_MEMORY: [&str; 11] = [
    "memory ran out",
    "could not create a primitive",
    "failed to map segment from shared object",
    "oom-kill",
    "oom_kill",
    "Out Of Memory",
    "out of memory",
    "not enough memory",
    "std::bad_alloc",
    "memory allocation of ",
    "Cannot allocate memory",
];

/// How a task ended whose work is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Something that it needs is not there yet; it did nothing.
    Waits,
    /// It needed more memory than it was given.
    OutOfMemory,
    /// Its time limit, or the notice ahead of it, stopped it.
    TimeLimit,
    /// Its node failed.
    NodeFailed,
    /// It was preempted and not requeued.
    Preempted,
    /// Somebody canceled it.
    Canceled,
    /// It was told to stop, and nobody says why.
    Stopped,
    /// It was killed, and nobody says why.
    Killed,
    /// Its program ended with this exit code.
    Failed(i32),
    /// Its program says that it is done, and what it makes is not in the cache.
    Lost,
    /// There is no trace of it.
    NoTrace,
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waits => "waits for jobs before it",
            Self::OutOfMemory => "out of memory",
            Self::TimeLimit => "stopped by its time limit",
            Self::NodeFailed => "its node failed",
            Self::Preempted => "preempted",
            Self::Canceled => "canceled",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Failed(code) => return write!(formatter, "failed with exit code {code}"),
            Self::Lost => "done, but what it made is not in the cache",
            Self::NoTrace => "no trace of it: neither a log nor a job",
        })
    }
}

/// What a log says of the last time that its task ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a log may say any of these things"
)]
pub struct LogEnd {
    /// The node; `None` where the task never began.
    pub node: Option<String>,
    /// How often it began.
    pub begun: u32,
    /// The exit code; `None` where it has not ended, or was killed with its script.
    pub code: Option<i32>,
    /// What was printed last, the lines of the script aside.
    pub tail: Vec<String>,
    /// Whether it says that memory was short.
    pub is_short_of_memory: bool,
    /// Whether Slurm wrote into it that the time was over, or the script that it was near.
    pub is_out_of_time: bool,
    /// Whether Slurm wrote into it, or its script, that it gave way to another job.
    pub is_preempted: bool,
    /// Whether Slurm wrote into it that the node failed.
    pub has_lost_node: bool,
}

/// Reads a log, or its end; of a task that began several times what stands behind the last beginning.
pub fn read_log(log: &str, tail: usize) -> LogEnd {
    let mut end = LogEnd::default();
    let mut printed: Vec<&str> = Vec::new();
    for line in log.lines() {
        if let Some(said) = line.strip_prefix(MARK) {
            if let Some(begun) = said.strip_prefix("begins ") {
                let words: Vec<&str> = begun.split_whitespace().collect();
                let on = words.iter().position(|word| *word == "on");
                let node = on.and_then(|at| words.get(at + 1));
                end = LogEnd {
                    node: node.map(|node| node.trim_end_matches(',').to_owned()),
                    begun: end.begun + 1,
                    ..LogEnd::default()
                };
                printed.clear();
            } else if let Some(ended) = said.strip_prefix("ended with ") {
                let code = ended.split_whitespace().next();
                end.code = code.and_then(|code| code.parse().ok());
            } else if said.starts_with("the time limit is near") {
                end.is_out_of_time = true;
            } else if said == PREEMPTED {
                end.is_preempted = true;
            }
            continue;
        }
        end.is_short_of_memory |= SHORT_OF_MEMORY.iter().any(|words| line.contains(words));
        end.is_out_of_time |= line.contains("DUE TO TIME LIMIT");
        end.is_preempted |= line.contains("DUE TO PREEMPTION");
        end.has_lost_node |= line.contains("DUE TO NODE FAILURE");
        if !line.trim().is_empty() {
            printed.push(line);
        }
    }
    let from = printed.len().saturating_sub(tail);
    end.tail = printed
        .split_off(from)
        .into_iter()
        .map(str::to_owned)
        .collect();
    end
}

/// How a task ended that is not in the queue any more and whose work is not done. `state` is what Slurm says of its job, where it still
/// knows.
pub fn ending(log: &LogEnd, state: Option<JobState>) -> Ending {
    let waits = i32::from(WAITS);
    let stopped = i32::from(STOPPED);
    match (log.code, state) {
        (Some(code), _) if code == waits => Ending::Waits,
        (_, Some(JobState::OutOfMemory)) => Ending::OutOfMemory,
        (Some(code), _) if code != 0 && log.is_short_of_memory => Ending::OutOfMemory,
        (None, _) if log.is_short_of_memory => Ending::OutOfMemory,
        // Whatever told it to stop: it was not its own limit.
        (_, _) if log.is_preempted => Ending::Preempted,
        (_, Some(JobState::Timeout | JobState::Deadline)) => Ending::TimeLimit,
        (None, _) if log.is_out_of_time => Ending::TimeLimit,
        (Some(code), _) if log.is_out_of_time && (code == stopped || KILLED.contains(&code)) => {
            Ending::TimeLimit
        }
        (_, Some(JobState::NodeFail | JobState::BootFail)) => Ending::NodeFailed,
        (None, _) if log.has_lost_node => Ending::NodeFailed,
        (_, Some(JobState::Preempted)) => Ending::Preempted,
        (_, Some(JobState::Canceled)) => Ending::Canceled,
        (Some(0), _) => Ending::Lost,
        (Some(code), _) if code == stopped => Ending::Stopped,
        (Some(code), _) if KILLED.contains(&code) => Ending::Killed,
        (Some(code), _) => Ending::Failed(code),
        (None, _) if log.node.is_some() => Ending::Killed,
        (None, Some(JobState::Failed)) => Ending::Killed,
        (None, _) => Ending::NoTrace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: &str = "repro-task: begins pass-1a --shards 0..4 on n1, job 12, restart 0, at 2026-11-29T11:00:00Z\n";

    fn of(log: &str, state: Option<JobState>) -> Ending {
        ending(&read_log(&format!("{BEGUN}{log}"), 3), state)
    }

    #[test]
    fn logs_say_how_tasks_ended() {
        let ended =
            |code: i32| format!("x\nrepro-task: ended with {code} at 2026-11-29T11:00:09Z\n");
        assert_eq!(of(&ended(0), None), Ending::Lost);
        assert_eq!(of(&ended(1), None), Ending::Failed(1));
        assert_eq!(of(&ended(75), Some(JobState::Failed)), Ending::Waits);
        assert_eq!(of(&ended(130), None), Ending::Stopped);
        assert_eq!(of(&ended(137), None), Ending::Killed);
        assert_eq!(of("x\n", None), Ending::Killed);
        let near = format!("{MARK}the time limit is near\n{}", ended(130));
        assert_eq!(of(&near, None), Ending::TimeLimit);
        let gave_way = format!("{near}{MARK}{PREEMPTED}\n");
        assert_eq!(of(&gave_way, Some(JobState::Failed)), Ending::Preempted);
        let over = "slurmstepd: error: *** JOB 7 ON n0 CANCELLED AT 2026-11-29T11:00:00 DUE TO TIME LIMIT ***\n";
        assert_eq!(of(over, None), Ending::TimeLimit);
        let preempted = "slurmstepd-n2: error: *** JOB 3 ON n2 CANCELLED AT 2026-11-29T11:00:00 DUE TO PREEMPTION ***\n";
        assert_eq!(
            of(&format!("{preempted}{}", ended(130)), None),
            Ending::Preempted
        );
        let bad = "terminate called after throwing an instance of 'std::bad_alloc'\n";
        assert_eq!(
            of(&format!("{bad}{}", ended(134)), None),
            Ending::OutOfMemory
        );
        assert_eq!(of(bad, None), Ending::OutOfMemory);
    }

    #[test]
    fn what_slurm_says_counts_where_the_log_has_no_end() {
        assert_eq!(of("x\n", Some(JobState::OutOfMemory)), Ending::OutOfMemory);
        assert_eq!(of("x\n", Some(JobState::Timeout)), Ending::TimeLimit);
        assert_eq!(of("x\n", Some(JobState::NodeFail)), Ending::NodeFailed);
        let none = LogEnd::default();
        assert_eq!(ending(&none, None), Ending::NoTrace);
        assert_eq!(ending(&none, Some(JobState::Canceled)), Ending::Canceled);
    }

    #[test]
    fn only_the_last_beginning_counts() {
        let log = format!(
            "{BEGUN}std::bad_alloc\n{}a\nb\n\nc\nd\n",
            BEGUN.replace("n1", "n2")
        );
        let end = read_log(&log, 3);
        assert_eq!((end.node.as_deref(), end.begun), (Some("n2"), 2));
        assert_eq!(end.tail, ["b", "c", "d"]);
        assert!(!end.is_short_of_memory);
    }
}
