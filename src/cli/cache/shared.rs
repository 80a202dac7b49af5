//! `repro cache push`, `pull` and `sync`: artifacts to and from a remote.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::reached::Reached;
use crate::cli::exit::Failure;
use crate::cli::meter::{Meter, Unit};
use crate::cli::overrides::{ExperimentFile, Overrides};
use crate::cli::process::stop_signal;
use crate::cli::remote::{address, lacking};
use crate::cli::{Context, experiment, printed, say};
use crate::inputs::{self, Otherwise};
use crate::message::{Hint, Message};
use crate::remote::{Missing, Remote, RemoteError, Wanted};
use crate::store::{Fingerprint, Store};
use crate::text::{bytes, plural};

/// What an argument ends in that is an experiment file, and not the address of a remote.
const EXPERIMENT: &str = ".toml";

/// Arguments of `repro cache pull` and `sync`.
#[derive(Debug, Args)]
pub(super) struct Shared {
    /// The remote (s3://BUCKET/PREFIX, gs://…, az://…, http(s)://… or a folder; if not given: `[remote] url` of `repro.toml`), then experiment
    /// files, whose names end in `.toml`. With files only what these want is moved, else everything.
    #[arg(value_name = "URL|FILE")]
    places: Vec<String>,
    #[command(flatten)]
    overrides: Overrides,
    /// Say what would be moved, and move nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `repro cache push`.
#[derive(Debug, Args)]
pub(super) struct Push {
    #[command(flatten)]
    shared: Shared,
    /// Put there again what is there, in place of what may be damaged there.
    #[arg(long)]
    force: bool,
}

/// What is to be moved, with its size.
type Sizes = BTreeMap<Wanted, u64>;

/// Puts artifacts into a remote.
pub(super) fn push(context: &Context, arguments: &Push) -> Result<(), Failure> {
    let (remote, files) = arguments.shared.open(context, true)?;
    put(context, &arguments.shared, arguments.force, &remote, &files)
}

/// Takes artifacts from a remote.
pub(super) fn pull(context: &Context, arguments: &Shared) -> Result<(), Failure> {
    let (remote, files) = arguments.open(context, false)?;
    take(context, arguments, &remote, &files)
}

/// Takes, then puts.
pub(super) fn sync(context: &Context, arguments: &Shared) -> Result<(), Failure> {
    let (remote, files) = arguments.open(context, true)?;
    take(context, arguments, &remote, &files)?;
    put(context, arguments, false, &remote, &files)
}

impl Shared {
    /// The remote, and the experiment files.
    fn open(&self, context: &Context, puts: bool) -> Result<(Remote, Vec<PathBuf>), Failure> {
        let (typed, files) = match self.places.split_first() {
            Some((first, files)) if !first.ends_with(EXPERIMENT) => (Some(first.as_str()), files),
            _ => (None, self.places.as_slice()),
        };
        if let Some(other) = files.iter().find(|file| !file.ends_with(EXPERIMENT)) {
            return Err(Failure::Usage(
                Message::new(format!("`{other}` does not end in `.toml`"))
                    .hint("the remote stands first, then experiment files"),
            ));
        }
        let Some(address) = address(context, typed)? else {
            return Err(Failure::Usage(Message::new("no remote is named").hint(
                "such as `repro cache push s3://bucket/prefix`, or `url` below `[remote]` in repro.toml",
            )));
        };
        if puts && !address.takes() {
            let remote = address.to_string();
            return Err(RemoteError::ReadOnly { remote }.into());
        }
        let missing = match (puts, self.dry_run) {
            (false, _) => Missing::Fail,
            (true, false) => Missing::Make,
            (true, true) => Missing::Empty,
        };
        let remote = Remote::open(&address, missing)?;
        Ok((remote, files.iter().map(PathBuf::from).collect()))
    }
}

impl Shared {
    /// What the notes about the inputs of some experiments are about; `None` where no experiments are named.
    fn subjects(&self, files: &[PathBuf]) -> Result<Option<Vec<String>>, Failure> {
        let mut subjects = Vec::new();
        for file in files {
            let experiment = experiment::check(&ExperimentFile {
                file: file.clone(),
                overrides: self.overrides.clone(),
            })?;
            subjects.extend(inputs::subjects(&experiment));
        }
        Ok((!files.is_empty()).then_some(subjects))
    }
}

fn put(
    context: &Context,
    arguments: &Shared,
    force: bool,
    remote: &Remote,
    files: &[PathBuf],
) -> Result<(), Failure> {
    let store = experiment::existing_cache(context)?;
    let listing = store.listing()?;
    let chosen: BTreeSet<Fingerprint> = if files.is_empty() {
        listing.artifacts.keys().copied().collect()
    } else {
        let mut reached = Reached::default();
        reached.add_files(context, (files, &arguments.overrides), &store, &listing)?;
        reached.experiments.into_values().flatten().collect()
    };
    let mut sizes: Sizes = listing
        .artifacts
        .iter()
        .filter(|(fingerprint, _)| chosen.contains(fingerprint))
        .map(|(fingerprint, entry)| ((entry.kind, *fingerprint), entry.bytes))
        .collect();
    let all = sizes.len();
    let subjects = arguments.subjects(files)?;
    if !force {
        let there = remote.ask(sizes.keys().copied())?;
        sizes.retain(|(_, fingerprint), _| !there.contains_key(fingerprint));
    }
    let there = all - sizes.len();
    if arguments.dry_run {
        return told(
            "would put",
            &sizes,
            &format!("into {}", remote.shown()),
            there,
        );
    }
    let total: u64 = sizes.values().sum();
    let wanted: Vec<Wanted> = sizes.into_keys().collect();
    let pushed = {
        let meter = metered(total);
        let stop = stop_signal("at once");
        let hear = |bytes| advance(&meter, bytes);
        remote.push(&store, &wanted, force, &hear, &|| stop.is_given())?
    };
    let notes = store.memo().whole_notes(subjects.as_deref());
    remote.push_notes(notes)?;
    say::always(&format!(
        "{} put into {}, {}{}",
        plural(pushed.artifacts, "artifact"),
        remote.shown(),
        bytes(pushed.bytes),
        were_there(there + pushed.there)
    ));
    ended(pushed.failed.into_iter())
}

fn take(
    context: &Context,
    arguments: &Shared,
    remote: &Remote,
    files: &[PathBuf],
) -> Result<(), Failure> {
    if let (false, Some(subjects)) = (arguments.dry_run, arguments.subjects(files)?) {
        // A machine without the data knows by these which artifacts are wanted.
        let memo = Store::open(&context.cache)?.memo();
        remote.bring_notes(&memo, memo.lacking_notes(&subjects))?;
    }
    let (wanted, here) = wanted(context, arguments, remote, files)?;
    let there = remote.ask(wanted.iter().copied())?;
    let sizes: Sizes = wanted
        .into_iter()
        .filter_map(|(kind, fingerprint)| Some(((kind, fingerprint), *there.get(&fingerprint)?)))
        .collect();
    if arguments.dry_run {
        return told(
            "would take",
            &sizes,
            &format!("from {}", remote.shown()),
            here,
        );
    }
    if sizes.is_empty() {
        say::always(&format!(
            "0 artifacts from {}{}",
            remote.shown(),
            were_there(here)
        ));
        return Ok(());
    }
    let store = Store::open(&context.cache)?;
    let total: u64 = sizes.values().sum();
    let wanted: Vec<Fingerprint> = sizes.into_keys().map(|(_, one)| one).collect();
    let brought = {
        let meter = metered(total);
        let stop = stop_signal("at once; what came is kept");
        let hear = |bytes| advance(&meter, bytes);
        remote.bring(&store, &wanted, &hear, &|| stop.is_given())
    };
    if brought
        .failed
        .values()
        .any(|error| matches!(error, RemoteError::Stopped))
    {
        return Err(RemoteError::Stopped.into());
    }
    say::always(&format!(
        "{} from {}, {}{}",
        plural(brought.artifacts, "artifact"),
        remote.shown(),
        bytes(brought.bytes),
        were_there(here)
    ));
    ended(brought.failed.into_iter())
}

/// What is wanted and not here, and how much is here.
fn wanted(
    context: &Context,
    arguments: &Shared,
    remote: &Remote,
    files: &[PathBuf],
) -> Result<(BTreeSet<Wanted>, usize), Failure> {
    let store = Store::open_read_only(&context.cache)?;
    if files.is_empty() {
        let listing = store.listing()?;
        let (here, wanted): (Vec<Wanted>, Vec<Wanted>) = remote
            .list()?
            .into_iter()
            .partition(|(_, one)| listing.artifacts.contains_key(one));
        return Ok((wanted.into_iter().collect(), here.len()));
    }
    let (mut wanted, mut all) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        let file = ExperimentFile {
            file: file.clone(),
            overrides: arguments.overrides.clone(),
        };
        let (planned, _) =
            experiment::survey(context, &file, &store, Otherwise::Fail, &mut |_, _| {})?;
        wanted.extend(lacking(&planned.plan));
        all.extend(planned.plan.artifacts());
    }
    let here = all.len() - wanted.len();
    Ok((wanted, here))
}

