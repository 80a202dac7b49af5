//! How the tasks of a submission are doing: by the cache first, then by the queue, then by their logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Submitted;
use super::slurm::Numbers;
use crate::cluster::ending::{LogEnd, ending, read_log};
use crate::cluster::judge::Standing;
use crate::cluster::queue::{JobState, Queue, QueuedJob};
use crate::cluster::rounds::Lacking;

/// Bytes of a log that are read from its beginning, which names the node.
const HEAD: u64 = 4 << 10;
/// Bytes of a log that are read from its end.
const TAIL: u64 = 64 << 10;
/// Lines of a log that are shown.
const SHOWN: usize = 6;

/// How the tasks of a submission are doing, in their order.
pub(in crate::cli) struct Look {
    pub(in crate::cli) standings: Vec<Standing>,
    /// The logs of tasks that are neither done nor in the queue.
    pub(in crate::cli) logs: BTreeMap<usize, LogEnd>,
}

/// The number that Slurm gave a task the last time that it was submitted: `12_3`.
pub(in crate::cli) fn number_of(
    submitted: &Submitted,
    numbers: &Numbers,
    task: usize,
) -> Option<String> {
    let (round, array, place) = submitted.submission.place_of(task)?;
    let number = numbers.get(&(round.number, array.name.clone()))?;
    Some(format!("{number}_{place}"))
}

/// The log of a task the last time that it was submitted.
pub(in crate::cli) fn log_of(submitted: &Submitted, task: usize) -> Option<PathBuf> {
    let (round, array, place) = submitted.submission.place_of(task)?;
    let logs = submitted.round(round.number).join("logs");
    Some(logs.join(format!("{}-{place}.log", array.name)))
}

/// Looks at all tasks. `queue` is what Slurm says, where it can be asked.
pub(in crate::cli) fn look(
    submitted: &Submitted,
    lacking: &Lacking,
    numbers: &Numbers,
    queue: Option<&Queue>,
) -> Look {
    let mut look = Look {
        standings: Vec::new(),
        logs: BTreeMap::new(),
    };
    for (index, task) in submitted.submission.tasks.iter().enumerate() {
        let standing = if !lacking.knows(task) {
            Standing::Unknown
        } else if lacking.has_done(task) {
            Standing::Done
        } else if submitted.submission.place_of(index).is_none() {
            Standing::Unsubmitted
        } else {
            let number = number_of(submitted, numbers, index);
            let job = number
                .as_ref()
                .zip(queue)
                .and_then(|(number, queue)| queue.get(number));
            match (job, queue, number) {
                (
                    Some(QueuedJob {
                        state: JobState::Running,
                        nodes,
                        ..
                    }),
                    ..,
                ) => Standing::Running(nodes.clone()),
                (
                    Some(QueuedJob {
                        reason,
                        is_held: true,
                        ..
                    }),
                    ..,
                ) => Standing::Held(reason.clone()),
                (
                    Some(QueuedJob {
                        state: JobState::Pending,
                        reason,
                        ..
                    }),
                    ..,
                ) => Standing::Queued(reason.clone()),
                (None, None, Some(_)) => Standing::Queued("Slurm was not asked".to_owned()),
                (job, ..) => {
                    let log = read(log_of(submitted, index).as_deref());
                    let ended = Standing::Ended(ending(&log, job.map(|job| job.state)));
                    look.logs.insert(index, log);
                    ended
                }
            }
        };
        look.standings.push(standing);
    }
    look
}

/// Nodes of tasks whose job ended in the last round, and whether they succeeded.
pub(in crate::cli) fn nodes(
    submitted: &Submitted,
    look: &Look,
    may_be_the_node: &dyn Fn(&Standing) -> bool,
) -> Vec<(String, bool)> {
    let round = submitted.submission.rounds.last();
    let tasks = round.into_iter().flat_map(|round| &round.arrays);
    let tasks = tasks.flat_map(|array| &array.tasks);
    let mut on = Vec::new();
    for &task in tasks {
        let Some(standing) = look.standings.get(task) else {
            continue;
        };
        let is_done = *standing == Standing::Done;
        if !is_done && !may_be_the_node(standing) {
            continue;
        }
        let node = match look.logs.get(&task) {
            Some(log) => log.node.clone(),
            None => read(log_of(submitted, task).as_deref()).node,
        };
        on.extend(node.map(|node| (node, is_done)));
    }
    on
}

/// The end of a log; that of an empty one where there is none.
fn read(path: Option<&Path>) -> LogEnd {
    let text = path.and_then(|path| ends(path).ok()).unwrap_or_default();
    read_log(&text, SHOWN)
}

/// The beginning and the end of a file, with a line break between them where something is left out.
fn ends(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= HEAD + TAIL {
        file.take(HEAD + TAIL).read_to_end(&mut bytes)?;
    } else {
        (&mut file).take(HEAD).read_to_end(&mut bytes)?;
        bytes.push(b'\n');
        file.seek(SeekFrom::Start(length - TAIL))?;
        file.take(TAIL).read_to_end(&mut bytes)?;
    }
    // A progress bar may have left carriage returns.
    Ok(String::from_utf8_lossy(&bytes).replace('\r', "\n"))
}
