//! `repro runs diff`: what is different between two runs: where they come from, the fields of their recipes, their results.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::{find, revision, what};
use crate::cli::diff::{differences, sides, text};
use crate::cli::exit::Failure;
use crate::cli::fields::{FieldKey, field_key, in_words, record_of};
use crate::cli::{Context, printed};
use crate::message::Message;
use crate::store::names::RESULTS;
use crate::store::{ArtifactKind, Entry, FieldChange, Fingerprint, Listing, ResultRow, Store};
use crate::text::{count, plural};
use crate::view::runs::Run;

/// Arguments of `repro runs diff`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A run: its number in the list of `repro runs`, or its name.
    #[arg(value_name = "A")]
    first: String,
    /// The run that is compared with it.
    #[arg(value_name = "B")]
    second: String,
    /// Show all cells and artifacts of long lists.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Artifacts of the same kind and label whose recipes differ in the same fields.
struct Changed<'a> {
    changes: Vec<FieldChange>,
    labels: Vec<&'a str>,
}

/// What only one of two runs wanted, and what is called the same and was made otherwise.
struct Comparison<'a> {
    first_alone: Vec<&'a Entry>,
    second_alone: Vec<&'a Entry>,
    changed: Vec<Changed<'a>>,
    equal: usize,
    /// Artifacts of either that are not in the cache any more.
    gone: usize,
}

/// Compares two runs.
pub(super) fn run(context: &Context, store: &Store, arguments: &Arguments) -> Result<(), Failure> {
    let (first, second) = (
        find(store, &arguments.first)?,
        find(store, &arguments.second)?,
    );
    for run in [&first, &second] {
        if run.wanted.is_empty() {
            return Err(Failure::Usage(
                Message::new(format!("the record of {} does not say what the run wanted", run.name))
                    .hint("records of jobs and of releases before 0.1 do not; compare runs that `repro run` made"),
            ));
        }
    }
    let listing = store.listing()?;
    let sides = (wanted(&listing, &first), wanted(&listing, &second));
    let gone = (first.wanted.len() - sides.0.len()) + (second.wanted.len() - sides.1.len());
    let comparison = compare(&listing, (&sides.0, &sides.1), gone);
    let compared = sides::Compared {
        base: first.name.clone(),
        head: second.name.clone(),
        is_of_project: false,
        files: vec![sides::File {
            name: second.experiment.clone(),
            base: rows(store, &listing, &sides.0)?,
            head: rows(store, &listing, &sides.1)?,
        }],
    };
    let results = differences(context, &compared, false)?;
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let record = json!({
            "first": origin(&first),
            "second": origin(&second),
            "changed": comparison.changed.iter().map(record).collect::<Vec<_>>(),
            "first_alone": labels(&comparison.first_alone),
            "second_alone": labels(&comparison.second_alone),
            "equal": comparison.equal,
            "gone": comparison.gone,
            "results": results.iter().map(crate::diff::record::FileRecord::of).collect::<Vec<_>>(),
        });
        return Ok(writeln!(out, "{record:#}")?);
    }
    for (name, run) in [("A", &first), ("B", &second)] {
        let revision = revision(run);
        let parts = [
            run.began.as_str(),
            &what(run),
            &revision,
            &run.by,
            &run.device,
        ];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        writeln!(out, "{name}: {}", parts.join("  "))?;
    }
    tell(&mut out, &comparison, &listing, arguments.all)?;
    writeln!(out)?;
    let names = ("A", "B");
    Ok(write!(
        out,
        "{}",
        text::render(names, &results, arguments.all)
    )?)
}

/// The complete artifacts that a run wanted, as far as they are still there.
fn wanted(listing: &Listing, run: &Run) -> BTreeSet<Fingerprint> {
    listing.named_by(&run.wanted)
}

