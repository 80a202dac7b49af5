//! The text of the scripts of a submission. They can be read, and submitted or run by hand.
//!
//! - `task.sh`, one for all: what every task does around its `repro job`
//! - `round-N/NN-KIND.sh`: an array of tasks, with its options for sbatch
//! - `round-N/last.sh`: what comes after the tasks of a round, the report or the next round
//! - `round-N/submit.sh`: gives them to sbatch, each behind those that it needs
//!
//! Dependencies are `afterany`: whether what a task needs is there is for the task to see, since a job that failed may have made it in an
//! earlier attempt, and one that succeeded may have done so for another submission.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write;

use super::ending::{MARK, PREEMPTED, STOPPED, WAITS};
use super::record::{LAST, Round, Submission, TaskArray, job_name};
use super::settings::Minutes;

/// Memory and time of the job that ends a round.
const LAST_MEMORY: u64 = 4 << 30;
/// See [`LAST_MEMORY`].
const LAST_LIMIT: Minutes = Minutes(60);

/// Where the files of a submission are, as absolute paths, and how arguments are quoted.
pub struct Place<'a> {
    /// The folder of the submission.
    pub folder: &'a str,
    /// An argument as a shell takes it.
    pub for_shell: &'a dyn Fn(&str) -> String,
}

impl Place<'_> {
    fn quoted(&self, text: &str) -> String {
        (self.for_shell)(text)
    }

    /// A path of the submission, as a shell takes it.
    fn path(&self, name: &str) -> String {
        self.quoted(&format!("{}/{name}", self.folder))
    }
}

/// The commands of a submission, each as an array of the shell: a function would run in a shell of its own, which signals would end in place
/// of the program.
fn commands(submission: &Submission, place: &Place<'_>) -> String {
    let program = place.quoted(&submission.program);
    let directory = submission.directory.as_deref();
    let project = directory.map_or_else(String::new, |one| format!(" -C {}", place.quoted(one)));
    let cache = place.quoted(&submission.cache);
    let arguments = format!("{project} --cache {cache}");
    let inside = match &submission.settings.container {
        None => program.clone(),
        Some(image) => {
            let gpu = if submission.settings.gpus() > 0 {
                " --nv"
            } else {
                ""
            };
            let mut exec = format!("apptainer exec{gpu}");
            let bound = [&submission.folder, &submission.base, &submission.cache];
            for bound in BTreeSet::from(bound) {
                let _ = write!(exec, " --bind {}", place.quoted(bound));
            }
            for more in &submission.settings.container_options {
                let _ = write!(exec, " {more}");
            }
            let own = submission.settings.program.as_deref().unwrap_or("repro");
            format!("{exec} {} {}", place.quoted(image), place.quoted(own))
        }
    };
    format!(
        "# The program on the machines of the cluster, and the one that reads the plan.\nrepro=({inside}{arguments})\nplanner=({program}{arguments})\n"
    )
}

/// What every task does: `task.sh`.
pub fn task(submission: &Submission, place: &Place<'_>) -> String {
    let experiment = experiment(submission, place);
    let setup = setup(submission);
    let commands = commands(submission, place);
    format!(
        r#"# What every task does; the scripts of the rounds source it, with their tasks in `tasks` and options in `options`.
#
# A task is one `repro job`. What is in the cache is not computed again, so a task may run twice, be killed and be requeued.

number=${{SLURM_ARRAY_TASK_ID:-${{1:?the number of the task is missing}}}}
read -r -a task <<<"${{tasks[number]}}"
say() {{ printf '{MARK}%s\n' "$*"; }}
trap 'say "ended with $? at $(date -u +%FT%TZ)"' EXIT
say "begins ${{task[*]}} on ${{SLURMD_NODENAME:-${{HOSTNAME:-this}}}}, job ${{SLURM_JOB_ID:-none}}, restart ${{SLURM_RESTART_COUNT:-0}}, at $(date -u +%FT%TZ)"

export OMP_NUM_THREADS=${{SLURM_CPUS_PER_TASK:-${{OMP_NUM_THREADS:-1}}}}
{commands}
# Slurm sends USR1 to this script ahead of the time limit, or of a preemption where the cluster says so; a program that is told to end keeps
# what is complete. TERM comes to all processes of the job by itself, and a second one would end the program at once.
child=
is_told=
near() {{
    say "the time limit is near"
    is_told=yes
    [[ -z $child ]] || kill -TERM "$child"
}}
trap near USR1
trap 'is_told=yes' TERM
# A task that gives way to another job ends ahead of the end of its grace. Slurm takes that for a failure, and does not requeue it.
give_way() {{
    local own=${{SLURM_ARRAY_JOB_ID:-}}_$number job
    [[ -n $is_told && -n ${{SLURM_ARRAY_JOB_ID:-}} ]] || return 0
    job=$(scontrol show job "$own" 2>/dev/null) || return 0
    [[ $job == *JobState=RUNNING* && $job == *PreemptTime=[0-9]* ]] || return 0
    say "{PREEMPTED}"
    scontrol requeue "$own" || say "it could not be requeued"
}}
{setup}
[[ -z $is_told ]] || {{ give_way; exit {STOPPED}; }}
"${{repro[@]}}" job {experiment} "${{task[@]}}" "${{options[@]}}" &
child=$!
# A signal ends `wait` before the program has ended.
wait "$child"
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
status=0
wait "$child" || status=$?
if ((status == {WAITS})); then
    say "waits: what it needs is not in the cache yet"
elif ((status != 0)); then
    give_way
fi
exit "$status"
"#
    )
}

