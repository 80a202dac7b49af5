//! `repro status`: how the jobs of a submission are doing. Reads the cache, the queue and the logs, and changes nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::cluster::standing::{Look, log_of, look, number_of};
use super::cluster::{Submitted, slurm};
use super::exit::Failure;
use super::remote::RemoteChoice;
use super::{experiment, printed, table};
use crate::cluster::judge::{Standing, is_given_up};
use crate::cluster::queue::Queue;
use crate::cluster::record::LAST;
use crate::cluster::rounds::Lacking;
use crate::inputs::Otherwise;
use crate::store::Store;
use crate::text::plural;

/// Tasks whose ends are shown with their logs.
const MOST_LOGS: usize = 5;

/// Arguments of `repro status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro status              the newest submission\n  repro status 3 --watch    until nothing of it is in the queue\n\nWhat is done is what is in the cache, whatever became of a job."
)]
pub struct Arguments {
    /// The number of the submission; the newest if not given.
    #[arg(value_name = "ID")]
    id: Option<u32>,
    /// Show it again and again, until nothing is in the queue.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Seconds between two looks with `--watch`.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A submission as `--json` prints it.
#[derive(Serialize)]
struct Record {
    id: u32,
    experiment: String,
    file: String,
    user: String,
    /// When it was submitted.
    at: String,
    /// The newest round.
    round: usize,
    /// Whether everything is in the cache.
    done: bool,
    /// Whether anything is in the queue, or may be where Slurm does not answer.
    live: bool,
    /// The state of the job that ends the round, where Slurm knows it.
    last: Option<String>,
    /// The numbers of jobs that wait until they are released, also of those whose work is done.
    held: Vec<String>,
    /// Nodes that are left out because tasks failed there.
    bad_nodes: Vec<String>,
    tasks: Vec<TaskRecord>,
}

/// A task as `--json` prints it.
#[derive(Serialize)]
struct TaskRecord {
    job: String,
    label: String,
    shards: Option<(usize, usize)>,
    /// `done`, `running`, `queued`, `held`, `failed`, `waits`, `later` or `dropped`.
    state: &'static str,
    /// The node, the reason, or how it ended, in words.
    detail: String,
    /// The number that Slurm gave it.
    number: Option<String>,
    node: Option<String>,
    log: Option<String>,
    /// What it printed last, where it failed.
    tail: Vec<String>,
    /// Whether it is not tried again.
    given_up: bool,
    minutes: u32,
    memory: u64,
}

/// Shows how a submission is doing.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    loop {
        let submitted = Submitted::open(context, arguments.id)?;
        let record = record(context, &submitted)?;
        let mut out = printed::stdout(arguments.json);
        if arguments.json {
            serde_json::to_writer_pretty(&mut out, &record).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            write!(out, "{}", render(&record))?;
        }
        out.flush()?;
        drop(out);
        if !arguments.watch || !record.live {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(arguments.every));
    }
}

fn record(context: &Context, submitted: &Submitted) -> Result<Record, Failure> {
    let submission = &submitted.submission;
    let (project, file) = submitted.experiment(context);
    let store = Store::open_read_only(&project.cache)?;
    let remote = RemoteChoice::default().open(&project)?;
    let (planned, _) = experiment::survey_from(
        &project,
        &file,
        &store,
        remote.as_ref(),
        Otherwise::Estimate,
        &mut |_, _| {},
    )?;
    let numbers = slurm::numbers(submitted)?;
    let asked: Vec<&str> = numbers.values().map(String::as_str).collect();
    let queue = match slurm::ask(&asked, 1) {
        Ok(queue) => Some(queue),
        Err(Failure::Usage(message) | Failure::Input(message)) => {
            say!("note: {message}");
            None
        }
        Err(other) => return Err(other),
    };
    let look = look(
        submitted,
        &Lacking::of(&planned.plan)?,
        &numbers,
        queue.as_ref(),
    );
    let last = submission.rounds.last().and_then(|round| {
        let number = numbers.get(&(round.number, LAST.to_owned()))?;
        queue.as_ref()?.get(number)
    });
    let tasks = (0..submission.tasks.len())
        .filter_map(|index| task(submitted, &numbers, &look, index))
        .collect();
    Ok(Record {
        id: submission.id,
        experiment: submission.experiment.clone(),
        file: submission.file.clone(),
        user: submission.user.clone(),
        at: submission.at.clone(),
        round: submission.rounds.len(),
        done: planned.plan.is_done(),
        // Where Slurm does not answer, there may be more to come.
        live: queue.is_none()
            || look.standings.iter().any(Standing::is_live)
            || last.is_some_and(|job| job.state.is_live()),
        last: last.map(|job| format!("{:?}", job.state).to_lowercase()),
        held: queue.as_ref().map_or_else(Vec::new, held),
        bad_nodes: submission.bad_nodes.clone(),
        tasks,
    })
}

/// The numbers of jobs that wait until somebody releases them.
fn held(queue: &Queue) -> Vec<String> {
    let held = queue.iter().filter(|(_, job)| job.is_held);
    held.map(|(number, _)| number.clone()).collect()
}

