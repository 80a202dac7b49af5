//! The report of one experiment as far as its results are in the cache, while a run makes the others: rendered in memory, written nowhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::http::{Request, Response};
use super::reports::STATE;
use super::{View, files, markdown};
use crate::message::Message;
use crate::text::plural;

/// The address of the page; its figures are below it.
pub(super) const ADDRESS: &str = "/live/";
/// How long a report in memory is shown before it is rendered again.
const FRESH: Duration = Duration::from_secs(3);

/// A report as far as its results are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoFar {
    /// Its Markdown.
    pub markdown: String,
    /// Its figures: their files, from the folder of the report, and the SVG.
    pub figures: Vec<(String, Vec<u8>)>,
    /// How many results are not there.
    pub missing: usize,
}

/// Renders the report from what is in the cache now; called from several threads.
pub type RenderSoFar = dyn Fn() -> Result<SoFar, Message> + Send + Sync;

/// A report that was rendered, and when; the error says why it cannot be.
type Rendered = (Instant, Arc<Result<SoFar, Message>>);

/// The report of the experiment that the pages were started with.
pub struct Live {
    experiment: String,
    report: String,
    render: Box<RenderSoFar>,
    /// The last that was rendered.
    last: Mutex<Option<Rendered>>,
}

impl Live {
    /// The report of the experiment of this name, which `report`, a path from the project's folder, is written to.
    pub fn new(experiment: String, report: String, render: Box<RenderSoFar>) -> Self {
        Self {
            experiment,
            report,
            render,
            last: Mutex::new(None),
        }
    }

    /// The name of the experiment.
    pub(super) fn experiment(&self) -> &str {
        &self.experiment
    }

    /// The report as it is now, or was a moment ago. One is rendered at a time.
    fn so_far(&self) -> Arc<Result<SoFar, Message>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, rendered)) = &*last
            && at.elapsed() < FRESH
        {
            return Arc::clone(rendered);
        }
        let rendered = Arc::new((self.render)());
        *last = Some((Instant::now(), Arc::clone(&rendered)));
        rendered
    }
}

impl View {
    /// The page of the report so far, what its script asks, and its figures.
    pub(super) fn live(&self, request: &Request, file: &str) -> Response {
        let Some(live) = &self.live else {
            return self.missing();
        };
        let so_far = live.so_far();
        if !file.is_empty() {
            let figures = so_far.as_ref().as_ref().map(|so_far| &so_far.figures);
            let figure = figures.ok().and_then(|figures| {
                let figure = figures.iter().find(|(name, _)| name == file)?;
                Some(Response {
                    status: 200,
                    kind: files::SVG,
                    body: figure.1.clone(),
                })
            });
            // What is beside the report is beside this page, too.
            let beside = || {
                let (path, _) = self.folders.beside(&live.report, file)?;
                files::serve(&path).ok()
            };
            return figure.or_else(beside).unwrap_or_else(|| self.missing());
        }
        let (text, figures, missing) = match so_far.as_ref() {
            Ok(so_far) => (
                so_far.markdown.clone(),
                so_far.figures.as_slice(),
                so_far.missing,
            ),
            Err(message) => {
                let text = crate::report::markdown::escape(&message.to_string());
                (format!("# {}\n\n{text}\n", live.experiment), &[][..], 0)
            }
        };
        let mut digest = blake3::Hasher::new();
        digest.update(text.as_bytes());
        for (_, figure) in figures {
            digest.update(figure);
        }
        let state = digest.finalize().to_hex().to_string();
        let running = self.running(&live.experiment);
        if request.value(STATE).is_some() {
            return Response::json(&json!({ "state": state, "running": running }));
        }
        let page = markdown::page(&text, &|link| self.folders.address(&live.report, link));
        let name = format!(
            "{} as far as its results are there; {} not there yet",
            live.report,
            plural(missing, "result")
        );
        let content = json!({
            "name": name,
            "title": page.title.unwrap_or_else(|| live.experiment.clone()),
            "headings": page.headings,
            "html": page.html,
            "beside": [],
            "experiment": null,
            "state": state,
            "running": running,
            "of": live.experiment,
        });
        self.page(200, "report.html", "live", content)
    }
}
