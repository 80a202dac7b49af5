//! What of the cache is referred to, and by whom: experiment files, earlier runs, reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::Context;
use crate::cli::exit::Failure;
use crate::cli::experiment;
use crate::cli::overrides::{ExperimentFile, Overrides};
use crate::cli::report::typed;
use crate::inputs::Otherwise;
use crate::limits;
use crate::message::Message;
use crate::report::files::PROVENANCE;
use crate::store::{Fingerprint, Listing, Store, Use};

/// Who refers to what, as far as it is in the cache.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// By experiment, as it is typed behind `repro run`: its artifacts and all that they were made from.
    pub(super) experiments: BTreeMap<String, BTreeSet<Fingerprint>>,
    /// By report: the artifacts that its provenance names, and all that they were made from.
    pub(super) reports: BTreeMap<String, BTreeSet<Fingerprint>>,
    /// What their trainings find their checkpoints by; `None` where a record of an older release does not say.
    pub(super) checkpoints: Option<BTreeSet<Fingerprint>>,
    /// When an artifact was last wanted by a run, where that is recorded.
    pub(super) last_use: BTreeMap<Fingerprint, String>,
}

impl Reached {
    /// What the last run of each experiment wanted, and what reports stand on.
    ///
    /// # Errors
    /// Records or reports that cannot be read: what is not known to be unused is not for removal.
    pub(super) fn recorded(
        context: &Context,
        store: &Store,
        listing: &Listing,
    ) -> Result<(Self, Vec<Use>), Failure> {
        let mut reached = Self::default();
        let (uses, unreadable) = store.uses()?;
        if let Some(reason) = unreadable.first() {
            return Err(Failure::Cache(
                Message::new(format!("a record of a run cannot be read: {reason}"))
                    .hint("remove that file, and run the experiment again, which writes it again"),
            ));
        }
        let of_all = uses.iter().map(|used| used.checkpoints.as_ref());
        let of_all: Option<Vec<&BTreeSet<Fingerprint>>> = of_all.collect();
        reached.checkpoints = of_all.map(|all| all.into_iter().flatten().copied().collect());
        for used in &uses {
            let wanted = used.artifacts.iter().filter(|one| listing.has(one));
            let wanted: BTreeSet<Fingerprint> = wanted.copied().collect();
            let all = listing.with_inputs(wanted);
            let now = all.iter().map(|fingerprint| (fingerprint, &used.at));
            for (fingerprint, at) in now.chain(&used.earlier) {
                let last = reached.last_use.entry(*fingerprint).or_default();
                if *last < *at {
                    last.clone_from(at);
                }
            }
            reached.experiments.insert(used.file.clone(), all);
        }
        for report in reports(&context.base.join("reports")) {
            let text = limits::read_text(&report, limits::WHOLE_FILE).map_err(|error| {
                let text = format!("cannot read {}: {error}", report.display());
                Failure::Input(Message::new(text).hint(
                    "what a report stands on is kept, so it has to be readable; remove it if it is not needed",
                ))
            })?;
            let digits = artifacts_of(&text).map_err(|reason| {
                let text = format!("{} {reason}", report.display());
                Failure::Input(Message::new(text).hint(
                    "run its experiment again, which writes the report again; remove it if it is not needed",
                ))
            })?;
            let named = listing.named_by(&digits);
            let name = report.strip_prefix(&context.base).unwrap_or(&report);
            reached
                .reports
                .insert(name.display().to_string(), listing.with_inputs(named));
        }
        Ok((reached, uses))
    }

    /// Adds what experiment files want now, by planning them.
    ///
    /// # Errors
    /// Files with errors.
    pub(super) fn add_files(
        &mut self,
        context: &Context,
        (files, overrides): (&[PathBuf], &Overrides),
        store: &Store,
        listing: &Listing,
    ) -> Result<(), Failure> {
        for file in files {
            let file = ExperimentFile {
                file: file.clone(),
                overrides: overrides.clone(),
            };
            let (planned, _) =
                experiment::survey(context, &file, store, Otherwise::Fail, &mut |_, _| {})?;
            let steps = planned.plan.steps.iter();
            let wanted = steps.map(|step| step.artifact.fingerprint);
            let wanted = wanted.filter(|one| listing.has(one)).collect();
            if let Some(checkpoints) = &mut self.checkpoints {
                checkpoints.extend(planned.plan.checkpoints()?);
            }
            self.experiments
                .insert(typed(&context.base, &file), listing.with_inputs(wanted));
        }
        Ok(())
    }
}

/// The files of provenance below a folder; links are not followed.
fn reports(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(reports(&path)),
            Ok(kind) if kind.is_file() && path.to_string_lossy().ends_with(PROVENANCE) => {
                found.push(path);
            }
            _ => {}
        }
    }
    found.sort();
    found
}

/// The first digits of the fingerprints that a file of provenance lists under `run.artifacts`.
///
/// # Errors
/// A file that lists none in this form, in words that follow its name: what it stands on is not known then.
fn artifacts_of(text: &str) -> Result<Vec<String>, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("is not complete JSON: {error}"))?;
    let artifacts = &value["run"]["artifacts"];
    let columns = artifacts["columns"].as_array();
    let column = columns.and_then(|names| names.iter().position(|name| name == "fingerprint"));
    let (Some(column), Some(rows)) = (column, artifacts["rows"].as_array()) else {
        return Err("lists no artifacts under `run.artifacts`".to_owned());
    };
    let digits = |row: &Value| {
        let digits = row.get(column)?.as_str()?;
        // A short one would stand for many.
        (digits.len() >= 12).then(|| digits.to_owned())
    };
    let all = rows.iter().map(|row| {
        let wrong = || format!("lists an artifact without a fingerprint: {row}");
        digits(row).ok_or_else(wrong)
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_its_artifacts() {
        let text = r#"{"run": {"artifacts": {"columns": ["kind", "fingerprint"],
            "rows": [["head", "0123456789abcdef"]]}}}"#;
        assert_eq!(artifacts_of(text).unwrap(), ["0123456789abcdef"]);
        assert!(artifacts_of(&text[..40]).unwrap_err().contains("JSON"));
        assert!(artifacts_of("{}").unwrap_err().contains("run.artifacts"));
        for row in [r#"["head", ""]"#, r#"["head"]"#, r#"["head", 1]"#] {
            let text = text.replace(r#"["head", "0123456789abcdef"]"#, row);
            assert!(artifacts_of(&text).is_err(), "{row}");
        }
    }
}
