//! What a run gives to its remote at its end, and what it keeps of what stays there.

use std::collections::BTreeSet;

use super::session::Session;
use crate::cli::exit::Failure;
use crate::cli::process::stop_signal;
use crate::cli::remote::{Opened, wanted};
use crate::exec::context::{Outcome, Source};
use crate::exec::event::Event;
use crate::graph::Experiment;
use crate::inputs::subjects;
use crate::plan::Plan;
use crate::remote::Wanted;
use crate::store::Store;

/// The artifacts that carrying out a plan makes.
pub(super) fn made(plan: &Plan) -> impl Iterator<Item = Wanted> {
    let made = plan.steps.iter().filter(|step| step.is_missing());
    made.map(wanted)
}

impl Opened {
    /// The remote as what a run takes artifacts from.
    pub(in crate::cli) fn source(&self) -> Source<'_> {
        Source {
            remote: &self.remote,
            required: self.required,
        }
    }

    /// Puts those of some artifacts into the remote that are there, where the project says so; what it did, as an event.
    ///
    /// # Errors
    /// The failure of a required remote.
    pub(in crate::cli) fn give(
        &self,
        store: &Store,
        made: &BTreeSet<Wanted>,
        experiment: &Experiment,
    ) -> Result<Option<Event>, Failure> {
        if !self.push {
            return Ok(None);
        }
        let there = |one: &&Wanted| matches!(store.manifest(&one.1), Ok(Some(_)));
        let made: Vec<Wanted> = made.iter().filter(there).copied().collect();
        if made.is_empty() {
            return Ok(None);
        }
        let stop = stop_signal("at once");
        let pushed = self
            .remote
            .push(store, &made, false, &|_| {}, &|| stop.is_given());
        let notes = store.memo().whole_notes(Some(&subjects(experiment)));
        match pushed.and_then(|pushed| self.remote.push_notes(notes).map(|()| pushed)) {
            Ok(pushed) => {
                for (_, error) in pushed.failed {
                    self.failed(error)?;
                }
                Ok(Some(Event::Pushed {
                    remote: self.remote.shown().to_owned(),
                    artifacts: pushed.artifacts,
                    bytes: pushed.bytes,
                }))
            }
            Err(error) => self.failed(error).map(|()| None),
        }
    }
}

impl Session<'_> {
    /// Keeps what is known of the artifacts that stay in the remote: the report names them.
    pub(super) fn remember(&self) {
        let Some(opened) = self.remote else {
            return;
        };
        let steps = self.planned.plan.steps.iter();
        let there = steps.filter(|step| step.remote_bytes().is_some());
        let there = there.map(|step| step.artifact.fingerprint);
        // A cache that cannot be written to says so by what matters more.
        let _ = opened.remote.remember(self.store, there);
    }

    /// Puts what the run made into the remote, unless it was stopped.
    pub(super) fn push(&self, made: &BTreeSet<Wanted>, outcome: &Outcome) -> Result<(), Failure> {
        if let (Some(opened), false) = (self.remote, outcome.stopped)
            && let Some(event) = opened.give(self.store, made, &self.planned.experiment)?
        {
            self.listeners.tell(&event);
        }
        Ok(())
    }
}
