//! What the record of a run says of where it comes from, for `repro runs`: the command, the git revision, who ran it and where.

use std::path::Path;

use crate::diff::git;
use crate::exec::event::Event;
use crate::plan::Plan;

/// Artifacts that one event names, so that a line of the record stays far below `limits::RUN_LINE`.
const NAMED_AT_ONCE: usize = 10_000;

/// Where a command comes from that works on an experiment. Tells what can be found out; nothing of it decides what is computed.
pub(in crate::cli) fn origin(base: &Path, experiment: &str, command: String) -> Event {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.map(|name| name.trim().to_owned());
    let state = git::state(base);
    Event::RunOrigin {
        experiment: experiment.to_owned(),
        command,
        is_changed: state.as_ref().is_some_and(|state| state.is_changed),
        revision: state.map(|state| state.commit),
        user: variable("USER").or_else(|| variable("LOGNAME")),
        host: host.filter(|name| !name.is_empty()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The artifacts of a plan.
pub(super) fn wanted(plan: &Plan) -> Vec<Event> {
    let artifacts = plan.steps.iter();
    let artifacts: Vec<String> = artifacts
        .map(|step| step.artifact.fingerprint.short())
        .collect();
    let events = artifacts.chunks(NAMED_AT_ONCE);
    let events = events.map(|some| Event::Wanted {
        artifacts: some.to_vec(),
    });
    events.collect()
}
