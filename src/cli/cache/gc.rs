//! `repro cache gc`: removes what nothing refers to. Says what it would remove; `--remove` does it.

mod told;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use self::told::tell;
use super::reached::Reached;
use crate::cli::exit::Failure;
use crate::cli::overrides::Overrides;
use crate::cli::process::{ago, rfc3339};
use crate::cli::{Context, experiment};
use crate::message::Message;
use crate::store::{ArtifactKind, Fingerprint, KeptCheckpoints, Listing, Store};
use crate::text::{parse_age, plural};
use clap::Args;

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
    /// Checkpoints of trainings that go.
    checkpoints: Vec<KeptCheckpoints>,
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
    for one in &decision.checkpoints {
        alone.remove_checkpoints(&one.name)?;
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
        reached.checkpoints = Some(BTreeSet::new());
        let files = (arguments.files.as_slice(), &arguments.overrides);
        reached.add_files(context, files, store, &listing)?;
    }
    let before = arguments.older_than.and_then(ago);
    let before = before.as_deref();
    let mut decision = decided(store, &listing, &reached, arguments, before);
    if let Some(wanted) = &reached.checkpoints {
        decision.checkpoints = store.kept_checkpoints()?;
        decision.checkpoints.retain(|one| {
            let written = one.written.map(rfc3339);
            let is_old = before.is_none_or(|before| written.is_some_and(|at| *at < *before));
            is_old && !wanted.contains(&one.name)
        });
    }
    Ok(decision)
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
