//! From a file name to a planned experiment, for every subcommand that needs one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Context;
use super::exit::Failure;
use super::overrides::{ExperimentFile, Overrides};
use super::remote::Opened;
use super::style::{Stream, Style, in_ascii};
use super::unopened;
use crate::graph::{self, Experiment};
use crate::inputs::{self, Inputs, Otherwise};
use crate::limits;
use crate::machine::instructions;
use crate::message::Message;
use crate::models::{self, Model, Precision};
use crate::plan::{self, Absent, Forecast, JobKind, Plan, Rates, Step, Work};
use crate::spec::include::IncludedFile;
use crate::spec::{Diagnostics, Source};
use crate::store::{Listing, Store};
use crate::text::plural;

/// Columns of errors with their places, where the terminal is not narrower.
const WIDTH: usize = 100;

/// Reads a file with all that it includes, and what overrides it.
pub(super) fn read(file: &Path, overrides: &Overrides) -> Result<Source, Failure> {
    read_noting(file, overrides, &mut |_| {})
}

/// [`read`], with `note` told the path of each file before it is opened, also of those that cannot be.
pub(super) fn read_noting(
    file: &Path,
    overrides: &Overrides,
    note: &mut dyn FnMut(&Path),
) -> Result<Source, Failure> {
    note(file);
    let text = read_text(file).map_err(|error| {
        let text = format!(
            "cannot read the experiment file {}: {}",
            file.display(),
            error.text
        );
        let hint = error.hint.unwrap_or_else(|| {
            "name an experiment file, such as experiments/quickstart.toml".to_owned()
        });
        Failure::Usage(Message::new(text).hint(hint))
    })?;
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    let mut included = |path: &Path| {
        note(path);
        Ok(IncludedFile {
            path: path.to_owned(),
            identity: identity(path),
            text: read_text(path)?,
        })
    };
    let source = Source::new(file.display().to_string(), text).with_home(home);
    Ok(source
        .with_included(file, &identity(file), &mut included)
        .with_sets(&overrides.set)
        .with_profile(overrides.profile.as_deref()))
}

/// The same for every path that leads to a file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads an experiment file, or one that is included. Says why it cannot be read, and not which it is.
fn read_text(file: &Path) -> Result<String, Message> {
    limits::read_text(file, limits::EXPERIMENT_FILE).map_err(|error| {
        if error.kind() == std::io::ErrorKind::InvalidData {
            Message::new("it is not text in UTF-8")
                .hint("save it as UTF-8 in your editor, if it is an experiment file")
        } else {
            Message::new(error.to_string())
        }
    })
}

/// Reads and checks a file.
pub(super) fn check(file: &ExperimentFile) -> Result<Experiment, Failure> {
    let source = read(&file.file, &file.overrides)?;
    graph::build(&source).map_err(|diagnostics| failure(&diagnostics))
}

/// The failure of a file with errors.
pub(super) fn failure(diagnostics: &Diagnostics) -> Failure {
    Failure::Diagnostics {
        rendered: rendered(diagnostics),
        summary: summary(diagnostics),
    }
}

/// All errors of a file, each at its place.
pub(super) fn rendered(diagnostics: &Diagnostics) -> String {
    let style = Style::of(Stream::Err);
    let width = style.width.unwrap_or(WIDTH).min(WIDTH);
    let text = diagnostics.render(style.color, width);
    if style.ascii { in_ascii(&text) } else { text }
}

/// How many errors a file has.
pub(super) fn summary(diagnostics: &Diagnostics) -> String {
    let name = &diagnostics.source.name;
    format!("{name}: {}", plural(diagnostics.len(), "error"))
}

/// The cache as it is, for subcommands that only read; one that is not there is an error, lest a mistyped folder passes for an
/// empty cache.
pub(super) fn existing_cache(context: &Context) -> Result<Store, Failure> {
    if !context.cache.exists() {
        return Err(Failure::Cache(
            Message::new(format!("there is no cache at {}", context.cache.display()))
                .hint("run an experiment first, or name the folder with `--cache`"),
        ));
    }
    Ok(Store::open_read_only(&context.cache)?)
}

/// Says which project a command is about, where it is not the working folder and nobody named it.
pub(super) fn say_where(context: &Context) {
    if context.is_above {
        say!("project: {}", context.base.display());
    }
}

/// Warns of 16-bit numbers on a processor that has to imitate them.
pub(super) fn warn_of_bf16(plan: &Plan) {
    let is_bf16 = plan
        .passes()
        .iter()
        .any(|pass| pass.key.precision == Precision::Bf16);
    let of_samples = |step: &Step| matches!(&step.work, Work::Sample(work) if work.node.precision == Precision::Bf16);
    let mut missing = plan.steps.iter().filter(|step| step.is_missing());
    let is_bf16 = is_bf16 || missing.any(of_samples);
    if is_bf16 && !instructions::has_bf16() {
        let message = Message::new(
            "this processor has no instructions for bfloat16 (AVX-512 BF16 or AMX): `precision = \"bf16\"` is about 20 times as slow on it as f32",
        );
        say!(
            "warning: {}",
            message.hint("leave `precision` out, or run on a GPU")
        );
    }
}

