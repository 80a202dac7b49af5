//! Choices: heads of which the best is taken, and the training of that one on all training samples.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::step::{HeadItem, StepId};
use crate::store::AxisValue;

/// Heads of which the best is chosen by their validation splits.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The axes that are chosen.
    pub axes: Vec<String>,
    /// All heads that compete, of every seed: those of equal values on the chosen axes are one candidate.
    pub heads: Vec<HeadItem>,
}

impl Choice {
    /// The values of a head on the chosen axes; `None` for an axis that it does not have.
    pub fn place(&self, head: &HeadItem) -> Vec<Option<AxisValue>> {
        let mut axes = head.train.axes();
        self.axes.iter().map(|axis| axes.remove(axis)).collect()
    }

    /// How many candidates there are.
    pub fn candidates(&self) -> usize {
        let places: BTreeSet<_> = self.heads.iter().map(|head| self.place(head)).collect();
        places.len()
    }

    /// The seeds, each once, in the order of the heads.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seeds = Vec::new();
        for head in &self.heads {
            if !seeds.contains(&head.train.node.seed) {
                seeds.push(head.train.node.seed);
            }
        }
        seeds
    }
}

/// The training of what a choice ends in, with one of its seeds, on all training samples.
#[derive(Debug, Clone)]
pub struct Refit {
    /// What is chosen among.
    pub choice: Arc<Choice>,
    /// Fingerprints of the heads that compete, in their order.
    pub candidates: Arc<Vec<String>>,
    /// The seed.
    pub seed: u64,
}

impl Refit {
    /// At most how many images go through a network meanwhile: which head is trained is known only when the others are.
    pub fn most_forwards(&self) -> u64 {
        let heads = self.choice.heads.iter();
        heads.map(|head| head.train.forwards).max().unwrap_or(0)
    }
}

/// A choice whose best is scored.
#[derive(Debug, Clone)]
pub struct ChosenItem {
    /// What is chosen among.
    pub choice: Arc<Choice>,
    /// The steps that train the best, one for each seed.
    pub refits: Vec<StepId>,
}
