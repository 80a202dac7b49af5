//! `repro cache ls`: how large the cache is, and who refers to what of it.

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::reached::Reached;
use crate::cli::exit::Failure;
use crate::cli::{Context, experiment, printed, table};
use crate::store::{Fingerprint, Listing};
use crate::text::{bytes, count};

/// Arguments of `repro cache ls`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One line: who refers to how much.
struct Line {
    /// What refers: `experiment`, `report` or `nothing`.
    by: &'static str,
    name: String,
    artifacts: usize,
    bytes: u64,
    /// Bytes that nothing else refers to.
    alone: u64,
    last: Option<String>,
}

/// Prints who refers to what.
pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let store = experiment::existing_cache(context)?;
    let listing = store.listing()?;
    let (reached, uses) = Reached::recorded(context, &store, &listing)?;
    let last = |file: &str| {
        let used = uses.iter().find(|used| used.file == file);
        used.map(|used| used.at.clone())
    };
    let experiments = reached
        .experiments
        .iter()
        .map(|(name, all)| ("experiment", name, all));
    let reports = reached
        .reports
        .iter()
        .map(|(name, all)| ("report", name, all));
    let sets: Vec<_> = experiments.chain(reports).collect();
    let mut lines: Vec<Line> = sets
        .iter()
        .filter(|(_, _, all)| !all.is_empty())
        .map(|(by, name, all)| {
            let others = sets
                .iter()
                .filter(|(other, of, _)| (other, of) != (by, name));
            let others: BTreeSet<Fingerprint> =
                others.flat_map(|(_, _, all)| all.iter().copied()).collect();
            let alone = all.difference(&others).copied().collect();
            Line {
                by,
                name: (*name).clone(),
                artifacts: all.len(),
                bytes: size(&listing, all),
                alone: size(&listing, &alone),
                last: last(name),
            }
        })
        .collect();
    let referred: BTreeSet<Fingerprint> = sets
        .iter()
        .flat_map(|(_, _, all)| all.iter().copied())
        .collect();
    let rest = listing
        .artifacts
        .keys()
        .filter(|one| !referred.contains(one));
    let rest: BTreeSet<Fingerprint> = rest.copied().collect();
    if !rest.is_empty() {
        let bytes = size(&listing, &rest);
        lines.push(Line {
            by: "nothing",
            name: String::new(),
            artifacts: rest.len(),
            bytes,
            alone: bytes,
            last: None,
        });
    }
    let total: u64 = listing.artifacts.values().map(|entry| entry.bytes).sum();
    let partial = listing.partial.iter();
    let partial_bytes: u64 = partial
        .map(|(fingerprint, partial)| store.bytes_of(partial.kind, fingerprint))
        .sum();
    let quarantined = store.quarantined_bytes();
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| {
                json!({
                    "referred_by": line.by,
                    "name": line.name,
                    "artifacts": line.artifacts,
                    "bytes": line.bytes,
                    "bytes_of_it_alone": line.alone,
                    "last_run": line.last,
                })
            })
            .collect();
        let record = json!({
            "artifacts": listing.artifacts.len(),
            "bytes": total,
            "begun": listing.partial.len(),
            "begun_bytes": partial_bytes,
            "quarantine_bytes": quarantined,
            "referred": lines,
        });
        return Ok(writeln!(out, "{record:#}")?);
    }
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .map(|line| {
            let name = if line.name.is_empty() {
                "nothing".to_owned()
            } else {
                line.name
            };
            let last = line.last.unwrap_or_default();
            vec![
                name,
                count(line.artifacts),
                bytes(line.bytes),
                bytes(line.alone),
                last,
            ]
        })
        .collect();
    let heads = [
        "referred to by",
        "artifacts",
        "size",
        "by it alone",
        "last run",
    ];
    writeln!(out, "{}\n", table::render(&heads, &rows))?;
    writeln!(
        out,
        "{} artifacts, {}; begun and not finished: {}, {}; in the quarantine: {}",
        count(listing.artifacts.len()),
        bytes(total),
        count(listing.partial.len()),
        bytes(partial_bytes),
        bytes(quarantined)
    )?;
    Ok(())
}

/// Bytes of artifacts that are complete.
fn size(listing: &Listing, artifacts: &BTreeSet<Fingerprint>) -> u64 {
    let entries = artifacts
        .iter()
        .filter_map(|one| listing.artifacts.get(one));
    entries.map(|entry| entry.bytes).sum()
}
