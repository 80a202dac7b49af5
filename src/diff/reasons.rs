//! Why cells rest on other artifacts than before: the fields in which the recipes of a cache differ.
//!
//! The recipe of a head names its features by their fingerprint. Where that differs and both features are in the cache, their recipes are
//! compared in turn, so that the reason is the field that somebody changed and not the digest that followed from it.

use std::collections::{BTreeMap, BTreeSet};

use super::Difference;
use crate::plan::described;
use crate::report::query::roles;
use crate::store::{FieldChange, Fingerprint, Recipe, ResultRow, Store, StoreError};

/// How many inputs one recipe is followed through: from a metric's head to features, weights and their training.
const DEPTH: usize = 6;

/// One reason, and how many cells it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The fields that differ, such as `epochs 28 → 5`, or why nothing is known.
    pub text: String,
    /// How many of the cells that changed, or were computed from other artifacts.
    pub cells: usize,
    /// Whether the fields are known.
    pub is_known: bool,
}

/// Finds out why the cells that changed, or rest on other artifacts, do so. Without a cache nothing is known.
///
/// # Errors
/// A cache that cannot be read.
pub fn explain(compared: &mut Difference<'_>, store: Option<&Store>) -> Result<(), StoreError> {
    let mut recipes = Recipes {
        store,
        known: BTreeMap::new(),
    };
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let changed = compared.changed.iter();
    let changed = changed.map(|cell| (&cell.before.rows, &cell.after.rows));
    let refitted = compared.refitted.iter();
    let refitted = refitted.map(|cell| (&cell.before, &cell.after));
    for (before, after) in changed.chain(refitted) {
        for reason in of_cell(before, after, &compared.over, &mut recipes)? {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let mut reasons: Vec<Reason> = counts
        .into_iter()
        .map(|((is_known, text), cells)| Reason {
            text,
            cells,
            is_known,
        })
        .collect();
    reasons.sort_by(|left, right| {
        let by_cells = right.cells.cmp(&left.cells);
        by_cells.then_with(|| left.text.cmp(&right.text))
    });
    compared.reasons = reasons;
    Ok(())
}

/// The reasons of one cell, over its runs; those runs count that both sets have.
fn of_cell(
    before: &[&ResultRow],
    after: &[&ResultRow],
    over: &[String],
    recipes: &mut Recipes<'_>,
) -> Result<BTreeSet<(bool, String)>, StoreError> {
    let mut reasons = BTreeSet::new();
    for row in after {
        let same_run =
            |other: &&&ResultRow| over.iter().all(|axis| other.axis(axis) == row.axis(axis));
        let Some(before) = before.iter().find(same_run) else {
            continue;
        };
        for role in roles(row) {
            let sources = before.sources.get(role).zip(row.sources.get(role));
            if let Some((before, after)) = sources {
                reasons.insert(recipes.reason(before, after)?);
            }
        }
    }
    if reasons.len() > 1 {
        // One of two inputs may be the same as before while the other explains the change.
        reasons.remove(&(true, SAME.to_owned()));
    }
    if reasons.is_empty() {
        reasons.insert((false, "the runs before and after are others".to_owned()));
    }
    Ok(reasons)
}

/// What is said where the artifact is the same.
const SAME: &str = "no field: computed from the same artifacts";

/// The recipes of a cache, each read once.
struct Recipes<'a> {
    store: Option<&'a Store>,
    known: BTreeMap<Fingerprint, Option<Recipe>>,
}

impl Recipes<'_> {
    /// Why one artifact stands in place of another, and whether that is known.
    fn reason(&mut self, before: &str, after: &str) -> Result<(bool, String), StoreError> {
        if before == after {
            return Ok((true, SAME.to_owned()));
        }
        let parsed = before.parse::<Fingerprint>().ok();
        let Some((before, after)) = parsed.zip(after.parse::<Fingerprint>().ok()) else {
            return Ok((false, "a fingerprint in the file is malformed".to_owned()));
        };
        let changes = self.changes(&before, &after, DEPTH)?;
        Ok(match changes {
            Some(changes) if !changes.is_empty() => (true, described(&changes)),
            _ => (
                false,
                "unknown: the artifacts before and after are not both in the cache".to_owned(),
            ),
        })
    }

    /// The fields in which two recipes differ, those of their inputs in place of the inputs' fingerprints; `None` where one of the two is
    /// not in the cache.
    fn changes(
        &mut self,
        before: &Fingerprint,
        after: &Fingerprint,
        depth: usize,
    ) -> Result<Option<Vec<FieldChange>>, StoreError> {
        let (Some(before), Some(after)) = (self.recipe(before)?, self.recipe(after)?) else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for change in before.differences(&after) {
            let inputs =
                fingerprint(change.before.as_deref()).zip(fingerprint(change.after.as_deref()));
            let of_inputs = match inputs {
                Some((before, after)) if depth > 0 => self.changes(&before, &after, depth - 1)?,
                _ => None,
            };
            match of_inputs {
                Some(inner) => all.extend(inner.into_iter().map(|inner| FieldChange {
                    path: format!("{}.{}", change.path, inner.path),
                    ..inner
                })),
                None => all.push(change),
            }
        }
        Ok(Some(all))
    }

    fn recipe(&mut self, fingerprint: &Fingerprint) -> Result<Option<Recipe>, StoreError> {
        if let Some(known) = self.known.get(fingerprint) {
            return Ok(known.clone());
        }
        let manifest = match self.store {
            Some(store) => store.manifest(fingerprint)?,
            None => None,
        };
        let recipe = manifest.map(|manifest| manifest.recipe);
        self.known.insert(*fingerprint, recipe.clone());
        Ok(recipe)
    }
}

/// The fingerprint that a field's JSON text holds: by itself, or behind a word such as `pretraining:`.
fn fingerprint(json: Option<&str>) -> Option<Fingerprint> {
    let text = json?.trim_matches('"');
    text.rsplit(':').next()?.parse().ok()
}
