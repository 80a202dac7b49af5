//! `repro cache`: verify what is kept, export features as Parquet.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::Failure;
use super::{experiment, printed};
use crate::message::Message;
use crate::numbers::to_usize;
use crate::store::Store;
use crate::text::plural;

/// Arguments of `repro cache`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro cache verify\n  repro cache verify --set-aside\n  repro cache export 3fa29c01b2d4 features.parquet"
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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
    let store = experiment::existing_cache(context)?;
    match &arguments.action {
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
            say!(
                "{}: {} of {}",
                file.display(),
                plural(to_usize(rows), "row"),
                entry.label
            );
            Ok(())
        }
    }
}

fn verify(context: &Context, store: &Store, set_aside: bool) -> Result<(), Failure> {
    let problems = store.verify()?;
    let mut out = printed::stdout(false);
    for problem in &problems {
        writeln!(out, "{} {}", problem.file.display(), problem.reason)?;
    }
    if problems.is_empty() {
        writeln!(out, "every file has the digest that its manifest lists")?;
        return Ok(());
    }
    if !set_aside {
        return Err(Failure::Cache(Message::new(format!("{} in the cache", plural(problems.len(), "problem"))).hint("`repro cache verify --set-aside` moves what is damaged out of the way, and the next run makes it again")));
    }
    let store = Store::open(&context.cache)?;
    for fingerprint in problems.iter().filter_map(|problem| problem.fingerprint) {
        if let Some(aside) = store.quarantine(&fingerprint)? {
            say!("{} lies in {} now", fingerprint.short(), aside.to.display());
        }
    }
    Ok(())
}
