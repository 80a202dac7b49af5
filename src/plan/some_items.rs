//! A metric over those of its items that could be made: one head that diverges takes nothing from the results of the others.
//!
//! What it leaves is an artifact of its own, named by the items that it scored, as if the experiment had no others.

use std::sync::Arc;

use serde_json::json;

use super::recipes::{MetricRecipe, ScoredHead, ScoredNetwork, ScoredSet};
use super::step::{CountedNetwork, Evaluate, Extract, HeadItem, Items, StepId};
use crate::store::{AxisValue, Fingerprint, Recipe, RecipeError};

impl Evaluate {
    /// The recipe of the metric's results. `heads` are those that are scored, or compete, in the order of the experiment; `fingerprint`
    /// gives that of a step's artifact.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub(super) fn recipe(
        &self,
        heads: &[HeadItem],
        fingerprint: &dyn Fn(StepId) -> Fingerprint,
    ) -> Result<Recipe, RecipeError> {
        let (mut networks, mut moments) = (None, None);
        let (heads, sets, split, reference_split) = match &self.items {
            Items::AgainstFile {
                items,
                split,
                digest,
                ..
            } => {
                moments = Some(digest.as_str());
                let sets = items.iter().map(|one| vec![scored_set(one)]);
                (None, Some(sets.collect()), Some(split.as_str()), None)
            }
            Items::Heads(_) | Items::Chosen(_) => {
                let scored = heads.iter().map(|item| scored_head(item, fingerprint));
                (Some(scored.collect()), None, None, None)
            }
            Items::Features {
                items,
                split,
                reference_split,
            } => {
                let sets = items
                    .iter()
                    .map(|item| item.iter().map(|one| scored_set(one)).collect());
                let reference_split = reference_split.as_deref();
                (
                    None,
                    Some(sets.collect()),
                    Some(split.as_str()),
                    reference_split,
                )
            }
            Items::Networks(counted) => {
                networks = Some(counted.iter().map(scored_network).collect());
                (None, None, None, None)
            }
        };
        MetricRecipe {
            metric: &self.metric.identity(),
            choose: &self.choose,
            heads,
            sets,
            split,
            reference_split,
            moments,
            networks,
        }
        .recipe()
    }

    /// The same metric over those of its items of which everything was made, with the recipe of that; `None` where there is none.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn over_made(
        &self,
        fingerprint: &dyn Fn(StepId) -> Fingerprint,
        is_made: &dyn Fn(&Fingerprint) -> bool,
    ) -> Result<Option<(Self, Recipe)>, RecipeError> {
        let items = self.items.made(fingerprint, is_made);
        if items.count() == 0 {
            return Ok(None);
        }
        let part = Self {
            items,
            ..self.clone()
        };
        let heads: Vec<HeadItem> = part.items.heads().cloned().collect();
        let recipe = part.recipe(&heads, fingerprint)?;
        Ok(Some((part, recipe)))
    }

    /// Whether there is an item of which everything was made.
    pub fn has_made(
        &self,
        fingerprint: &dyn Fn(StepId) -> Fingerprint,
        is_made: &dyn Fn(&Fingerprint) -> bool,
    ) -> bool {
        self.items.made(fingerprint, is_made).count() > 0
    }
}

impl Items {
    /// Those of which everything was made.
    fn made(
        &self,
        fingerprint: &dyn Fn(StepId) -> Fingerprint,
        is_made: &dyn Fn(&Fingerprint) -> bool,
    ) -> Self {
        let made = |step: StepId| is_made(&fingerprint(step));
        match self {
            Self::Heads(heads) => {
                let heads = heads.iter().filter(|head| made(head.step));
                Self::Heads(heads.cloned().collect())
            }
            // Among some of the candidates another one could be the best.
            Self::Chosen(items) => {
                let whole = items.iter().filter(|item| {
                    let competing = item.choice.heads.iter().map(|head| head.step);
                    competing.chain(item.refits.iter().copied()).all(made)
                });
                Self::Chosen(whole.cloned().collect())
            }
            Self::AgainstFile {
                items,
                split,
                file,
                digest,
            } => {
                let whole = items.iter().filter(|one| is_made(&one.fingerprint));
                Self::AgainstFile {
                    items: whole.cloned().collect(),
                    split: split.clone(),
                    file: file.clone(),
                    digest: digest.clone(),
                }
            }
            Self::Features {
                items,
                split,
                reference_split,
            } => {
                let whole = items
                    .iter()
                    .filter(|item| item.iter().all(|one| is_made(&one.fingerprint)));
                Self::Features {
                    items: whole.cloned().collect(),
                    split: split.clone(),
                    reference_split: reference_split.clone(),
                }
            }
            // They are counted without being made.
            Self::Networks(networks) => Self::Networks(networks.clone()),
        }
    }

    /// The number of heads, choices, items of features, or networks.
    pub fn count(&self) -> usize {
        match self {
            Self::Heads(heads) => heads.len(),
            Self::Chosen(items) => items.len(),
            Self::Features { items, .. } => items.len(),
            Self::Networks(networks) => networks.len(),
            Self::AgainstFile { items, .. } => items.len(),
        }
    }
}

fn scored_head<'a>(
    item: &'a HeadItem,
    fingerprint: &dyn Fn(StepId) -> Fingerprint,
) -> ScoredHead<'a> {
    let train = &item.train;
    ScoredHead {
        fingerprint: fingerprint(item.step).to_string(),
        head: &train.node.name,
        extraction: &train.features.node.name,
        model: &train.features.model.name,
        dataset: &train.features.images.name,
    }
}

fn scored_set(extract: &Arc<Extract>) -> ScoredSet<'_> {
    ScoredSet {
        fingerprint: extract.fingerprint.to_string(),
        extraction: &extract.node.name,
        model: &extract.model.name,
        dataset: &extract.images.name,
    }
}

fn scored_network(network: &CountedNetwork) -> ScoredNetwork {
    let value = |value: &AxisValue| match value {
        AxisValue::Integer(integer) => json!(integer),
        // Apart from the integer that it may be equal to, since it makes another column.
        AxisValue::Number(number) => json!({ "number": number }),
        AxisValue::Text(text) => json!(text),
    };
    ScoredNetwork {
        axes: network
            .axes
            .iter()
            .map(|(name, at)| (name.clone(), value(at)))
            .collect(),
        parameters: network.parameters,
    }
}
