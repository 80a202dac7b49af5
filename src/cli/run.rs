//! `repro run`: computes what the cache lacks and writes the report.

#[cfg(feature = "torch")]
mod started;
#[cfg(feature = "torch")]
mod watch;

#[cfg(feature = "torch")]
use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::overrides::ExperimentFile;
use super::warnings::Deny;
use super::working::Working;

/// Arguments of `repro run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro run experiments/quickstart.toml\n  repro run experiments/quickstart.toml --device cuda:0\n  repro run experiments/quickstart.toml --devices cuda:0,cuda:1\n  repro run experiments/quickstart.toml --json-log run.jsonl\n  repro run experiments/quickstart.toml --watch\n\nCtrl-C stops after the current batch; the same command resumes from the last committed shard."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    #[command(flatten)]
    pub(super) working: Working,
    #[command(flatten)]
    pub(super) deny: Deny,
    /// Run again whenever the experiment file, a file that it includes, or its template changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Write each figure of the report as PNG beside it, too, drawn by a program of this machine: Chromium, Chrome or rsvg-convert.
    #[arg(long)]
    png: bool,
}

impl Arguments {
    /// The arguments of a run of this file.
    #[cfg(feature = "torch")]
    pub(super) fn of(file: PathBuf, working: Working) -> Self {
        Self {
            experiment: ExperimentFile::plain(file),
            working,
            deny: Deny::default(),
            watch: false,
            png: false,
        }
    }
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(_context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    super::experiment::check(&arguments.experiment)?;
    let _ = (&arguments.deny, arguments.watch, arguments.png);
    Err(arguments.working.refuse())
}

/// Runs that follow one another because damaged artifacts were set aside; more of them than this have another cause.
#[cfg(feature = "torch")]
const MOST_ATTEMPTS: usize = 3;

/// Runs an experiment, and with `--watch` again whenever it changes.
#[cfg(feature = "torch")]
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
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
    let (store, unwritable) = with_torch::open(&context.cache)?;
    let planned = match experiment::plan(context, &arguments.experiment, &store, &mut |_, _| {}) {
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
    with_torch::need_room(&planned.plan, &context.cache)?;
    let workers = arguments.working.workers()?;
    if has_cpu(&workers) {
        experiment::warn_of_bf16(&planned.plan);
    }
    let listeners = arguments
        .working
        .listeners(&store, !planned.plan.is_done())?;
    let versions = super::working::versions();
    let mut session = with_torch::Session {
        context,
        arguments,
        store: &store,
        planned,
        workers: &workers,
        listeners: &listeners,
        versions: &versions,
    };
    listeners.conclude(session.carry_out())
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::started::started;
    use super::{Arguments, Context, Failure, MOST_ATTEMPTS};
    use crate::cli::experiment::{self, Planned};
    use crate::cli::process::{ago, clock, stop_signal};
    use crate::cli::report::{command, typed};
    use crate::cli::warnings;
    use crate::cli::working::{Listeners, names};
    use crate::collect::place::Place;
    use crate::collect::report::{self, Written};
    use crate::collect::warnings::Warnings;
    use crate::disk::free_bytes;
    use crate::exec::attempt;
    use crate::exec::context::{Outcome, Run};
    use crate::exec::event::Event;
    use crate::exec::schedule::{Worker, schedule};
    use crate::message::Message;
    use crate::plan::Plan;
    use crate::report::ReportWarning;
    use crate::store::{Store, StoreError, Use};
    use crate::text::bytes;

    /// The cache for writing, or for reading where it cannot be written to, and why: a run that finds everything there writes nothing.
    pub(super) fn open(cache: &Path) -> Result<(Store, Option<StoreError>), Failure> {
        match Store::open(cache) {
            Ok(store) => Ok((store, None)),
            Err(error @ StoreError::Unusable { .. }) if cache.is_dir() => {
                // What a folder of other things says of itself is said again here.
                Ok((Store::open_read_only(cache)?, Some(error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fails where the disk of the cache has no room for the features and images that are to be made. Where that cannot be asked, the
    /// attempt will show it.
    pub(super) fn need_room(plan: &Plan, cache: &Path) -> Result<(), Failure> {
        let needed: u64 = plan.jobs.iter().map(|job| job.cost.bytes).sum();
        match free_bytes(cache) {
            Some(free) if free < needed => Err(Failure::Cache(
                Message::new(format!(
                    "the features that this run makes take {}, and the disk of the cache {} has {} free; nothing was begun",
                    bytes(needed),
                    cache.display(),
                    bytes(free)
                ))
                .hint("free some space, or put the cache on another disk with `--cache`"),
            )),
            _ => Ok(()),
        }
    }

    /// The runs of one call: one, and more where damaged artifacts were set aside.
    pub(super) struct Session<'a> {
        pub(super) context: &'a Context,
        pub(super) arguments: &'a Arguments,
        pub(super) store: &'a Store,
        pub(super) planned: Planned,
        pub(super) workers: &'a [Worker],
        pub(super) listeners: &'a Listeners,
        pub(super) versions: &'a BTreeMap<String, String>,
    }

    impl Session<'_> {
        /// Carries out the plan and writes the report, again where something damaged was set aside.
        ///
        /// # Errors
        /// What failed, and where artifacts are found damaged again and again.
        pub(super) fn carry_out(&mut self) -> Result<(), Failure> {
            self.record_use();
            for attempt in 1.. {
                let (outcome, warnings) = self.once(attempt);
                if !outcome.set_aside || outcome.stopped || outcome.disk_full {
                    ending(&outcome, self.listeners)?;
                    return self.arguments.deny.of_results(&self.planned, &warnings);
                }
                if attempt == MOST_ATTEMPTS {
                    break;
                }
                // Damaged artifacts are out of the way now; they are made again by the same rules as anything that is missing.
                let file = &self.arguments.experiment;
                self.planned = experiment::plan(self.context, file, self.store, &mut |_, _| {})?;
            }
            Err(Failure::Cache(
                Message::new(format!(
                    "artifacts were found damaged in {MOST_ATTEMPTS} runs in a row"
                ))
                .hint("the disk or the memory of this machine may be failing"),
            ))
        }

        /// Writes down what this run wants, for who asks later what of the cache is still needed.
        fn record_use(&self) {
            let used = Use {
                file: typed(&self.context.base, &self.arguments.experiment),
                experiment: self.planned.plan.name.clone(),
                at: clock(),
                artifacts: self
                    .planned
                    .plan
                    .steps
                    .iter()
                    .map(|step| step.artifact.fingerprint)
                    .collect(),
                earlier: BTreeMap::new(),
            };
            let a_day_ago = ago(Duration::from_hours(24)).unwrap_or_default();
            match self.store.record_use(used, &a_day_ago) {
                // A cache that cannot be written to is not tidied either.
                Ok(()) | Err(StoreError::ReadOnly { .. }) => {}
                Err(error) => say!("warning: this run cannot be recorded: {error}"),
            }
        }

        fn once(&self, attempt: usize) -> (Outcome, Vec<ReportWarning>) {
            let started = Instant::now();
            let plan = &self.planned.plan;
            let emit = |event: Event| self.listeners.tell(&event);
            self.begin(&emit);
            if attempt == 1 {
                self.warn(&emit);
            }
            let run = Run {
                plan,
                inputs: &self.planned.inputs,
                store: self.store,
                base: &self.context.base,
                device: crate::machine::device::Device::Cpu,
                emit: &emit,
                memory: self.arguments.working.memory(),
                checkpoint_seconds: self.arguments.working.checkpoint_seconds(),
                stop: stop_signal("after the current batch"),
                clock,
                versions: self.versions,
            };
            let mut outcome = schedule(&run, self.workers);
            let written = outcome
                .is_complete()
                .then(|| self.report(&emit, &mut outcome));
            let written = written.flatten();
            let report_changed = written.as_ref().is_some_and(|written| written.changed);
            emit(Event::RunFinished {
                nothing_to_do: plan.is_done() && !report_changed && outcome.is_complete(),
                stopped: outcome.stopped,
                disk_full: outcome.disk_full,
                again: outcome.set_aside && !outcome.stopped && !outcome.disk_full,
                failed: outcome.failed.len(),
                unmade: outcome.unmade.len(),
                seconds: started.elapsed().as_secs_f64(),
            });
            let warnings = written.map_or_else(Vec::new, |written| written.warnings);
            for warning in &warnings {
                warnings::say_of_results(warning);
                emit(warned(warning.clone()));
            }
            (outcome, warnings)
        }

        fn begin(&self, emit: &dyn Fn(Event)) {
            let plan = &self.planned.plan;
            let passes = plan.passes();
            let costs: Vec<u64> = passes
                .iter()
                .map(|pass| pass.cost().multiply_adds)
                .collect();
            self.listeners.expect(&costs);
            emit(started(plan, &self.planned.listing, names(self.workers)));
        }

        /// Tells whoever listens of what was printed before.
        fn warn(&self, emit: &dyn Fn(Event)) {
            let Planned {
                experiment,
                inputs,
                plan,
                ..
            } = &self.planned;
            for warning in Warnings::of(experiment, inputs, plan).records() {
                emit(warned(warning));
            }
        }

        /// Writes the report where it differs; `None` where there is none, or it cannot be written.
        fn report(&self, emit: &dyn Fn(Event), outcome: &mut Outcome) -> Option<Written> {
            let Planned {
                experiment,
                inputs,
                plan,
                ..
            } = &self.planned;
            experiment.report.as_ref()?;
            let base = &self.context.base;
            let command = command(base, &self.arguments.experiment);
            let to = Place {
                base,
                command: &command,
                force: self.arguments.working.force,
                data: false,
                png: self.arguments.png,
            };
            let written = attempt(|| report::write(experiment, inputs, plan, self.store, &to));
            match written {
                Ok(written) => {
                    if written.changed {
                        emit(Event::ReportWritten {
                            path: written.path.clone(),
                            files: written.files,
                        });
                    }
                    Some(written)
                }
                Err(error) => {
                    outcome.fail_report(emit, self.store, &error);
                    None
                }
            }
        }
    }

    /// A warning as the log shows it.
    fn warned(warning: ReportWarning) -> Event {
        Event::Warned {
            code: warning.code,
            place: warning.place,
            message: warning.message,
            hint: warning.hint,
        }
    }

    /// How the program ends.
    fn ending(outcome: &Outcome, listeners: &Listeners) -> Result<(), Failure> {
        if outcome.stopped {
            return Err(listeners.stopped());
        }
        if outcome.disk_full {
            return Err(crate::cli::working::disk_full());
        }
        if outcome.failed.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{} failed, see above; the same command resumes from here, `repro report` shows what is there",
            crate::text::plural(outcome.failed.len(), "node")
        );
        Err(if outcome.has_bug {
            Failure::Bug(text.into())
        } else {
            Failure::Nodes(text.into())
        })
    }
}
