//! `repro cancel`: withdraws the jobs of a submission. What they have committed stays in the cache.

use clap::Args;

use super::Context;
use super::cluster::{Submitted, slurm};
use super::exit::Failure;
use crate::text::plural;

/// Arguments of `repro cancel`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro cancel      the newest submission\n  repro cancel 3\n\nWhat was committed stays in the cache. `repro submit --continue ID` submits the rest."
)]
pub struct Arguments {
    /// The number of the submission; the newest if not given.
    #[arg(value_name = "ID")]
    id: Option<u32>,
}

/// Cancels what of a submission is in the queue.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let submitted = Submitted::open(context, arguments.id)?;
    let id = submitted.submission.id;
    // First of all: a job that is about to submit the next round looks for it.
    submitted.set_canceled(true)?;
    let numbers = slurm::numbers(&submitted)?;
    let asked: Vec<&str> = numbers.values().map(String::as_str).collect();
    let queue = slurm::ask(&asked, 1)?;
    let is_live = |number: &&str| {
        let prefix = format!("{number}_");
        queue.iter().any(|(known, job)| {
            job.state.is_live() && (known == number || known.starts_with(&prefix))
        })
    };
    let live: Vec<&str> = asked.into_iter().filter(is_live).collect();
    if live.is_empty() {
        say!("nothing of submission {id} is in the queue");
        return Ok(());
    }
    slurm::cancel(&live)?;
    say!(
        "canceled {} of submission {id}; everything committed is kept, and `repro submit --continue {id}` submits the rest",
        plural(live.len(), "job")
    );
    Ok(())
}
