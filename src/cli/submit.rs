//! `repro submit`: the jobs of a plan to a cluster. Nothing of it stays behind on the machine that submits.
//!
//! A submission is made in rounds (`cluster/rounds.rs`). The last job of each gives this command again, with `--continue`, on a node of the
//! cluster; there is no process that watches.

mod options;
mod round;

use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use super::cluster::{Submitted, make, text_of};
use super::exit::Failure;
use super::experiment;
use super::overrides::Overrides;
use super::process::clock;
use super::remote::RemoteChoice;
use super::warnings::Deny;
use crate::cluster::cut::cut;
use crate::cluster::judge::Standing;
use crate::cluster::record::VERSION;
use crate::cluster::settings::ExecutorKind;
use crate::cluster::{ExecutorSettings, Submission};
use crate::collect::place;
use crate::exec::NodeError;
use crate::message::Message;
use crate::plan::PlanRecord;
use crate::report::look_at_template;
use crate::store::Store;
use options::Options;

/// Arguments of `repro submit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro submit experiments/quickstart.toml --slurm --partition gpu --gpus 1\n  repro submit experiments/quickstart.toml --slurm --dry-run\n      writes the scripts, and submits nothing\n  repro submit --continue 3    what failed, once its cause is removed\n\nWhat options do not say, `[executor]` of repro.toml does. Nothing runs on this machine afterwards: the last job of each round submits the next one, and writes the report at the end. See docs/cluster.md."
)]
pub struct Arguments {
    /// The experiment file.
    #[arg(value_name = "FILE", required_unless_present = "again")]
    file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// Submit what an earlier submission lacks, by its number; what failed is tried again.
    #[arg(long = "continue", value_name = "ID", conflicts_with_all = ["file", "profile", "set"])]
    again: Option<u32>,
    /// Write the scripts, and submit nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    deny: Deny,
}

/// Submits an experiment, or what an earlier submission lacks.
pub fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    match (arguments.again, &arguments.file) {
        (Some(number), _) => round::again(context, number, arguments.options, arguments.dry_run),
        (None, Some(file)) => {
            let file = file.clone();
            first(context, &file, arguments)
        }
        // clap asks for one of them.
        (None, None) => Err(Failure::Usage("no experiment file was named".into())),
    }
}

fn first(context: &Context, file: &Path, arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.options.settings().or(&context.executor);
    match settings.kind {
        Some(ExecutorKind::Slurm) => {}
        None => {
            return Err(Failure::Usage(
                Message::new("nothing says which cluster takes the jobs").hint(
                    "give `--slurm`, or put `kind = \"slurm\"` into `[executor]` of repro.toml",
                ),
            ));
        }
    }
    let named = experiment_file(file, &arguments.overrides);
    let store = Store::open(&context.cache)?;
    let remote = RemoteChoice::default().open(context)?;
    let planned = experiment::plan_from(context, &named, &store, remote.as_ref(), &mut |_, _| {})?;
    arguments.deny.judge(&planned)?;
    if let Some(config) = &planned.experiment.report {
        // As a run does: days of a cluster are not to end at somebody else's file.
        look_at_template(config, &context.base).map_err(NodeError::from)?;
        place::look(&context.base, &planned.plan.name, config, false)?;
    }
    let plan = &planned.plan;
    if plan.is_done() {
        say!("nothing to submit: everything is in the cache, and `repro run` writes the report");
        return Ok(());
    }
    let rates = experiment::rates(plan, &planned.listing);
    let tasks = cut(plan, &rates, &settings);
    let (id, folder) = make(&context.cache)?;
    let here = std::env::current_dir().unwrap_or_default();
    let submitted = Submitted {
        folder,
        submission: Submission {
            version: VERSION,
            id,
            experiment: plan.name.clone(),
            file: file.display().to_string(),
            profile: arguments.overrides.profile.clone(),
            set: arguments.overrides.set.clone(),
            folder: text_of(&here)?,
            directory: named_project(&context.base)?,
            base: text_of(&here.join(&context.base))?,
            cache: text_of(&context.cache)?,
            program: program(&settings)?,
            user: std::env::var("USER").unwrap_or_default(),
            at: clock(),
            settings,
            tasks,
            rounds: Vec::new(),
            bad_nodes: Vec::new(),
        },
    };
    let record = PlanRecord::new(plan, &[], &rates.expect(plan));
    let record = serde_json::to_string_pretty(&record)
        .map_err(|error| crate::bug::Bug::new(format!("a plan is not JSON: {error}")))?;
    submitted.write("plan.json", &(record + "\n"))?;
    let standings = vec![Standing::Unsubmitted; submitted.submission.tasks.len()];
    round::begin(
        submitted,
        &standings,
        &round::Live::default(),
        arguments.dry_run,
    )
}

fn experiment_file(file: &Path, overrides: &Overrides) -> super::overrides::ExperimentFile {
    super::overrides::ExperimentFile {
        file: file.to_owned(),
        overrides: overrides.clone(),
    }
}

/// The folder of the project as scripts have to name it: not where it is found upwards from the folder that they run in.
fn named_project(base: &Path) -> Result<Option<String>, Failure> {
    use std::path::Component;
    let is_found = base
        .components()
        .all(|step| matches!(step, Component::ParentDir | Component::CurDir));
    if is_found {
        Ok(None)
    } else {
        text_of(base).map(Some)
    }
}

/// The program that tasks start, as an absolute path; in a container it is another, and this one only reads the plan.
fn program(settings: &ExecutorSettings) -> Result<String, Failure> {
    if let (Some(program), None) = (&settings.program, &settings.container) {
        return text_of(Path::new(program));
    }
    let own = std::env::current_exe().map_err(|error| {
        Failure::Usage(
            Message::new(format!("cannot find the program itself: {error}"))
                .hint("name it by `program` in `[executor]` of repro.toml"),
        )
    })?;
    text_of(&own)
}
