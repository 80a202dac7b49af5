//! From a remote into a store: the files of artifacts by ranges, from what has come of them on.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};

use super::{
    Attempts, Held, MOST_ARTIFACTS, MOST_FILES, OnBytes, Remote, RemoteError, Stop, go_on,
};
use crate::store::{Arrival, Arriving, FileEntry, Fingerprint, Store};

/// Bytes that are asked for at once.
const RANGE: u64 = 32 << 20;
/// How often who brings or makes an artifact is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// What became of artifacts that were wanted.
#[derive(Debug, Default)]
pub struct Brought {
    /// Those that are here now, and were not.
    pub artifacts: usize,
    /// Bytes of all files of these.
    pub bytes: u64,
    /// Those that are not, and why.
    pub failed: BTreeMap<Fingerprint, RemoteError>,
}

/// What came of one artifact.
enum One {
    Brought(u64),
    There,
    Busy,
}

impl Remote {
    /// Takes artifacts that [`Remote::ask`] has found into a store. What another process brings or makes at the moment is waited for. Of
    /// what cannot be brought nothing but the bytes that are right stays, out of the way; the next [`Remote::ask`] leaves it out.
    pub fn bring(
        &self,
        store: &Store,
        wanted: &[Fingerprint],
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Brought {
        let mut brought = Brought::default();
        let mut waiting = wanted.to_vec();
        while !waiting.is_empty() {
            let round = stream::iter(std::mem::take(&mut waiting))
                .map(|fingerprint| async move {
                    let one = self.one(store, &fingerprint, on_bytes, stop).await;
                    (fingerprint, one)
                })
                .buffer_unordered(MOST_ARTIFACTS);
            let round: Vec<_> = self.runtime.block_on(round.collect());
            let is_all_busy = round.iter().all(|(_, one)| matches!(one, Ok(One::Busy)));
            for (fingerprint, one) in round {
                match one {
                    Ok(One::Brought(bytes)) => {
                        brought.artifacts += 1;
                        brought.bytes += bytes;
                    }
                    Ok(One::There) => {}
                    // No lock is held meanwhile, so nobody waits for one that waits for him.
                    Ok(One::Busy) => waiting.push(fingerprint),
                    Err(error) => {
                        brought.failed.insert(fingerprint, error);
                    }
                }
            }
            if is_all_busy && !waiting.is_empty() {
                std::thread::sleep(LOOK);
            }
        }
        let mut known = self.known();
        for (fingerprint, error) in &brought.failed {
            if !matches!(error, RemoteError::Stopped) {
                known.refused.insert(*fingerprint);
            }
            known.is_lost |= error.is_of_the_remote();
        }
        brought
    }

    async fn one(
        &self,
        store: &Store,
        fingerprint: &Fingerprint,
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Result<One, RemoteError> {
        go_on(stop)?;
        if self.known().is_lost {
            return Err(RemoteError::Broken {
                remote: self.shown.clone(),
                reason: "it failed before".to_owned(),
            });
        }
        let held = self.known().held.get(fingerprint).cloned();
        let Some(Held { manifest, text }) = held else {
            return Err(self.gone(*fingerprint));
        };
        let bytes = manifest.bytes();
        let arrival = match store.receive(manifest, text)? {
            Arriving::AlreadyThere => return Ok(One::There),
            Arriving::Busy => return Ok(One::Busy),
            Arriving::Begun(arrival) => arrival,
        };
        let lacking = arrival.lacking()?;
        let come = bytes
            - lacking
                .iter()
                .map(|(entry, come)| entry.bytes - come)
                .sum::<u64>();
        on_bytes(come);
        let files = stream::iter(lacking)
            .map(Ok)
            .try_for_each_concurrent(MOST_FILES, |(entry, come)| {
                let arrival = &arrival;
                async move { self.file(arrival, &entry, come, on_bytes, stop).await }
            })
            .await;
        if let Err(error) = files {
            if error.is_of_the_remote() {
                // The others need not find out by themselves.
                self.give_up();
            }
            return Err(error);
        }
        arrival.finish()?;
        Ok(One::Brought(bytes))
    }

    /// One file, from byte `come` on.
    async fn file(
        &self,
        arrival: &Arrival,
        entry: &FileEntry,
        mut come: u64,
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Result<(), RemoteError> {
        let artifact = arrival.fingerprint();
        let kind = arrival.manifest().kind;
        let path = self.layout.file(kind, &artifact, entry);
        let refused = |reason: String| RemoteError::Refused {
            remote: self.shown.clone(),
            artifact,
            file: entry.name.clone(),
            reason,
        };
        // Bytes of an earlier attempt may be wrong, as after a power cut; those that came just now may not.
        let mut is_fresh = come == 0;
        loop {
            let mut attempts = Attempts::new(self);
            let mut target = arrival.open(entry)?;
            let mut by_ranges = !self.known().has_no_ranges;
            while come < entry.bytes {
                go_on(stop)?;
                let answer = match self.from(&path, come, entry.bytes, by_ranges).await {
                    Ok(answer) => answer,
                    Err(object_store::Error::NotFound { .. }) => return Err(self.gone(artifact)),
                    Err(error) if by_ranges && has_no_ranges(&error) => {
                        by_ranges = false;
                        self.known().has_no_ranges = true;
                        continue;
                    }
                    Err(error) => {
                        attempts.again(&error).await?;
                        continue;
                    }
                };
                if answer.meta.size != entry.bytes {
                    let found = answer.meta.size;
                    return Err(refused(format!(
                        "has {found} bytes instead of {}",
                        entry.bytes
                    )));
                }
                // A server without ranges sends what is here already once more.
                let mut skipped = if by_ranges { 0 } else { come };
                let mut pieces = answer.into_stream();
                let before = come;
                let broken = loop {
                    let piece = match pieces.try_next().await {
                        Ok(Some(piece)) => piece,
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    };
                    go_on(stop)?;
                    let length = piece.len() as u64;
                    let left_out = skipped.min(length);
                    skipped -= left_out;
                    let new = usize::try_from(left_out).map_or(&[][..], |from| &piece[from..]);
                    let room = usize::try_from(entry.bytes - come).unwrap_or(usize::MAX);
                    let new = &new[..new.len().min(room)];
                    if !new.is_empty() {
                        target.add(new)?;
                        come += new.len() as u64;
                        on_bytes(new.len() as u64);
                        attempts.progressed();
                    }
                };
                match broken {
                    Some(error) => attempts.again(&error).await?,
                    None if come == before => attempts.again(&nothing_came()).await?,
                    None => {}
                }
            }
            if arrival.has_come(entry)? {
                return Ok(());
            }
            if is_fresh {
                return Err(refused(
                    "does not have the digest that its manifest states".to_owned(),
                ));
            }
            is_fresh = true;
            come = 0;
        }
    }

    /// Asks for the bytes from a place on: some of them, or where the server has no ranges all of the file.
    async fn from(
        &self,
        path: &Path,
        come: u64,
        bytes: u64,
        by_ranges: bool,
    ) -> object_store::Result<GetResult> {
        let mut options = GetOptions::default();
        if by_ranges {
            options.range = Some(GetRange::Bounded(come..bytes.min(come + RANGE)));
        }
        self.store.get_opts(path, options).await
    }

    fn gone(&self, artifact: Fingerprint) -> RemoteError {
        RemoteError::Gone {
            remote: self.shown.clone(),
            artifact,
        }
    }
}

/// An answer without bytes where some were asked for.
fn nothing_came() -> object_store::Error {
    object_store::Error::Generic {
        store: "remote",
        source: "an answer ended before any byte".into(),
    }
}

/// Whether a server answers questions for a range with the whole file. Stores of clouds, which all have ranges, say so by their words alone.
fn has_no_ranges(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotSupported { .. })
        || super::error::chain(error).contains("non-partial response")
}
