//! `repro run --watch`: runs an experiment again whenever its file, a file that it includes, or its template changes.
//!
//! The files are looked at, not listened to: their sizes and times, twice a second. That works on every file system, and in a container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Arguments, Context, Failure, once};
use crate::cli::experiment;
use crate::cli::process::stop_signal;
use crate::exec::StopSignal;
use crate::spec::Diagnostics;
use crate::spec::compose::compose;
use crate::spec::tree::Value;
use crate::text::plural;

/// How often the files are looked at.
const LOOKED_AT: Duration = Duration::from_millis(500);
/// How often the wish to stop is looked for.
const OFTEN: Duration = Duration::from_millis(50);
/// Names of files that a line holds.
const MOST_NAMES: usize = 3;

/// Runs an experiment, and again after each change, until Ctrl-C.
///
/// # Errors
/// [`Failure::StoppedWith`] or [`Failure::Stopped`] in the end. Before that, an experiment file that is not there, and what another
/// version of the file would not change: a full disk, a bug, an output that nobody reads.
pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let stop = stop_signal("after the current batch, if there is one");
    let mut files = Files::of(context, arguments, &Files::default());
    if files.0.values().all(Option::is_none) {
        // A name that was mistyped, and nothing to wait for.
        experiment::check(&arguments.experiment)?;
    }
    loop {
        match once(context, arguments) {
            Ok(()) => {}
            Err(failure) if stop.is_given() => return Err(failure),
            Err(failure @ (Failure::Bug(_) | Failure::OutputClosed)) => return Err(failure),
            Err(failure) => failure.print(),
        }
        say!("watching {}; Ctrl-C ends", files.named());
        let Some((now, changed)) = files.next(context, arguments, stop) else {
            return Err(Failure::StoppedWith(
                "stopped watching; everything committed is kept".into(),
            ));
        };
        say!("{changed}; running again");
        files = now;
    }
}

/// What tells one state of a file from another: size in bytes, time of the last change, and which file it is.
type State = (u64, Option<SystemTime>, u64);

/// The files that an experiment is made of, by their paths; `None` for one that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Files(BTreeMap<PathBuf, Option<State>>);

impl Files {
    /// The files as they are now: the experiment file, what it includes, and its template. Where the file cannot be understood, those
    /// that were known before stay.
    fn of(context: &Context, arguments: &Arguments, before: &Self) -> Self {
        let mut paths = Vec::new();
        let file = &arguments.experiment;
        let note = &mut |path: &Path| paths.push(path.to_owned());
        let source = experiment::read_noting(&file.file, &file.overrides, note);
        let is_readable = source.as_ref().is_ok_and(|source| {
            let mut problems = Diagnostics::new(source.clone());
            let root = compose(source, &mut problems);
            let report = root.get("report").map(|entry| &entry.node.value);
            if let Some(Value::Table(report)) = report
                && let Some(Value::Text(template)) =
                    report.get("template").map(|entry| &entry.node.value)
            {
                paths.push(context.base.join(template));
            }
            problems.is_empty()
        });
        if !is_readable {
            paths.extend(before.0.keys().cloned());
        }
        let states = paths.into_iter().map(|path| {
            let state = state(&path);
            (path, state)
        });
        Self(states.collect())
    }

    /// The files after the next change, and the change in words. `None` where the user stops it.
    ///
    /// An editor may write a file in several steps, so that a change counts once nothing has changed for one look.
    fn next(
        &self,
        context: &Context,
        arguments: &Arguments,
        stop: &StopSignal,
    ) -> Option<(Self, String)> {
        let mut last = self.clone();
        loop {
            let mut slept = Duration::ZERO;
            while slept < LOOKED_AT {
                if stop.is_given() {
                    return None;
                }
                std::thread::sleep(OFTEN);
                slept += OFTEN;
            }
            let now = last.again();
            let has_settled = now == last;
            last = now;
            if has_settled && let Some(changed) = self.changes(&last) {
                // What the new version includes is watched from here on.
                return Some((Self::of(context, arguments, &last), changed));
            }
        }
    }

    /// The same files as they are now.
    fn again(&self) -> Self {
        let states = self.0.keys().map(|path| (path.clone(), state(path)));
        Self(states.collect())
    }

    /// What has become of the files, in words; `None` where they are as they were.
    fn changes(&self, now: &Self) -> Option<String> {
        let mut parts = Vec::new();
        for (path, after) in &now.0 {
            let before = self.0.get(path).copied().flatten();
            let what = match (before, after) {
                (Some(before), Some(after)) if before != *after => "changed",
                (None, Some(_)) => "is there",
                (Some(_), None) => "is gone",
                _ => continue,
            };
            parts.push(format!("{} {what}", path.display()));
        }
        let more = parts.len().saturating_sub(MOST_NAMES);
        parts.truncate(MOST_NAMES);
        if more > 0 {
            parts.push(plural(more, "other change"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The files for people.
    fn named(&self) -> String {
        match self.0.keys().collect::<Vec<_>>().as_slice() {
            [only] => only.display().to_string(),
            all => plural(all.len(), "file"),
        }
    }
}

/// The state of a file.
fn state(path: &Path) -> Option<State> {
    let found = fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(states: &[(&str, Option<u64>)]) -> Files {
        let states = states
            .iter()
            .map(|(path, size)| ((*path).into(), size.map(|size| (size, None, 0))));
        Files(states.collect())
    }

    #[test]
    fn a_change_is_one_line() {
        let before = files(&[("a", Some(1)), ("b", Some(1)), ("c", None)]);
        assert_eq!(before.changes(&before), None);
        let after = files(&[("a", Some(2)), ("b", None), ("c", Some(3))]);
        assert_eq!(
            before.changes(&after).unwrap(),
            "a changed, b is gone, c is there"
        );
        let many = |size| files(&["a", "b", "c", "d", "e"].map(|name| (name, Some(size))));
        assert_eq!(
            many(1).changes(&many(2)).unwrap(),
            "a changed, b changed, c changed, 2 other changes"
        );
    }
}
