//! The pages of reports, and the list of them. A page asks by its script whether the files behind it have changed, and is loaded again
//! then; while a run of the same experiment is under way, it says how far that is.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use super::http::{Request, Response};
use super::runs::Run;
use super::{Output, View, files, markdown, url};
use crate::collect::place;
use crate::limits;
use crate::text::count;

/// A report on the first page.
#[derive(Debug, Serialize)]
struct Entry {
    address: String,
    name: String,
    title: String,
    headline: String,
}

/// A run of the experiment that a report is of.
#[derive(Debug, Serialize)]
pub(super) struct Running {
    /// The name of its record.
    name: String,
    /// How far it is, in words.
    progress: String,
}

/// What stands behind the address of a report for the state of its files alone.
pub(super) const STATE: &str = "state";

impl View {
    /// The list of reports.
    pub(super) fn index(&self) -> Response {
        let found = self.folders.reports();
        let entries = found.iter().map(|found| {
            let (path, _) = url::parse(&found.address)?;
            let (path, _) = self.folders.resolve(&path)?;
            let text = limits::read_text(&path, limits::REPORT as u64).ok()?;
            let (title, headline) = markdown::headline(&text);
            Some(Entry {
                address: found.address.clone(),
                name: found.name.clone(),
                title: title.unwrap_or_else(|| found.name.clone()),
                headline,
            })
        });
        let entries: Vec<Entry> = entries.flatten().collect();
        let is_there = |output: &&Output| !found.iter().any(|found| found.name == output.report);
        let unwritten: Vec<(&str, &str)> = self
            .outputs
            .iter()
            .filter(is_there)
            .map(|output| (output.title.as_str(), output.experiment.as_str()))
            .collect();
        let running: Vec<_> = self
            .newest()
            .into_iter()
            .filter(|run| run.is_running)
            .collect();
        let content = json!({ "reports": entries, "unwritten": unwritten, "running": running });
        self.page(200, "index.html", "reports", content)
    }

    /// A file of a folder that is shown: a report as a page, everything else as it is. With `?state` behind the address of a report, what
    /// its page asks again and again.
    pub(super) fn file(&self, request: &Request) -> Response {
        let Some((file, name)) = self.folders.resolve(&request.path) else {
            return self.missing();
        };
        let failed = |error: &std::io::Error| {
            self.message(
                404,
                "reports",
                &format!("cannot read {name}: {error}").into(),
            )
        };
        if file.extension().is_none_or(|ending| ending != "md") {
            return files::serve(&file).unwrap_or_else(|error| failed(&error));
        }
        let text = match limits::read_text(&file, limits::REPORT as u64) {
            Ok(text) => text,
            Err(error) => return failed(&error),
        };
        let page = markdown::page(&text, &|link| self.folders.address(&name, link));
        let state = state(&file, &text, &page.pictures);
        let of = place::experiment_of(&text);
        let running = of.and_then(|experiment| self.running(experiment));
        if request.value(STATE).is_some() {
            return Response::json(&json!({ "state": state, "running": running }));
        }
        let beside = files::beside(&file);
        let beside: Vec<(String, String)> = beside
            .into_iter()
            .map(|name| (url::encoded(&name), name))
            .collect();
        let written_by = self.outputs.iter().find(|output| output.report == name);
        let content = json!({
            "name": name,
            "title": page.title.unwrap_or_else(|| name.clone()),
            "headings": page.headings,
            "html": page.html,
            "beside": beside,
            "experiment": written_by.map(|output| output.experiment.as_str()),
            "state": state,
            "running": running,
            "of": of,
        });
        self.page(200, "report.html", "reports", content)
    }

    /// The newest run of an experiment that has not ended.
    pub(super) fn running(&self, experiment: &str) -> Option<Running> {
        let mut runs = self.newest().into_iter();
        let run = runs.find(|run| run.is_running && run.experiment == experiment)?;
        Some(Running {
            progress: progress(&run),
            name: run.name,
        })
    }
}

/// How far a run is, such as `1 of 2 passes, 3 of 9 heads`.
fn progress(run: &Run) -> String {
    let is_done = |name: &str, state: &str| name.starts_with("pass") && state == "done";
    let pieces = run.pieces.iter();
    let passes = pieces.filter(|piece| is_done(&piece.name, piece.state));
    let parts = [
        (passes.count() as u64, run.passes, "passes"),
        (run.trained.len() as u64, run.heads, "heads"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, of, _)| *of > 0)
        .map(|(done, of, what)| format!("{} of {} {what}", count(done), count(of)))
        .collect();
    if parts.is_empty() {
        "it has begun".to_owned()
    } else {
        parts.join(", ")
    }
}

/// What tells one state of a report's files from another: its text, and sizes and times of the pictures that it shows.
fn state(file: &Path, text: &str, pictures: &[String]) -> String {
    let mut digest = blake3::Hasher::new();
    digest.update(text.as_bytes());
    let folder = file.parent().unwrap_or(Path::new(""));
    for picture in pictures {
        let path = url::parse(&format!("/{picture}")).map(|(path, _)| path);
        let found = path.and_then(|path| {
            let found = fs::metadata(folder.join(path.trim_start_matches('/'))).ok()?;
            let changed = found.modified().ok()?;
            let since = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some((found.len(), since.as_nanos()))
        });
        let (bytes, changed) = found.unwrap_or_default();
        digest.update(&bytes.to_le_bytes());
        digest.update(&changed.to_le_bytes());
    }
    digest.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_drawn_again_is_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        let pictures = ["a%20b.svg".to_owned()];
        let of = |text: &str| state(&file, text, &pictures);
        let first = of("x");
        assert_eq!(of("x"), first);
        assert_ne!(of("y"), first);
        fs::write(folder.path().join("a b.svg"), "<svg/>").unwrap();
        assert_ne!(of("x"), first);
    }
}