/// Says what would be moved.
fn told(verb: &str, sizes: &Sizes, whither: &str, there: usize) -> Result<(), Failure> {
    use std::io::Write;
    let total: u64 = sizes.values().sum();
    let mut by_kind: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for ((kind, _), size) in sizes {
        let of_kind = by_kind.entry(kind.name()).or_default();
        *of_kind = (of_kind.0 + 1, of_kind.1 + size);
    }
    let mut out = printed::stdout(false);
    writeln!(
        out,
        "{verb} {}, {}, {whither}{}",
        plural(sizes.len(), "artifact"),
        bytes(total),
        were_there(there)
    )?;
    for (kind, (number, size)) in by_kind {
        writeln!(out, "  {kind}: {number}, {}", bytes(size))?;
    }
    Ok(())
}

fn were_there(number: usize) -> String {
    match number {
        0 => String::new(),
        number => format!("; {number} there already"),
    }
}

fn metered(total: u64) -> RefCell<Meter> {
    RefCell::new(Meter::new(Unit::Bytes, 0, Some(total), "", None))
}

fn advance(meter: &RefCell<Meter>, bytes: u64) {
    if let Some(numbers) = meter.borrow_mut().advance(bytes) {
        say!("  {numbers}");
    }
}

/// Tells of each artifact that was not moved; the last one's failure is that of the command.
fn ended(failed: impl Iterator<Item = (Fingerprint, RemoteError)>) -> Result<(), Failure> {
    let failed: Vec<RemoteError> = failed.map(|(_, error)| error).collect();
    let Some((last, others)) = failed.split_last() else {
        return Ok(());
    };
    for error in others {
        say!("error: {error}");
    }
    let message = last.explain();
    Err(Failure::Cache(message))
}
