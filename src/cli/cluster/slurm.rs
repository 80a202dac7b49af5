//! The programs of Slurm: what is asked of them, and what their silence means.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{Failure, Submitted, cannot};
use crate::cluster::queue::{self, Queue};
use crate::cluster::record::{LAST, job_name};
use crate::limits;
use crate::message::Message;

/// How long to wait before Slurm is asked again, where it does not answer: a controller that is restarted is away for seconds.
pub(in crate::cli) const PAUSE: Duration = Duration::from_secs(5);
/// Numbers of jobs that one command names.
const MOST_NAMED: usize = 500;

/// The numbers that Slurm gave what was submitted: by the number of the round and the name of the script.
pub(in crate::cli) type Numbers = BTreeMap<(u32, String), String>;

/// Reads the numbers of all rounds of a submission.
pub(in crate::cli) fn numbers(submitted: &Submitted) -> Result<Numbers, Failure> {
    let mut numbers = Numbers::new();
    for round in &submitted.submission.rounds {
        let path = submitted.round(round.number).join("submitted");
        let text = match limits::read_text(&path, limits::SUBMISSION) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        for line in text.lines() {
            if let Some((name, number)) = line.split_once(' ')
                && is_number(number)
            {
                numbers.insert((round.number, name.to_owned()), number.to_owned());
            }
        }
    }
    Ok(numbers)
}

/// Whether a word is the number of a job, and nothing that a command could take for something else.
fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Gives a round to Slurm by its script; what the script printed where it failed.
pub(in crate::cli) fn submit(folder: &Path) -> Result<(), Failure> {
    let mut command = Command::new("bash");
    command.arg(folder.join("submit.sh"));
    let output = run(command)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let message = Message::new(format!(
        "Slurm took not all of the jobs: {}",
        said.join("; ")
    ));
    Err(Failure::Input(message.hint(format!(
        "the scripts are in {}; `repro status` shows what was taken, `repro cancel` withdraws it, and `repro submit --continue` submits what is missing",
        folder.display()
    ))))
}

/// What Slurm says of these jobs: those in the queue and those that ended lately, and of others what its accounting has, if it has one.
///
/// - `tries`: how often it is asked before its silence is an error
///
/// # Errors
/// There is no `squeue`, or it does not answer.
pub(in crate::cli) fn ask(numbers: &[&str], tries: u32) -> Result<Queue, Failure> {
    let mut queue = Queue::new();
    for named in numbers.chunks(MOST_NAMED) {
        let listed = named.join(",");
        queue.extend(squeue(&listed, tries)?);
        // An array is known by its tasks.
        let is_known = |number: &&&str| {
            let tasks = format!("{number}_");
            let next = queue.range(tasks.clone()..).next();
            queue.contains_key(**number) || next.is_some_and(|(known, _)| known.starts_with(&tasks))
        };
        let forgotten: Vec<&str> = named
            .iter()
            .filter(|number| !is_known(number))
            .copied()
            .collect();
        if forgotten.is_empty() {
            continue;
        }
        let mut command = Command::new("sacct");
        command
            .args([
                "--noheader",
                "--parsable2",
                "--allocations",
                queue::SACCT_FORMAT,
            ])
            .arg(format!("--jobs={}", forgotten.join(",")));
        // Without accounting it says nothing, and the logs have to.
        if let Ok(output) = run(command)
            && output.status.success()
        {
            let told = queue::parse(&String::from_utf8_lossy(&output.stdout));
            // What `squeue` has forgotten has ended, whatever accounting did not hear of.
            queue.extend(told.into_iter().filter(|(_, job)| !job.state.is_live()));
        }
    }
    Ok(queue)
}

fn squeue(listed: &str, tries: u32) -> Result<Queue, Failure> {
    let mut tried = 0;
    loop {
        let mut command = Command::new("squeue");
        command
            .args([
                "--noheader",
                "--array",
                "--states=all",
                queue::SQUEUE_FORMAT,
            ])
            .arg(format!("--jobs={listed}"));
        let output = run(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || said.contains("Invalid job id") {
            return Ok(queue::parse(&String::from_utf8_lossy(&output.stdout)));
        }
        tried += 1;
        if tried >= tries {
            let said = said.lines().next().unwrap_or("nothing").trim().to_owned();
            return Err(Failure::Input(
                Message::new(format!("Slurm does not answer; `squeue` says: {said}"))
                    .hint("ask again when its controller runs"),
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Cancels jobs; arrays as a whole.
pub(in crate::cli) fn cancel(numbers: &[&str]) -> Result<(), Failure> {
    for named in numbers.chunks(MOST_NAMED) {
        let mut command = Command::new("scancel");
        command.args(named);
        let output = run(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        // What has ended meanwhile needs no canceling.
        if !output.status.success() && !said.contains("Invalid job id") {
            return Err(Failure::Input(
                format!("`scancel` failed: {}", said.trim()).into(),
            ));
        }
    }
    Ok(())
}

fn run(mut command: Command) -> Result<Output, Failure> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| {
        let name = command.get_program().to_string_lossy().into_owned();
        let message = Message::new(format!("cannot start `{name}`: {error}"));
        Failure::Usage(message.hint(
            "give the command where Slurm's programs are in PATH, such as on the login node; `repro submit --dry-run` only writes the scripts",
        ))
    })
}

/// Whether this process is the last job of a round of a submission.
pub(in crate::cli) fn is_last(submission: u32) -> bool {
    let own = std::env::var("SLURM_JOB_NAME");
    own.is_ok_and(|own| own == job_name(submission, LAST))
}
