//! `repro run`: computes what the cache lacks and writes the report.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::Failure;

/// Arguments of `repro run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro run experiments/quickstart.toml\n  repro run experiments/quickstart.toml --device cuda:0\n  repro run experiments/quickstart.toml --json-log run.jsonl\n\nCtrl-C stops after the current batch; the same command goes on from the last committed shard."
)]
pub struct Arguments {
    /// The experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// How much memory the training of heads may take, such as `8GiB`; half of what is available if not given. Results do not depend on it.
    #[arg(long, value_name = "SIZE", value_parser = crate::text::parse_bytes)]
    memory: Option<u64>,
    /// How many seconds of training heads may be lost when the program is killed, beside the epoch that it is in; 0 keeps a checkpoint after every epoch. Results do not depend on it.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::text::parse_seconds)]
    checkpoint_every: f64,
    /// Write every event as a line of JSON.
    #[arg(long, value_name = "FILE")]
    json_log: Option<PathBuf>,
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub fn run(_context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let _ = (&arguments.device, &arguments.json_log, &arguments.memory);
    let _ = arguments.checkpoint_every;
    super::experiment::check(&arguments.file)?;
    Err(Failure::Mistakes(
        "this build has no libtorch (feature `torch`), so it can check, plan, query and report, but not run".to_owned(),
    ))
}

/// Runs that follow one another because damaged artifacts were set aside; more of them than this is no accident.
#[cfg(feature = "torch")]
const MOST_ATTEMPTS: usize = 3;

/// Runs an experiment.
#[cfg(feature = "torch")]
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    use super::process::{clock, stop_signal};
    use super::progress::{Display, JsonLog};
    use super::{experiment, report};
    use crate::exec::event::Event;
    use crate::exec::run::{Run, run};
    use crate::machine::device;
    use crate::store::Store;

    let choice = device::parse_device(&arguments.device)
        .map_err(|error| Failure::Mistakes(error.to_string()))?;
    // The file is checked before anything is made or loaded.
    experiment::check(&arguments.file)?;
    let store = Store::open(&context.cache)?;
    let display = Display::new();
    let planned = experiment::plan(context, &arguments.file, &store, &mut |_, _, _| {})?;
    device::load_cuda_backend();
    let device = choice
        .resolve()
        .map_err(|error| Failure::Mistakes(error.to_string()))?;
    let memory = arguments
        .memory
        .unwrap_or_else(|| crate::machine::memory::available() / 2);
    let stop = stop_signal("after the current batch");
    let mut logs = Vec::new();
    if let Some(path) = &arguments.json_log {
        logs.push(JsonLog::create(path, clock).map_err(|error| {
            Failure::Input(format!("cannot write {}: {error}", path.display()))
        })?);
    }
    if !planned.plan.is_done() {
        let record = store.runs_folder().join(format!(
            "{}-{}.jsonl",
            clock().replace(':', ""),
            std::process::id()
        ));
        logs.extend(JsonLog::create(&record, clock));
    }
    let emit = |event: Event| {
        display.show(&event);
        for log in &logs {
            log.write(&event);
        }
    };
    let mut planned = planned;
    let mut attempts = 0;
    let summary = loop {
        attempts += 1;
        let summary = run(
            &Run {
                experiment: &planned.experiment,
                inputs: &planned.inputs,
                store: &store,
                base: &context.base,
                device,
                emit: &emit,
                memory,
                checkpoint_seconds: arguments.checkpoint_every,
                stop,
                clock,
                versions: versions(),
                command: report::command(&arguments.file),
            },
            &planned.plan,
        );
        if !summary.again {
            break summary;
        }
        if attempts == MOST_ATTEMPTS {
            return Err(Failure::Cache(format!(
                "artifacts were found damaged in {MOST_ATTEMPTS} runs in a row\n  hint: the disk or the memory of this machine may be failing"
            )));
        }
        // Damaged artifacts are out of the way now; they are made again by the same rules as anything that is missing.
        planned = experiment::plan(context, &arguments.file, &store, &mut |_, _, _| {})?;
    };
    if summary.stopped {
        Err(Failure::Stopped)
    } else if summary.failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Nodes(format!(
            "{} failed, see above; the same command goes on from here, `repro report` shows what is there",
            crate::text::plural(summary.failed.len(), "node")
        )))
    }
}

#[cfg(feature = "torch")]
fn versions() -> std::collections::BTreeMap<String, String> {
    [
        ("repro", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", crate::machine::device::libtorch_version()),
    ]
    .into_iter()
    .map(|(component, version)| (component.to_owned(), version))
    .collect()
}
