//! Notes of what inputs were, to and from a remote: a machine without the images knows by them which artifacts are an experiment's.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};

use super::{Attempts, MOST_QUESTIONS, Remote, RemoteError};
use crate::store::{Fingerprint, Memo};

impl Remote {
    /// Puts notes there, in place of others about the same.
    ///
    /// # Errors
    /// A remote that cannot be used or that breaks.
    pub fn push_notes(&self, notes: Vec<(Fingerprint, Vec<u8>)>) -> Result<(), RemoteError> {
        let put = stream::iter(notes).map(Ok).try_for_each_concurrent(
            MOST_QUESTIONS,
            |(name, bytes)| async move {
                if self.note(&name).await?.as_ref() == Some(&bytes) {
                    return Ok(());
                }
                let path = self.layout.note(&name);
                let bytes = Bytes::from(bytes);
                let mut attempts = Attempts::new(self);
                loop {
                    match self.store.put(&path, PutPayload::from(bytes.clone())).await {
                        Ok(_) => return Ok(()),
                        Err(error) => attempts.again(&error).await?,
                    }
                }
            },
        );
        self.runtime.block_on(put)
    }

    /// Takes notes from there, as far as it has them.
    ///
    /// # Errors
    /// As [`Remote::push_notes`], and a memo that cannot be written to.
    pub fn bring_notes(&self, memo: &Memo, names: Vec<Fingerprint>) -> Result<(), RemoteError> {
        let found = stream::iter(names)
            .map(|name| async move { self.note(&name).await.map(|note| (name, note)) })
            .buffer_unordered(MOST_QUESTIONS);
        let found: Vec<_> = self.runtime.block_on(found.try_collect())?;
        for (name, bytes) in found {
            if let Some(bytes) = bytes {
                memo.take_note(&name, &bytes)?;
            }
        }
        Ok(())
    }

    async fn note(&self, name: &Fingerprint) -> Result<Option<Vec<u8>>, RemoteError> {
        self.text(&self.layout.note(name))
            .await
            .map(Option::flatten)
    }
}
