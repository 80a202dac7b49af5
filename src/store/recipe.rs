//! Recipes: all that decides an artifact's bytes, as canonical JSON.
//!
//! Every kind of node has an explicit struct of such fields (never the TOML text, a path, a time or a device) and a
//! version, which is raised whenever the same fields would lead to other bytes. The digest of the JSON is the
//! artifact's [`Fingerprint`]; the JSON itself is kept with the artifact, so that one can say which field differs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::{CanonicalError, Tree};
use super::fingerprint::{ArtifactKind, Fingerprint};

/// All that decides an artifact's bytes.
///
/// In JSON files a recipe is one string holding its canonical text: reading it as nested JSON and writing it again
/// could change the last digit of a float, and with it the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipe {
    kind: ArtifactKind,
    version: u32,
    json: String,
}

/// Fields that cannot be a recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A field has no canonical JSON form.
    #[error("a field of the recipe cannot be fingerprinted: {0}")]
    Field(#[from] CanonicalError),
    /// A stored text is not a recipe.
    #[error("not a recipe: {reason}")]
    Text {
        /// What is wrong with the text.
        reason: String,
    },
}

/// One field in which two recipes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Where the field stands, as `optimizer.lr` or `views[1]`; `kind` and `version` for the recipe's own.
    pub path: String,
    /// JSON text of the field in the first recipe, if it has that field.
    pub before: Option<String>,
    /// JSON text of the field in the second recipe, if it has that field.
    pub after: Option<String>,
}

/// The outermost object of a recipe's JSON.
#[derive(Serialize)]
struct Envelope<'a, F: ?Sized> {
    kind: ArtifactKind,
    version: u32,
    fields: &'a F,
}

impl Recipe {
    /// Lays out `fields` as a recipe of this kind and version.
    ///
    /// # Errors
    ///
    /// When a float among the fields is infinite or not a number, or a map has keys that are neither text nor numbers.
    pub fn new(
        kind: ArtifactKind,
        version: u32,
        fields: &(impl Serialize + ?Sized),
    ) -> Result<Self, RecipeError> {
        let json = Tree::of(&Envelope {
            kind,
            version,
            fields,
        })?
        .text();
        Ok(Self {
            kind,
            version,
            json,
        })
    }

    /// What the recipe makes.
    pub const fn kind(&self) -> ArtifactKind {
        self.kind
    }

    /// Version of the code that the recipe speaks of.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The canonical JSON: `{"fields":{…},"kind":"features","version":1}`.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The fields, for looking something up; not for writing them again (see [`Recipe`]).
    pub fn fields(&self) -> Value {
        serde_json::from_str(&self.json)
            .ok()
            .and_then(|mut value: Value| value.get_mut("fields").map(Value::take))
            .unwrap_or_default()
    }

    /// Digest of the canonical JSON, which is the artifact's name.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.json.as_bytes())
    }

    /// The fields that changed from this recipe to `after`, ordered by path.
    pub fn differences(&self, after: &Self) -> Vec<FieldChange> {
        let (before, after) = (self.leaves(), after.leaves());
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        paths
            .into_iter()
            .filter(|path| before.get(*path) != after.get(*path))
            .map(|path| FieldChange {
                path: path.clone(),
                before: before.get(path).cloned(),
                after: after.get(path).cloned(),
            })
            .collect()
    }

    /// Every leaf of the JSON by its path.
    fn leaves(&self) -> BTreeMap<String, String> {
        let mut leaves = BTreeMap::from([
            ("kind".to_owned(), self.kind.to_string()),
            ("version".to_owned(), self.version.to_string()),
        ]);
        collect_leaves("", &self.fields(), &mut leaves);
        leaves
    }
}

fn collect_leaves(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, field) in fields {
                let inner = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                collect_leaves(&inner, field, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                collect_leaves(&format!("{path}[{index}]"), item, leaves);
            }
        }
        leaf => {
            leaves.insert(path.to_owned(), leaf.to_string());
        }
    }
}

impl From<Recipe> for String {
    fn from(recipe: Recipe) -> Self {
        recipe.json
    }
}

impl TryFrom<String> for Recipe {
    type Error = RecipeError;

