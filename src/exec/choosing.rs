//! Choosing among heads by the validation split of their training, along the axes that a metric names.
//!
//! The reported split decides nothing: a candidate's score is its accuracy on the samples that `holdout` keeps out of training, as a
//! mean over its seeds. The best is trained again on all training samples, with every seed, and that is what is scored: the held-out
//! accuracy of the best of many is optimistic, and is shown nowhere as a result.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};

use super::NodeError;
use crate::axes::{AT_BORDER, CHOSEN, CHOSEN_FROM};
use crate::graph::axes::Axes;
use crate::plan::{Choice, ChosenItem, HeadItem, Plan, Train};
use crate::store::names::SELECTION;
use crate::store::{AxisValue, Fingerprint, Store, StoreError};

/// The values of a candidate on the chosen axes.
type Place = Vec<Option<AxisValue>>;

/// What a choice came to.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The axes that were chosen.
    axes: Vec<String>,
    /// The candidates, the best first; at least one.
    candidates: Vec<Candidate<HeadItem>>,
}

/// Heads that differ in their seeds alone, with their mean scores on the validation split.
#[derive(Debug)]
struct Candidate<H> {
    place: Place,
    heads: Vec<H>,
    loss: f64,
    top1: f64,
}

/// Chooses; nothing where a candidate is not there yet.
///
/// # Errors
/// The store cannot be read, or a head has no score on the validation split.
pub(crate) fn choose(
    plan: &Plan,
    store: &Store,
    choice: &Choice,
) -> Result<Option<Chosen>, NodeError> {
    let mut candidates: Vec<Candidate<HeadItem>> = Vec::new();
    for head in &choice.heads {
        let fingerprint = &plan.step(head.step).artifact.fingerprint;
        if store.manifest(fingerprint)?.is_none() {
            return Ok(None);
        }
        let (loss, top1) = held_out(store, fingerprint)?;
        let place = choice.place(head);
        let known = candidates.iter_mut().find(|known| known.place == place);
        match known {
            Some(candidate) => candidate.add(head.clone(), loss, top1),
            None => candidates.push(Candidate {
                place,
                heads: vec![head.clone()],
                loss,
                top1,
            }),
        }
    }
    for candidate in &mut candidates {
        candidate.average();
    }
    candidates.sort_by(Candidate::order);
    Ok((!candidates.is_empty()).then(|| Chosen {
        axes: choice.axes.clone(),
        candidates,
    }))
}

impl Chosen {
    /// What has to be trained with a seed on all training samples; `None` where no candidate has the seed.
    pub(crate) fn train(&self, seed: u64) -> Option<Arc<Train>> {
        let best = self.candidates.first()?;
        // One that names its own seed is trained with it whatever the others do.
        let mut heads = best.heads.iter();
        let head = heads.find(|head| head.train.node.seed == seed)?;
        let mut train = Train::clone(&head.train);
        train.node.training.holdout = 0.0;
        Some(Arc::new(train))
    }

    /// The axes that tell how a result was chosen.
    pub(crate) fn told(&self) -> Axes {
        let mut axes = Axes::new();
        let among = self.candidates.len() as u64;
        axes.insert(CHOSEN.to_owned(), self.axes.join(", ").into());
        axes.insert(CHOSEN_FROM.to_owned(), among.into());
        let at_border = self.at_border();
        if !at_border.is_empty() {
            axes.insert(AT_BORDER.to_owned(), at_border.join(", ").into());
        }
        axes
    }

    /// A candidate's values in words; axes that it does not have are left out.
    fn text(&self, place: &Place) -> String {
        let pairs = self.axes.iter().zip(place);
        let pairs = pairs.filter_map(|(axis, value)| Some(format!("{axis} = {}", value.as_ref()?)));
        pairs.collect::<Vec<String>>().join(", ")
    }

    /// The axes on which the best is the smallest or the largest of all numbers that were tried, where these are at least two.
    fn at_border(&self) -> Vec<&str> {
        let Some(best) = self.candidates.first() else {
            return Vec::new();
        };
        let is_at_border = |index: usize| {
            let tried = self
                .candidates
                .iter()
                .filter_map(|one| number(one.place[index].as_ref()));
            let tried: BTreeSet<&AxisValue> = tried.collect();
            let own = number(best.place[index].as_ref());
            let ends = [tried.first().copied(), tried.last().copied()];
            tried.len() > 1 && own.is_some() && ends.contains(&own)
        };
        let axes = self.axes.iter().enumerate();
        axes.filter(|(index, _)| is_at_border(*index))
            .map(|(_, axis)| axis.as_str())
            .collect()
    }

    /// One row for each candidate, the best first: its `place`, such as "block = 7, pool = 4", the mean `loss` and `top1` on held-out
    /// samples over its `seeds`, and whether it is `chosen`.
    #[cfg_attr(
        not(feature = "torch"),
        expect(dead_code, reason = "heads are written by what trains them")
    )]
    pub(crate) fn to_batch(&self) -> Result<RecordBatch, NodeError> {
        let mut fields = vec![Field::new("place", DataType::Utf8, false)];
        let places = self
            .candidates
            .iter()
            .map(|one| Some(self.text(&one.place)));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(places.collect::<StringArray>())];
        let numbers = |pick: fn(&Candidate<HeadItem>) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(
                self.candidates.iter().map(pick),
            ))
        };
        for (name, pick) in [
            ("loss", (|one| one.loss) as fn(&Candidate<HeadItem>) -> f64),
            ("top1", |one| one.top1),
            ("seeds", |one| one.heads.len() as f64),
        ] {
            fields.push(Field::new(name, DataType::Float64, false));
            columns.push(numbers(pick));
        }
        fields.push(Field::new("chosen", DataType::Boolean, false));
        let is_first = (0..self.candidates.len()).map(|place| Some(place == 0));
        columns.push(Arc::new(is_first.collect::<BooleanArray>()));
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns,
        )?)
    }
}

