//! What a job works with, and how jobs ended.

use std::collections::BTreeMap;
use std::path::Path;

use super::event::{Emit, Event};
use super::{NodeError, StopSignal};
use crate::datasets::DatasetError;
use crate::inputs::Inputs;
use crate::machine::device::{self, Device};
use crate::machine::{instructions, threads};
use crate::message::Hint;
use crate::plan::{Plan, PlannedArtifact, StepId};
use crate::remote::Remote;
use crate::store::{
    ArtifactWriter, Begin, Fingerprint, INSTRUCTIONS, Made, Patience, Store, StoreError, Waiting,
};
use crate::trainer::pretraining::PretrainError;

/// Where what others have made is taken from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The remote.
    pub remote: &'a Remote,
    /// Whether it is an error, and not a reason to compute, where something cannot be brought.
    pub required: bool,
}

/// What a job works with. Each worker has one of its own, with its device.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// The opened datasets and the identities of the weights.
    pub inputs: &'a Inputs,
    /// Where results are read from and committed to.
    pub store: &'a Store,
    /// Where what the plan brings comes from; `None` where it brings nothing.
    pub remote: Option<Source<'a>>,
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// The device of all tensors.
    pub device: Device,
    /// Takes every event; called from several threads.
    pub emit: Emit<'a>,
    /// Bytes that the training of heads may take.
    pub memory: u64,
    /// Seconds between the checkpoints of heads, at the end of an epoch.
    pub checkpoint_seconds: f64,
    /// Whether nothing more is begun after the first failure.
    pub fail_fast: bool,
    /// Returns whether the user asked to stop.
    pub stop: &'a StopSignal,
    /// The time now, as RFC 3339 in UTC.
    pub clock: fn() -> String,
    /// Versions of what takes part, such as libtorch.
    pub versions: &'a BTreeMap<String, String>,
}

impl Run<'_> {
    /// While another process makes an artifact that is needed: reports it once, and waits until the user wants to stop.
    pub(super) fn wait(&self, waiting: &Waiting<'_>) -> Patience {
        if waiting.waited.is_zero() {
            (self.emit)(Event::Waiting {
                label: waiting.label.to_owned(),
                holder: waiting.holder.to_owned(),
            });
        }
        if self.stop.is_given() {
            Patience::GiveUp
        } else {
            Patience::Wait
        }
    }

    /// The right to make an artifact; nothing where another process has made it meanwhile. What lay damaged in its place is told.
    pub(super) fn begin(
        &self,
        artifact: &PlannedArtifact,
    ) -> Result<Option<Box<ArtifactWriter>>, StoreError> {
        let mut wait = |waiting: &Waiting<'_>| self.wait(waiting);
        let (recipe, label) = (&artifact.recipe, &artifact.label);
        match self.store.begin(recipe, label, &mut wait)? {
            Begin::Writer(writer) => {
                for aside in writer.set_aside() {
                    (self.emit)(Event::SetAside {
                        what: format!("{} {}", aside.from.display(), aside.reason),
                    });
                }
                Ok(Some(writer))
            }
            Begin::AlreadyThere(_) => Ok(None),
        }
    }

    /// The circumstances of an artifact that is finished now.
    pub(super) fn made(&self, wall_seconds: f64) -> Made {
        Made {
            at: (self.clock)(),
            wall_seconds,
            device: device::name(self.device),
            versions: self.versions.clone(),
            notes: BTreeMap::from([
                (
                    INSTRUCTIONS.to_owned(),
                    instructions::of_libtorch().to_owned(),
                ),
                ("threads".to_owned(), threads::current().to_string()),
            ]),
        }
    }
}

/// What became of a step.
#[derive(Debug)]
pub enum StepResult {
    /// Its artifact is in the store.
    Made,
    /// It failed.
    Failed(NodeError),
    /// It was not made because another step of the same job failed.
    Unmade {
        /// That step.
        culprit: StepId,
    },
}

impl From<Result<(), NodeError>> for StepResult {
    fn from(outcome: Result<(), NodeError>) -> Self {
        outcome.map_or_else(Self::Failed, |()| Self::Made)
    }
}

