//! `repro plan`: what a run would do. Never touches libtorch.

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::exit::Failure;
use super::explain::explain_all;
use super::overrides::ExperimentFile;
use super::remote::RemoteChoice;
use super::selection::Selection;
use super::warnings::Deny;
use super::{experiment, printed, unopened};
use crate::collect::warnings::Warnings;
use crate::inputs::Otherwise;
use crate::machine::device;
use crate::plan::{Absent, Forecast, Plan, PlanRecord, render, render_jobs, render_time};
use crate::report::ReportWarning;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro plan experiments/quickstart.toml\n  repro plan experiments/quickstart.toml --steps    jobs after each rule\n  repro plan experiments/quickstart.toml --check    exit code 1 if there is work\n  repro plan experiments/quickstart.toml --explain  why each node is computed\n\nWhat is not on disk is named, and planned as it was when it was last read, or by its published size: such a plan is an estimate. `repro run` needs all inputs."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    /// Show the jobs after each rule of the planner.
    #[arg(long)]
    steps: bool,
    /// List every job, by the name that `repro job` takes.
    #[arg(long)]
    jobs: bool,
    /// List every artifact.
    #[arg(long)]
    artifacts: bool,
    /// Say of each node what is cached, and which fields of the rest differ from the nearest artifact, old and new.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Exit with code 1 if anything would be computed.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    deny: Deny,
    #[command(flatten)]
    from: RemoteChoice,
}

impl Arguments {
    /// Those of `repro run --dry-run`.
    pub(super) fn dry_run(
        experiment: ExperimentFile,
        selection: Selection,
        deny: Deny,
        from: RemoteChoice,
    ) -> Self {
        Self {
            experiment,
            steps: false,
            jobs: false,
            artifacts: false,
            explain: false,
            json: false,
            check: false,
            selection,
            deny,
            from,
        }
    }
}

/// Prints the plan.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = Store::open_read_only(&context.cache)?;
    let mut steps = String::new();
    let mut observe = |rule: &'static str, plan: &Plan| {
        if arguments.steps {
            steps.extend([
                format!("after {rule}: {}\n", plural(plan.jobs.len(), "job")),
                render_jobs(plan),
            ]);
        }
    };
    let remote = arguments.from.open(context)?;
    let (planned, absent) = experiment::survey_from(
        context,
        &arguments.experiment,
        &store,
        remote.as_ref(),
        Otherwise::Estimate,
        &mut observe,
    )?;
    arguments.deny.judge(&planned)?;
    for advice in unopened::advice(context, &planned.experiment, &absent) {
        say!("note: {advice}");
    }
    let warnings = Warnings::of(&planned.experiment, &planned.inputs, &planned.plan).records();
    let not_run = planned.experiment.absent.lines();
    let mut plan = planned.plan;
    arguments.selection.apply(&mut plan)?;
    let on_cpu = match context.run.device.as_deref() {
        Some(device) => device == "cpu",
        None => !device::has_nvidia_driver(),
    };
    if on_cpu {
        experiment::warn_of_bf16(&plan);
    }
    let expected = experiment::forecast(&plan, &planned.listing);
    let why = arguments
        .explain
        .then(|| explain_all(&plan, &planned.listing));
    let printed = print(
        &plan,
        &absent,
        &warnings,
        (&steps, &expected, &not_run, why.as_deref()),
        arguments,
    );
    // The exit code answers, whether or not somebody reads the text to its end.
    if let Err(error) = printed
        && (!arguments.check || error.kind() != std::io::ErrorKind::BrokenPipe)
    {
        return Err(error.into());
    }
    if arguments.check && !plan.is_done() {
        return Err(Failure::Nodes(
            "the cache does not hold everything that this experiment needs".into(),
        ));
    }
    Ok(())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    plan: PlanRecord,
    /// What looks wrong and stops nothing.
    warnings: &'a [ReportWarning],
    /// What is left out, one line for each announced kind that is needed.
    not_run: &'a [String],
}

/// Prints the plan in the form that was asked for; `steps` is the text of `--steps`, `expected` how long it all takes, and
/// `not_run` what is left out; `why` is the text of `--explain`.
fn print(
    plan: &Plan,
    absent: &[Absent],
    warnings: &[ReportWarning],
    (steps, expected, not_run, why): (&str, &Forecast, &[String], Option<&str>),
    arguments: &Arguments,
) -> std::io::Result<()> {
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let record = Record {
            plan: PlanRecord::new(plan, absent, expected),
            warnings,
            not_run,
        };
        serde_json::to_writer_pretty(&mut out, &record)?;
        writeln!(out)?;
    } else {
        if arguments.steps {
            writeln!(out, "{steps}")?;
        }
        write!(out, "{}", render(plan, absent, arguments.artifacts))?;
        if !not_run.is_empty() {
            writeln!(out, "\n{}", not_run.join("\n"))?;
        }
        write!(out, "{}", render_time(plan, expected))?;
        if let Some(why) = why {
            write!(out, "\nwhy:\n{why}")?;
        }
        if arguments.jobs {
            write!(out, "\njobs:\n{}", render_jobs(plan))?;
        }
    }
    out.flush()
}
