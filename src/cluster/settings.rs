//! The table `[executor]` of `repro.toml`: where jobs are submitted, and what each may take.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::parse_bytes;

/// Which program takes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorKind {
    /// Slurm's `sbatch`.
    Slurm,
}

/// What is submitted, and how. Each key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ExecutorSettings {
    /// Which program takes jobs; an option says it where this does not.
    pub kind: Option<ExecutorKind>,
    /// `--partition` of sbatch.
    pub partition: Option<String>,
    /// `--account` of sbatch.
    pub account: Option<String>,
    /// `--qos` of sbatch.
    pub qos: Option<String>,
    /// `--constraint` of sbatch.
    pub constraint: Option<String>,
    /// Nodes that no job is given, as `--exclude` of sbatch takes them.
    pub exclude: Option<String>,
    /// GPUs of a task that computes with a network; 0 where there are none.
    pub gpus: Option<u32>,
    /// `--gres` of sbatch for tasks on GPUs, in place of `gpu:N`.
    pub gres: Option<String>,
    /// Cores of a task.
    pub cpus: Option<u32>,
    /// Memory of a task at first, in bytes, in place of what the plan says.
    #[serde(deserialize_with = "size", serialize_with = "sized")]
    pub memory: Option<u64>,
    /// The most memory that a task is given after it ran out of it, in bytes.
    #[serde(deserialize_with = "size", serialize_with = "sized")]
    pub most_memory: Option<u64>,
    /// The longest time limit of a task.
    #[serde(deserialize_with = "minutes", serialize_with = "in_minutes")]
    pub time_limit: Option<Minutes>,
    /// The shortest time limit of a task.
    #[serde(deserialize_with = "minutes", serialize_with = "in_minutes")]
    pub least_time: Option<Minutes>,
    /// How long the shards of one task take together, about.
    #[serde(deserialize_with = "minutes", serialize_with = "in_minutes")]
    pub task_time: Option<Minutes>,
    /// How many times the expected time a task is given.
    pub margin: Option<f64>,
    /// Multiply-adds a second of a device that nothing was measured on.
    pub rate: Option<f64>,
    /// Seconds ahead of the time limit at which a task is told to keep what it has and stop.
    pub notice: Option<u32>,
    /// The most tasks of a submission that are in the queue at a time.
    pub max_jobs: Option<u32>,
    /// The most tasks of an array that run at a time.
    pub at_once: Option<u32>,
    /// How often a task that failed is tried again.
    pub retries: Option<u32>,
    /// After how many failures a node is excluded.
    pub bad_node_after: Option<u32>,
    /// Commands of the shell before each task, such as `module load cuda`.
    pub setup: Vec<String>,
    /// More lines of options for sbatch, such as `--mail-type=FAIL`.
    pub sbatch: Vec<String>,
    /// An image of Apptainer in which tasks run.
    pub container: Option<String>,
    /// More options for `apptainer exec`, such as `--bind /data`.
    pub container_options: Vec<String>,
    /// The program that tasks start, in place of the one that submits.
    pub program: Option<String>,
}

/// A time limit in whole minutes, which is what Slurm counts in; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(pub u32);

impl Minutes {
    /// As sbatch takes it: `HH:MM:00`.
    pub fn in_hours(self) -> String {
        format!("{:02}:{:02}:00", self.0 / 60, self.0 % 60)
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        f64::from(self.0) * 60.0
    }
}

/// Reads `30m`, `12h` or `2d`.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn parse_minutes(typed: &str) -> Result<Minutes, String> {
    let typed = typed.trim();
    let units = [("m", 1), ("h", 60), ("d", 24 * 60)];
    let found = units.into_iter().find_map(|(unit, minutes)| {
        let number = typed.strip_suffix(unit)?.trim().parse::<u32>().ok()?;
        number.checked_mul(minutes)
    });
    match found {
        Some(minutes @ 1..=525_600) => Ok(Minutes(minutes)),
        _ => Err(format!(
            "invalid time `{typed}`: expected minutes, hours or days up to a year, such as `30m`, `12h` or `2d`"
        )),
    }
}

