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
use super::{experiment, printed, process};
use crate::inputs::Otherwise;
use crate::message::Hint;
use crate::report::ReportConfig;
use crate::store::Store;
use crate::view::{Answer, ListenError, Output, Samples, Server, View};

/// The folder of experiment files, below the project.
const EXPERIMENTS: &str = "experiments";
/// How often the wish to stop is looked for.
const OFTEN: Duration = Duration::from_millis(50);

/// Arguments of `repro view`.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows the reports of the project with their figures, runs as they happen, and SQL over the cache. With FILE also the images on which two heads of that experiment disagree.\n\nListens on 127.0.0.1 alone, answers nothing but GET and HEAD, changes nothing, and loads nothing from elsewhere. Whoever has an account on this machine can read the pages while it runs.\n\nExamples:\n  repro view\n  repro view experiments/quickstart.toml --port 9000"
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
    let samples = named.as_ref().map(|file| samples(context, file));
    let samples = samples.transpose()?;
    let server = Server::bind(arguments.port).map_err(|error| refused(&error))?;
    let view = View::new(
        context.base.clone(),
        outputs(context, named),
        context.cache.clone(),
        samples,
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

/// What the heads of an experiment predicted, whether or not its images are on disk.
fn samples(context: &Context, file: &ExperimentFile) -> Result<Samples, Failure> {
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
    Ok(Samples::new(planned.plan, planned.inputs))
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
