//! One round of a submission: what is left is chosen, written as scripts and given to Slurm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use super::super::cluster::slurm::{self, Numbers};
use super::super::cluster::standing::{Look, look, nodes, number_of};
use super::super::cluster::{Submitted, cannot, text_of};
use super::super::overrides::for_shell;
use super::super::process::clock;
use super::super::remote::RemoteChoice;
use super::super::{Context, experiment, printed, table};
use super::Failure;
use super::options::Options;
use crate::atomic_file;
use crate::cluster::cut::cut;
use crate::cluster::judge::{Standing, bad_nodes, forgive, judge, may_be_the_node};
use crate::cluster::queue::Queue;
use crate::cluster::record::{LAST, Round};
use crate::cluster::rounds::{Lacking, choose, group};
use crate::cluster::script::{self, Place};
use crate::cluster::settings::Minutes;
use crate::lock_file;
use crate::message::Message;
use crate::store::Store;
use crate::text::{bytes, plural};

/// How often Slurm is asked before its silence ends a chain of rounds: five minutes.
const PATIENCE: u32 = 60;

/// The numbers in Slurm of tasks that are in the queue, by their jobs in the plan.
pub(super) type Live = BTreeMap<String, Vec<String>>;

fn live(submitted: &Submitted, numbers: &Numbers, look: &Look) -> Live {
    let mut live = Live::new();
    let tasks = submitted.submission.tasks.iter().zip(&look.standings);
    for (index, (task, _)) in tasks
        .enumerate()
        .filter(|(_, (_, standing))| standing.is_live())
    {
        let number = number_of(submitted, numbers, index);
        live.entry(task.job.clone()).or_default().extend(number);
    }
    live
}

/// Submits what an earlier submission lacks: given by the last job of a round, or by hand.
pub(super) fn again(
    context: &Context,
    number: u32,
    options: Options,
    dry_run: bool,
) -> Result<(), Failure> {
    let folder = Submitted::open(context, Some(number))?.folder;
    let by_hand = !slurm::is_last(number);
    let _held = lock(&folder, by_hand)?;
    // Read again, now that nobody else writes it.
    let mut submitted = Submitted::open(context, Some(number))?;
    let (project, file) = submitted.experiment(context);
    let store = Store::open(&project.cache)?;
    let remote = RemoteChoice::default().open(&project)?;
    let planned = experiment::plan_from(&project, &file, &store, remote.as_ref(), &mut |_, _| {})?;
    let plan = &planned.plan;
    if plan.is_done() {
        say!("nothing to submit: everything is in the cache, and `repro run` writes the report");
        return Ok(());
    }
    let numbers = slurm::numbers(&submitted)?;
    let asked: Vec<&str> = numbers.values().map(String::as_str).collect();
    let queue = slurm::ask(&asked, PATIENCE)?;
    if by_hand {
        if let Some(round) = under_way(&numbers, &queue) {
            return Err(Failure::Usage(
                Message::new(format!(
                    "round {round} of submission {number} is in the queue, and its last job submits what is left"
                ))
                .hint("`repro status` shows it; `repro cancel` withdraws it"),
            ));
        }
        submitted.set_canceled(false)?;
    } else if submitted.is_canceled() {
        say!("submission {number} was canceled; nothing is submitted");
        return Err(Failure::Stopped);
    }
    let typed = options.settings();
    let memory = typed.memory;
    let settings = typed.or(&submitted.submission.settings);
    let rates = experiment::rates(plan, &planned.listing);
    let known: BTreeSet<String> = submitted
        .submission
        .tasks
        .iter()
        .map(|task| task.job.clone())
        .collect();
    let new = cut(plan, &rates, &settings).into_iter();
    let new: Vec<_> = new.filter(|task| !known.contains(&task.job)).collect();
    submitted.submission.tasks.extend(new);
    submitted.submission.settings = settings;
    let look = look(&submitted, &Lacking::of(plan)?, &numbers, Some(&queue));
    judge(&mut submitted.submission, &look.standings);
    if by_hand {
        forgive(&mut submitted.submission, memory);
    }
    let on = nodes(
        &submitted,
        &look,
        &|standing| matches!(standing, Standing::Ended(ending) if may_be_the_node(ending)),
    );
    for node in bad_nodes(&submitted.submission, &on) {
        if !submitted.submission.bad_nodes.contains(&node) {
            say!("note: tasks failed on {node} and not on others; it is excluded from here on");
            submitted.submission.bad_nodes.push(node);
        }
    }
    let live = live(&submitted, &numbers, &look);
    begin(submitted, &look.standings, &live, dry_run)
}

/// Lets nobody else submit for a submission meanwhile. The last job of a round that was just submitted may be early: it waits.
fn lock(folder: &Path, by_hand: bool) -> Result<fs::File, Failure> {
    let lock = folder.join("lock");
    let tries = if by_hand { 1 } else { PATIENCE };
    for _ in 0..tries {
        let held = lock_file::try_lock(&lock).map_err(|error| cannot("lock", &lock, &error))?;
        if let Some(held) = held {
            return Ok(held);
        }
        if !by_hand {
            std::thread::sleep(slurm::PAUSE);
        }
    }
    Err(Failure::Usage(
        format!("{} submits for it already", lock_file::holder(&lock)).into(),
    ))
}