impl ExecutorSettings {
    /// These settings, or where they leave a key out those of `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let list = |own: Vec<String>, other: &Vec<String>| {
            if own.is_empty() { other.clone() } else { own }
        };
        let text = |own: Option<String>, other: &Option<String>| own.or_else(|| other.clone());
        Self {
            kind: self.kind.or(other.kind),
            partition: text(self.partition, &other.partition),
            account: text(self.account, &other.account),
            qos: text(self.qos, &other.qos),
            constraint: text(self.constraint, &other.constraint),
            exclude: text(self.exclude, &other.exclude),
            gpus: self.gpus.or(other.gpus),
            gres: text(self.gres, &other.gres),
            cpus: self.cpus.or(other.cpus),
            memory: self.memory.or(other.memory),
            most_memory: self.most_memory.or(other.most_memory),
            time_limit: self.time_limit.or(other.time_limit),
            least_time: self.least_time.or(other.least_time),
            task_time: self.task_time.or(other.task_time),
            margin: self.margin.or(other.margin),
            rate: self.rate.or(other.rate),
            notice: self.notice.or(other.notice),
            max_jobs: self.max_jobs.or(other.max_jobs),
            at_once: self.at_once.or(other.at_once),
            retries: self.retries.or(other.retries),
            bad_node_after: self.bad_node_after.or(other.bad_node_after),
            setup: list(self.setup, &other.setup),
            sbatch: list(self.sbatch, &other.sbatch),
            container: text(self.container, &other.container),
            container_options: list(self.container_options, &other.container_options),
            program: text(self.program, &other.program),
        }
    }

    /// GPUs of a task that computes with a network.
    pub fn gpus(&self) -> u32 {
        self.gpus.unwrap_or(0)
    }

    /// Cores of a task.
    pub fn cpus(&self) -> u32 {
        self.cpus.unwrap_or(4).max(1)
    }

    /// The longest time limit of a task; twelve hours where nobody says.
    pub fn time_limit(&self) -> Minutes {
        self.time_limit.unwrap_or(Minutes(12 * 60))
    }

    /// The shortest time limit of a task, not above the longest; ten minutes where nobody says.
    pub fn least_time(&self) -> Minutes {
        self.least_time
            .unwrap_or(Minutes(10))
            .min(self.time_limit())
    }

    /// Seconds that the shards of one task take together; an hour where nobody says, and not more than fits into the longest time limit.
    pub fn task_seconds(&self) -> f64 {
        let wanted = self.task_time.unwrap_or(Minutes(60)).seconds();
        wanted.min(self.time_limit().seconds() / self.margin())
    }

    /// How many times the expected time a task is given.
    pub fn margin(&self) -> f64 {
        self.margin.unwrap_or(2.0).max(1.0)
    }

    /// Multiply-adds a second of a device that nothing was measured on: what a GPU of some years ago does in f32, or a few cores.
    pub fn rate(&self) -> f64 {
        let usual = if self.gpus() > 0 { 2e12 } else { 2e10 };
        self.rate.filter(|rate| *rate > 0.0).unwrap_or(usual)
    }

    /// Seconds ahead of a time limit at which a task is told to stop; two minutes where nobody says. `None` where the limit is not three
    /// minutes longer than that: Slurm may be a minute early, and a task that is told to stop as it begins does nothing.
    pub fn notice(&self, limit: Minutes) -> Option<u32> {
        let notice = self.notice.unwrap_or(120);
        let least = notice.saturating_add(180);
        (limit.0.saturating_mul(60) >= least).then_some(notice)
    }

    /// The most tasks of a submission that are in the queue at a time.
    pub fn max_jobs(&self) -> usize {
        self.max_jobs.unwrap_or(1_000).max(2) as usize
    }

    /// How often a task that failed is tried again.
    pub fn retries(&self) -> u32 {
        self.retries.unwrap_or(2)
    }

    /// After how many failures a node is excluded.
    pub fn bad_node_after(&self) -> u32 {
        self.bad_node_after.unwrap_or(2).max(1)
    }

    /// The most memory of a task that was given `first` bytes at first.
    pub fn most_memory(&self, first: u64) -> u64 {
        self.most_memory
            .unwrap_or(first.saturating_mul(8))
            .max(first)
    }
}

fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let typed = Option::<String>::deserialize(value)?;
    let parsed = typed.map(|typed| parse_bytes(&typed)).transpose();
    parsed.map_err(serde::de::Error::custom)
}

#[expect(clippy::ref_option, reason = "the form that serde calls")]
fn sized<S: Serializer>(value: &Option<u64>, out: S) -> Result<S::Ok, S::Error> {
    value.map(|bytes| format!("{bytes}B")).serialize(out)
}

fn minutes<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Minutes>, D::Error> {
    let typed = Option::<String>::deserialize(value)?;
    let parsed = typed.map(|typed| parse_minutes(&typed)).transpose();
    parsed.map_err(serde::de::Error::custom)
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
fn in_minutes<S: Serializer>(value: &Option<Minutes>, out: S) -> Result<S::Ok, S::Error> {
    value
        .map(|Minutes(minutes)| format!("{minutes}m"))
        .serialize(out)
}

/// The time in whole minutes, rounded up; a year at most.
pub fn minutes_of(length: Duration) -> Minutes {
    let minutes = length.as_secs().div_ceil(60).clamp(1, 525_600);
    Minutes(u32::try_from(minutes).unwrap_or(525_600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_written_alike() {
        let text = "kind = \"slurm\"\npartition = \"gpu\"\nmemory = \"16G\"\ntime-limit = \"2d\"\nsetup = [\"module load cuda\"]\n";
        let settings: ExecutorSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.memory, Some(16 << 30));
        assert_eq!(settings.time_limit(), Minutes(2880));
        assert_eq!(settings.time_limit().in_hours(), "48:00:00");
        let json = serde_json::to_string(&settings).unwrap();
        let again: ExecutorSettings = serde_json::from_str(&json).unwrap();
        assert_eq!(again, settings);
        let typed = ExecutorSettings {
            partition: Some("cpu".to_owned()),
            ..ExecutorSettings::default()
        };
        let both = typed.or(&settings);
        assert_eq!(both.partition.as_deref(), Some("cpu"));
        assert_eq!(both.setup, settings.setup);
    }

    #[test]
    fn times_are_minutes_hours_or_days() {
        assert_eq!(parse_minutes("90m"), Ok(Minutes(90)));
        assert_eq!(parse_minutes("12h").unwrap().in_hours(), "12:00:00");
        for wrong in ["", "12", "0m", "1.5h", "h", "9999999d"] {
            assert!(parse_minutes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(minutes_of(Duration::from_secs(61)), Minutes(2));
    }

    #[test]
    fn a_short_limit_has_no_notice() {
        let settings = ExecutorSettings::default();
        assert_eq!(settings.notice(Minutes(4)), None);
        assert_eq!(settings.notice(Minutes(5)), Some(120));
    }
}
