//! From a store into a remote: the files of artifacts, each manifest behind its files.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, WriteMultipart,
};

use super::{Attempts, MOST_ARTIFACTS, MOST_FILES, OnBytes, Remote, RemoteError, Stop, go_on};
use crate::checked_file::CheckError;
use crate::store::{ArtifactKind, FileEntry, Fingerprint, Manifest, Store, StoreError};

/// Files from this size on are put in pieces, of which each that breaks is sent again by itself.
const PIECE: u64 = 8 << 20;
/// No store takes more pieces of one file.
const MOST_PIECES: u64 = 9_000;
/// Pieces of a file that are under way at once.
const MOST_AT_ONCE: usize = 4;

/// An artifact that is to be put into a remote.
pub type Wanted = (ArtifactKind, Fingerprint);

/// What became of artifacts that were to be put into a remote.
#[derive(Debug, Default)]
pub struct Pushed {
    /// Those that are there now, and were not.
    pub artifacts: usize,
    /// Bytes that were sent of them; of files that were there already none.
    pub bytes: u64,
    /// Those that were there already.
    pub there: usize,
    /// Those that are not, and why.
    pub failed: Vec<(Fingerprint, RemoteError)>,
}

impl Remote {
    /// Puts complete artifacts of a store there. What has a manifest there is left as it is, unless it is to be put there `again`. Files are
    /// compared with their digests before they are sent.
    ///
    /// # Errors
    /// [`RemoteError::ReadOnly`]; a remote that cannot be used or that breaks; [`RemoteError::Stopped`]. What is wrong with single artifacts
    /// is told of these.
    pub fn push(
        &self,
        store: &Store,
        wanted: &[Wanted],
        again: bool,
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Result<Pushed, RemoteError> {
        if !self.takes {
            return Err(RemoteError::ReadOnly {
                remote: self.shown.clone(),
            });
        }
        let mut pushed = Pushed::default();
        let mut artifacts = stream::iter(wanted.iter().copied())
            .map(|wanted| async move {
                (
                    wanted.1,
                    self.put(store, wanted, again, on_bytes, stop).await,
                )
            })
            .buffer_unordered(MOST_ARTIFACTS);
        let all = async {
            while let Some((fingerprint, one)) = artifacts.next().await {
                match one {
                    Ok(Some(bytes)) => {
                        pushed.artifacts += 1;
                        pushed.bytes += bytes;
                    }
                    Ok(None) => pushed.there += 1,
                    Err(error @ RemoteError::Stopped) => return Err(error),
                    Err(error) if error.is_of_the_remote() => return Err(error),
                    Err(error) => pushed.failed.push((fingerprint, error)),
                }
            }
            Ok(())
        };
        self.runtime.block_on(all)?;
        Ok(pushed)
    }

    /// One artifact; the bytes that were sent, or `None` where it was there.
    async fn put(
        &self,
        store: &Store,
        (kind, fingerprint): Wanted,
        again: bool,
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Result<Option<u64>, RemoteError> {
        go_on(stop)?;
        let path = self.layout.manifest(kind, &fingerprint);
        let missing = || StoreError::Missing {
            path: store.root().to_owned(),
            artifact: fingerprint,
        };
        let text = store
            .manifest_text(kind, &fingerprint)?
            .ok_or_else(missing)?;
        let manifest = store.manifest(&fingerprint)?.ok_or_else(missing)?;
        if !again && self.size(&path).await?.is_some() {
            on_bytes(manifest.bytes());
            return Ok(None);
        }
        let mut sent = 0;
        let mut files = stream::iter(manifest.files.iter())
            .map(|entry| self.put_file(store, &manifest, entry, again, on_bytes, stop))
            .buffer_unordered(MOST_FILES);
        while let Some(bytes) = files.next().await {
            sent += bytes?;
        }
        self.put_manifest(&path, Bytes::from(text), again).await?;
        Ok(Some(sent))
    }

    /// One file; the bytes that were sent of it.
    async fn put_file(
        &self,
        store: &Store,
        manifest: &Manifest,
        entry: &FileEntry,
        again: bool,
        on_bytes: OnBytes<'_>,
        stop: Stop<'_>,
    ) -> Result<u64, RemoteError> {
        go_on(stop)?;
        let path = self
            .layout
            .file(manifest.kind, &manifest.fingerprint, entry);
        if !again && self.size(&path).await? == Some(entry.bytes) {
            on_bytes(entry.bytes);
            return Ok(0);
        }
        let checked = store.open_file(manifest, entry)?;
        let mut attempts = Attempts::new(self);
        let mut told = 0;
        loop {
            let mut at = 0;
            let mut hear = |bytes: u64| {
                at += bytes;
                // What is sent again is not told again.
                if at > told {
                    on_bytes(at - told);
                    told = at;
                }
            };
            match self
                .send(checked.file(), &path, entry.bytes, &mut hear, stop)
                .await
            {
                Ok(()) => break,
                Err(Sending::Remote(error)) => attempts.again(&error).await?,
                Err(Sending::Here(error)) => return Err(error),
            }
        }
        let changed = |error: CheckError| StoreError::Corrupt {
            artifact: manifest.fingerprint,
            file: checked.path().to_owned(),
            reason: error.to_string(),
        };
        checked.unchanged().map_err(changed)?;
        self.settle(&path)?;
        Ok(entry.bytes)
    }

    /// Sends the bytes of an open file: at once, or in pieces.
    async fn send(
        &self,
        file: &File,
        path: &Path,
        bytes: u64,
        hear: &mut dyn FnMut(u64),
        stop: Stop<'_>,
    ) -> Result<(), Sending> {
        if bytes <= PIECE {
            let whole = read(file, path, 0, bytes)?;
            self.store.put(path, PutPayload::from(whole)).await?;
            hear(bytes);
            return Ok(());
        }
        let piece = PIECE.max(bytes.div_ceil(MOST_PIECES));
        let upload = self
            .store
            .put_multipart_opts(path, PutMultipartOptions::default())
            .await?;
        let size = usize::try_from(piece).unwrap_or(usize::MAX);
        let mut writer = WriteMultipart::new_with_chunk_size(upload, size);
        let mut at = 0;
        let sent = async {
            while at < bytes {
                go_on(stop).map_err(Sending::Here)?;
                let next = read(file, path, at, piece.min(bytes - at))?;
                at += next.len() as u64;
                writer.wait_for_capacity(MOST_AT_ONCE).await?;
                hear(next.len() as u64);
                writer.put(next);
            }
            Ok(())
        };
        match sent.await {
            Ok(()) => {
                writer.finish().await?;
                Ok(())
            }
            Err(error) => {
                // What is left of it is paid for by the hour.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Puts a manifest there, unless there is one, where the store can tell. Whichever of two is there, all its files are.
    async fn put_manifest(&self, path: &Path, text: Bytes, again: bool) -> Result<(), RemoteError> {
        use object_store::Error;
        let mut mode = if again {
            PutMode::Overwrite
        } else {
            PutMode::Create
        };
        let mut attempts = Attempts::new(self);
        loop {
            let options = PutOptions::from(mode.clone());
            let payload = PutPayload::from(text.clone());
            match self.store.put_opts(path, payload, options).await {
                Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => break,
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. })
                    if mode == PutMode::Create =>
                {
                    mode = PutMode::Overwrite;
                }
                Err(error) => attempts.again(&error).await?,
            }
        }
        self.settle(path)
    }

    /// How large something is that is there.
    async fn size(&self, path: &Path) -> Result<Option<u64>, RemoteError> {
        let mut attempts = Attempts::new(self);
        loop {
            match self.store.head(path).await {
                Ok(found) => return Ok(Some(found.size)),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => attempts.again(&error).await?,
            }
        }
    }

    /// Makes a file last that was put into a folder; the clouds do so by themselves.
    fn settle(&self, path: &Path) -> Result<(), RemoteError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let file = folder.join(path.as_ref());
        let mut settled = File::open(&file).and_then(|file| file.sync_all());
        if let (Ok(()), Some(parent)) = (&settled, file.parent()) {
            settled = File::open(parent).and_then(|folder| folder.sync_all());
        }
        settled.map_err(|error| RemoteError::Broken {
            remote: self.shown.clone(),
            reason: format!("cannot write {}: {error}", file.display()),
        })
    }
}

/// Why a file could not be sent.
enum Sending {
    /// Because of the remote.
    Remote(object_store::Error),
    /// Because of what is here.
    Here(RemoteError),
}

impl From<object_store::Error> for Sending {
    fn from(error: object_store::Error) -> Self {
        Self::Remote(error)
    }
}

/// Some bytes of a file.
fn read(file: &File, path: &Path, at: u64, bytes: u64) -> Result<Bytes, Sending> {
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or_default()];
    match file.read_exact_at(&mut buffer, at) {
        Ok(()) => Ok(Bytes::from(buffer)),
        Err(error) => Err(Sending::Here(RemoteError::Store(StoreError::Io {
            doing: "read",
            path: path.as_ref().into(),
            source: error,
        }))),
    }
}
