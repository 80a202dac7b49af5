//! `repro cache audit`: rows of cached features, drawn at random, are computed again from the images and compared.

use std::path::PathBuf;

use clap::Args;

#[cfg(not(feature = "torch"))]
use crate::cli::Context;
#[cfg(not(feature = "torch"))]
use crate::cli::exit::Failure;
use crate::cli::overrides::{ExperimentFile, Overrides};

/// Arguments of `repro cache audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro cache audit experiments/quickstart.toml\n  repro cache audit experiments/quickstart.toml --rows 100 --device cuda:0\n\nA difference is the largest of a row as a share of the largest absolute value in it. The same machine computes the same up to how images are batched; other devices and instructions round otherwise."
)]
pub(super) struct Arguments {
    /// The experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// How many rows of each set of features are computed again.
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Which rows are drawn.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// The largest difference that passes. If not given: 1e-4 for f32, 2e-3 for features that are kept in f16, 5e-2 for networks in bf16.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    tolerance: Option<f64>,
    /// Where tensors live: `auto`, `cpu`, `cuda` or `cuda:N`.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    let share = share.filter(|share| share.is_finite() && *share >= 0.0);
    share.ok_or_else(|| "expected a number from 0, such as 1e-3".to_owned())
}

impl Arguments {
    fn experiment(&self) -> ExperimentFile {
        ExperimentFile {
            file: self.file.clone(),
            overrides: self.overrides.clone(),
        }
    }
}

/// Says that this build cannot run anything.
#[cfg(not(feature = "torch"))]
pub(super) fn run(_context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    crate::cli::experiment::check(&arguments.experiment())?;
    let _ = (arguments.rows, arguments.seed, arguments.tolerance);
    let _ = (&arguments.device, arguments.json);
    Err(Failure::Usage(
        "this build has no libtorch (feature `torch`), so it cannot compute features again".into(),
    ))
}

#[cfg(feature = "torch")]
pub(super) use with_torch::run;

#[cfg(feature = "torch")]
mod with_torch {
    use std::io::Write;

    use serde_json::json;

    use super::Arguments;
    use crate::cli::exit::Failure;
    use crate::cli::process::{clock, stop_signal};
    use crate::cli::working::versions;
    use crate::cli::{Context, experiment, printed, table};
    use crate::exec::NodeError;
    use crate::exec::audit::{Audited, audit};
    use crate::exec::context::Run;
    use crate::feature_type::FeatureType;
    use crate::machine::device::{self, parse_device};
    use crate::machine::threads;
    use crate::message::{Hint, Message};
    use crate::models::Precision;
    use crate::numbers::to_usize;
    use crate::plan::{self, Pass};
    use crate::store::Listing;
    use crate::text::plural;

    /// The outcome for one set of features, and what it may differ by.
    struct Line {
        audited: Audited,
        tolerance: f64,
    }

    impl Line {
        fn is_right(&self) -> bool {
            self.audited.difference <= self.tolerance
        }
    }

    /// Computes rows again and says how they differ.
    pub(in crate::cli::cache) fn run(
        context: &Context,
        arguments: &Arguments,
    ) -> Result<(), Failure> {
        let usage = |error: device::DeviceError| Failure::Usage(error.to_string().into());
        let choice = parse_device(&arguments.device).map_err(usage)?;
        let store = experiment::existing_cache(context)?;
        let file = arguments.experiment();
        let planned = experiment::plan(context, &file, &store, &mut |_, _| {})?;
        let nothing = Listing::default();
        let whole = plan::plan(
            &planned.experiment,
            &planned.inputs.facts,
            &nothing,
            &mut |_, _| {},
        )?;
        device::load_cuda_backend();
        let device = choice.resolve().map_err(usage)?;
        threads::set(threads::allowed());
        let versions = versions();
        let run = Run {
            plan: &whole,
            inputs: &planned.inputs,
            store: &store,
            remote: None,
            base: &context.base,
            device,
            emit: &|_| {},
            memory: 0,
            checkpoint_seconds: f64::INFINITY,
            fail_fast: false,
            stop: stop_signal("after the current batch"),
            clock,
            versions: &versions,
        };
        let mut lines = Vec::new();
        let mut told = |pass: &Pass, audited: Vec<Audited>| {
            for audited in audited {
                let tolerance = arguments
                    .tolerance
                    .unwrap_or_else(|| allowed(pass, &audited));
                lines.push(Line { audited, tolerance });
            }
        };
        let rows = (to_usize(arguments.rows), arguments.seed);
        audit(&run, &planned.listing, rows, &mut told).map_err(failure)?;
        print(&lines, whole.imports().len(), arguments)
    }

