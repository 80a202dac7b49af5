//! What Slurm says of jobs: the lines of `squeue` and `sacct`.

use std::collections::BTreeMap;

/// The format of `squeue` that [`parse`] reads: number, state, nodes, reason.
pub const SQUEUE_FORMAT: &str = "--format=%i|%T|%N|%r";
/// The fields of `sacct` that [`parse`] reads.
pub const SACCT_FORMAT: &str = "--format=JobID,State,NodeList,Reason";

/// States of jobs that wait until they are released.
const HOLDS: [&str; 3] = ["REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"];

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for a node, for its dependencies, or for whoever held it.
    Pending,
    /// It runs, or is about to, or is about to end.
    Running,
    /// Its script ended with 0.
    Completed,
    /// Its script ended otherwise.
    Failed,
    /// It ran out of memory.
    OutOfMemory,
    /// Its time limit ended it.
    Timeout,
    /// Its deadline ended it.
    Deadline,
    /// Its node failed.
    NodeFail,
    /// Its node did not come up.
    BootFail,
    /// It gave way to another job.
    Preempted,
    /// Somebody canceled it.
    Canceled,
}

impl JobState {
    /// Reads a state as Slurm writes it; what is not known counts as one of a job that is there.
    fn parse(text: &str) -> Self {
        // `CANCELLED by 1000` in `sacct`, and `+` behind what was cut.
        let word = text.split([' ', '+']).next().unwrap_or(text);
        match word {
            "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT"
            | "RESV_DEL_HOLD" => Self::Pending,
            "COMPLETED" => Self::Completed,
            "FAILED" => Self::Failed,
            "OUT_OF_MEMORY" => Self::OutOfMemory,
            "TIMEOUT" => Self::Timeout,
            "DEADLINE" => Self::Deadline,
            "NODE_FAIL" => Self::NodeFail,
            "BOOT_FAIL" => Self::BootFail,
            "PREEMPTED" => Self::Preempted,
            "CANCELLED" | "REVOKED" => Self::Canceled,
            _ => Self::Running,
        }
    }

    /// Whether the job is still in the queue.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

/// A job of the cluster: one task of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// Its state.
    pub state: JobState,
    /// Its nodes; empty where it has none yet.
    pub nodes: String,
    /// Why it waits.
    pub reason: String,
    /// Whether it waits until somebody releases it: its user or an administrator holds it, or Slurm does after its start failed.
    pub is_held: bool,
}

/// Jobs by their numbers, such as `12` and `12_3`.
pub type Queue = BTreeMap<String, QueuedJob>;

/// Reads what `squeue` or `sacct` printed, fields between bars. Lines of other forms are passed over; of a job that is listed twice the
/// last line counts.
pub fn parse(printed: &str) -> Queue {
    let mut queue = Queue::new();
    for line in printed.lines() {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [id, state, nodes, reason] = fields.as_slice() else {
            continue;
        };
        let parsed = JobState::parse(state);
        let job = QueuedJob {
            // `JobHeldUser`, `JobHeldAdmin`, `launch failed requeued held`.
            is_held: parsed == JobState::Pending
                && (HOLDS.contains(state) || reason.to_lowercase().contains("held")),
            state: parsed,
            nodes: if nodes.starts_with("None") {
                String::new()
            } else {
                (*nodes).to_owned()
            },
            reason: (*reason).to_owned(),
        };
        for id in expanded(id) {
            queue.insert(id, job.clone());
        }
    }
    queue
}

/// `12_[3-5,7%2]` stands for several tasks that wait: each by itself.
fn expanded(id: &str) -> Vec<String> {
    let Some((array, listed)) = id.split_once("_[") else {
        return vec![id.to_owned()];
    };
    let listed = listed.trim_end_matches(']');
    let listed = listed.split('%').next().unwrap_or(listed);
    let mut tasks = Vec::new();
    for piece in listed.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            tasks.extend(
                (first..=last.min(first.saturating_add(100_000)))
                    .map(|task| format!("{array}_{task}")),
            );
        }
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_and_sacct_are_read() {
        let queue = parse(
            "12_0|RUNNING|n0|None\n12_[2-3,5%4]|PENDING||Dependency\n13|CANCELLED by 0|None assigned|None\nsqueue: error: x\n14_1|OUT_OF_MEMORY|n1|OutOfMemory\n",
        );
        assert_eq!(queue["12_0"].state, JobState::Running);
        assert_eq!(queue["12_0"].nodes, "n0");
        for waiting in ["12_2", "12_3", "12_5"] {
            assert!(queue[waiting].state.is_live(), "{waiting}");
            assert_eq!(queue[waiting].reason, "Dependency");
        }
        assert_eq!(queue["13"].state, JobState::Canceled);
        assert_eq!(queue["13"].nodes, "");
        assert!(!queue["14_1"].state.is_live());
        assert_eq!(queue.len(), 6);
        assert!(queue.values().all(|job| !job.is_held));
    }

    #[test]
    fn jobs_that_wait_for_their_release_are_known() {
        let queue = parse(
            "10_1|PENDING||launch failed requeued held\n11_[0-1]|PENDING||JobHeldUser\n12|REQUEUE_HOLD||None\n13|RUNNING|n0|JobHeldAdmin\n",
        );
        for held in ["10_1", "11_0", "11_1", "12"] {
            assert!(queue[held].is_held, "{held}");
            assert!(queue[held].state.is_live(), "{held}");
        }
        assert!(!queue["13"].is_held, "it runs");
    }
}
