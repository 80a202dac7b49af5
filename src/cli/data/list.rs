//! `repro data list`: what can be fetched, and what has to be fetched by hand.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::Failure;
use crate::cli::{fetching, printed, table};
use crate::datasets::published::{HandFile, PublishedDataset};

/// Arguments of `repro data list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro data list\n  repro data list --json    with the address and the digest of every file\n\nA license is what the owner of a dataset states on the page that --json names; where none is stated, that page is the place to ask."
)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows what there is.
pub fn run(datasets: &[PublishedDataset], arguments: &Arguments) -> Result<(), Failure> {
    let mut out = printed::stdout(arguments.json);
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
                dataset.count().to_string(),
                fetching::size(dataset.bytes()),
                match dataset.by_hand {
                    None => "fetched".to_owned(),
                    Some(_) => "fetched by hand".to_owned(),
                },
                dataset.license.clone(),
                dataset.folder.clone(),
            ]
        })
        .collect();
    let heads = [
        "dataset",
        "what it is",
        "files",
        "size",
        "has to be",
        "license",
        "goes into",
    ];
    writeln!(out, "{}", table::render(&heads, &rows))?;
    Ok(())
}

fn record(dataset: &PublishedDataset) -> Value {
    let fetched = dataset.files.iter().map(fetching::published_record);
    let by_hand = dataset.by_hand.iter().flat_map(|by_hand| &by_hand.files);
    let files = fetched.chain(by_hand.map(hand_record));
    json!({
        "dataset": dataset.name,
        "title": dataset.title,
        "kind": dataset.kind,
        "page": dataset.page,
        "license": dataset.license,
        "folder": dataset.folder,
        "by_hand": dataset.by_hand.as_ref().map(|by_hand| &by_hand.why),
        "bytes": dataset.bytes(),
        "files": files.collect::<Vec<_>>(),
    })
}

fn hand_record(file: &HandFile) -> Value {
    let known = file.sha256.as_ref();
    json!({
        "url": null,
        "file": file.name,
        "bytes": file.bytes,
        "sha256": known.map(|known| &known.digest),
        "sha256_from": known.map(|known| known.from.name()),
        "sha256_who": known.map(|known| &known.who),
        "md5": file.md5,
    })
}