/// How jobs ended.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a way to end, and several may be true at once"
)]
pub struct Outcome {
    /// Whether the user stopped the run.
    pub stopped: bool,
    /// A damaged artifact was moved aside and has to be made again.
    pub set_aside: bool,
    /// Something could not be brought from a remote and has to be made here. [`Outcome::set_aside`] is true as well: another run follows.
    pub unbrought: bool,
    /// The disk of the cache is full; nothing more was begun.
    pub disk_full: bool,
    /// Whether one of them is a bug of this program.
    pub has_bug: bool,
    /// Labels of the steps that failed, in order.
    pub failed: Vec<String>,
    /// Artifacts that were not made, and the label of the step whose failure is to blame.
    pub unmade: BTreeMap<Fingerprint, String>,
}

impl Outcome {
    /// Takes the failure of the report.
    pub fn fail_report(&mut self, emit: &dyn Fn(Event), store: &Store, error: &NodeError) {
        if let Some(what) = set_aside(store, error) {
            emit(Event::SetAside { what });
            self.set_aside = true;
            return;
        }
        self.has_bug |= matches!(error, NodeError::Bug(_));
        self.disk_full |= error.is_disk_full();
        self.failed.push("report".to_owned());
        emit(Event::NodeFailed {
            label: "report".to_owned(),
            fingerprint: String::new(),
            error: error.explain().to_string(),
        });
    }

    /// Whether everything that was asked for is there.
    pub fn is_complete(&self) -> bool {
        !self.stopped && !self.set_aside && self.failed.is_empty() && self.unmade.is_empty()
    }

    /// Takes the failure of a step: reports it, unless the user stopped it or something damaged can be made again.
    pub(super) fn fail(&mut self, run: &Run<'_>, id: StepId, error: &NodeError) {
        let artifact = &run.plan.step(id).artifact;
        let label = &artifact.label;
        self.unmade.insert(artifact.fingerprint, label.clone());
        let ended_early = matches!(
            error,
            NodeError::Stopped | NodeError::Train(crate::trainer::TrainError::Stopped)
        );
        if run.stop.is_wanted() || (ended_early && !run.stop.is_given()) {
            self.stopped = true;
            return;
        }
        if ended_early {
            // Nothing of it could have been kept; why was told where it was found.
            return;
        }
        if error.is_disk_full() {
            run.stop.halt();
            // One message says it for all that finds no room.
            if std::mem::replace(&mut self.disk_full, true) {
                return;
            }
        }
        if let Some(what) = set_aside(run.store, error) {
            (run.emit)(Event::SetAside { what });
            self.set_aside = true;
            return;
        }
        let is_required = run.remote.is_some_and(|from| from.required);
        if let (NodeError::Remote(_), false) = (error, is_required) {
            (run.emit)(Event::NotBrought {
                label: label.clone(),
                error: error.explain().in_one_line(),
            });
            (self.set_aside, self.unbrought) = (true, true);
            return;
        }
        if run.fail_fast {
            run.stop.halt();
        }
        self.has_bug |= matches!(error, NodeError::Bug(_));
        self.failed.push(label.clone());
        (run.emit)(Event::NodeFailed {
            label: label.clone(),
            fingerprint: artifact.fingerprint.short(),
            error: error.explain().to_string(),
        });
    }
}

/// Moves a damaged artifact out of the way; what was moved, and why. Not a failure: a second look at the plan makes it again.
fn set_aside(store: &Store, error: &NodeError) -> Option<String> {
    match error {
        NodeError::Store(StoreError::Corrupt { artifact, .. }) => {
            let aside = store.quarantine(artifact).ok()??;
            let what = format!("{} {}", aside.from.display(), aside.reason);
            // Whoever read it compared it first; but when it was damaged nobody knows.
            let made_from_it = store.derived(&[]).ok()?;
            let made_from_it = made_from_it.iter().filter(|one| one.origin == *artifact);
            Some(match made_from_it.count() {
                0 => what,
                count => format!(
                    "{what}; {} made from it earlier, which `repro cache verify` names",
                    crate::text::plural(count, "artifact")
                ),
            })
        }
        NodeError::Dataset(DatasetError::Unpacked { path, reason })
        | NodeError::Pretrain(PretrainError::Image(DatasetError::Unpacked { path, reason })) => {
            store.archives().set_aside(path, reason).ok()?;
            Some(format!("{} {reason}", path.display()))
        }
        _ => None,
    }
}
