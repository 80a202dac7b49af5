//! `repro models export`: the weights that a training of an experiment has left, as a file to hand on.

use std::path::PathBuf;

use clap::Args;

use super::super::exit::Failure;
use super::super::overrides::ExperimentFile;
use super::super::{Context, experiment};
use super::convert::{Dtype, write};

use crate::message::Message;
use crate::models::checkpoint::stored_tensors::StoredTensors;

/// Arguments of `repro models export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models export my-experiment.toml weights.safetensors --dtype f16\n  repro models export my-experiment.toml unet.safetensors --model unet\n\nThe file holds the averaged parameters under the names of the reference, so that it serves as `weights` of a model of the same shape. The training has to be done; `repro run` does it."
)]
pub struct Arguments {
    #[command(flatten)]
    experiment: ExperimentFile,
    /// The safetensors file to write.
    #[arg(value_name = "OUT.safetensors")]
    target: PathBuf,
    /// The model whose weights they are; may be left out where only one is trained.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// What the numbers become.
    #[arg(long, value_enum, default_value_t = Dtype::Keep)]
    dtype: Dtype,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

/// Writes the file.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = experiment::existing_cache(context)?;
    let planned = experiment::plan(context, &arguments.experiment, &store, &mut |_, _| {})?;
    let trained = planned.plan.models.iter().filter_map(|model| {
        let (step, _) = model.trained?;
        Some((model.name.as_str(), &planned.plan.step(step).artifact))
    });
    let trained: Vec<_> = trained.collect();
    let wanted = arguments.model.as_deref();
    let found: Vec<_> = trained
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| *name == wanted))
        .collect();
    let [(name, artifact)] = found.as_slice() else {
        let names: Vec<&str> = trained.iter().map(|(name, _)| *name).collect();
        return Err(Failure::Usage(match names.as_slice() {
            [] => Message::new(format!(
                "no model of {} is trained in it",
                arguments.experiment.file.display()
            ))
            .hint("a model with `weights = { pretrain = \"NAME\" }` is"),
            names => Message::new(format!("{} models fit", found.len()))
                .hint(format!("name one by `--model`: {}", names.join(", "))),
        }));
    };
    if !artifact.state.is_cached() {
        return Err(Failure::Usage(
            Message::new(format!("model `{name}` is not trained yet")).hint(format!(
                "`repro run {}` trains it, and resumes where it was stopped",
                arguments.experiment.file.display()
            )),
        ));
    }
    let source = store.trained_weights(&artifact.fingerprint)?;
    say!("{name}: {}", artifact.fingerprint);
    let source = StoredTensors::open_checked(&source)?;
    write(&source, &arguments.target, arguments.dtype, arguments.force)
}
