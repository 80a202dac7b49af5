//! Which artifact of the store an artifact of the plan is most like, and what is different: the answer to "why is this made again".

use crate::store::{Entry, FieldChange, Fingerprint, Listing};

use super::step::PlannedArtifact;

/// Artifacts that are compared with one of the plan where none has its label. Comparing recipes takes some 20 µs each.
const MOST_COMPARED: usize = 2_000;

/// The artifact of the store that is most like one that it lacks.
#[derive(Debug)]
pub struct Nearest<'a> {
    /// Its name in the store.
    pub fingerprint: Fingerprint,
    /// What is known of it.
    pub entry: &'a Entry,
    /// Whether it was called the same when it was made.
    pub has_label: bool,
    /// The fields that differ, from it to the planned one; none where the planned one is in the store itself.
    pub changes: Vec<FieldChange>,
}

/// The nearest artifact of the same kind: of those with the same label the one that differs in the fewest fields, else the same of all,
/// of which no more than 2,000 are looked at. `None` where the store has nothing of the kind.
pub fn nearest<'a>(listing: &'a Listing, artifact: &PlannedArtifact) -> Option<Nearest<'a>> {
    let of_kind = || {
        let artifacts = listing.artifacts.iter();
        artifacts.filter(|(_, entry)| entry.kind == artifact.recipe.kind())
    };
    let compared = |(fingerprint, entry): (&Fingerprint, &'a Entry)| Nearest {
        fingerprint: *fingerprint,
        entry,
        has_label: entry.label == artifact.label,
        changes: entry.recipe.differences(&artifact.recipe),
    };
    let labeled = of_kind().filter(|(_, entry)| entry.label == artifact.label);
    let best = labeled.map(compared).min_by_key(|near| near.changes.len());
    best.or_else(|| {
        let others = of_kind().take(MOST_COMPARED).map(compared);
        others.min_by_key(|near| near.changes.len())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::StepState;
    use crate::store::{ArtifactKind, Recipe};

    fn recipe(fields: &serde_json::Value) -> Recipe {
        Recipe::new(ArtifactKind::Head, 1, fields).unwrap()
    }

    fn entry(label: &str, recipe: Recipe) -> (Fingerprint, Entry) {
        let entry = Entry {
            kind: recipe.kind(),
            label: label.to_owned(),
            rows: 1,
            bytes: 1,
            made_at: "2026-01-01T00:00:00Z".to_owned(),
            wall_seconds: 1.0,
            device: "cpu".to_owned(),
            instructions: None,
            recipe,
        };
        (entry.recipe.fingerprint(), entry)
    }

    #[test]
    fn the_same_label_goes_before_fewer_differences() {
        let listing = Listing {
            artifacts: [
                entry("probe", recipe(&json!({ "lr": 1, "epochs": 2, "seed": 3 }))),
                entry("probe", recipe(&json!({ "lr": 1, "epochs": 9, "seed": 0 }))),
                entry("other", recipe(&json!({ "lr": 1, "epochs": 9, "seed": 4 }))),
            ]
            .into(),
            ..Listing::default()
        };
        let planned = |label: &str| {
            let recipe = recipe(&json!({ "lr": 1, "epochs": 9, "seed": 5 }));
            PlannedArtifact {
                label: label.to_owned(),
                fingerprint: recipe.fingerprint(),
                recipe,
                state: StepState::Missing { why: String::new() },
            }
        };
        let near = nearest(&listing, &planned("probe")).unwrap();
        assert!(near.has_label);
        let change = FieldChange {
            path: "seed".to_owned(),
            before: Some("0".to_owned()),
            after: Some("5".to_owned()),
        };
        assert_eq!(near.changes, [change]);
        let near = nearest(&listing, &planned("new")).unwrap();
        assert!(!near.has_label);
        assert_eq!(near.changes.len(), 1);
        assert!(nearest(&Listing::default(), &planned("new")).is_none());
    }
}
