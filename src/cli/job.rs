//! `repro job`: one piece of a plan and nothing else, so that any scheduler outside can drive it.
//!
//! A job is named by what it makes, and not by its place in the plan: `repro plan --jobs` lists the names once, and they stay the same
//! while other jobs finish. Doing a job twice, or in two places at once, does no harm: parts prove themselves, and artifacts are
//! finished under a lock.

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::overrides::ExperimentFile;
use super::remote::RemoteChoice;
use super::working::Working;

/// Arguments of `repro job`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro plan experiments/quickstart.toml --jobs    lists the jobs\n  repro job experiments/quickstart.toml pass-1a2b3c4d5e6f\n  repro job experiments/quickstart.toml pass-1a2b3c4d5e6f --shards 0..4\n      shards 0, 1, 2 and 3\n\nWhat a job needs has to be in the cache already; nothing else is computed. `repro run` does all jobs and writes the report."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    /// The job's name, as `repro plan --jobs` lists it.
    #[arg(value_name = "JOB")]
    job: String,
    /// Some shards of a pass or of samples, such as `0..4`: the first, and the one behind the last.
    #[arg(long, value_name = "A..B", value_parser = parse_shards)]
    shards: Option<(usize, usize)>,
    #[command(flatten)]
    pub(super) working: Working,
    #[command(flatten)]
    from: RemoteChoice,
}

