//! Images that were left out when features were made.

use super::SKIPPED;
use crate::store::{Fingerprint, Store, StoreError};

/// The ids of the images that were left out when features were made.
pub(crate) fn skipped(store: &Store, features: &Fingerprint) -> Result<Vec<String>, StoreError> {
    let reader = store.features(features)?;
    let rows = reader
        .parts()
        .iter()
        .flat_map(|part| part.ids().zip(part.splits()));
    Ok(rows
        .filter(|(_, split)| *split == SKIPPED)
        .map(|(id, _)| id.to_owned())
        .collect())
}
