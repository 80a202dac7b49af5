//! The reports of a project as pages on this machine: reports with their figures and data, runs as they happen, SQL over the cache, and
//! the images on which two heads disagree. Shows what is there; writes nothing, and computes no result.
//!
//! `http` is the server and what it refuses, `files` says which files are shown, `markdown` makes HTML of reports, and the other files
//! are a page each. Pages are made from `templates/view/`, in which every text is escaped unless it was made here as HTML.

mod files;
mod http;
mod live;
mod markdown;
mod picture;
mod reports;
pub mod runs;
mod samples;
mod sql;
mod tags;
mod url;

use std::path::PathBuf;

use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::json;

use self::files::Folders;
use self::runs::Runs;
use crate::bug::Bug;
use crate::message::Message;
use crate::report::context::json_value;
use crate::store::Store;
use crate::visible::visible;

pub use files::Output;
pub use http::{Answer, DEFAULT_PORT, ListenError, Request, Response, Server};
pub use live::{Live, RenderSoFar, SoFar};
pub use samples::Samples;

/// The templates of the pages.
const TEMPLATES: [(&str, &str); 8] = [
    (
        "frame.html",
        include_str!("../../templates/view/frame.html"),
    ),
    (
        "index.html",
        include_str!("../../templates/view/index.html"),
    ),
    (
        "report.html",
        include_str!("../../templates/view/report.html"),
    ),
    (
        "query.html",
        include_str!("../../templates/view/query.html"),
    ),
    ("runs.html", include_str!("../../templates/view/runs.html")),
    ("run.html", include_str!("../../templates/view/run.html")),
    (
        "samples.html",
        include_str!("../../templates/view/samples.html"),
    ),
    (
        "message.html",
        include_str!("../../templates/view/message.html"),
    ),
];
const STYLE: &str = include_str!("../../templates/view/view.css");
const SCRIPT: &str = include_str!("../../templates/view/view.js");

/// The pages of a project; read again for every request, so that they are never older than what they show.
pub struct View {
    folders: Folders,
    outputs: Vec<Output>,
    cache: PathBuf,
    samples: Option<Samples>,
    live: Option<Live>,
    runs: Runs,
    pages: Environment<'static>,
}

impl View {
    /// The reports of the project in the folder `base`, those that `outputs` name included, its `cache`, and the predictions and
    /// the report so far of one experiment where they are asked for.
    ///
    /// # Errors
    /// A template of the program that does not parse.
    pub fn new(
        base: PathBuf,
        outputs: Vec<Output>,
        cache: PathBuf,
        samples: Option<Samples>,
        live: Option<Live>,
    ) -> Result<Self, Bug> {
        let mut pages = Environment::new();
        pages.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in TEMPLATES {
            let added = pages.add_template(name, text);
            added.map_err(|error| Bug::new(format!("the page {name}: {error:#}")))?;
        }
        Ok(Self {
            folders: Folders::new(base, &outputs),
            outputs,
            cache,
            samples,
            live,
            runs: Runs::default(),
            pages,
        })
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        let path = request.path.as_str();
        match path {
            "/" => self.index(),
            "/view.css" => asset("text/css; charset=utf-8", STYLE),
            "/view.js" => asset("text/javascript; charset=utf-8", SCRIPT),
            "/query" => self.query(request),
            "/runs" => self.all_runs(),
            "/samples" => self.disagreement(request),
            _ => {
                if let Some(name) = path.strip_prefix("/runs/") {
                    self.run(name)
                } else if let Some(image) = path.strip_prefix("/image/") {
                    self.image(image)
                } else if let Some(file) = path.strip_prefix(live::ADDRESS) {
                    self.live(request, file)
                } else {
                    self.file(request)
                }
            }
        }
    }

    /// A page of a template. `tab` is the part of the pages that it belongs to.
    fn page(&self, status: u16, template: &str, tab: &str, content: serde_json::Value) -> Response {
        let page = self.pages.get_template(template);
        let page = page.and_then(|page| {
            page.render(context! {
                tab => tab,
                has_samples => self.samples.is_some(),
                live => self.live.as_ref().map(Live::experiment),
                ..json_value(content)
            })
        });
        match page {
            Ok(text) => Response::html(status, text),
            Err(error) => Response::text(
                500,
                &format!("internal error: the page {template}: {error:#}; a bug in repro"),
            ),
        }
    }

    /// A page that says what is wrong.
    fn message(&self, status: u16, tab: &str, message: &Message) -> Response {
        let content = json!({ "text": visible(&message.text), "hint": message.hint });
        self.page(status, "message.html", tab, content)
    }

    fn missing(&self) -> Response {
        let message = Message::new("there is no such page").hint("the reports are listed at /");
        self.message(404, "", &message)
    }