/// The round whose last job is still in the queue.
fn under_way(numbers: &Numbers, queue: &Queue) -> Option<u32> {
    let mut last = numbers.iter().filter(|((_, name), _)| name == LAST);
    let found = last.find(|(_, number)| queue.get(*number).is_some_and(|job| job.state.is_live()));
    found.map(|((round, _), _)| *round)
}

/// Writes the next round and submits it.
///
/// # Errors
/// Nothing can be submitted any more, files that cannot be written, and what Slurm refuses.
pub(super) fn begin(
    mut submitted: Submitted,
    standings: &[Standing],
    live: &Live,
    dry_run: bool,
) -> Result<(), Failure> {
    let chosen = choose(&submitted.submission, standings);
    let id = submitted.submission.id;
    if chosen.tasks.is_empty() && live.is_empty() {
        submitted.save()?;
        return Err(Failure::Nodes(
            Message::new(format!(
                "{} of submission {id} failed too often, and {}",
                plural(chosen.given_up.len(), "task"),
                match chosen.blocked.len() {
                    1 => "1 other needs what they make".to_owned(),
                    others => format!("{others} others need what they make"),
                }
            ))
            .hint(format!(
                "`repro status {id}` shows why; once that is removed, `repro submit --continue {id}` tries again"
            )),
        ));
    }
    let number = submitted.submission.rounds.len() + 1;
    let number = u32::try_from(number).map_err(|_| crate::bug::Bug::new("2^32 rounds"))?;
    let after_jobs: BTreeSet<&String> = live.values().flatten().collect();
    let round = Round {
        number,
        at: clock(),
        arrays: group(&submitted.submission, &chosen.tasks, live),
        after_jobs: after_jobs.into_iter().cloned().collect(),
    };
    write(&submitted, &round)?;
    submitted.submission.rounds.push(round);
    // Recorded before it is submitted: what runs unrecorded would be submitted twice.
    submitted.save()?;
    if !dry_run {
        slurm::submit(&submitted.round(number))?;
    }
    show(&submitted, chosen.later, dry_run)
}

/// Writes the scripts of a round.
fn write(submitted: &Submitted, round: &Round) -> Result<(), Failure> {
    let submission = &submitted.submission;
    let logs = submitted.round(round.number).join("logs");
    fs::create_dir_all(&logs).map_err(|error| cannot("make", &logs, &error))?;
    for made in [&submitted.round(round.number), &logs] {
        atomic_file::share(made);
    }
    let folder = text_of(&submitted.folder)?;
    let place = Place {
        folder: &folder,
        for_shell: &for_shell,
    };
    let of_round = |name: &str| format!("round-{}/{name}.sh", round.number);
    submitted.write("task.sh", &script::task(submission, &place))?;
    for array in &round.arrays {
        let text = script::array(submission, round, array, &place);
        submitted.write(&of_round(&array.name), &text)?;
    }
    submitted.write(&of_round(LAST), &script::last(submission, round, &place))?;
    submitted.write(&of_round("submit"), &script::submit(round))
}

/// Says what was submitted.
fn show(submitted: &Submitted, later: usize, dry_run: bool) -> Result<(), Failure> {
    let submission = &submitted.submission;
    let Some(round) = submission.rounds.last() else {
        return Ok(());
    };
    let numbers = slurm::numbers(submitted)?;
    let number = |name: &str| numbers.get(&(round.number, name.to_owned())).cloned();
    let rows = round.arrays.iter().map(|array| {
        vec![
            array.name.clone(),
            array.tasks.len().to_string(),
            Minutes(array.minutes).in_hours(),
            bytes(array.memory),
            array.after.join(", "),
            number(&array.name).unwrap_or_default(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let mut out = printed::stdout(false);
    let tasks: usize = round.arrays.iter().map(|array| array.tasks.len()).sum();
    writeln!(
        out,
        "submission {}, round {}: {} in {}\n",
        submission.id,
        round.number,
        plural(tasks, "task"),
        plural(round.arrays.len(), "array"),
    )?;
    let heads = ["script", "tasks", "time limit", "memory", "after", "job"];
    writeln!(out, "{}", table::render(&heads, &rows))?;
    out.flush()?;
    drop(out);
    if later > 0 {
        say!("{} left for later rounds", plural(later, "task"));
    }
    let folder = submitted.round(round.number);
    if dry_run {
        say!(
            "nothing was submitted; `bash {}` does",
            folder.join("submit.sh").display()
        );
    } else {
        say!("scripts and logs: {}", folder.display());
        say!(
            "`repro status {}` shows how they are doing; this terminal may be closed",
            submission.id
        );
    }
    Ok(())
}