/// The experiment file with what overrides it.
fn experiment(submission: &Submission, place: &Place<'_>) -> String {
    let file = place.quoted(&submission.file);
    format!("{file}{}", submission.overrides(place.for_shell))
}

fn setup(submission: &Submission) -> String {
    let mut text = String::new();
    if !submission.settings.setup.is_empty() {
        text.push_str("\n# `setup` of `[executor]` in repro.toml.\n");
        for line in &submission.settings.setup {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The options of sbatch that all jobs of a submission have, a line each.
fn options(submission: &Submission, minutes: Minutes, memory: u64, name: &str) -> Vec<String> {
    let settings = &submission.settings;
    let mut options = vec![
        format!("--job-name={}", job_name(submission.id, name)),
        format!("--chdir={}", in_quotes(&submission.folder)),
        "--open-mode=append".to_owned(),
        format!("--time={}", minutes.in_hours()),
        format!("--mem={}M", (memory >> 20).max(1)),
        "--requeue".to_owned(),
    ];
    let mut optional = |option: &str, value: Option<&str>| {
        if let Some(value) = value {
            options.push(format!("--{option}={}", in_quotes(value)));
        }
    };
    optional("partition", settings.partition.as_deref());
    optional("account", settings.account.as_deref());
    optional("qos", settings.qos.as_deref());
    optional("constraint", settings.constraint.as_deref());
    let excluded = settings.exclude.iter().map(String::as_str);
    let excluded = excluded.chain(submission.bad_nodes.iter().map(String::as_str));
    let excluded: Vec<&str> = excluded.collect();
    if !excluded.is_empty() {
        options.push(format!("--exclude={}", in_quotes(&excluded.join(","))));
    }
    options.extend(settings.sbatch.iter().cloned());
    options
}

/// A value as a line of `#SBATCH` takes it: between quotation marks where it has spaces.
fn in_quotes(value: &str) -> String {
    if value
        .chars()
        .any(|letter| letter.is_whitespace() || letter == '#')
    {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

/// The place of a log. A percent sign begins a name of sbatch's own there.
fn log(submission_folder: &str, round: u32, name: &str) -> String {
    let folder = submission_folder.replace('%', "%%");
    in_quotes(&format!("{folder}/round-{round}/logs/{name}.log"))
}

/// The script of an array of tasks.
pub fn array(
    submission: &Submission,
    round: &Round,
    array: &TaskArray,
    place: &Place<'_>,
) -> String {
    let settings = &submission.settings;
    let tasks = array
        .tasks
        .iter()
        .filter_map(|&index| submission.tasks.get(index));
    let tasks: Vec<_> = tasks.collect();
    let first = tasks.first();
    let what = first.map_or("", |task| task.label.as_str());
    let what: String = what.chars().filter(|letter| !letter.is_control()).collect();
    let last = array.tasks.len().saturating_sub(1);
    let limit = Minutes(array.minutes);
    let throttle = settings.at_once.filter(|&most| most > 0);
    let throttle = throttle.map_or_else(String::new, |most| format!("%{most}"));
    let mut lines = options(submission, limit, array.memory, &array.name);
    lines.push(format!("--array=0-{last}{throttle}"));
    lines.push(format!(
        "--output={}",
        log(place.folder, round.number, &format!("{}-%a", array.name))
    ));
    lines.push(format!("--cpus-per-task={}", settings.cpus()));
    if let Some(notice) = settings.notice(limit) {
        lines.push(format!("--signal=B:USR1@{notice}"));
    }
    let gpus = if array.uses_device {
        settings.gpus()
    } else {
        0
    };
    match &settings.gres {
        Some(gres) if gpus > 0 => lines.push(format!("--gres={}", in_quotes(gres))),
        None if gpus > 0 => lines.push(format!("--gres=gpu:{gpus}")),
        _ => {}
    }
    let device = match gpus {
        0 => "--device cpu".to_owned(),
        1 => "--device cuda:0".to_owned(),
        several => {
            let devices: Vec<String> = (0..several).map(|gpu| format!("cuda:{gpu}")).collect();
            format!("--devices {}", devices.join(","))
        }
    };
    let mut text = format!(
        "#!/usr/bin/env bash\n# {}",
        crate::text::plural(tasks.len(), "task")
    );
    let such_as = if tasks.len() > 1 { "such as " } else { "" };
    let _ = writeln!(text, ": {such_as}{what}");
    text.push_str("# By hand: `sbatch` with this file, or without Slurm `bash` with this file and the number of a task.\n");
    for line in lines {
        let _ = writeln!(text, "#SBATCH {line}");
    }
    text.push_str("\ntasks=(\n");
    for task in &tasks {
        let _ = writeln!(text, "    {}", place.quoted(&task.arguments()));
    }
    // Heads may take half of what the task has; the rest is for libraries and for features on their way.
    let _ = writeln!(
        text,
        ")\noptions=({device} --memory {}MiB)\nsource {}",
        (array.memory >> 21).max(1),
        place.path("task.sh")
    );
    text
}

/// The script of what comes after the tasks of a round.
pub fn last(submission: &Submission, round: &Round, place: &Place<'_>) -> String {
    let limit = LAST_LIMIT.min(submission.settings.time_limit());
    let mut lines = options(submission, limit, LAST_MEMORY, LAST);
    lines.push(format!(
        "--output={}",
        log(place.folder, round.number, LAST)
    ));
    lines.push("--cpus-per-task=1".to_owned());
    let experiment = experiment(submission, place);
    let setup = setup(submission);
    let commands = commands(submission, place);
    let mut text = "#!/usr/bin/env bash\n# What comes after the tasks of a round: the report where everything is in the cache, else another round.\n".to_owned();
    for line in lines {
        let _ = writeln!(text, "#SBATCH {line}");
    }
    let _ = write!(
        text,
        r#"
export OMP_NUM_THREADS=1
{commands}{setup}
printf '{MARK}begins the end of round {number} on %s at %s\n' "${{SLURMD_NODENAME:-${{HOSTNAME:-this}}}}" "$(date -u +%FT%TZ)"
status=0
if "${{planner[@]}}" plan {experiment} --check >/dev/null 2>&1; then
    "${{repro[@]}}" run {experiment} --device cpu || status=$?
else
    "${{planner[@]}}" submit --continue {id} || status=$?
fi
printf '{MARK}ended with %s at %s\n' "$status" "$(date -u +%FT%TZ)"
exit "$status"
"#,
        number = round.number,
        id = submission.id,
    );
    text
}

/// The script that submits a round: `submit.sh`.
pub fn submit(round: &Round) -> String {
    let mut text = format!(
        r#"#!/usr/bin/env bash
# Submits round {}. The file `submitted` then has the number that Slurm gave each script.
set -euo pipefail
cd "$(dirname -- "${{BASH_SOURCE[0]}}")"

# submit NAME OPTIONS…
submit() {{
    local name=$1 id tries=0
    shift
    until id=$(sbatch --parsable "$@" "$name.sh" 2>said); do
        # A controller that is restarted is away for a moment; what it refuses, it refuses again.
        if ((++tries > 60)) || ! grep -qiE 'contact|connect|timed out|temporarily' said; then
            cat said >&2
            exit 1
        fi
        sleep 5
    done
    id=${{id%%;*}}
    printf '%s %s\n' "$name" "$id" >>submitted
    printf '%s' "$id"
}}

"#,
        round.number
    );
    for array in &round.arrays {
        let after = array
            .after
            .iter()
            .map(|name| format!("${}", variable(name)));
        let after = after.chain(array.after_jobs.iter().cloned());
        let _ = writeln!(
            text,
            "{}=$(submit {}{})",
            variable(&array.name),
            array.name,
            dependency(after)
        );
    }
    let all = round
        .arrays
        .iter()
        .map(|array| format!("${}", variable(&array.name)));
    let all = all.chain(round.after_jobs.iter().cloned());
    let _ = writeln!(text, "submit {LAST}{} >/dev/null", dependency(all));
    text
}

/// The variable with the number of an array: `a01` for `01-pass`.
fn variable(name: &str) -> String {
    let number = name.split('-').next().unwrap_or(name);
    format!("a{number}")
}

/// The option that makes a job wait until others have ended, however they do; nothing where there are none.
fn dependency(jobs: impl Iterator<Item = String>) -> String {
    let jobs: Vec<String> = jobs.collect();
    if jobs.is_empty() {
        return String::new();
    }
    format!(" \"--dependency=afterany:{}\"", jobs.join(":"))
}
