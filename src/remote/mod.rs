//! Remotes: caches that several machines share, in a folder, in the buckets of a cloud, or given out by a web server.
//!
//! A [`Remote`] is opened at an [`Address`]. [`Remote::ask`] and [`Remote::list`] say what it has, [`Remote::bring`] takes artifacts from
//! it into a store, and [`Remote::push`] puts those of a store there. `layout` says where things are; a manifest is put last and is what
//! makes an artifact exist, there as here. Nothing is taken over whose bytes do not have the digests that its manifest states, and nothing
//! that is there is written over unless that is asked for. Notes of what inputs were go along (`notes`).
//!
//! What breaks is tried again some times, with pauses that grow, and a download goes on from the bytes that have come, also after the
//! process was killed. All is done on one thread, with a few transfers under way at once; nothing here knows what an artifact is for.
//! Credentials come from the environment, go to the libraries of the stores alone, and are taken out of every message (`secrets`).

mod address;
mod download;
mod error;
mod layout;
mod notes;
mod secrets;
mod stores;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::ready;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::{Builder, Runtime};

use self::address::Place;
use self::layout::Layout;
use self::secrets::Secrets;
use crate::limits;
use crate::store::{ArtifactKind, Fingerprint, Manifest, Store, StoreError};

pub use address::Address;
pub use download::Brought;
pub use error::RemoteError;
pub use upload::{Pushed, Wanted};

/// Artifacts that are asked for at once.
const MOST_QUESTIONS: usize = 32;
/// Artifacts that are under way at once.
const MOST_ARTIFACTS: usize = 6;
/// Files of an artifact that are under way at once.
const MOST_FILES: usize = 4;
/// How often in a row something is tried of which nothing comes.
const MOST_ATTEMPTS: u32 = 5;
/// The first pause between attempts; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Hears of bytes that were moved.
pub type OnBytes<'a> = &'a dyn Fn(u64);
/// Says whether the user wants to stop.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// What becomes of a remote that is a folder and not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Fail,
    /// It is made.
    Make,
    /// It is taken for an empty one, into which nothing will be put.
    Empty,
}

/// An artifact that a remote has.
#[derive(Debug, Clone)]
pub struct Held {
    /// All that is known of it without its bytes.
    pub manifest: Manifest,
    /// The bytes of its manifest's file.
    text: Vec<u8>,
}

/// A remote, open.
#[derive(Debug)]
pub struct Remote {
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    layout: Layout,
    shown: String,
    takes: bool,
    lists: bool,
    /// Where its files are, where it is a folder.
    folder: Option<PathBuf>,
    secrets: Secrets,
    known: Mutex<Known>,
}

/// What was learned of a remote since it was opened.
#[derive(Debug, Default)]
struct Known {
    held: BTreeMap<Fingerprint, Held>,
    /// What is not asked for again: it could not be brought.
    refused: BTreeSet<Fingerprint>,
    /// Whether nothing is asked for any more.
    is_lost: bool,
    /// Whether it gives whole files alone.
    has_no_ranges: bool,
}