    /// What features may differ by where nobody says.
    fn allowed(pass: &Pass, audited: &Audited) -> f64 {
        let tap = pass
            .taps
            .iter()
            .find(|tap| tap.artifact.fingerprint == audited.fingerprint);
        match (pass.key.precision, tap.map(|tap| tap.storage)) {
            (Precision::F32, Some(FeatureType::F16)) => 2e-3,
            (Precision::F32, _) => 1e-4,
            _ => 5e-2,
        }
    }

    fn failure(error: NodeError) -> Failure {
        match error {
            NodeError::Stopped => Failure::Stopped,
            NodeError::Store(error) => error.into(),
            NodeError::Bug(bug) => Failure::Bug(bug.to_string().into()),
            other => Failure::Input(match other.hint() {
                Some(hint) => Message::new(other.to_string()).hint(hint),
                None => Message::new(other.to_string()),
            }),
        }
    }

    fn print(lines: &[Line], imports: usize, arguments: &Arguments) -> Result<(), Failure> {
        let mut out = printed::stdout(arguments.json);
        let wrong: Vec<&Line> = lines.iter().filter(|line| !line.is_right()).collect();
        if arguments.json {
            let lines = lines.iter().map(|line| {
                let Audited {
                    label,
                    fingerprint,
                    rows,
                    difference,
                    worst,
                } = &line.audited;
                json!({
                    "label": label,
                    "fingerprint": fingerprint.to_string(),
                    "rows": rows,
                    // JSON has no infinity.
                    "difference": difference.is_finite().then_some(difference),
                    "tolerance": line.tolerance,
                    "worst": worst,
                    "passed": line.is_right(),
                })
            });
            writeln!(out, "{:#}", json!(lines.collect::<Vec<_>>()))?;
        } else {
            let rows: Vec<Vec<String>> = lines
                .iter()
                .map(|line| {
                    let Audited {
                        label,
                        fingerprint,
                        rows,
                        difference,
                        worst,
                    } = &line.audited;
                    vec![
                        label.clone(),
                        fingerprint.short(),
                        rows.to_string(),
                        format!("{difference:.1e}"),
                        format!("{:.0e}", line.tolerance),
                        worst.clone(),
                    ]
                })
                .collect();
            let heads = [
                "features",
                "fingerprint",
                "rows",
                "difference",
                "allowed",
                "worst image",
            ];
            if !rows.is_empty() {
                writeln!(out, "{}\n", table::render(&heads, &rows))?;
            }
            writeln!(
                out,
                "{} of cached features computed again, {} differ by more than allowed",
                plural(lines.len(), "set"),
                wrong.len()
            )?;
            if imports > 0 {
                let jobs = plural(imports, "import");
                writeln!(
                    out,
                    "{jobs} of features that were computed elsewhere: not looked at"
                )?;
            }
        }
        let Some(first) = wrong.first() else {
            return Ok(());
        };
        Err(Failure::Nodes(
            Message::new(format!(
                "{} differ from what is computed now, such as {}",
                plural(wrong.len(), "set of features"),
                first.audited.label
            ))
            .hint("another device or release rounds otherwise (`--tolerance`); `repro list artifacts` says what made them"),
        ))
    }
}
