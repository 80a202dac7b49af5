//! From a file name to a planned experiment, for every subcommand that needs one.

use std::path::Path;

use super::exit::Failure;
use super::{Context, colours};
use crate::exec::inputs::{self, Inputs, MemoDigester};
use crate::graph::{self, Experiment};
use crate::plan::{self, Pass, Plan};
use crate::spec::{Diagnostics, Source};
use crate::store::Store;

/// Columns of text for people.
pub(super) const WIDTH: usize = 100;

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Source, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Source::new(file.display().to_string(), text)),
        Err(error) => Err(Failure::Mistakes(format!(
            "cannot read the experiment file {}: {error}\n  hint: experiments lie in `experiments/`",
            file.display()
        ))),
    }
}

/// Reads and checks a file.
pub(super) fn check(file: &Path) -> Result<Experiment, Failure> {
    let source = read(file)?;
    graph::build(&source).map_err(|diagnostics| Failure::Mistakes(summary(&diagnostics)))
}

/// All mistakes of a file and how many there are.
pub(super) fn summary(diagnostics: &Diagnostics) -> String {
    let noun = if diagnostics.len() == 1 {
        "mistake"
    } else {
        "mistakes"
    };
    format!(
        "{}error: {} has {} {noun}",
        diagnostics.render(colours(), WIDTH),
        diagnostics.source.name,
        diagnostics.len()
    )
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
    observe: &mut dyn FnMut(&Experiment, &'static str, &[Pass]),
) -> Result<Planned, Failure> {
    let experiment = check(file)?;
    let memo = MemoDigester::new(store.memo());
    let inputs = inputs::open(&experiment, &context.base, &memo)?;
    let listing = store.listing()?;
    let plan = plan::plan(&experiment, &inputs.facts, &listing, &mut |rule, passes| {
        observe(&experiment, rule, passes);
    })?;
    Ok(Planned {
        experiment,
        inputs,
        plan,
    })
}
