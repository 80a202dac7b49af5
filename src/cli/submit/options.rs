//! The options of `repro submit` that stand for keys of `[executor]`.

use clap::Args;

use crate::cluster::ExecutorSettings;
use crate::cluster::settings::{ExecutorKind, Minutes, parse_minutes};

/// What each task is given, and where.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Submit to Slurm.
    #[arg(long)]
    slurm: bool,
    /// The partition.
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// The account that is charged.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The quality of service.
    #[arg(long, value_name = "NAME")]
    qos: Option<String>,
    /// What nodes have to have, as sbatch takes it.
    #[arg(long, value_name = "FEATURES")]
    constraint: Option<String>,
    /// Nodes that no task is given, as sbatch takes them.
    #[arg(long, value_name = "NODES")]
    exclude: Option<String>,
    /// GPUs of a task that computes with a network; 0 if neither given nor in `repro.toml`.
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Cores of a task; 4 if neither given nor in `repro.toml`.
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Memory of a task at first, such as `16G`; by the plan if neither given nor in `repro.toml`. It is doubled for a task that ran out of it.
    #[arg(long, value_name = "SIZE", value_parser = crate::text::parse_bytes)]
    memory: Option<u64>,
    /// The longest time limit of a task, such as `30m`, `12h` or `2d`; 12h if neither given nor in `repro.toml`.
    #[arg(long, value_name = "TIME", value_parser = parse_minutes)]
    time_limit: Option<Minutes>,
    /// The most tasks in the queue at a time; 1000 if neither given nor in `repro.toml`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    max_jobs: Option<u32>,
    /// The most tasks of an array that run at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// How many times the expected time a task is given; 2 if neither given nor in `repro.toml`.
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    margin: Option<f64>,
    /// Multiply-adds a second of a device that nothing was measured on, such as `2e12`.
    #[arg(long, value_name = "RATE", value_parser = positive)]
    rate: Option<f64>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0, such as `2e12`".to_owned()),
    }
}

impl Options {
    /// As settings, of which only what was given is there.
    pub(super) fn settings(self) -> ExecutorSettings {
        ExecutorSettings {
            kind: self.slurm.then_some(ExecutorKind::Slurm),
            partition: self.partition,
            account: self.account,
            qos: self.qos,
            constraint: self.constraint,
            exclude: self.exclude,
            gpus: self.gpus,
            cpus: self.cpus,
            memory: self.memory,
            time_limit: self.time_limit,
            max_jobs: self.max_jobs,
            at_once: self.at_once,
            margin: self.margin,
            rate: self.rate,
            ..ExecutorSettings::default()
        }
    }
}
