//! Fields of recipes that differ, in words, and which differences are told as one.

use serde_json::{Value, json};

use crate::store::{FieldChange, Fingerprint, Listing};

/// What two changes have in common that are told as one: the field, and its values unless they are names of artifacts or digests.
pub(super) type FieldKey = (String, Option<String>, Option<String>);

/// The key of one change.
pub(super) fn field_key(change: &FieldChange) -> FieldKey {
    let side = |value: &Option<String>| {
        let value = value.clone();
        value.map(|value| match digest_of(&value) {
            Some(_) => String::new(),
            None => value,
        })
    };
    (
        change.path.clone(),
        side(&change.before),
        side(&change.after),
    )
}

/// The 64 digits that a value ends in, where it is a fingerprint or a digest.
fn digest_of(value: &str) -> Option<Fingerprint> {
    value.trim_matches('"').rsplit(':').next()?.parse().ok()
}

/// One difference in words: `epochs: 28 → 5`.
pub(super) fn in_words(change: &FieldChange, listing: &Listing) -> String {
    let side = |value: &Option<String>| {
        let Some(value) = value else {
            return "nothing".to_owned();
        };
        let Some(digest) = digest_of(value) else {
            return value.clone();
        };
        let called = listing.artifacts.get(&digest);
        let called = called.map_or_else(String::new, |entry| format!(" ({})", entry.label));
        format!("{}{called}", digest.short())
    };
    format!(
        "{}: {} → {}",
        change.path,
        side(&change.before),
        side(&change.after)
    )
}

/// One difference as `--json` prints it.
pub(super) fn record_of(change: &FieldChange) -> Value {
    json!({ "field": change.path, "before": change.before, "after": change.after })
}