/// The rows of all metrics among some artifacts.
fn rows(
    store: &Store,
    listing: &Listing,
    artifacts: &BTreeSet<Fingerprint>,
) -> Result<Vec<ResultRow>, Failure> {
    let mut rows = Vec::new();
    for fingerprint in artifacts {
        let entry = listing.artifacts.get(fingerprint);
        if entry.is_some_and(|entry| entry.kind == ArtifactKind::Metric) {
            let table = store.table(fingerprint, RESULTS)?;
            let read = ResultRow::from_batch(&table);
            rows.extend(read.map_err(|error| Failure::Cache(error.to_string().into()))?);
        }
    }
    Ok(rows)
}

fn compare<'a>(
    listing: &'a Listing,
    (first, second): (&BTreeSet<Fingerprint>, &BTreeSet<Fingerprint>),
    gone: usize,
) -> Comparison<'a> {
    let entries = |of: &BTreeSet<Fingerprint>, without: &BTreeSet<Fingerprint>| {
        let alone = of.difference(without);
        let entries = alone.filter_map(|one| listing.artifacts.get(one));
        entries.collect::<Vec<&'a Entry>>()
    };
    let (before, after) = (entries(first, second), entries(second, first));
    let key = |entry: &Entry| (entry.kind, entry.label.clone());
    let mut by_name: BTreeMap<_, Vec<&'a Entry>> = BTreeMap::new();
    for entry in before {
        by_name.entry(key(entry)).or_default().push(entry);
    }
    let mut comparison = Comparison {
        first_alone: Vec::new(),
        second_alone: Vec::new(),
        changed: Vec::new(),
        equal: first.intersection(second).count(),
        gone,
    };
    let mut places: BTreeMap<Vec<FieldKey>, usize> = BTreeMap::new();
    for entry in after {
        let same = by_name.get_mut(&key(entry));
        let Some(old) = same.and_then(Vec::pop) else {
            comparison.second_alone.push(entry);
            continue;
        };
        let changes = old.recipe.differences(&entry.recipe);
        let place = *places
            .entry(changes.iter().map(field_key).collect())
            .or_insert_with(|| {
                comparison.changed.push(Changed {
                    changes,
                    labels: Vec::new(),
                });
                comparison.changed.len() - 1
            });
        if let Some(changed) = comparison.changed.get_mut(place) {
            changed.labels.push(&entry.label);
        }
    }
    comparison.first_alone = by_name.into_values().flatten().collect();
    comparison
}

fn tell(
    out: &mut impl Write,
    comparison: &Comparison<'_>,
    listing: &Listing,
    all: bool,
) -> std::io::Result<()> {
    writeln!(out, "\n{} in both", plural(comparison.equal, "artifact"))?;
    for changed in &comparison.changed {
        writeln!(out, "{}:", such_as(&changed.labels, all))?;
        for change in &changed.changes {
            writeln!(out, "  {}", in_words(change, listing))?;
        }
    }
    for (name, alone) in [
        ("A", &comparison.first_alone),
        ("B", &comparison.second_alone),
    ] {
        if !alone.is_empty() {
            writeln!(out, "only in {name}: {}", such_as(&labels(alone), all))?;
        }
    }
    if comparison.gone > 0 {
        let gone = plural(comparison.gone, "artifact");
        writeln!(out, "{gone} of them are not in the cache any more")?;
    }
    Ok(())
}

fn labels<'a>(entries: &[&'a Entry]) -> Vec<&'a str> {
    entries.iter().map(|entry| entry.label.as_str()).collect()
}

/// Artifacts in words: one of several, or `all`.
fn such_as(labels: &[&str], all: bool) -> String {
    match labels {
        [] => String::new(),
        [one] => (*one).to_owned(),
        several if all => several.join(", "),
        [first, ..] => format!("{} such as {first}", count(labels.len())),
    }
}

fn record(changed: &Changed<'_>) -> Value {
    let changes = changed.changes.iter().map(record_of);
    json!({ "labels": changed.labels, "changes": changes.collect::<Vec<_>>() })
}

fn origin(run: &Run) -> Value {
    json!({
        "name": run.name,
        "command": run.command,
        "revision": run.revision,
        "is_changed": run.is_changed,
        "by": run.by,
        "version": run.version,
        "device": run.device,
        "began": run.began,
        "seconds": run.seconds,
    })
}
