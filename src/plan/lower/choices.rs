//! From the graph to the plan: heads that compete, and the training of the best on all training samples.

use std::sync::Arc;

use super::super::PlanError;
use super::super::choice::{Choice, ChosenItem, Refit};
use super::super::recipes::RefitRecipe;
use super::super::step::{HeadItem, Work};
use super::Lowering;
use crate::graph::axes::Axes;
use crate::graph::planned::competing;
use crate::store::{AxisValue, Recipe};

/// The heads that compete with each other: those that agree on every axis but the chosen ones, what these decide, and the seed.
pub(super) fn choices(chosen: &[String], heads: Vec<HeadItem>) -> Vec<Choice> {
    let axes: Vec<Axes> = heads.iter().map(|head| head.train.axes()).collect();
    let mut heads: Vec<Option<HeadItem>> = heads.into_iter().map(Some).collect();
    let groups = competing(chosen, &axes).into_iter();
    groups
        .map(|group| Choice {
            axes: chosen.to_vec(),
            heads: group
                .into_iter()
                .filter_map(|index| heads[index].take())
                .collect(),
        })
        .collect()
}

impl Refit {
    /// What decides the head.
    fn recipe(&self) -> Result<Recipe, PlanError> {
        self.recipe_with(Some(self.seed))
    }

    /// What all seeds agree in: what the job and its checkpoints are found by.
    ///
    /// # Errors
    /// None that a user can cause.
    pub fn of_all_seeds(&self) -> Result<Recipe, PlanError> {
        self.recipe_with(None)
    }

    fn recipe_with(&self, seed: Option<u64>) -> Result<Recipe, PlanError> {
        let heads = self.choice.heads.iter();
        let text = |value: Option<AxisValue>| value.map(|value| value.to_string());
        let values = heads.map(|head| self.choice.place(head).into_iter().map(text).collect());
        let recipe = RefitRecipe {
            candidates: &self.candidates,
            choose: &self.choice.axes,
            values: values.collect(),
            seed,
        };
        Ok(recipe.recipe()?)
    }
}

impl Lowering<'_> {
    /// The steps that train the best of a choice, one for each seed.
    pub(super) fn chosen(&mut self, choice: Arc<Choice>) -> Result<ChosenItem, PlanError> {
        let heads = choice.heads.iter();
        let candidates: Arc<Vec<String>> = Arc::new(
            heads
                .map(|head| self.steps[head.step.0].artifact.fingerprint.to_string())
                .collect(),
        );
        // What the chosen head reads is known only then, and what all of them read is there before.
        let inputs: Vec<_> = choice.heads.iter().map(|head| head.step).collect();
        let mut refits = Vec::new();
        for seed in choice.seeds() {
            let refit = Refit {
                choice: Arc::clone(&choice),
                candidates: Arc::clone(&candidates),
                seed,
            };
            let recipe = refit.recipe()?;
            let label = format!("{} seed={seed}", label(&choice));
            let artifact = self.known.artifact(label, recipe);
            let work = || Work::Refit(Box::new(refit));
            refits.push(self.step(artifact, inputs.clone(), work)?);
        }
        Ok(ChosenItem { choice, refits })
    }
}

/// What is chosen, in words: "probe[best of 39 by block, pool of diffusion on small]".
fn label(choice: &Choice) -> String {
    let Some(first) = choice.heads.first() else {
        return "nothing".to_owned();
    };
    let candidates = choice.candidates();
    let axes = first.train.axes();
    let mut shared = String::new();
    for axis in ["model", "timestep", "block", "pool", "dataset"] {
        if let Some(value) = axes
            .get(axis)
            .filter(|_| !choice.axes.iter().any(|one| one == axis))
        {
            let named = match axis {
                "model" | "dataset" => format!(" {value}"),
                _ => format!(" {axis}={value}"),
            };
            shared.push_str(&named);
        }
    }
    format!(
        "{}[best of {candidates} by {}{shared}]",
        first.train.node.name,
        choice.axes.join(", ")
    )
}
