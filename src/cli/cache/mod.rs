//! `repro cache`: who refers to what of it, removing what nothing refers to, sharing it, verifying what is kept, computing some of it
//! again, exporting features as Parquet.

mod audit;
mod gc;
mod ls;
mod reached;
mod shared;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Context;
use crate::cli::exit::Failure;
use crate::cli::{experiment, printed, say};
use crate::message::Message;
use crate::numbers::to_usize;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro cache`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro cache ls\n  repro cache gc                          what would go: nothing is removed\n  repro cache gc --older-than 30d --remove\n  repro cache push s3://bucket/shared experiments/quickstart.toml\n  repro cache pull s3://bucket/shared experiments/quickstart.toml --dry-run\n  repro cache verify\n  repro cache audit experiments/quickstart.toml --rows 16\n  repro cache verify --set-aside\n  repro cache export 3fa29c01b2d4 features.parquet"
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how large the cache is, and which experiments and reports refer to what of it.
    Ls(ls::Arguments),
    /// Remove what nothing refers to; without `--remove` only say what that is.
    Gc(gc::Arguments),
    /// Compute rows of an experiment's features again, drawn at random, and compare them with the cached ones.
    Audit(audit::Arguments),
    /// Put artifacts of the cache into a remote that several machines share.
    Push(shared::Push),
    /// Take artifacts from a remote into the cache.
    Pull(shared::Shared),
    /// Take what a remote has and the cache lacks, then put there what it lacks.
    Sync(shared::Shared),
    /// Read every file of the cache and compare it with its digest.
    Verify {
        /// Move damaged artifacts to the cache's `quarantine` folder, so that the next run makes them again.
        #[arg(long)]
        set_aside: bool,
    },
    /// Write the features, or the samples, of one artifact as a Parquet file.
    Export {
        /// The first digits of the artifact's fingerprint.
        #[arg(value_name = "FINGERPRINT")]
        fingerprint: String,
        /// The file to write.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
}

/// Carries out the action.
pub fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::Ls(arguments) => return ls::run(context, arguments),
        Action::Gc(arguments) => return gc::run(context, arguments),
        Action::Audit(arguments) => return audit::run(context, arguments),
        Action::Push(arguments) => return shared::push(context, arguments),
        Action::Pull(arguments) => return shared::pull(context, arguments),
        Action::Sync(arguments) => return shared::sync(context, arguments),
        Action::Verify { .. } | Action::Export { .. } => {}
    }
    let store = experiment::existing_cache(context)?;
    match &arguments.action {
        Action::Ls(_)
        | Action::Gc(_)
        | Action::Audit(_)
        | Action::Push(_)
        | Action::Pull(_)
        | Action::Sync(_) => Ok(()),
        Action::Verify { set_aside } => verify(context, &store, *set_aside),
        Action::Export {
            fingerprint,
            file,
            force,
        } => {
            let listing = store.listing()?;
            let found: Vec<_> = listing
                .artifacts
                .iter()
                .filter(|(known, _)| known.to_string().starts_with(fingerprint.as_str()))
                .collect();
            let [(fingerprint, entry)] = found.as_slice() else {
                return Err(Failure::Usage(
                    Message::new(format!(
                        "{} artifacts begin with `{fingerprint}`",
                        found.len()
                    ))
                    .hint("`repro list artifacts` shows them all"),
                ));
            };
            let rows = store.export(fingerprint, file, *force)?;
            say::always(&format!(
                "{}: {} of {}",
                file.display(),
                plural(to_usize(rows), "row"),
                entry.label
            ));
            Ok(())
        }
    }
}

fn verify(context: &Context, store: &Store, set_aside: bool) -> Result<(), Failure> {
    let mut problems = store.verify()?;
    let derived = store.derived(&problems)?;
    problems.extend(store.archives().verify());
    let mut out = printed::stdout(false);
    for problem in &problems {
        writeln!(out, "{} {}", problem.file.display(), problem.reason)?;
    }
    for one in &derived {
        let (folder, origin) = (one.folder.display(), one.origin.short());
        writeln!(out, "{folder} was made from {origin}, which was damaged")?;
    }
    if problems.is_empty() && derived.is_empty() {
        writeln!(out, "every file has the digest that its manifest lists")?;
        return Ok(());
    }
    if !set_aside {
        let count = plural(problems.len() + derived.len(), "problem");
        return Err(Failure::Cache(Message::new(format!("{count} in the cache")).hint("`repro cache verify --set-aside` moves what is damaged, and what was made from it, out of the way, and the next run makes it again")));
    }
    let store = Store::open(&context.cache)?;
    for problem in &problems {
        if let Some(fingerprint) = problem.fingerprint {
            if let Some(aside) = store.quarantine(&fingerprint)? {
                say!("{} lies in {} now", fingerprint.short(), aside.to.display());
            }
        } else {
            let aside = store.archives().set_aside(&problem.file, &problem.reason)?;
            let (from, to) = (problem.file.display(), aside.display());
            say!("{from} lies in {to} now");
        }
    }
    for one in &derived {
        if let Some(aside) = store.set_aside_derived(one)? {
            let (short, to) = (one.fingerprint.short(), aside.to.display());
            say!("{short} lies in {to} now");
        }
    }
    Ok(())
}
