//! `repro cache gc`: removes what nothing refers to. Says what it would remove; `--remove` does it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::reached::Reached;
use crate::cli::exit::Failure;
use crate::cli::overrides::Overrides;
use crate::cli::process::ago;
use crate::cli::{Context, experiment, printed, table};
use crate::message::Message;
use crate::store::{ArtifactKind, Fingerprint, Listing, Store};
use crate::text::{bytes, count, parse_age, plural};

/// Arguments of `repro cache gc`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Arguments {
    /// Experiment files whose artifacts stay. If none is given: all experiments that were run here stay, as their last runs were.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    /// Remove only what no run has wanted for so long, such as `30d`, `12h` or `4w`.
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Remove no more than has to go for the artifacts to take this size, such as `100GB`: what was not wanted for longest goes first.
    #[arg(long, value_name = "SIZE", value_parser = crate::text::parse_bytes)]
    max_size: Option<u64>,
    /// Remove also what reports below `reports` stand on, where nothing else refers to it.
    #[arg(long)]
    also_reported: bool,
    /// Empty the quarantine, too: what was set aside as damaged.
    #[arg(long)]
    also_quarantine: bool,
    /// Really remove it. Needs a cache that no other process has open.
    #[arg(long)]
    remove: bool,
    /// List every artifact that goes.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Something that may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    kind: ArtifactKind,
    fingerprint: Fingerprint,
    label: String,
    bytes: u64,
    /// When it was last wanted by a run, or else when it was made; empty for what was begun and never finished.
    last: String,
}

/// What goes, and what stays and why.
#[derive(Debug, Default)]
struct Decision {
    goes: Vec<Candidate>,
    /// Artifacts that stay, and their bytes.
    stays: (usize, u64),
    /// Of these, those that only reports refer to.
    reported: (usize, u64),
}

/// Says what goes, and removes it if that was asked for.
pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.files.is_empty() && arguments.overrides.is_given() {
        return Err(Failure::Usage(
            Message::new("`--profile` and `--set` are of no experiment file")
                .hint("name the files whose artifacts stay"),
        ));
    }
    if !arguments.remove {
        let store = experiment::existing_cache(context)?;
        let decision = decide(context, arguments, &store)?;
        return tell(arguments, &store, &decision);
    }
    experiment::existing_cache(context)?;
    let Some(alone) = Store::open_alone(&context.cache)? else {
        return Err(Failure::Cache(
            Message::new(format!(
                "another process has the cache {} open, so nothing was removed",
                context.cache.display()
            ))
            .hint("wait until no run, query or view uses it; a file system without locks cannot be asked, so remove `.repro` by hand there"),
        ));
    };
    let decision = decide(context, arguments, alone.store())?;
    for one in &decision.goes {
        alone.remove(one.kind, &one.fingerprint)?;
    }
    tell(arguments, alone.store(), &decision)?;
    if arguments.also_quarantine {
        alone.empty_quarantine()?;
    }
    Ok(())
}

fn decide(context: &Context, arguments: &Arguments, store: &Store) -> Result<Decision, Failure> {
    let listing = store.listing()?;
    let (mut reached, uses) = Reached::recorded(context, store, &listing)?;
    if arguments.files.is_empty() {
        if uses.is_empty() {
            return Err(Failure::Usage(
                Message::new("no run is recorded in this cache, so nothing says what is still needed")
                    .hint("name the experiment files whose artifacts stay, such as `repro cache gc experiments/quickstart.toml`"),
            ));
        }
    } else {
        reached.experiments.clear();
        let files = (arguments.files.as_slice(), &arguments.overrides);
        reached.add_files(context, files, store, &listing)?;
    }
    let before = arguments.older_than.and_then(ago);
    Ok(decided(
        store,
        &listing,
        &reached,
        arguments,
        before.as_deref(),
    ))
}

/// Who stays and who goes. `before` is the moment after which nothing may have been wanted.
fn decided(
    store: &Store,
    listing: &Listing,
    reached: &Reached,
    arguments: &Arguments,
    before: Option<&str>,
) -> Decision {
    let of_experiments: BTreeSet<Fingerprint> =
        reached.experiments.values().flatten().copied().collect();
    let of_reports: BTreeSet<Fingerprint> = reached.reports.values().flatten().copied().collect();
    let mut decision = Decision::default();
    let mut candidates = Vec::new();
    for one in all(store, listing, reached) {
        let is_wanted = of_experiments.contains(&one.fingerprint);
        let is_reported = of_reports.contains(&one.fingerprint) && !arguments.also_reported;
        if is_wanted || is_reported || before.is_some_and(|before| one.last.as_str() >= before) {
            decision.stays.0 += 1;
            decision.stays.1 += one.bytes;
            if is_reported && !is_wanted {
                decision.reported.0 += 1;
                decision.reported.1 += one.bytes;
            }
        } else {
            candidates.push(one);
        }
    }
    candidates.sort_by(|left, right| {
        (&left.last, left.fingerprint).cmp(&(&right.last, right.fingerprint))
    });
    let mut total = decision.stays.1 + candidates.iter().map(|one| one.bytes).sum::<u64>();
    for one in candidates {
        if arguments.max_size.is_some_and(|most| total <= most) {
            decision.stays.0 += 1;
            decision.stays.1 += one.bytes;
        } else {
            total -= one.bytes;
            decision.goes.push(one);
        }
    }
    decision
}

