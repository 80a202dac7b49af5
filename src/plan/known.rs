//! What the store has already, and what differs where it has not.

use std::collections::BTreeMap;

use super::step::{PlannedArtifact, StepState};
use crate::store::{FieldChange, Listing, Recipe};

/// What the store has, with the artifacts of each label at hand for saying what changed.
pub(super) struct Known<'a> {
    listing: &'a Listing,
    by_label: BTreeMap<(&'static str, &'a str), Vec<&'a Recipe>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(listing: &'a Listing) -> Self {
        let mut by_label: BTreeMap<_, Vec<&Recipe>> = BTreeMap::new();
        for entry in listing.artifacts.values() {
            by_label
                .entry((entry.kind.name(), entry.label.as_str()))
                .or_default()
                .push(&entry.recipe);
        }
        Self { listing, by_label }
    }

    /// The state of an artifact in the store.
    pub(super) fn artifact(&self, label: String, recipe: Recipe) -> PlannedArtifact {
        let fingerprint = recipe.fingerprint();
        let state = if self.listing.artifacts.contains_key(&fingerprint) {
            StepState::Cached
        } else if let Some(partial) = self.listing.partial.get(&fingerprint) {
            StepState::Partial {
                parts: partial.parts.clone(),
            }
        } else {
            StepState::Missing {
                why: self.why(&label, &recipe),
            }
        };
        PlannedArtifact {
            label,
            recipe,
            fingerprint,
            state,
        }
    }

    /// What differs from the artifact of the same label that is most alike; "never made" where there is none.
    fn why(&self, label: &str, recipe: &Recipe) -> String {
        let candidates = self
            .by_label
            .get(&(recipe.kind().name(), label))
            .map_or(&[][..], Vec::as_slice);
        let nearest = candidates
            .iter()
            .map(|candidate| candidate.differences(recipe))
            .min_by_key(Vec::len);
        let Some(changes) = nearest else {
            return "never made".to_owned();
        };
        format!("changed: {}", described(&changes))
    }
}

/// Fields that two recipes differ in, in words; the first three of many.
pub fn described(changes: &[FieldChange]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for change in changes {
        let text = describe(change);
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    let more = match shown.len() {
        0..=3 => String::new(),
        count => format!(" and {} more", count - 3),
    };
    shown.truncate(3);
    format!("{}{more}", shown.join(", "))
}

/// A changed field in words: `epochs 28 → 5`; digests and lists by their name alone, since their values tell nobody anything.
fn describe(change: &FieldChange) -> String {
    let path = &change.path;
    if let Some((list, _)) = path.split_once('[') {
        return list.to_owned();
    }
    let is_digest = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or_default();
        text.trim_matches('"')
            .rsplit(':')
            .next()
            .is_some_and(|tail| tail.len() == 64)
    };
    if is_digest(&change.before) || is_digest(&change.after) {
        return path.clone();
    }
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{path} {} → {}", side(&change.before), side(&change.after))
}