impl Remote {
    /// Opens a remote; `missing` says what becomes of one that is a folder and not there.
    ///
    /// # Errors
    /// [`RemoteError::Unusable`] for a folder that is not there and has to be, and settings of the environment that contradict each other.
    pub fn open(address: &Address, missing: Missing) -> Result<Self, RemoteError> {
        let secrets = Secrets::of_environment();
        let unusable = |reason: String| RemoteError::Unusable {
            remote: address.to_string(),
            reason: secrets.hide(&reason),
        };
        if let Place::Folder(path) = &address.place {
            if missing == Missing::Make {
                fs::create_dir_all(path).map_err(|error| unusable(error.to_string()))?;
            }
            if missing == Missing::Fail && !path.is_dir() {
                return Err(unusable("there is no folder of that name".to_owned()));
            }
        }
        let (store, folder) =
            stores::open(address).map_err(|error| unusable(error::chain(&error)))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            store,
            runtime,
            layout: Layout::new(&address.prefix),
            shown: address.to_string(),
            takes: address.takes(),
            lists: !matches!(address.place, Place::Http(_)),
            folder,
            secrets,
            known: Mutex::default(),
        })
    }

    /// Its address, in which there is no secret.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Which of these artifacts it has, with the bytes of their files. Those that could not be brought before are left out, and all
    /// others once it is lost.
    ///
    /// # Errors
    /// A remote that cannot be used or that breaks. An artifact whose manifest is wrong counts as absent.
    pub fn ask(
        &self,
        wanted: impl IntoIterator<Item = (ArtifactKind, Fingerprint)>,
    ) -> Result<BTreeMap<Fingerprint, u64>, RemoteError> {
        let wanted: Vec<_> = {
            let known = self.known();
            if known.is_lost {
                return Ok(BTreeMap::new());
            }
            let wanted = wanted.into_iter();
            wanted
                .filter(|(_, fingerprint)| !known.refused.contains(fingerprint))
                .collect()
        };
        let open: Vec<_> = {
            let known = self.known();
            let unknown = wanted.iter().copied();
            unknown
                .filter(|(_, fingerprint)| !known.held.contains_key(fingerprint))
                .collect()
        };
        let answers = stream::iter(open)
            .map(|(kind, fingerprint)| self.manifest(kind, fingerprint))
            .buffer_unordered(MOST_QUESTIONS)
            .filter_map(|answer| {
                ready(match answer {
                    Ok(held) => held.map(Ok),
                    Err(RemoteError::Refused { .. }) => None,
                    Err(error) => Some(Err(error)),
                })
            });
        let answers: Vec<Held> = self.runtime.block_on(answers.try_collect())?;
        let mut known = self.known();
        for held in answers {
            known.held.insert(held.manifest.fingerprint, held);
        }
        let there = wanted.iter().filter_map(|(_, fingerprint)| {
            let held = known.held.get(fingerprint)?;
            Some((*fingerprint, held.manifest.bytes()))
        });
        Ok(there.collect())
    }

    /// All artifacts that it has.
    ///
    /// # Errors
    /// [`RemoteError::NoListing`] of a web server; else as [`Remote::ask`].
    pub fn list(&self) -> Result<Vec<(ArtifactKind, Fingerprint)>, RemoteError> {
        if !self.lists {
            return Err(RemoteError::NoListing {
                remote: self.shown.clone(),
            });
        }
        let mut found = Vec::new();
        for kind in ArtifactKind::ALL {
            let of_kind = self.runtime.block_on(self.listed(*kind))?;
            found.extend(of_kind.into_iter().map(|fingerprint| (*kind, fingerprint)));
        }
        found.sort();
        Ok(found)
    }

    /// Lists one kind, from the beginning where the connection breaks within an answer.
    async fn listed(&self, kind: ArtifactKind) -> Result<Vec<Fingerprint>, RemoteError> {
        let below = self.layout.of_kind(kind);
        let mut attempts = Attempts::new(self);
        loop {
            let objects = self.store.list(Some(&below));
            let found =
                objects.try_filter_map(async |object| Ok(Layout::fingerprint(&object.location)));
            match found.try_collect().await {
                Ok(found) => return Ok(found),
                Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
                Err(error) => attempts.again(&error).await?,
            }
        }
    }

    /// Keeps in a store what is known of artifacts that stay in the remote, for who asks what they are.
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub fn remember(
        &self,
        store: &Store,
        artifacts: impl Iterator<Item = Fingerprint>,
    ) -> Result<(), StoreError> {
        let known = self.known();
        for fingerprint in artifacts {
            if let Some(held) = known.held.get(&fingerprint) {
                store.keep_elsewhere(&fingerprint, &held.text)?;
            }
        }
        Ok(())
    }

    /// Asks the remote for nothing any more.
    pub fn give_up(&self) {
        self.known().is_lost = true;
    }

    /// The manifest of an artifact, where there is one.
    async fn manifest(
        &self,
        kind: ArtifactKind,
        fingerprint: Fingerprint,
    ) -> Result<Option<Held>, RemoteError> {
        let path = self.layout.manifest(kind, &fingerprint);
        let Some(text) = self.text(&path).await? else {
            return Ok(None);
        };
        let refused = |reason| RemoteError::Refused {
            remote: self.shown.clone(),
            artifact: fingerprint,
            file: "its manifest".to_owned(),
            reason,
        };
        let Some(text) = text else {
            let most = crate::text::bytes(limits::MANIFEST);
            return Err(refused(format!("is longer than {most}")));
        };
        let manifest = Manifest::received(kind, &fingerprint, &text).map_err(refused)?;
        Ok(Some(Held { manifest, text }))
    }

    /// What stands at a path, in vain as often as anything is tried: `None` where there is nothing, and `Some(None)` where there is more than
    /// a manifest may have.
    async fn text(&self, path: &Path) -> Result<Option<Option<Vec<u8>>>, RemoteError> {
        let mut attempts = Attempts::new(self);
        loop {
            match self.whole(path).await {
                Ok(text) => return Ok(Some(text)),
                Err(object_store::Error::NotFound { source, .. }) => {
                    // An absent artifact is not the same as an absent bucket.
                    let reason = source.to_string();
                    return if reason.contains("NoSuchBucket") {
                        Err(self.unusable(&reason))
                    } else {
                        Ok(None)
                    };
                }
                Err(error) => attempts.again(&error).await?,
            }
        }
    }

    /// All bytes of a manifest; `None` where there are too many.
    async fn whole(&self, path: &Path) -> object_store::Result<Option<Vec<u8>>> {
        let mut pieces = self.store.get(path).await?.into_stream();
        let mut text = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            text.extend_from_slice(&piece);
            if text.len() as u64 > limits::MANIFEST {
                return Ok(None);
            }
        }
        Ok(Some(text))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, reason: &str) -> RemoteError {
        RemoteError::Unusable {
            remote: self.shown.clone(),
            reason: self.secrets.hide(reason),
        }
    }

    /// A failure of the library, told.
    fn failed(&self, error: &object_store::Error) -> RemoteError {
        use object_store::Error;
        let reason = self.secrets.hide(&error::chain(error));
        let remote = self.shown.clone();
        match error {
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => RemoteError::Unusable { remote, reason },
            _ => RemoteError::Broken { remote, reason },
        }
    }
}

/// Attempts at one thing, which end when too many in a row came to nothing.
struct Attempts<'a> {
    remote: &'a Remote,
    failed: u32,
}

impl<'a> Attempts<'a> {
    fn new(remote: &'a Remote) -> Self {
        Self { remote, failed: 0 }
    }

    /// Something came of the last one.
    fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits before another attempt, or gives up. What the remote refuses is not tried again.
    async fn again(&mut self, error: &object_store::Error) -> Result<(), RemoteError> {
        let told = self.remote.failed(error);
        self.failed += 1;
        if self.failed >= MOST_ATTEMPTS || !matches!(told, RemoteError::Broken { .. }) {
            return Err(told);
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(self.failed - 1)).await;
        Ok(())
    }
}

/// Ends where the user wants to.
fn go_on(stop: Stop<'_>) -> Result<(), RemoteError> {
    if stop() {
        Err(RemoteError::Stopped)
    } else {
        Ok(())
    }
}
