//! `repro view`: the reports of the project as pages, on this machine alone.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Context;
use super::exit::Failure;
use super::overrides::{ExperimentFile, Overrides};
use super::report::command;
use super::{experiment, printed, process};
use crate::collect::place::Place;
use crate::collect::report;
use crate::graph::Experiment;
use crate::inputs::{Inputs, Otherwise};
use crate::message::{Hint, Message};
use crate::plan::Plan;
use crate::report::ReportConfig;
use crate::store::Store;
use crate::view::{Answer, ListenError, Live, Output, Samples, Server, SoFar, View};

/// The folder of experiment files, below the project.
const EXPERIMENTS: &str = "experiments";
/// How often the wish to stop is looked for.
const OFTEN: Duration = Duration::from_millis(50);

/// Arguments of `repro view`.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows the reports of the project with their figures, runs as they happen, and SQL over the cache. With FILE also its report with the results so far, and the images on which two heads of that experiment disagree.\n\nListens on 127.0.0.1 alone, answers nothing but GET and HEAD, changes nothing, and loads nothing from elsewhere. Whoever has an account on this machine can read the pages while it runs.\n\nExamples:\n  repro view\n  repro view experiments/quickstart.toml --port 9000"
)]
pub struct Arguments {
    /// The experiment whose images and predictions are shown.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// The port, 0 for any that is free; if not given, 8765 or the next one that is free.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

/// Serves the pages until Ctrl-C.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let stop = process::stop_signal("now");
    let named = arguments.file.as_ref().map(|file| ExperimentFile {
        file: file.clone(),
        overrides: arguments.overrides.clone(),
    });
    let of_named = named.as_ref().map(|file| of_named(context, file));
    let (samples, live) = of_named.transpose()?.unzip();
    let server = Server::bind(arguments.port).map_err(|error| refused(&error))?;
    let view = View::new(
        context.base.clone(),
        outputs(context, named),
        context.cache.clone(),
        samples,
        live.flatten(),
    )?;
    {
        let mut out = printed::unfolded();
        let port = server.port();
        writeln!(out, "reports at http://127.0.0.1:{port}/ (Ctrl-C ends)")?;
        out.flush()?;
    }
    let answer: Arc<Answer> = Arc::new(move |request| view.answer(request));
    std::thread::spawn(move || server.serve(&answer));
    while !stop.is_given() {
        std::thread::sleep(OFTEN);
    }
    Err(Failure::StoppedWith("stopped; nothing was changed".into()))
}

fn refused(error: &ListenError) -> Failure {
    Failure::Usage(error.explain())
}

/// What the heads of an experiment predicted, whether or not its images are on disk, and its report so far, where it has one.
fn of_named(context: &Context, file: &ExperimentFile) -> Result<(Samples, Option<Live>), Failure> {
    let store = Store::open_read_only(&context.cache)?;
    let surveyed = experiment::survey(context, file, &store, Otherwise::Fail, &mut |_, _| {});
    let (planned, absent) = surveyed?;
    for one in &absent {
        say!(
            "warning: `{}` is not on disk: {} is missing; what the cache holds of it is shown",
            one.name,
            one.missing
        );
    }
    let (plan, inputs) = (Arc::new(planned.plan), Arc::new(planned.inputs));
    let samples = Samples::new(Arc::clone(&plan), Arc::clone(&inputs));
    let live = planned.experiment.report.is_some();
    let live = live.then(|| live_of(context, file, planned.experiment, (plan, inputs)));
    Ok((samples, live))
}

/// The report of an experiment as far as its results are in the cache.
fn live_of(
    context: &Context,
    file: &ExperimentFile,
    experiment: Experiment,
    (plan, inputs): (Arc<Plan>, Arc<Inputs>),
) -> Live {
    let name = experiment.name.clone();
    let report = experiment.report.as_ref();
    let output = report.map_or_else(String::new, |report| report.output.clone());
    let command = command(&context.base, file);
    let (base, cache) = (context.base.clone(), context.cache.clone());
    let render = move || -> Result<SoFar, Message> {
        let to = Place {
            base: &base,
            command: &command,
            force: false,
            data: false,
            png: false,
        };
        let store = Store::open_read_only(&cache).map_err(|error| error.to_string())?;
        let rendered = report::in_memory(&experiment, &inputs, &plan, &store, &to);
        let (rendered, missing) = rendered.map_err(|error| error.explain())?;
        Ok(SoFar {
            markdown: rendered.markdown,
            figures: rendered.files,
            missing,
        })
    };
    Live::new(name, output, Box::new(render))
}

/// The reports that the experiments of the project write. Files with errors have none; `repro check` says what is wrong with them.
fn outputs(context: &Context, named: Option<ExperimentFile>) -> Vec<Output> {
    let there = fs::read_dir(context.base.join(EXPERIMENTS));
    let files = there.into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let mut files: Vec<ExperimentFile> = files.into_iter().map(ExperimentFile::plain).collect();
    if let Some(named) = named {
        // With what overrides it, it may have another report.
        files.push(named);
    }
    let output = |file: &ExperimentFile| {
        let experiment = experiment::check(file).ok()?;
        let path = &file.file;
        let report = experiment
            .report
            .as_ref()
            .map(|report| report.output.clone());
        let shown = path.strip_prefix(&context.base).unwrap_or(path);
        Some(Output {
            experiment: shown.display().to_string(),
            title: experiment.title.clone(),
            report: report.unwrap_or_else(|| ReportConfig::plain(&experiment.name).output),
        })
    };
    let mut outputs: Vec<Output> = files.iter().filter_map(output).collect();
    let mut seen = BTreeSet::new();
    outputs.retain(|output| seen.insert(output.report.clone()));
    outputs
}
