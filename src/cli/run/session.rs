//! The runs of one call: a plan carried out, and the report written; again where something damaged was set aside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::ended::ending;
use super::origin::{origin, wanted};
use super::pushed;
use super::started::started;
use super::{Arguments, Context, Failure, MOST_ATTEMPTS};
use crate::cli::experiment::Planned;
use crate::cli::process::{ago, clock, stop_signal};
use crate::cli::remote::Opened;
use crate::cli::report::{command, typed};
use crate::cli::warnings;
use crate::cli::working::{Listeners, names};
use crate::collect::files::Written;
use crate::collect::place::Place;
use crate::collect::report;
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

/// When Ctrl-C takes effect.
const WHEN_STOPPED: &str = "after the current batch";

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
    pub(super) remote: Option<&'a Opened>,
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
        // With `--watch` the run before may have ended early.
        stop_signal(WHEN_STOPPED).resume();
        let (mut damaged, mut made) = (0, BTreeSet::new());
        for attempt in 1.. {
            made.extend(pushed::made(&self.planned.plan));
            self.remember();
            let (outcome, warnings) = self.once(attempt);
            if !outcome.set_aside || outcome.stopped || outcome.disk_full {
                self.push(&made, &outcome)?;
                ending(&outcome, self.listeners)?;
                return self.arguments.deny.of_results(&self.planned, &warnings);
            }
            // What a remote could not give is not asked for again, so that comes to an end by itself.
            damaged += usize::from(!outcome.unbrought);
            if damaged == MOST_ATTEMPTS {
                break;
            }
            // Damaged artifacts are out of the way now; they are made again by the same rules as anything that is missing.
            self.planned = self
                .arguments
                .planned(self.context, self.store, self.remote)?;
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
            checkpoints: self.planned.plan.checkpoints().ok(),
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
            self.tell_origin(&emit);
            self.warn(&emit);
        }
        let run = Run {
            plan,
            inputs: &self.planned.inputs,
            store: self.store,
            remote: self.remote.map(Opened::source),
            base: &self.context.base,
            device: crate::machine::device::Device::Cpu,
            emit: &emit,
            memory: self.arguments.working.memory(),
            checkpoint_seconds: self.arguments.working.checkpoint_seconds(),
            fail_fast: self.arguments.fail_fast,
            stop: stop_signal(WHEN_STOPPED),
            clock,
            versions: self.versions,
        };
        let mut outcome = schedule(&run, self.workers);
        // A part of an experiment has not all that its report shows.
        let has_report = outcome.is_complete() && !self.arguments.selection.is_given();
        let written = has_report.then(|| self.report(&emit, &mut outcome));
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

    /// Tells whoever listens where this run comes from and what it wants.
    fn tell_origin(&self, emit: &dyn Fn(Event)) {
        let base = &self.context.base;
        let command = format!("repro run {}", typed(base, &self.arguments.experiment));
        emit(origin(base, &self.planned.plan.name, command));
        wanted(&self.planned.plan).into_iter().for_each(emit);
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
        // Whatever is not in the cache any more was there when the run read or made it, and a report without it would be of what is gone.
        let last_look = || report::require_all(plan, self.store);
        let written =
            attempt(|| report::write(experiment, inputs, plan, self.store, &to, &last_look));
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
