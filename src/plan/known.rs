//! What the store has already, and what differs where it has not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::step::{PlannedArtifact, StepState};
use crate::store::{ArtifactKind, FieldChange, Listing, Recipe};

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
        } else if let Some(&bytes) = self.listing.remote.get(&fingerprint) {
            StepState::Remote { bytes }
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

    /// What differs from the artifact of the same label that is most alike; "never made" where there is none. Metrics are called alike in
    /// many experiments: one that scored nothing of what this one scores is of another experiment, and nothing of this one changed.
    fn why(&self, label: &str, recipe: &Recipe) -> String {
        let candidates = self
            .by_label
            .get(&(recipe.kind().name(), label))
            .map_or(&[][..], Vec::as_slice);
        let scored = scored(recipe);
        let nearest = candidates
            .iter()
            .filter(|candidate| scored.is_empty() || !scored.is_disjoint(&self::scored(candidate)))
            .map(|candidate| candidate.differences(recipe))
            .min_by_key(Vec::len);
        let Some(changes) = nearest else {
            return "never made".to_owned();
        };
        format!("changed: {}", described(&changes))
    }
}

/// The names of what a metric scores: heads, or sets of features, each with the model and the dataset that it is of; none of any other
/// recipe.
fn scored(recipe: &Recipe) -> BTreeSet<String> {
    if recipe.kind() != ArtifactKind::Metric {
        return BTreeSet::new();
    }
    let without_fingerprint = |one: &Value| match one {
        Value::Object(fields) => {
            let names = fields.iter().filter(|(field, _)| *field != "fingerprint");
            let names: Vec<String> = names
                .map(|(field, name)| format!("{field} {name}"))
                .collect();
            names.join("\n")
        }
        other => other.to_string(),
    };
    let fields = recipe.fields();
    let heads = fields.get("heads").and_then(Value::as_array);
    let sets = fields.get("sets").and_then(Value::as_array);
    let sets = sets.into_iter().flatten().filter_map(Value::as_array);
    heads
        .into_iter()
        .flatten()
        .chain(sets.flatten())
        .map(without_fingerprint)
        .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Entry;

    fn metric(heads: &[&str]) -> Recipe {
        let heads: Vec<Value> = heads
            .iter()
            .enumerate()
            .map(|(index, head)| {
                json!({ "fingerprint": format!("{index:064}"), "head": head, "model": "unet", "dataset": "fashion" })
            })
            .collect();
        let fields = json!({ "metric": { "kind": "accuracy" }, "heads": heads });
        Recipe::new(ArtifactKind::Metric, 5, &fields).unwrap()
    }

    /// What a plan says of a metric called `accuracy`, where the store has another one of that name.
    fn why(there: &[&str], wanted: &[&str]) -> String {
        let recipe = metric(there);
        let entry = Entry {
            kind: ArtifactKind::Metric,
            label: "accuracy".to_owned(),
            recipe: recipe.clone(),
            rows: 0,
            bytes: 0,
            made_at: String::new(),
            wall_seconds: 0.0,
            device: String::new(),
            instructions: None,
        };
        let listing = Listing {
            artifacts: BTreeMap::from([(recipe.fingerprint(), entry)]),
            ..Listing::default()
        };
        let artifact = Known::new(&listing).artifact("accuracy".to_owned(), metric(wanted));
        match artifact.state {
            StepState::Missing { why } => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_metric_of_the_same_name_in_another_experiment_is_no_earlier_one() {
        assert_eq!(why(&["linear"], &["linear", "mlp"]), "changed: heads");
        assert_eq!(why(&["linear"], &["attention"]), "never made");
    }
}