    fn try_from(json: String) -> Result<Self, RecipeError> {
        #[derive(Deserialize)]
        struct Head {
            kind: ArtifactKind,
            version: u32,
        }
        let head: Head = serde_json::from_str(&json).map_err(|error| RecipeError::Text {
            reason: error.to_string(),
        })?;
        Ok(Self {
            kind: head.kind,
            version: head.version,
            json,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn recipe(fields: &Value) -> Recipe {
        Recipe::new(ArtifactKind::Head, 1, fields).unwrap()
    }

    #[test]
    fn the_json_is_what_the_documentation_says() {
        let recipe = recipe(&json!({ "lr": 1e-3, "epochs": 28 }));
        assert_eq!(
            recipe.json(),
            r#"{"fields":{"epochs":28,"lr":0.001},"kind":"head","version":1}"#
        );
        assert_eq!(
            recipe.fingerprint(),
            Fingerprint::of(recipe.json().as_bytes())
        );
        assert_eq!(recipe.fields(), json!({ "epochs": 28, "lr": 0.001 }));
    }

    #[test]
    fn kind_and_version_count() {
        let fields = json!({ "seed": 0 });
        let first = Recipe::new(ArtifactKind::Head, 1, &fields).unwrap();
        assert_ne!(
            first.fingerprint(),
            Recipe::new(ArtifactKind::Head, 2, &fields)
                .unwrap()
                .fingerprint()
        );
        assert_ne!(
            first.fingerprint(),
            Recipe::new(ArtifactKind::Metric, 1, &fields)
                .unwrap()
                .fingerprint()
        );
    }

    #[test]
    fn a_field_that_is_not_a_number_is_named() {
        #[derive(Serialize)]
        struct Optimizer {
            lr: f64,
        }
        let fields = BTreeMap::from([("optimizer", Optimizer { lr: f64::NAN })]);
        let message = Recipe::new(ArtifactKind::Head, 1, &fields)
            .unwrap_err()
            .to_string();
        assert!(
            message.ends_with("fields: optimizer: lr: NaN is not a finite number"),
            "{message}"
        );
    }

    #[test]
    fn differences_name_the_fields() {
        let before = recipe(&json!({ "timestep": 90, "views": ["center", "flip"], "seed": 0 }));
        let after =
            recipe(&json!({ "timestep": 150, "views": ["center"], "seed": 0, "dtype": "f16" }));
        let change = |path: &str, before: Option<&str>, after: Option<&str>| FieldChange {
            path: path.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(
            before.differences(&after),
            [
                change("dtype", None, Some("\"f16\"")),
                change("timestep", Some("90"), Some("150")),
                change("views[1]", Some("\"flip\""), None),
            ]
        );
        assert_eq!(before.differences(&before), []);
    }

    #[test]
    fn a_stored_recipe_keeps_its_last_digit() {
        // Seventeen digits: a reader that is not exact may change the last one.
        let recipe = recipe(&json!({ "lr": 0.1 + 0.2, "small": 7.123_456_789_012_345e-200 }));
        let stored = serde_json::to_string(&recipe).unwrap();
        let read: Recipe = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, recipe);
        assert_eq!(read.fingerprint(), recipe.fingerprint());
        assert_eq!(recipe.differences(&read), []);
    }

    fn any_fields() -> impl Strategy<Value = BTreeMap<String, i64>> {
        proptest::collection::btree_map("[a-z]{1,6}", any::<i64>(), 1..8)
    }

    proptest! {
        #[test]
        fn any_changed_field_changes_the_fingerprint(
            fields in any_fields(), which in any::<proptest::sample::Index>(), by in 1_i64..1000,
        ) {
            let key = which.get(&fields.keys().cloned().collect::<Vec<_>>()).clone();
            let mut changed = fields.clone();
            changed.entry(key.clone()).and_modify(|value| *value = value.wrapping_add(by));
            let before = Recipe::new(ArtifactKind::Features, 1, &fields).unwrap();
            let after = Recipe::new(ArtifactKind::Features, 1, &changed).unwrap();
            prop_assert_ne!(before.fingerprint(), after.fingerprint());
            let differences = before.differences(&after);
            prop_assert_eq!(differences.len(), 1);
            prop_assert_eq!(&differences[0].path, &key);

            let mut without = fields.clone();
            without.remove(&key);
            let without = Recipe::new(ArtifactKind::Features, 1, &without).unwrap();
            prop_assert_ne!(before.fingerprint(), without.fingerprint());
        }

        #[test]
        fn a_recipe_survives_being_stored(fields in any_fields()) {
            let recipe = Recipe::new(ArtifactKind::Features, 3, &fields).unwrap();
            let read: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
            prop_assert_eq!(read, recipe);
        }
    }
}
