//! `repro data ids`: the samples of a dataset in its own order, for features that are computed elsewhere.

use clap::Args;

use super::which::{self, Which};
use crate::cli::exit::Failure;
use crate::cli::{Context, printed};
use crate::inputs::InputError;
use crate::message::Message;

/// Arguments of `repro data ids`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data ids experiments/quickstart.toml fashion > ids.csv\n  repro data ids --kind image-folder --root data/photos\n\nThe output is CSV with the columns `id`, `split` and `class`, one line a sample. Rows of imported features that have no ids are in this order, split by split; docs/guides/import.md is about them."
)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
}

/// Prints the ids of a dataset.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let chosen = arguments.which.choose()?;
    let &[index] = chosen.indices.as_slice() else {
        let names = chosen
            .indices
            .iter()
            .map(|&index| &chosen.nodes[index].name);
        let names: Vec<&str> = names.map(String::as_str).collect();
        return Err(Failure::Usage(
            Message::new("the ids of one dataset are printed at a time")
                .hint(format!("name one of {}", names.join(", "))),
        ));
    };
    let reading = which::reading(context)?;
    let open = chosen.open(&reading.environment(), index);
    let open = open.map_err(|source| InputError::Dataset {
        name: chosen.nodes[index].name.clone(),
        source,
    })?;
    let mut out = csv::Writer::from_writer(printed::unfolded());
    let failed = |error: csv::Error| Failure::from(std::io::Error::from(error));
    out.write_record(["id", "split", "class"]).map_err(failed)?;
    for sample in &open.manifest.samples {
        let class = open.manifest.classes.get(sample.label as usize);
        let class = class.map_or("", String::as_str);
        out.write_record([sample.id.as_str(), &sample.split, class])
            .map_err(failed)?;
    }
    Ok(out.flush()?)
}