/// Every artifact, complete or not.
fn all(store: &Store, listing: &Listing, reached: &Reached) -> Vec<Candidate> {
    let last_use = |fingerprint: &Fingerprint, made_at: &str| {
        let last = reached.last_use.get(fingerprint);
        last.map_or(made_at, String::as_str).max(made_at).to_owned()
    };
    let complete = listing
        .artifacts
        .iter()
        .map(|(fingerprint, entry)| Candidate {
            kind: entry.kind,
            fingerprint: *fingerprint,
            label: entry.label.clone(),
            bytes: entry.bytes,
            last: last_use(fingerprint, &entry.made_at),
        });
    let partial = listing
        .partial
        .iter()
        .map(|(fingerprint, partial)| Candidate {
            kind: partial.kind,
            fingerprint: *fingerprint,
            label: format!("begun, {}", plural(partial.parts.len(), "part")),
            bytes: store.bytes_of(partial.kind, fingerprint),
            last: last_use(fingerprint, ""),
        });
    complete.chain(partial).collect()
}

fn tell(arguments: &Arguments, store: &Store, decision: &Decision) -> Result<(), Failure> {
    let freed: u64 = decision.goes.iter().map(|one| one.bytes).sum();
    let quarantined = store.quarantined_bytes();
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let goes: Vec<_> = decision
            .goes
            .iter()
            .map(|one| {
                json!({
                    "kind": one.kind.name(),
                    "fingerprint": one.fingerprint.to_string(),
                    "label": one.label,
                    "bytes": one.bytes,
                    "last_use": one.last,
                })
            })
            .collect();
        let record = json!({
            "removed": arguments.remove,
            "artifacts": goes,
            "bytes": freed,
            "kept": { "artifacts": decision.stays.0, "bytes": decision.stays.1 },
            "quarantine_bytes": quarantined,
        });
        return Ok(writeln!(out, "{record:#}")?);
    }
    let mut rows = Vec::new();
    for kind in ArtifactKind::ALL {
        let of_kind = decision.goes.iter().filter(|one| one.kind == *kind);
        let (number, size) = of_kind.fold((0_usize, 0), |(number, size), one| {
            (number + 1, size + one.bytes)
        });
        if number > 0 {
            rows.push(vec![kind.name().to_owned(), count(number), bytes(size)]);
        }
    }
    if arguments.all {
        let rows: Vec<Vec<String>> = decision
            .goes
            .iter()
            .map(|one| {
                let name = one.fingerprint.short();
                let size = bytes(one.bytes);
                vec![
                    one.kind.name().to_owned(),
                    name,
                    size,
                    one.last.clone(),
                    one.label.clone(),
                ]
            })
            .collect();
        let heads = ["kind", "fingerprint", "size", "last wanted", "label"];
        writeln!(out, "{}\n", table::full(&heads, &rows))?;
    } else if !rows.is_empty() {
        writeln!(
            out,
            "{}\n",
            table::render(&["kind", "artifacts", "size"], &rows)
        )?;
    }
    let verb = if arguments.remove {
        "removed"
    } else {
        "would remove"
    };
    let (kept, kept_bytes) = decision.stays;
    writeln!(
        out,
        "{verb} {}, {}; {} stay, {}",
        plural(decision.goes.len(), "artifact"),
        bytes(freed),
        count(kept),
        bytes(kept_bytes)
    )?;
    let (reported, reported_bytes) = decision.reported;
    if reported > 0 {
        let number = plural(reported, "artifact");
        let size = bytes(reported_bytes);
        writeln!(
            out,
            "{number} of these, {size}, stay for a report alone (`--also-reported`)"
        )?;
    }
    if quarantined > 0 && !arguments.also_quarantine {
        let size = bytes(quarantined);
        writeln!(out, "the quarantine holds {size} (`--also-quarantine`)")?;
    }
    if !arguments.remove && !decision.goes.is_empty() {
        writeln!(out, "`--remove` does it")?;
    }
    Ok(())
}
