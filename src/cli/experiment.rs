//! From a file name to a planned experiment, for every subcommand that needs one.

use std::path::Path;

use super::exit::Failure;
use super::{Context, colors};
use crate::graph::{self, Experiment};
use crate::inputs::{self, Inputs, Otherwise};
use crate::limits;
use crate::message::Message;
use crate::plan::{self, Absent, Plan};
use crate::spec::{Diagnostics, Source};
use crate::store::Store;
use crate::text::plural;

/// Columns of text for people.
pub(super) const WIDTH: usize = 100;

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Source, Failure> {
    match limits::read_text(file, limits::EXPERIMENT_FILE) {
        Ok(text) => Ok(Source::new(file.display().to_string(), text)),
        Err(error) => Err(Failure::Usage(
            Message::new(format!(
                "cannot read the experiment file {}: {error}",
                file.display()
            ))
            .hint("name an experiment file, such as experiments/quickstart.toml"),
        )),
    }
}

/// Reads and checks a file.
pub(super) fn check(file: &Path) -> Result<Experiment, Failure> {
    let source = read(file)?;
    graph::build(&source).map_err(|diagnostics| Failure::Diagnostics {
        rendered: rendered(&diagnostics),
        summary: summary(&diagnostics),
    })
}

/// All errors of a file, each at its place.
pub(super) fn rendered(diagnostics: &Diagnostics) -> String {
    diagnostics.render(colors(), WIDTH)
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

/// A checked experiment, its opened inputs and its plan.
pub(super) struct Planned {
    pub(super) experiment: Experiment,
    pub(super) inputs: Inputs,
    pub(super) plan: Plan,
}

/// Checks a file, opens its inputs and plans it against a store.
pub(super) fn plan(
    context: &Context,
    file: &Path,
    store: &Store,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<Planned, Failure> {
    let experiment = check(file)?;
    let tell = |message: &str| say!("{message}");
    let inputs = inputs::open(&experiment, &context.base, store, &tell)?;
    let listing = store.listing()?;
    let plan = plan::plan(&experiment, &inputs.facts, &listing, observe)?;
    Ok(Planned {
        experiment,
        inputs,
        plan,
    })
}

/// Checks a file and plans it against a store, whether or not its inputs are on disk. Gives the inputs that are not as well.
pub(super) fn survey(
    context: &Context,
    file: &Path,
    store: &Store,
    otherwise: Otherwise,
    observe: &mut dyn FnMut(&'static str, &Plan),
) -> Result<(Planned, Vec<Absent>), Failure> {
    let experiment = check(file)?;
    let tell = |message: &str| say!("{message}");
    let surveyed = inputs::survey(&experiment, &context.base, store, &tell, otherwise)?;
    let listing = store.listing()?;
    let plan = plan::plan(&experiment, &surveyed.inputs.facts, &listing, observe)?;
    let planned = Planned {
        experiment,
        inputs: surveyed.inputs,
        plan,
    };
    Ok((planned, surveyed.absent))
}
