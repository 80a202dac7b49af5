//! From a plan to tasks: jobs that can be cut are cut so that each task takes about as long as was asked for, and each task is given the
//! memory and the time that its job costs.

use std::time::Duration;

use super::record::Task;
use super::settings::{ExecutorSettings, Minutes, minutes_of};
use crate::plan::{Job, JobKind, Plan, Rates};

/// Seconds that a task takes before it computes anything: the program and its libraries are loaded, the plan is made, weights are read.
const STARTING: f64 = 60.0;
/// Bytes a second that come from a remote: what a slow connection gives. A download that takes longer is resumed.
const FROM_REMOTE: f64 = 1e7;
/// Memory that a task takes whatever it does, in bytes.
const ALWAYS: u64 = 4 << 30;
/// Memory of a task that trains a network or runs one, beside that, in bytes.
const OF_NETWORKS: u64 = 4 << 30;
/// Features that a head needs in memory at the most, in bytes: it trains on a part of them at a time where they are more.
const OF_HEADS: u64 = 24 << 30;
/// Time limits, in minutes. Few of them, so that tasks that are alike are in one array.
const LIMITS: [u32; 12] = [1, 2, 5, 10, 30, 60, 120, 240, 480, 1_440, 2_880, 10_080];

/// The tasks of a plan: what is missing, in the order of the plan. `rates` are those of earlier jobs.
pub fn cut(plan: &Plan, rates: &Rates, settings: &ExecutorSettings) -> Vec<Task> {
    let jobs = plan.jobs.iter();
    jobs.flat_map(|job| of_job(plan, job, rates, settings))
        .collect()
}

fn of_job(plan: &Plan, job: &Job, rates: &Rates, settings: &ExecutorSettings) -> Vec<Task> {
    let seconds = if job.kind == JobKind::Transfer {
        job.cost.bytes as f64 / FROM_REMOTE
    } else {
        rates
            .seconds_of(plan, job)
            .unwrap_or_else(|| plan.multiply_adds(job) as f64 / settings.rate())
    };
    let first = job.steps.first().map(|&id| plan.step(id));
    let label = first.map_or_else(String::new, |step| step.artifact.label.clone());
    let memory = memory(plan, job, settings);
    let needs = job
        .needs
        .iter()
        .map(|&needed| plan.jobs[needed].name.clone());
    let needs: Vec<String> = needs.collect();
    let task = |shards: Option<(usize, usize)>, seconds: f64| Task {
        job: job.name.clone(),
        kind: job.kind,
        label: label.clone(),
        shards,
        needs: needs.clone(),
        seconds,
        minutes: limit(seconds, settings).0,
        memory,
        first_memory: memory,
        failures: 0,
        stops: 0,
        judged: 0,
    };
    let Some(shards) = job.shards.filter(|&shards| shards > 0) else {
        return vec![task(None, seconds)];
    };
    let ranges = ranges(shards, seconds, settings);
    if ranges.len() == 1 {
        return vec![task(None, seconds)];
    }
    let of_shard = seconds / shards as f64;
    let cut = ranges.into_iter();
    cut.map(|(first, end)| task(Some((first, end)), of_shard * (end - first) as f64))
        .collect()
}

/// Ranges of shards of about the same length, which take no longer together than was asked for; a shard cannot be cut.
fn ranges(shards: usize, seconds: f64, settings: &ExecutorSettings) -> Vec<(usize, usize)> {
    let wanted = (seconds / settings.task_seconds()).ceil();
    let most = shards.min(settings.max_jobs() * 64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in the range from 1 to the number of shards"
    )]
    let tasks = wanted.clamp(1.0, most as f64) as usize;
    let at = |number: usize| number * shards / tasks;
    (0..tasks)
        .map(|number| (at(number), at(number + 1)))
        .collect()
}

/// The time limit of a task that is expected to take so long: the first of [`LIMITS`] that leaves the margin.
pub(super) fn limit(seconds: f64, settings: &ExecutorSettings) -> Minutes {
    let length = Duration::try_from_secs_f64(seconds * settings.margin() + STARTING);
    let wanted = minutes_of(length.unwrap_or(Duration::MAX)).max(settings.least_time());
    let rung = LIMITS.into_iter().map(Minutes).find(|rung| *rung >= wanted);
    rung.unwrap_or(wanted).min(settings.time_limit())
}

/// Bytes of memory that a job is given, in whole GiB.
fn memory(plan: &Plan, job: &Job, settings: &ExecutorSettings) -> u64 {
    if let Some(memory) = settings.memory {
        return memory;
    }
    let features = plan.feature_bytes(job);
    let own = match job.kind {
        JobKind::Pretrain | JobKind::Sample | JobKind::Tuning => OF_NETWORKS,
        JobKind::Pass | JobKind::Import => OF_NETWORKS.saturating_add(features.saturating_mul(2)),
        JobKind::Heads | JobKind::Refit => features.min(OF_HEADS),
        JobKind::Metric | JobKind::Transfer => 0,
    };
    ALWAYS
        .saturating_add(own)
        .div_ceil(1 << 30)
        .saturating_mul(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_divided_evenly_and_each_once() {
        let settings = ExecutorSettings::default();
        for (shards, seconds, tasks) in [
            (12, 60.0, 1),
            (12, 4.0 * 3600.0, 4),
            (5, 1e9, 5),
            (7, 9_000.0, 3),
        ] {
            let ranges = ranges(shards, seconds, &settings);
            assert_eq!(ranges.len(), tasks, "{shards} shards of {seconds} s");
            let covered = ranges.iter().flat_map(|&(first, end)| first..end);
            assert!(covered.eq(0..shards));
        }
    }

    #[test]
    fn limits_leave_a_margin_and_keep_within_the_longest() {
        let settings = ExecutorSettings::default();
        assert_eq!(limit(0.0, &settings), Minutes(10));
        assert_eq!(limit(1_000.0, &settings), Minutes(60));
        assert_eq!(limit(1e12, &settings), Minutes(720));
        let short = ExecutorSettings {
            time_limit: Some(Minutes(3)),
            ..settings
        };
        assert_eq!(limit(0.0, &short), Minutes(3));
        let least = ExecutorSettings {
            least_time: Some(Minutes(1)),
            ..short
        };
        assert_eq!(limit(0.0, &least), Minutes(1));
    }
}
