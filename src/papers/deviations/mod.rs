//! Where an experiment departs from the paper, read off its configuration. Reports print it as a table.

mod images;
mod networks;
#[cfg(test)]
mod tests;
mod training;

use crate::graph::Experiment;
use crate::report::Deviation;

/// The reason of what the experiment says itself.
const DECLARED: &str = "declared in the experiment";
/// The reason of what the paper leaves open.
const NOT_PRINTED: &str = "the paper does not print it";

/// How many samples a split of a dataset has, by the dataset's index; `None` where nobody knows.
pub type SamplesOf<'s> = &'s dyn Fn(usize, &str) -> Option<u64>;

/// Takes a row: topic, what the paper does, what is done here, and why.
type Add<'a> = &'a mut dyn FnMut(&str, &str, String, &str);

/// The deviations of an experiment from the protocol of arXiv 2307.08702, in a fixed order. What the paper leaves open is listed beside
/// them.
pub fn of(experiment: &Experiment, samples: SamplesOf<'_>) -> Vec<Deviation> {
    let mut deviations = Vec::new();
    let mut add = |topic: &str, paper: &str, here: String, reason: &str| {
        let deviation = Deviation {
            topic: topic.to_owned(),
            paper: paper.to_owned(),
            here,
            reason: reason.to_owned(),
        };
        if !deviations.contains(&deviation) {
            deviations.push(deviation);
        }
    };
    networks::add(experiment, &mut add);
    images::add(experiment, samples, &mut add);
    let heads = experiment.heads.iter();
    for question in heads.flat_map(|head| head.head.open_questions()) {
        let here = question.here.to_owned();
        add(question.topic, "not stated", here, question.reason);
    }
    training::add(experiment, &mut add);
    deviations
}
