//! Looking at what an experiment reads, where some of it is not on disk.

use std::path::Path;

use super::published::{absent_dataset, absent_part, absent_weights};
use super::{
    InputErrors, Inputs, Opened, Reading, dataset_error, facts_of, imported, moments,
    open_datasets, warnings, weights,
};
use crate::datasets::DatasetError;
use crate::graph::{DatasetNode, Experiment};
use crate::plan::{Absent, DatasetFacts, Expected, Facts};
use crate::store::Store;

/// What is known of an experiment's inputs, and which of them are not on disk.
pub struct Surveyed {
    /// The inputs; the facts of what is not on disk are remembered or published ones.
    pub inputs: Inputs,
    /// What is not on disk.
    pub absent: Vec<Absent>,
}

/// What becomes of an input that is neither on disk nor remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It is taken to be as large as its own lists say, if they are there without the images, or else as Table 5 of the paper says.
    Estimate,
    /// It is an error.
    Fail,
}

/// Looks at everything that the experiment reads. What is not on disk is taken to be what the store remembers of it, and `otherwise`
/// says what becomes of the rest. The other arguments are those of [`open`](super::open).
///
/// # Errors
/// Every input that is malformed, or missing and not known.
pub fn survey(
    experiment: &Experiment,
    base: &Path,
    store: &Store,
    tell: &(dyn Fn(&str) + Sync),
    otherwise: Otherwise,
) -> Result<Surveyed, InputErrors> {
    let reading = Reading::new(base, store, tell);
    let environment = reading.environment();
    let memory = reading.memory(experiment);
    let (mut datasets, mut facts) = (Vec::new(), Vec::new());
    let (mut absent, mut errors) = (Vec::new(), Vec::new());
    let opened = open_datasets(experiment, &environment);
    memory.keep_datasets(&opened);
    for (index, (node, opened)) in experiment.datasets.iter().zip(opened).enumerate() {
        // What a dataset is made from stands before it.
        let whole = node.upstream.and_then(|index| facts.get(index));
        let whole: Option<&DatasetFacts> = whole.and_then(Option::as_ref);
        let known = match opened {
            Opened::Here(open) => {
                facts.push(Some(facts_of(&open)));
                datasets.push(Some(open));
                continue;
            }
            Opened::Made => {
                facts.push(None);
                datasets.push(None);
                continue;
            }
            Opened::Failed(error) => match memory.dataset(node, Some(&error), whole) {
                Some(facts) => Ok(Some((
                    remembered(node, missing_path(&error), &facts),
                    facts,
                ))),
                None => match otherwise {
                    Otherwise::Estimate => {
                        absent_dataset(node, index, error, &environment).map(Some)
                    }
                    Otherwise::Fail => Err(error),
                },
            },
            Opened::Waiting => match whole {
                // What is wrong with the dataset that it is made from has been reported.
                None => Ok(None),
                Some(whole) => {
                    let of = node.upstream.map(|index| &experiment.datasets[index].name);
                    let of = absent.iter().rfind(|one: &&Absent| Some(&one.name) == of);
                    let missing = of.map(|one| one.missing.clone()).unwrap_or_default();
                    match memory.dataset(node, None, Some(whole)) {
                        Some(facts) => Ok(Some((remembered(node, missing, &facts), facts))),
                        None if otherwise == Otherwise::Fail => Err(not_remembered(missing)),
                        None => absent_part(node, (index, missing), whole, &environment).map(Some),
                    }
                }
            },
        };
        let known = known.unwrap_or_else(|error| {
            errors.push(dataset_error(&node.name, error));
            None
        });
        datasets.push(None);
        facts.push(known.map(|(found, facts)| {
            absent.push(found);
            facts
        }));
    }
    let mut identities = Vec::new();
    for node in &experiment.models {
        let identity = weights::identify(node, &reading).or_else(|error| {
            let remembered = memory.weights(node, &error);
            if remembered.is_none() && otherwise == Otherwise::Fail {
                return Err(error);
            }
            let (identity, found) = absent_weights(node, error, remembered)?;
            absent.push(found);
            Ok(Some(identity))
        });
        match identity {
            Ok(identity) => {
                memory.keep_weights(node, identity.as_deref());
                identities.push(identity);
            }
            Err(error) => weights::add_error(&mut errors, node, error),
        }
    }
    let (moments, missing) = moments::read(experiment, base);
    let mut digests = moments::digests(&moments);
    match otherwise {
        Otherwise::Fail => errors.extend(missing),
        Otherwise::Estimate => {
            let (found, left) = moments::absent(experiment, missing, &mut digests);
            absent.extend(found);
            errors.extend(left);
        }
    }
    if errors.is_empty() && absent.is_empty() {
        imported::check(experiment, &datasets, &reading, &mut errors);
    }
    if !errors.is_empty() {
        return Err(InputErrors(errors));
    }
    let warnings = warnings::of(experiment, &datasets, base);
    Ok(Surveyed {
        inputs: Inputs {
            datasets,
            facts: Facts {
                datasets: facts,
                weights: identities,
                moments: digests,
            },
            moments,
            warnings,
        },
        absent,
    })
}

/// What an error names as missing; nothing for other errors.
fn missing_path(error: &DatasetError) -> String {
    match error {
        DatasetError::Missing { path, .. } | DatasetError::MissingImages { path, .. } => {
            path.display().to_string()
        }
        _ => String::new(),
    }
}

/// A dataset that is taken to be what the store remembers.
fn remembered(node: &DatasetNode, missing: String, facts: &DatasetFacts) -> Absent {
    Absent {
        name: node.name.clone(),
        of: node.dataset.upstream().map(|of| of.value.clone()),
        path: node.root.clone().unwrap_or_default(),
        missing,
        fetch: None,
        fetchable: false,
        remembered: true,
        expected: Expected::Dataset {
            classes: facts.classes.len(),
            splits: facts.splits.clone(),
            source: "what the cache remembers",
        },
    }
}

/// That nothing is known of a dataset which is made from one that is remembered.
fn not_remembered(missing: String) -> DatasetError {
    DatasetError::Missing {
        path: missing.into(),
        hint: "the cache remembers the dataset that it is made from, but not this part of it"
            .to_owned(),
    }
}