fn task(
    submitted: &Submitted,
    numbers: &slurm::Numbers,
    look: &Look,
    index: usize,
) -> Option<TaskRecord> {
    let task = submitted.submission.tasks.get(index)?;
    let log = look.logs.get(&index);
    let (state, detail) = match look.standings.get(index)? {
        Standing::Done => ("done", String::new()),
        Standing::Running(node) => ("running", node.clone()),
        Standing::Queued(reason) => ("queued", reason.clone()),
        Standing::Held(reason) => ("held", reason.clone()),
        Standing::Unsubmitted => ("later", "not submitted yet".to_owned()),
        Standing::Unknown => (
            "dropped",
            "the experiment file has changed since, and its plan has no such job".to_owned(),
        ),
        Standing::Ended(crate::cluster::ending::Ending::Waits) => (
            "waits",
            format!("waits for {}", waited_for(submitted, look, &task.needs)),
        ),
        Standing::Ended(ending) => ("failed", ending.to_string()),
    };
    let is_failed = state == "failed";
    Some(TaskRecord {
        job: task.job.clone(),
        label: task.label.clone(),
        shards: task.shards,
        state,
        detail,
        number: number_of(submitted, numbers, index),
        node: log.and_then(|log| log.node.clone()),
        log: log
            .and_then(|_| log_of(submitted, index))
            .map(|path| path.display().to_string()),
        tail: log
            .filter(|_| is_failed)
            .map_or_else(Vec::new, |log| log.tail.clone()),
        given_up: state != "done" && is_given_up(&submitted.submission, index),
        minutes: task.minutes,
        memory: task.memory,
    })
}

/// The jobs among these that are not done, in words.
fn waited_for(submitted: &Submitted, look: &Look, needs: &[String]) -> String {
    let tasks = submitted.submission.tasks.iter().zip(&look.standings);
    let undone = tasks.filter(|(_, standing)| **standing != Standing::Done);
    let undone: Vec<&str> = undone.map(|(task, _)| task.job.as_str()).collect();
    let mut missing = needs.iter().filter(|need| undone.contains(&need.as_str()));
    match (missing.next(), missing.count()) {
        (None, _) => "the next round".to_owned(),
        (Some(one), 0) => one.clone(),
        (Some(one), others) => format!("{one} and {}", plural(others, "other")),
    }
}

/// The states in the order in which they say most of a job of several tasks.
const BY_WEIGHT: [&str; 8] = [
    "failed", "held", "running", "queued", "waits", "later", "dropped", "done",
];

fn render(record: &Record) -> String {
    let mut jobs: BTreeMap<&str, usize> = BTreeMap::new();
    let mut grouped: Vec<Vec<&TaskRecord>> = Vec::new();
    for task in &record.tasks {
        let place = *jobs.entry(&task.job).or_insert_with(|| {
            grouped.push(Vec::new());
            grouped.len() - 1
        });
        grouped[place].push(task);
    }
    let rows = grouped.iter().filter_map(|tasks| {
        let done = tasks.iter().filter(|task| task.state == "done").count();
        let weight = |task: &&&TaskRecord| BY_WEIGHT.iter().position(|state| *state == task.state);
        let shown = tasks.iter().min_by_key(weight)?;
        let detail = match shown.state {
            "failed" if shown.given_up => format!("{}; not tried again", shown.detail),
            "failed" if record.live => format!("{}; tried again in the next round", shown.detail),
            _ => shown.detail.clone(),
        };
        Some(vec![
            shown.job.clone(),
            shown.label.clone(),
            format!("{done} of {}", tasks.len()),
            shown.state.to_owned(),
            detail,
        ])
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let mut text = format!(
        "submission {}: {}, round {}, submitted {}\n\n{}\n",
        record.id,
        record.file,
        record.round,
        record.at,
        table::render(&["job", "makes", "tasks done", "state", ""], &rows),
    );
    let failed: Vec<&TaskRecord> = record
        .tasks
        .iter()
        .filter(|task| task.state == "failed")
        .collect();
    for task in failed.iter().take(MOST_LOGS) {
        let shards = task
            .shards
            .map_or_else(String::new, |(first, end)| format!(" {first}..{end}"));
        let node = task
            .node
            .as_ref()
            .map_or_else(String::new, |node| format!(" on {node}"));
        text.extend(["\n", &task.job, &shards, ": ", &task.detail, &node, "\n"]);
        if let Some(log) = &task.log {
            text.extend(["  ", log, "\n"]);
        }
        for line in &task.tail {
            text.extend(["  | ", line, "\n"]);
        }
    }
    if failed.len() > MOST_LOGS {
        text.extend([
            "\n… and ",
            &plural(failed.len() - MOST_LOGS, "other"),
            " that failed (`--json`)\n",
        ]);
    }
    if !record.bad_nodes.is_empty() {
        text.extend(["\nexcluded nodes: ", &record.bad_nodes.join(", "), "\n"]);
    }
    if !record.held.is_empty() {
        text.extend([
            "\nSlurm holds ",
            &plural(record.held.len(), "job"),
            ", and whatever depends on them waits, the report too. Once the reason is gone:\n  scontrol release ",
            &record.held.join(","),
            "\n",
        ]);
    }
    text.push('\n');
    text.push_str(&conclusion(record));
    text
}

/// What it all comes to, in a line.
fn conclusion(record: &Record) -> String {
    let done = record
        .tasks
        .iter()
        .filter(|task| task.state == "done")
        .count();
    let all = record.tasks.len();
    match (record.done, record.live) {
        // A cluster may lose a job, or the last one may have failed.
        (true, false) if record.last.as_deref() != Some("completed") => format!(
            "everything is in the cache; where the report is not written, `repro run {}` writes it\n",
            record.file
        ),
        (true, false) => "everything is in the cache\n".to_owned(),
        (true, true) => {
            "everything is in the cache; the report is still to be written\n".to_owned()
        }
        (false, true) => format!("{done} of {} done\n", plural(all, "task")),
        (false, false) => format!(
            "{done} of {} done, and nothing is in the queue: `repro submit --continue {}` submits the rest\n",
            plural(all, "task"),
            record.id
        ),
    }
}