/// Reads `0..4`.
fn parse_shards(text: &str) -> Result<(usize, usize), String> {
    let wrong = || {
        "expected two numbers, such as `0..4`: the first shard, and the one behind the last"
            .to_owned()
    };
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let parse = |number: &str| number.trim().parse::<usize>().map_err(|_| wrong());
    let (first, end) = (parse(first)?, parse(end)?);
    if first >= end {
        return Err(format!(
            "`{text}` holds no shard; the second number has to be larger"
        ));
    }
    Ok((first, end))
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(_context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    super::experiment::check(&arguments.experiment)?;
    let _ = (&arguments.job, arguments.shards, &arguments.from);
    Err(arguments.working.refuse())
}

/// Does one job.
#[cfg(feature = "torch")]
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    use std::time::Instant;

    use super::experiment;
    use super::process::{clock, stop_signal};
    use super::remote::{Opened, wanted};
    use crate::exec::context::{Outcome, Run};
    use crate::exec::event::Event;
    use crate::exec::schedule::run_one;
    use crate::machine::device;
    use crate::message::Message;
    use crate::store::Store;

    arguments.working.settle()?;
    experiment::check(&arguments.experiment)?;
    let store = Store::open(&context.cache)?;
    let remote = arguments.from.open(context)?;
    let remote = remote.as_ref();
    let file = &arguments.experiment;
    let planned = experiment::plan_from(context, file, &store, remote, &mut |_, _| {})?;
    let Some(job) = with_torch::find(&planned.plan, &arguments.job)? else {
        say!(
            "nothing to do: what {} makes is in the {}",
            arguments.job,
            if remote.is_some() {
                "cache or the remote"
            } else {
                "cache"
            }
        );
        return Ok(());
    };
    let shards = with_torch::shards(&planned.plan, job, arguments.shards)?;
    let workers = arguments.working.workers()?;
    let listeners = arguments.working.listeners(&store, true)?;
    let versions = super::working::versions();
    let emit = |event: Event| listeners.tell(&event);
    let run = Run {
        plan: &planned.plan,
        inputs: &planned.inputs,
        store: &store,
        remote: remote.map(Opened::source),
        base: &context.base,
        device: device::Device::Cpu,
        emit: &emit,
        memory: arguments.working.memory(),
        checkpoint_seconds: arguments.working.checkpoint_seconds(),
        fail_fast: false,
        stop: stop_signal("after the current batch"),
        clock,
        versions: &versions,
    };
    let range = shards.as_ref();
    let range = range.map_or_else(String::new, |some| {
        format!(" --shards {}..{}", some.start, some.end)
    });
    let file = super::report::typed(&context.base, &arguments.experiment);
    let command = format!("repro job {file} {}{range}", arguments.job);
    emit(super::run::origin::origin(
        &context.base,
        &planned.plan.name,
        command,
    ));
    let started = Instant::now();
    // What it needs and a remote has comes first.
    let mut outcome = Outcome::default();
    for &needed in &planned.plan.jobs[job].needs {
        if outcome.is_complete() {
            outcome = run_one(&run, &workers, needed, None);
        }
    }
    if outcome.is_complete() {
        outcome = run_one(&run, &workers, job, shards.as_ref());
    }
    emit(Event::RunFinished {
        nothing_to_do: false,
        stopped: outcome.stopped,
        disk_full: outcome.disk_full,
        again: false,
        failed: outcome.failed.len(),
        unmade: outcome.unmade.len(),
        seconds: started.elapsed().as_secs_f64(),
    });
    if let (Some(remote), true) = (remote, outcome.is_complete()) {
        let steps = planned.plan.jobs[job].steps.iter();
        let made = steps
            .map(|&id| planned.plan.step(id))
            .filter(|step| step.is_missing());
        if let Some(event) =
            remote.give(&store, &made.map(wanted).collect(), &planned.experiment)?
        {
            emit(event);
        }
    }
    listeners.conclude(if outcome.stopped {
        Err(listeners.stopped())
    } else if outcome.disk_full {
        Err(super::working::disk_full())
    } else if let Some(label) = outcome.failed.first() {
        let text = format!("{label} failed, see above");
        Err(if outcome.has_bug {
            Failure::Bug(text.into())
        } else {
            Failure::Nodes(text.into())
        })
    } else if outcome.unbrought {
        Err(Failure::Cache(
            Message::new(
                "something that this job needs could not be downloaded from the remote, see above",
            )
            .hint("make it here with `--no-remote`, by its own job or by `repro run`"),
        ))
    } else if outcome.set_aside {
        Err(Failure::Cache(
            Message::new("something damaged was set aside")
                .hint("the same command makes it again, once the jobs before it have"),
        ))
    } else {
        say!("{} done", arguments.job);
        Ok(())
    })
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::ops::Range;

    use super::Failure;
    use crate::message::Message;
    use crate::plan::{Job, JobKind, Plan, job_name, transfer_name};
    use crate::spec::suggest;
    use crate::text::plural;

    /// The index of a job; `None` for one that has nothing left to do.
    pub(super) fn find(plan: &Plan, name: &str) -> Result<Option<usize>, Failure> {
        if let Some(index) = plan.jobs.iter().position(|job| job.name == name) {
            let job = &plan.jobs[index];
            // What it needs is another job's to make.
            let is_made = |needed: &&usize| plan.jobs[**needed].kind != JobKind::Transfer;
            let mut needs = job.needs.iter().filter(is_made);
            if let Some(&needed) = needs.next() {
                let others = match needs.count() {
                    0 => String::new(),
                    others => format!(" and {}", plural(others, "other")),
                };
                return Err(Failure::Waits(
                    Message::new(format!(
                        "{name} needs {}{others}, which is not done yet",
                        plan.jobs[needed].name
                    ))
                    .hint("run `repro job` for it first, or `repro run` for everything"),
                ));
            }
            return Ok(Some(index));
        }
        // What a remote has is brought in place of what would make it; a cluster was told that name before.
        let brings = |job: &Job| job.kind == JobKind::Transfer && job.name == transfer_name(name);
        if let Some(index) = plan.jobs.iter().position(brings) {
            return Ok(Some(index));
        }
        // Whoever is to download is not given what it takes to compute.
        if let Some(job) = plan
            .jobs
            .iter()
            .find(|job| transfer_name(&job.name) == name)
        {
            return Err(Failure::Cache(
                Message::new(format!(
                    "no remote has what {name} was to download from here"
                ))
                .hint(format!("`repro job` makes it by the name {}", job.name)),
            ));
        }
        let mut names = Vec::new();
        for step in &plan.steps {
            let name = job_name(step)?;
            names.push(transfer_name(&name));
            names.push(name);
        }
        if names.iter().any(|known| known == name) {
            return Ok(None);
        }
        let hint = suggest::hint(name, plan.jobs.iter().map(|job| job.name.as_str()))
            .unwrap_or_else(|| "`repro plan FILE --jobs` lists them".to_owned());
        Err(Failure::Usage(
            Message::new(format!("unknown job `{name}`")).hint(hint),
        ))
    }

    /// The shards that were asked for, if the job has them.
    pub(super) fn shards(
        plan: &Plan,
        job: usize,
        wanted: Option<(usize, usize)>,
    ) -> Result<Option<Range<usize>>, Failure> {
        let job = &plan.jobs[job];
        let Some((first, end)) = wanted else {
            return Ok(None);
        };
        match job.shards {
            _ if job.kind == JobKind::Transfer => Ok(None),
            Some(shards) if end <= shards => Ok(Some(first..end)),
            Some(shards) => Err(Failure::Usage(
                format!(
                    "{} has the shards 0..{shards}, and `--shards {first}..{end}` asks for more",
                    job.name
                )
                .into(),
            )),
            None => Err(Failure::Usage(
                Message::new(format!("{} cannot be cut into shards", job.name))
                    .hint("leave out `--shards`"),
            )),
        }
    }
}
