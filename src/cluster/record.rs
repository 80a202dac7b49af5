//! What is kept of a submission in its folder, `submission.json`: what is to be done, in which rounds it was submitted, and what became
//! of the tasks that were judged.
//!
//! `status` and `cancel` read it; only `submit` writes it.

use serde::{Deserialize, Serialize};

use super::settings::{ExecutorSettings, Minutes};
use crate::message::Message;
use crate::plan::JobKind;

/// The version of the file.
///
/// History: 1, the first; 2, with a digest.
pub const VERSION: u32 = 2;

/// What stands in place of the digest while that is computed.
const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An experiment that was submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The version of this record.
    pub version: u32,
    /// Its number among those of the cache.
    pub id: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The experiment file, as it was typed.
    pub file: String,
    /// The profile that overrides it.
    pub profile: Option<String>,
    /// The keys that override it.
    pub set: Vec<String>,
    /// The folder in which the command was given.
    pub folder: String,
    /// The folder of the project, where it was named.
    pub directory: Option<String>,
    /// The folder of the project, as an absolute path.
    pub base: String,
    /// The folder of the cache, as an absolute path.
    pub cache: String,
    /// The program, as an absolute path.
    pub program: String,
    /// Who submitted it.
    pub user: String,
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// What each task is given, and where.
    pub settings: ExecutorSettings,
    /// All tasks, each behind those that it needs. They stay in their places; new ones are added at the end.
    pub tasks: Vec<Task>,
    /// What was submitted so far.
    pub rounds: Vec<Round>,
    /// Nodes that later rounds leave out, because tasks failed there that did not fail elsewhere.
    pub bad_nodes: Vec<String>,
}

/// One `repro job`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The job of the plan, such as `pass-1a2b3c4d5e6f`.
    pub job: String,
    /// What kind of job that is.
    pub kind: JobKind,
    /// What it makes, for people.
    pub label: String,
    /// The first of its shards and the one behind the last; `None` where the job is not cut.
    pub shards: Option<(usize, usize)>,
    /// The jobs that it needs.
    pub needs: Vec<String>,
    /// Seconds that it is expected to take.
    pub seconds: f64,
    /// Its time limit, in minutes.
    pub minutes: u32,
    /// Its memory, in bytes.
    pub memory: u64,
    /// The memory that it was given at first, in bytes.
    pub first_memory: u64,
    /// How often it failed.
    pub failures: u32,
    /// How often it was stopped by its time limit, or ahead of it, or gave way to another job.
    pub stops: u32,
    /// The last round whose end was counted among these.
    pub judged: u32,
}

impl Task {
    /// What its script is told to do: the job, and the shards of it.
    pub fn arguments(&self) -> String {
        match self.shards {
            Some((first, end)) => format!("{} --shards {first}..{end}", self.job),
            None => self.job.clone(),
        }
    }

    /// Its time limit.
    pub fn limit(&self) -> Minutes {
        Minutes(self.minutes)
    }

    /// Whether it computes with a network or trains, so that a GPU is of use.
    pub fn uses_device(&self) -> bool {
        !matches!(
            self.kind,
            JobKind::Import | JobKind::Metric | JobKind::Transfer
        )
    }
}

/// What was submitted at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 1.
    pub number: u32,
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// Its arrays, each behind those that it waits for.
    pub arrays: Vec<TaskArray>,
    /// Jobs of earlier rounds that have to end before the last of this one, by their numbers in Slurm.
    pub after_jobs: Vec<String>,
}

/// Tasks that are submitted together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskArray {
    /// Its name, which is that of its script without `.sh`.
    pub name: String,
    /// Its tasks, as indices into [`Submission::tasks`]; the number of a task in the array is its place here.
    pub tasks: Vec<usize>,
    /// The time limit of each, in minutes.
    pub minutes: u32,
    /// The memory of each, in bytes.
    pub memory: u64,
    /// Whether each is given a GPU, where the settings have any.
    pub uses_device: bool,
    /// The arrays of this round that have to end before.
    pub after: Vec<String>,
    /// Jobs of earlier rounds that have to end before, by their numbers in Slurm.
    pub after_jobs: Vec<String>,
}

/// The name of the job that ends a round.
pub const LAST: &str = "last";

/// The name of a job in Slurm, by the number of the submission and the name of the script.
pub fn job_name(submission: u32, script: &str) -> String {
    format!("repro-{submission}-{script}")
}

impl Submission {
    /// The content of its file: JSON whose field `digest` is the BLAKE3 digest of the text in which that digest is all zeros. What later
    /// rounds make is decided by this file, so a flipped byte in it must not become another experiment.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn text(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Sealed<'a> {
            digest: &'a str,
            #[serde(flatten)]
            submission: &'a Submission,
        }
        let text = serde_json::to_string_pretty(&Sealed {
            digest: UNSEALED,
            submission: self,
        })? + "\n";
        let digest = blake3::hash(text.as_bytes()).to_hex();
        // It stands first, so the zeros of a name are left alone.
        Ok(text.replacen(UNSEALED, &digest, 1))
    }

    /// Reads the content of its file.
    ///
    /// # Errors
    /// What is wrong, in words that follow the name of the file: no record, one of another version, or one that is not as it was written.
    pub fn read(text: &str) -> Result<Self, Message> {
        /// Read first, because another version need not have the other fields.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
            digest: Option<String>,
        }
        let none = |error: serde_json::Error| {
            Message::new(format!(
                "cannot be read as the record of a submission: {error}"
            ))
        };
        let head: Head = serde_json::from_str(text).map_err(none)?;
        if head.version != VERSION {
            let message = format!(
                "has version {}, but this release reads {VERSION}",
                head.version
            );
            return Err(Message::new(message).hint("use the release that submitted it"));
        }
        let is_sealed = head.digest.is_some_and(|digest| {
            let unsealed = text.replacen(&digest, UNSEALED, 1);
            blake3::hash(unsealed.as_bytes()).to_hex().as_str() == digest
        });
        if !is_sealed {
            let message = "is damaged: it does not have the digest that it states";
            let hint = "`scancel` withdraws what is in the queue; submit the experiment again: what is in the cache is not computed again";
            return Err(Message::new(message).hint(hint));
        }
        serde_json::from_str(text).map_err(none)
    }

    /// The newest round that has a task, with the array and the number of the task in it.
    pub fn place_of(&self, task: usize) -> Option<(&Round, &TaskArray, usize)> {
        self.rounds.iter().rev().find_map(|round| {
            round.arrays.iter().find_map(|array| {
                let number = array.tasks.iter().position(|&one| one == task)?;
                Some((round, array, number))
            })
        })
    }

    /// What overrides the experiment file, as it is typed, each behind a space.
    pub fn overrides(&self, for_shell: &dyn Fn(&str) -> String) -> String {
        let profile = self.profile.iter().map(|profile| ("--profile", profile));
        let set = self.set.iter().map(|set| ("--set", set));
        let typed = profile
            .chain(set)
            .map(|(option, value)| format!(" {option} {}", for_shell(value)));
        typed.collect()
    }
}