/// The value, where it has an order.
fn number(value: Option<&AxisValue>) -> Option<&AxisValue> {
    value.filter(|value| !matches!(value, AxisValue::Text(_)))
}

/// The heads that a metric scores of its choices.
pub(crate) struct Scored {
    /// Each under the axes that tell how it was chosen.
    pub(crate) heads: Vec<(HeadItem, Axes)>,
    /// One head of each choice that is still open.
    pub(crate) open: Vec<HeadItem>,
}

/// The heads that a metric scores of its choices, as far as these are made.
///
/// # Errors
/// As of [`choose`].
pub(crate) fn scored(
    plan: &Plan,
    store: &Store,
    items: &[ChosenItem],
) -> Result<Scored, NodeError> {
    let (mut heads, mut open) = (Vec::new(), Vec::new());
    for item in items {
        let Some(chosen) = choose(plan, store, &item.choice)? else {
            open.extend(item.choice.heads.first().cloned());
            continue;
        };
        for (seed, &step) in item.choice.seeds().into_iter().zip(&item.refits) {
            if let Some(train) = chosen.train(seed) {
                heads.push((HeadItem { step, train }, chosen.told()));
            }
        }
    }
    Ok(Scored { heads, open })
}

impl<H> Candidate<H> {
    fn add(&mut self, head: H, loss: f64, top1: f64) {
        self.heads.push(head);
        self.loss += loss;
        self.top1 += top1;
    }

    /// From sums to means.
    fn average(&mut self) {
        let heads = self.heads.len() as f64;
        self.loss /= heads;
        self.top1 /= heads;
    }

    /// The better one first: more right answers, then less loss, then smaller values on the chosen axes. NaN comes last.
    fn order(&self, other: &Self) -> Ordering {
        let last = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
        other
            .top1
            .total_cmp(&self.top1)
            .then_with(|| last(self.loss).total_cmp(&last(other.loss)))
            .then_with(|| self.place.cmp(&other.place))
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
                "the scores of head {} on the validation split lack a column",
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

    fn candidate(lr: f64, loss: f64, top1: f64) -> Candidate<HeadItem> {
        Candidate {
            place: vec![Some(lr.into()), None, Some("text".into())],
            heads: Vec::new(),
            loss,
            top1,
        }
    }

    fn chosen(mut candidates: Vec<Candidate<HeadItem>>) -> Chosen {
        candidates.sort_by(Candidate::order);
        Chosen {
            axes: ["learning_rate", "pool", "view"]
                .map(str::to_owned)
                .to_vec(),
            candidates,
        }
    }

    #[test]
    fn the_best_mean_wins_and_ties_go_to_less_loss_and_then_to_smaller_values() {
        let of = chosen(vec![
            candidate(0.1, 0.4, 0.8),
            candidate(1e9, f64::NAN, -1.0),
            candidate(0.01, 0.4, 0.9),
            candidate(0.001, 0.3, 0.9),
            candidate(0.0001, 0.3, 0.9),
            candidate(1.0, f64::INFINITY, -1.0),
        ]);
        let rate = |one: &Candidate<HeadItem>| one.place[0].clone().unwrap();
        let rates: Vec<AxisValue> = of.candidates.iter().map(rate).collect();
        assert_eq!(
            rates,
            [0.0001, 0.001, 0.01, 0.1, 1.0, 1e9].map(AxisValue::from)
        );
    }

    #[test]
    fn a_choice_at_the_border_of_what_was_tried_says_so() {
        let inside = chosen(vec![
            candidate(0.1, 0.4, 0.8),
            candidate(0.01, 0.4, 0.9),
            candidate(0.001, 0.3, 0.7),
        ]);
        assert_eq!(inside.told().get(AT_BORDER), None);
        assert_eq!(inside.told().get(CHOSEN_FROM), Some(&AxisValue::Integer(3)));
        let outside = chosen(vec![candidate(0.1, 0.4, 0.95), candidate(0.01, 0.4, 0.9)]);
        // Axes without numbers have no border, and one value alone is not a choice.
        assert_eq!(outside.told().get(AT_BORDER), Some(&"learning_rate".into()));
        assert_eq!(
            chosen(vec![candidate(0.1, 0.4, 0.95)])
                .told()
                .get(AT_BORDER),
            None
        );
    }

    #[test]
    fn candidates_are_averaged_over_their_seeds() {
        let mut one = Candidate {
            heads: vec![0],
            ..Candidate {
                place: Vec::new(),
                heads: Vec::new(),
                loss: 1.0,
                top1: 0.5,
            }
        };
        one.add(1, 2.0, 1.0);
        one.average();
        assert_eq!((one.loss, one.top1, one.heads), (1.5, 0.75, vec![0, 1]));
    }
}
