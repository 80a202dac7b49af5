//! `repro data list`: what can be fetched.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::Failure;
use crate::cli::{fetching, table};
use crate::datasets::published::PublishedDataset;

/// Arguments of `repro data list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data list\n  repro data list --json    with the address and the digest of every file, and who states it\n\nA licence is what the owner of a dataset states on the page that --json names; where none is stated, that page is the place to ask."
)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what can be fetched.
pub fn run(datasets: &[PublishedDataset], arguments: &Arguments) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let records: Vec<Value> = datasets.iter().map(record).collect();
        serde_json::to_writer_pretty(&mut out, &records).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = datasets
        .iter()
        .map(|dataset| {
            vec![
                dataset.name.clone(),
                dataset.title.clone(),
                dataset.files.len().to_string(),
                fetching::size(dataset.bytes()),
                dataset.licence.clone(),
                dataset.folder.clone(),
            ]
        })
        .collect();
    let heads = [
        "dataset",
        "what it is",
        "files",
        "size",
        "licence",
        "goes into",
    ];
    writeln!(out, "{}", table::render(&heads, &rows))?;
    Ok(())
}

fn record(dataset: &PublishedDataset) -> Value {
    let files = dataset.files.iter().map(fetching::published_record);
    json!({
        "dataset": dataset.name,
        "title": dataset.title,
        "kind": dataset.kind,
        "page": dataset.page,
        "licence": dataset.licence,
        "folder": dataset.folder,
        "bytes": dataset.bytes(),
        "files": files.collect::<Vec<_>>(),
    })
}
