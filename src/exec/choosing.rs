//! Choosing among heads that differ only in learning rate and weight decay, by the validation split of their training.
//!
//! The reported split decides nothing: a candidate's score is its accuracy on a validation split of the training split, as a mean
//! over its seeds. All seeds of what is chosen are scored, so that a report's spread over seeds is that of one recipe.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;

use super::NodeError;
use crate::graph::HeadNode;
use crate::plan::{HeadItem, Plan};
use crate::store::names::SELECTION;
use crate::store::{Fingerprint, Store, StoreError};

/// What was chosen, and what could not be because a candidate was not made.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// The heads that are scored.
    pub(crate) heads: Vec<HeadItem>,
    /// One head of each choice that is still open.
    pub(crate) open: Vec<HeadItem>,
}

/// Chooses among the heads of a metric, in their order.
///
/// # Errors
/// The store cannot be read, or a head has no validation score.
pub(crate) fn choose(plan: &Plan, store: &Store, heads: &[HeadItem]) -> Result<Chosen, NodeError> {
    let mut choices: Vec<Vec<&HeadItem>> = Vec::new();
    // Only heads of one node that read the same can be rivals, so that few have to be compared.
    let mut rivals: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for head in heads {
        let node = &head.train.node;
        let places = rivals.entry((&node.name, node.features)).or_default();
        let known = places
            .iter()
            .copied()
            .find(|&place| choices[place][0].train.node.differs_in_rates_alone(node));
        if let Some(place) = known {
            choices[place].push(head);
        } else {
            places.push(choices.len());
            choices.push(vec![head]);
        }
    }
    let mut chosen = Chosen::default();
    for choice in choices {
        match best(plan, store, &choice)? {
            Some(best) => chosen.heads.extend(best.into_iter().cloned()),
            None => chosen.open.extend(choice.first().map(|&head| head.clone())),
        }
    }
    Ok(chosen)
}

/// The heads of the best rates; nothing where a candidate is not there yet.
fn best<'h>(
    plan: &Plan,
    store: &Store,
    choice: &[&'h HeadItem],
) -> Result<Option<Vec<&'h HeadItem>>, NodeError> {
    let mut candidates: Vec<Candidate<&'h HeadItem>> = Vec::new();
    for &head in choice {
        let fingerprint = &plan.step(head.step).artifact.fingerprint;
        if store.manifest(fingerprint)?.is_none() {
            return Ok(None);
        }
        let (loss, top1) = held_out(store, fingerprint)?;
        let rates = Rates::of(&head.train.node);
        let known = candidates
            .iter_mut()
            .find(|candidate| candidate.rates == rates);
        match known {
            Some(candidate) => candidate.add(head, loss, top1),
            None => candidates.push(Candidate {
                rates,
                heads: vec![head],
                loss,
                top1,
            }),
        }
    }
    candidates.sort_by(Candidate::order);
    Ok(candidates.into_iter().next().map(|best| best.heads))
}

/// Learning rate and weight decay, of the head and of the network that is trained with it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rates([f64; 4]);

impl Rates {
    fn of(head: &HeadNode) -> Self {
        let own = &head.training.optimizer;
        let network = head.training.fine_tune.map(|tuning| tuning.optimizer);
        let (rate, decay) = network.map_or((0.0, 0.0), |one| (one.lr, one.weight_decay));
        Self([own.lr, own.weight_decay, rate, decay])
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let pairs = self.0.iter().zip(&other.0);
        let mut unequal = pairs
            .map(|(left, right)| left.total_cmp(right))
            .filter(|order| order.is_ne());
        unequal.next().unwrap_or(std::cmp::Ordering::Equal)
    }
}

/// Heads that differ in their seeds alone, with the sums of their scores.
#[derive(Debug)]
struct Candidate<H> {
    rates: Rates,
    heads: Vec<H>,
    loss: f64,
    top1: f64,
}

impl<H> Candidate<H> {
    fn add(&mut self, head: H, loss: f64, top1: f64) {
        self.heads.push(head);
        self.loss += loss;
        self.top1 += top1;
    }

    /// The better one first: more right answers, then less loss, then smaller rates. NaN comes last.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let mean = |sum: f64, heads: &[H]| sum / heads.len() as f64;
        let (own, its) = (mean(self.top1, &self.heads), mean(other.top1, &other.heads));
        let last = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
        its.total_cmp(&own)
            .then_with(|| {
                let own = last(mean(self.loss, &self.heads));
                own.total_cmp(&last(mean(other.loss, &other.heads)))
            })
            .then_with(|| self.rates.order(&other.rates))
    }
}

/// Loss and share of right answers on the validation split.
fn held_out(store: &Store, fingerprint: &Fingerprint) -> Result<(f64, f64), NodeError> {
    let table = match store.table(fingerprint, SELECTION) {
        // Nothing was written where the loss was NaN or infinite from the first epoch on.
        Err(StoreError::NoSuchFile { .. }) => return Ok((f64::INFINITY, -1.0)),
        table => table?,
    };
    let number = |name: &str| number_of(&table, name);
    match (number("loss"), number("top1")) {
        (Some(loss), Some(top1)) => Ok((loss, top1)),
        _ => Err(NodeError::Values(
            format!(
                "the scores of head {} on held-out samples lack a column",
                fingerprint.short()
            )
            .into(),
        )),
    }
}

fn number_of(table: &RecordBatch, name: &str) -> Option<f64> {
    let column = table.column_by_name(name)?;
    let values = column.as_primitive_opt::<Float64Type>()?.values();
    values.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(lr: f64, seeds: usize, loss: f64, top1: f64) -> Candidate<()> {
        let head = ();
        Candidate {
            rates: Rates([lr, 0.0, 0.0, 0.0]),
            heads: vec![head; seeds],
            loss: loss * seeds as f64,
            top1: top1 * seeds as f64,
        }
    }

    #[test]
    fn the_best_mean_wins_and_ties_go_to_less_loss_and_then_to_smaller_rates() {
        let mut candidates = [
            candidate(0.1, 3, 0.4, 0.8),
            candidate(1e9, 1, f64::NAN, -1.0),
            candidate(0.01, 2, 0.4, 0.9),
            candidate(0.001, 2, 0.3, 0.9),
            candidate(0.0001, 2, 0.3, 0.9),
            candidate(1.0, 1, f64::INFINITY, -1.0),
        ];
        candidates.sort_by(Candidate::order);
        let rates: Vec<f64> = candidates.iter().map(|one| one.rates.0[0]).collect();
        assert_eq!(rates, [0.0001, 0.001, 0.01, 0.1, 1.0, 1e9]);
        let network = |rate| Rates([0.1, 0.0, rate, 0.0]);
        assert!(network(1e-5).order(&network(1e-4)).is_lt());
        assert_ne!(network(1e-5), network(1e-4));
    }
}