    /// The cache as it is now: a run may have made it in the meantime.
    fn store(&self) -> Result<Store, Message> {
        if !self.cache.exists() {
            return Err(
                Message::new(format!("there is no cache at {}", self.cache.display()))
                    .hint("run an experiment first, or name the folder with `--cache`"),
            );
        }
        Store::open_read_only(&self.cache).map_err(|error| error.to_string().into())
    }

    fn query(&self, request: &Request) -> Response {
        let sql = request.value("sql").unwrap_or_default();
        let store = match self.store() {
            Ok(store) => store,
            Err(message) => return self.message(404, "query", &message),
        };
        let tables = match sql::tables(&store) {
            Ok(tables) => tables,
            Err(message) => return self.message(404, "query", &message),
        };
        let (found, wrong) = match sql.trim() {
            "" => (None, None),
            sql => match sql::run(&store, sql) {
                Ok(found) => (Some(found), None),
                Err(message) => (None, Some(message)),
            },
        };
        let examples = sql::EXAMPLES.map(|(what, sql)| (what, url::encoded(sql)));
        let content = json!({
            "sql": sql,
            "tables": tables,
            "examples": examples,
            "found": found,
            "wrong": wrong.as_ref().map(|message| visible(&message.text)),
            "hint": wrong.as_ref().and_then(|message| message.hint.as_deref()),
        });
        let status = if wrong.is_some() { 400 } else { 200 };
        self.page(status, "query.html", "query", content)
    }

    fn newest(&self) -> Vec<runs::Run> {
        let store = self.store();
        store.map_or_else(
            |_| Vec::new(),
            |store| self.runs.newest(&store.runs_folder(), runs::MOST_LISTED),
        )
    }

    fn all_runs(&self) -> Response {
        match self.store() {
            Err(message) => self.message(404, "runs", &message),
            Ok(store) => {
                let runs = self.runs.newest(&store.runs_folder(), runs::MOST_LISTED);
                let content = json!({ "runs": runs, "most": runs::MOST_LISTED });
                self.page(200, "runs.html", "runs", content)
            }
        }
    }

    /// `/runs/NAME` as a page, and `/runs/NAME.json` for its script.
    fn run(&self, name: &str) -> Response {
        let (name, is_json) = match name.strip_suffix(".json") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let store = match self.store() {
            Ok(store) => store,
            Err(message) => return self.message(404, "runs", &message),
        };
        let run = match self.runs.run(&store.runs_folder(), name) {
            Ok(Some(run)) => run,
            Ok(None) => return self.missing(),
            Err(error) => {
                let message = format!("cannot read the record of the run: {error}");
                return self.message(404, "runs", &message.into());
            }
        };
        if !is_json {
            return self.page(200, "run.html", "runs", json!({ "run": run }));
        }
        match serde_json::to_value(&run) {
            Ok(run) => Response::json(&run),
            Err(error) => Response::text(500, &error.to_string()),
        }
    }

    fn disagreement(&self, request: &Request) -> Response {
        let shown = self.samples_and_store();
        let (samples, store) = match shown {
            Ok(both) => both,
            Err(message) => return self.message(404, "samples", &message),
        };
        let heads = samples.choices(&store);
        let keys = ["a", "b"].map(|name| request.value(name).unwrap_or_default());
        let [first, second] = keys;
        let found = if first.is_empty() || second.is_empty() {
            None
        } else {
            Some(samples.disagreement(&store, (first, second), request))
        };
        let (found, wrong) = match found {
            None => (None, None),
            Some(Ok(found)) => (Some(found), None),
            Some(Err(message)) => (None, Some(message)),
        };
        let content = json!({
            "experiment": samples.name(),
            "heads": heads,
            "first": first,
            "second": second,
            "found": found,
            "wrong": wrong.as_ref().map(|message| visible(&message.text)),
            "hint": wrong.as_ref().and_then(|message| message.hint.as_deref()),
        });
        let status = if wrong.is_some() { 404 } else { 200 };
        self.page(status, "samples.html", "samples", content)
    }

    fn samples_and_store(&self) -> Result<(&Samples, Store), Message> {
        let samples = self.samples.as_ref().ok_or_else(|| {
            Message::new("no experiment was named").hint(
                "start with an experiment file, such as `repro view experiments/quickstart.toml`",
            )
        })?;
        Ok((samples, self.store()?))
    }

    fn image(&self, address: &str) -> Response {
        match self.samples_and_store() {
            Ok((samples, store)) => samples.picture(&store, address),
            Err(message) => Response::text(404, &message.to_string()),
        }
    }
}

fn asset(kind: &'static str, text: &str) -> Response {
    Response {
        status: 200,
        kind,
        body: text.as_bytes().to_vec(),
    }
}