/// How long a plan takes, by what the store knows of earlier runs on this machine.
pub(super) fn forecast(plan: &Plan, listing: &Listing) -> Forecast {
    rates(plan, listing).expect(plan)
}

/// What the store knows of the time that earlier jobs took which are like those of a plan.
pub(super) fn rates(plan: &Plan, listing: &Listing) -> Rates {
    let presets = models::presets().into_iter().map(|preset| preset.model);
    let passes = plan.passes();
    let of_passes = passes.iter().map(|pass| &pass.model);
    let of_samples = plan.steps.iter().filter_map(|step| match &step.work {
        Work::Sample(work) => Some(std::iter::once(&work.model).chain(&work.classifier)),
        _ => None,
    });
    let own = of_passes.chain(of_samples.flatten());
    let own = own.map(|used| Arc::clone(&used.model));
    let networks: Vec<Arc<dyn Model>> = own.chain(presets).collect();
    Rates::of(listing, &networks, instructions::of_libtorch())
}

/// A checked experiment, its opened inputs and its plan.
pub(super) struct Planned {
    pub(super) experiment: Experiment,
    pub(super) inputs: Inputs,
    pub(super) plan: Plan,
    /// What the cache had.
    pub(super) listing: Listing,
}

/// Checks a file, opens its inputs and plans it against a store.
pub(super) fn plan(
    context: &Context,
    file: &ExperimentFile,
    store: &Store,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<Planned, Failure> {
    plan_from(context, file, store, None, observe)
}

/// [`plan`], with what a remote has.
pub(super) fn plan_from(
    context: &Context,
    file: &ExperimentFile,
    store: &Store,
    remote: Option<&Opened>,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<Planned, Failure> {
    let experiment = check(file)?;
    say_where(context);
    let tell = |message: &str| say!("{message}");
    let inputs = match inputs::open(&experiment, &context.base, store, &tell) {
        Ok(inputs) => inputs,
        Err(errors) => {
            if let Some(remote) = remote
                && let Some(planned) = without_inputs(context, file, store, remote)?
            {
                return Ok(planned);
            }
            return Err(unopened::failure(context, &experiment, errors));
        }
    };
    let (plan, listing) = planned(&experiment, &inputs, store, remote, observe)?;
    Ok(Planned {
        experiment,
        inputs,
        plan,
        listing,
    })
}

/// Checks a file and plans it against a store, whether or not its inputs are on disk. Gives the inputs that are not as well.
pub(super) fn survey(
    context: &Context,
    file: &ExperimentFile,
    store: &Store,
    otherwise: Otherwise,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<(Planned, Vec<Absent>), Failure> {
    survey_from(context, file, store, None, otherwise, observe)
}

/// [`survey`], with what a remote has.
pub(super) fn survey_from(
    context: &Context,
    file: &ExperimentFile,
    store: &Store,
    remote: Option<&Opened>,
    otherwise: Otherwise,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<(Planned, Vec<Absent>), Failure> {
    let experiment = check(file)?;
    say_where(context);
    let tell = |message: &str| say!("{message}");
    let surveyed = inputs::survey(&experiment, &context.base, store, &tell, otherwise)
        .map_err(|errors| unopened::failure(context, &experiment, errors))?;
    let (plan, listing) = planned(&experiment, &surveyed.inputs, store, remote, observe)?;
    let planned = Planned {
        experiment,
        inputs: surveyed.inputs,
        plan,
        listing,
    };
    Ok((planned, surveyed.absent))
}

/// The plan of an experiment, and what it is planned against: the store, and what a remote has of what that lacks.
fn planned(
    experiment: &Experiment,
    inputs: &Inputs,
    store: &Store,
    remote: Option<&Opened>,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<(Plan, Listing), Failure> {
    let mut listing = store.listing()?;
    let misfit = |error| unopened::misfit(experiment, error);
    if let Some(remote) = remote {
        // Which artifacts there are to ask for is known from a plan without it.
        let alone = plan::plan(experiment, &inputs.facts, &listing, &mut |_, _| {});
        listing.remote = remote.ask(&alone.map_err(misfit)?)?;
    }
    let plan = plan::plan(experiment, &inputs.facts, &listing, observe).map_err(misfit)?;
    Ok((plan, listing))
}

/// The plan of an experiment of whose inputs some are not on disk, if it computes nothing: all of it is in the cache or the remote.
fn without_inputs(
    context: &Context,
    file: &ExperimentFile,
    store: &Store,
    remote: &Opened,
) -> Result<Option<Planned>, Failure> {
    let experiment = check(file)?;
    remote.bring_notes(store, &experiment);
    let surveyed = inputs::survey(
        &experiment,
        &context.base,
        store,
        &|_: &str| {},
        Otherwise::Fail,
    );
    let Ok(surveyed) = surveyed else {
        return Ok(None);
    };
    let (plan, listing) = planned(
        &experiment,
        &surveyed.inputs,
        store,
        Some(remote),
        &mut |_, _| {},
    )?;
    if plan.jobs.iter().any(|job| job.kind != JobKind::Transfer) {
        return Ok(None);
    }
    let absent = plural(surveyed.absent.len(), "input");
    say!("note: {absent} not on disk, and not needed: nothing is computed");
    Ok(Some(Planned {
        experiment,
        inputs: surveyed.inputs,
        plan,
        listing,
    }))
}
