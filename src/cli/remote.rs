//! The remote that a command uses: the one that was named, or that of the project.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;

use super::Context;
use super::exit::Failure;
use crate::graph::Experiment;
use crate::inputs::subjects;
use crate::message::Hint;
use crate::plan::{Plan, Step};
use crate::remote::{Address, Missing, Remote, RemoteError, Wanted};
use crate::store::{Fingerprint, Store};

/// The arguments of commands that take what others have made.
#[derive(Debug, Default, Clone, Args)]
pub(super) struct RemoteChoice {
    /// Take what this remote has instead of making it: s3://BUCKET/PREFIX, gs://…, az://…, http(s)://… or a folder. If not given: what
    /// `[remote] url` of `repro.toml` says.
    #[arg(long, value_name = "URL")]
    remote: Option<String>,
    /// Use no remote, whatever `repro.toml` says.
    #[arg(long, conflicts_with = "remote")]
    no_remote: bool,
}

/// A remote that a command uses.
pub(super) struct Opened {
    pub(super) remote: Remote,
    /// Whether it is an error where it fails.
    pub(super) required: bool,
    /// Whether a run puts there what it made.
    #[cfg_attr(
        not(feature = "torch"),
        expect(dead_code, reason = "only what runs has something to put there")
    )]
    pub(super) push: bool,
}

impl RemoteChoice {
    /// Opens the remote, if there is to be one. One that cannot be opened and is not required is done without.
    ///
    /// # Errors
    /// An address that cannot be one, and a required remote that cannot be opened.
    pub(super) fn open(&self, context: &Context) -> Result<Option<Opened>, Failure> {
        if self.no_remote {
            return Ok(None);
        }
        let Some(address) = address(context, self.remote.as_deref())? else {
            return Ok(None);
        };
        let settings = &context.remote;
        let push = settings.push && address.takes();
        let missing = if push { Missing::Make } else { Missing::Fail };
        match Remote::open(&address, missing) {
            Ok(remote) => Ok(Some(Opened {
                remote,
                required: settings.required,
                push,
            })),
            Err(error) if settings.required => Err(error.into()),
            Err(error) => {
                say!("warning: {}", error.explain());
                Ok(None)
            }
        }
    }
}

/// The address that was typed, or that of the project; below the prefix of the project.
///
/// # Errors
/// An address or a prefix that cannot be one.
pub(super) fn address(context: &Context, typed: Option<&str>) -> Result<Option<Address>, Failure> {
    let settings = &context.remote;
    let address = match (typed, &settings.url) {
        (Some(typed), _) => Address::parse(typed, Path::new("")),
        (None, Some(url)) => Address::parse(url, &context.base),
        (None, None) => return Ok(None),
    };
    let below = |address: Address| match &settings.prefix {
        Some(prefix) => address.below(prefix),
        None => Ok(address),
    };
    let address = address.and_then(below).map_err(Failure::Usage)?;
    Ok(Some(address))
}

/// The artifacts of a plan that the cache lacks.
pub(super) fn lacking(plan: &Plan) -> impl Iterator<Item = Wanted> {
    let lacking = plan
        .steps
        .iter()
        .filter(|step| !step.artifact.state.is_cached());
    lacking.map(wanted)
}

/// The name of what a step leaves.
pub(super) fn wanted(step: &Step) -> Wanted {
    (step.artifact.recipe.kind(), step.artifact.fingerprint)
}

impl Opened {
    /// What the remote has of what a plan wants and the cache lacks, with bytes. Where it fails and is not required: nothing, and it is
    /// asked for nothing any more.
    ///
    /// # Errors
    /// The failure of a required remote.
    pub(super) fn ask(&self, plan: &Plan) -> Result<BTreeMap<Fingerprint, u64>, Failure> {
        match self.remote.ask(lacking(plan)) {
            Ok(there) => Ok(there),
            Err(error) => {
                self.failed(error)?;
                self.remote.give_up();
                Ok(BTreeMap::new())
            }
        }
    }

    /// Takes what it knows of an experiment's inputs and the store does not. That it knows nothing, or fails, shows in what is missing then.
    pub(super) fn bring_notes(&self, store: &Store, experiment: &Experiment) {
        let memo = store.memo();
        let lacking = memo.lacking_notes(&subjects(experiment));
        let _ = self.remote.bring_notes(&memo, lacking);
    }

    /// Tells of a failure where the remote is not required.
    ///
    /// # Errors
    /// The failure, where it is.
    pub(super) fn failed(&self, error: RemoteError) -> Result<(), Failure> {
        if self.required || matches!(error, RemoteError::Stopped) {
            return Err(error.into());
        }
        say!(
            "warning: {}; the work continues without it",
            error.explain().in_one_line()
        );
        Ok(())
    }
}
