//! `repro run`: computes what the cache lacks and writes the report.

#[cfg(feature = "torch")]
mod ended;
#[cfg(feature = "torch")]
pub(super) mod origin;
#[cfg(feature = "torch")]
mod pushed;
#[cfg(feature = "torch")]
mod session;
#[cfg(feature = "torch")]
mod started;
#[cfg(feature = "torch")]
mod watch;

#[cfg(feature = "torch")]
use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::Failure;
#[cfg(feature = "torch")]
use super::experiment::Planned;
use super::overrides::ExperimentFile;
use super::project::RunSettings;
#[cfg(feature = "torch")]
use super::remote::Opened;
use super::remote::RemoteChoice;
use super::selection::Selection;
use super::warnings::Deny;
use super::working::Working;
#[cfg(feature = "torch")]
use crate::store::Store;

/// Arguments of `repro run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro run experiments/quickstart.toml\n  repro run experiments/quickstart.toml --device cuda:0\n  repro run experiments/quickstart.toml --devices cuda:0,cuda:1\n  repro run experiments/quickstart.toml --json-log run.jsonl\n  repro run experiments/quickstart.toml --watch\n  repro run experiments/quickstart.toml --until taps     the features alone\n\nCtrl-C stops after the current batch; the same command resumes from the last committed shard."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    #[command(flatten)]
    pub(super) working: Working,
    #[command(flatten)]
    pub(super) deny: Deny,
    #[command(flatten)]
    selection: Selection,
    /// Print what would run, as `repro plan` does, and compute nothing.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Begin nothing more after the first failure.
    #[arg(long)]
    fail_fast: bool,
    /// Continue after a failure with what does not need it; this is so anyway, unless `fail_fast` is set in `repro.toml`.
    #[arg(long, conflicts_with = "fail_fast")]
    keep_going: bool,
    #[command(flatten)]
    from: RemoteChoice,
    /// Run again whenever the experiment file, a file that it includes, or its template changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Write each figure of the report as PNG beside it, too, drawn by a program of this machine: Chromium, Chrome or rsvg-convert.
    #[arg(long)]
    png: bool,
}

impl Arguments {
    /// The arguments of `repro plan` for the same.
    fn as_plan(&self) -> super::plan::Arguments {
        super::plan::Arguments::dry_run(
            self.experiment.clone(),
            self.selection.clone(),
            self.deny.clone(),
            self.from.clone(),
        )
    }

    /// The plan, or the part of it that was asked for.
    #[cfg(feature = "torch")]
    fn planned(
        &self,
        context: &Context,
        store: &Store,
        remote: Option<&Opened>,
    ) -> Result<Planned, Failure> {
        let file = &self.experiment;
        let mut planned =
            super::experiment::plan_from(context, file, store, remote, &mut |_, _| {})?;
        self.selection.apply(&mut planned.plan)?;
        Ok(planned)
    }

    /// Takes the project's settings for what was not given.
    pub(super) fn or(&mut self, settings: &RunSettings) {
        self.working.or(settings);
        self.fail_fast |= settings.fail_fast && !self.keep_going;
    }

    /// The arguments of a run of this file.
    #[cfg(feature = "torch")]
    pub(super) fn of(file: PathBuf, working: Working) -> Self {
        Self {
            experiment: ExperimentFile::plain(file),
            working,
            deny: Deny::default(),
            selection: Selection::default(),
            dry_run: false,
            fail_fast: false,
            keep_going: false,
            from: RemoteChoice::default(),
            watch: false,
            png: false,
        }
    }
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    super::experiment::check(&arguments.experiment)?;
    let _ = (
        &arguments.deny,
        &arguments.from,
        arguments.watch,
        arguments.png,
    );
    let _ = (
        arguments.fail_fast,
        arguments.keep_going,
        &arguments.selection,
    );
    if arguments.dry_run {
        return super::plan::run(context, &arguments.as_plan());
    }
    Err(arguments.working.refuse())
}

/// Runs that follow one another because damaged artifacts were set aside; more of them than this have another cause.
#[cfg(feature = "torch")]
const MOST_ATTEMPTS: usize = 3;

/// Runs an experiment, and with `--watch` again whenever it changes.
#[cfg(feature = "torch")]
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.dry_run {
        return super::plan::run(context, &arguments.as_plan());
    }
    arguments.working.settle()?;
    if arguments.watch {
        watch::run(context, arguments)
    } else {
        once(context, arguments)
    }
}

/// Runs an experiment once.
#[cfg(feature = "torch")]
fn once(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    use super::experiment;
    use super::working::has_cpu;
    use crate::collect::place;
    use crate::collect::png::Drawer;
    use crate::exec::NodeError;
    use crate::report::look_at_template;

    // The file is checked before anything is made or loaded.
    let checked = experiment::check(&arguments.experiment)?;
    if let Some(config) = &checked.report {
        // Not only when everything is computed: a run of days is not to end at somebody else's file.
        look_at_template(config, &context.base).map_err(NodeError::from)?;
        place::look(
            &context.base,
            &checked.name,
            config,
            arguments.working.force,
        )?;
        if arguments.png {
            Drawer::find().map_err(NodeError::Values)?;
        }
    }
    let is_new = !context.cache.exists();
    let (store, unwritable) = session::open(&context.cache)?;
    let remote = arguments.from.open(context)?;
    let remote = remote.as_ref();
    let planned = match arguments.planned(context, &store, remote) {
        Ok(planned) => planned,
        Err(failure) => {
            if is_new {
                store.remove_unused();
            }
            return Err(failure);
        }
    };
    arguments.deny.judge(&planned)?;
    if let Some(error) = unwritable
        && !planned.plan.is_done()
    {
        return Err(error.into());
    }
    session::need_room(&planned.plan, &context.cache)?;
    let workers = arguments.working.workers()?;
    if has_cpu(&workers) {
        experiment::warn_of_bf16(&planned.plan);
    }
    let listeners = arguments
        .working
        .listeners(&store, !planned.plan.is_done())?;
    let versions = super::working::versions();
    let mut session = session::Session {
        context,
        arguments,
        store: &store,
        remote,
        planned,
        workers: &workers,
        listeners: &listeners,
        versions: &versions,
    };
    listeners.conclude(session.carry_out())
}
