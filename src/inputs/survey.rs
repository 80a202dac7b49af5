//! Looking at what an experiment reads, where some of it is not on disk.

use std::path::Path;

use super::{
    InputErrors, Inputs, Opened, Reading, dataset_error, facts_of, identify_weights, open_datasets,
    weights_error,
};
use crate::bug::Bug;
use crate::datasets::{DatasetError, Environment, SplitCount, published};
use crate::graph::{DatasetNode, Experiment, ModelNode};
use crate::models::{self, WEIGHTS_FOLDER, WeightsSource};
use crate::papers::table_5::{PaperRow, table_5};
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
        let upstream = node.upstream.and_then(|index| facts.get(index));
        let upstream: Option<&DatasetFacts> = upstream.and_then(Option::as_ref);
        let known = match opened {
            Opened::Here(open) => {
                facts.push(Some(facts_of(&open)));
                datasets.push(Some(open));
                continue;
            }
            // What is wrong with the dataset that it is made from has been said.
            Opened::Waiting if upstream.is_none() => None,
            Opened::Waiting => {
                let missing = absent.iter().find(|one: &&Absent| {
                    let of = node.upstream.map(|index| &experiment.datasets[index].name);
                    Some(&one.name) == of
                });
                let missing = missing.map(|one| one.missing.clone()).unwrap_or_default();
                match memory.dataset(node, None, upstream) {
                    Some(facts) => Some((remembered(node, missing, &facts), facts)),
                    None => {
                        errors.push(dataset_error(&node.name, not_remembered(missing)));
                        None
                    }
                }
            }
            Opened::Failed(error) => match memory.dataset(node, Some(&error), upstream) {
                Some(facts) => Some((remembered(node, missing_path(&error), &facts), facts)),
                None => {
                    let estimated = match otherwise {
                        Otherwise::Estimate => absent_dataset(node, index, error, &environment),
                        Otherwise::Fail => Err(error),
                    };
                    estimated
                        .map_err(|error| errors.push(dataset_error(&node.name, error)))
                        .ok()
                }
            },
        };
        datasets.push(None);
        facts.push(known.map(|(found, facts)| {
            absent.push(found);
            facts
        }));
    }
    let mut weights = Vec::new();
    for node in &experiment.models {
        let identity = identify_weights(node, &environment).or_else(|error| {
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
                weights.push(identity);
            }
            Err(error) => errors.push(weights_error(node, error)),
        }
    }
    if !errors.is_empty() {
        return Err(InputErrors(errors));
    }
    Ok(Surveyed {
        inputs: Inputs {
            datasets,
            facts: Facts {
                datasets: facts.into_iter().flatten().collect(),
                weights,
            },
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

/// How large a dataset is, and who says so.
struct Sizes {
    classes: usize,
    splits: Vec<SplitCount>,
    source: &'static str,
}

/// A dataset that could not be opened, if that is because it is not on disk and its size is known.
fn absent_dataset(
    node: &DatasetNode,
    index: usize,
    error: DatasetError,
    environment: &Environment<'_>,
) -> Result<(Absent, DatasetFacts), DatasetError> {
    let kind = node.dataset.kind();
    let found = match &error {
        DatasetError::Missing { path, .. } => {
            let rows = table_5().map_err(|error| {
                Bug::new(format!(
                    "data/table-5.toml, built into the program: {error}"
                ))
            })?;
            let row = PaperRow::expected(&rows, kind, &node.name);
            let sizes = row.map(|row| Sizes {
                classes: row.classes,
                splits: row.splits(),
                source: "Table 5 of the paper",
            });
            sizes.map(|sizes| (path, sizes))
        }
        // A dataset of which some images are there is damaged rather than absent.
        DatasetError::MissingImages {
            path,
            missing,
            named,
            ..
        } if missing == named => {
            let listing = node.dataset.listed(environment).transpose()?;
            let sizes = listing.map(|listing| Sizes {
                classes: listing.classes,
                splits: listing.splits,
                source: "its own lists",
            });
            sizes.map(|sizes| (path, sizes))
        }
        _ => None,
    };
    let Some((missing, sizes)) = found else {
        return Err(error);
    };
    let root = node.root.clone().unwrap_or_default();
    let published = published::all().map_err(|error| {
        Bug::new(format!(
            "data/datasets.toml, built into the program: {error}"
        ))
    })?;
    let published = published.into_iter().find(|dataset| dataset.kind == kind);
    let fetch = published.as_ref().map(|dataset| {
        let command = format!("data fetch {}", dataset.name);
        let elsewhere = dataset.by_hand.is_none() && root != dataset.folder;
        with_folder(command, elsewhere.then_some(root.as_str()))
    });
    let absent = Absent {
        name: node.name.clone(),
        path: root,
        missing: missing.display().to_string(),
        fetch,
        fetchable: published.is_some_and(|dataset| dataset.by_hand.is_none()),
        remembered: false,
        expected: Expected::Dataset {
            classes: sizes.classes,
            splits: sizes.splits.clone(),
            source: sizes.source,
        },
    };
    let facts = DatasetFacts {
        // One for each dataset: two of a kind may differ in their keys.
        digest: format!("absent:{kind}:{index}"),
        samples: sizes.splits.iter().map(|split| split.samples).sum(),
        splits: sizes.splits,
        classes: (1..=sizes.classes).map(|class| class.to_string()).collect(),
    };
    Ok((absent, facts))
}

/// The identity of weights that could not be read, if that is because they are not on disk; the one that is remembered, or one that
/// names no content.
fn absent_weights(
    node: &ModelNode,
    error: DatasetError,
    remembered: Option<String>,
) -> Result<(String, Absent), DatasetError> {
    let WeightsSource::File(path) = node.model.weights() else {
        return Err(error);
    };
    let DatasetError::Missing { path: missing, .. } = &error else {
        return Err(error);
    };
    // Nothing is published for a model that is no preset.
    let name = node.model.variant();
    let preset = models::preset(name);
    let checkpoint = preset.and_then(|preset| Some((name, preset.checkpoint?)));
    let checkpoint = checkpoint.filter(|(_, checkpoint)| {
        let name = checkpoint.file_name();
        name.is_some() && path.file_name().and_then(|name| name.to_str()) == name.as_deref()
    });
    let (fetch, bytes) = checkpoint.map_or((None, None), |(preset, checkpoint)| {
        let command = format!("models fetch {preset}");
        let folder = path.parent().filter(|at| *at != Path::new(WEIGHTS_FOLDER));
        let folder = folder.map(|folder| folder.display().to_string());
        let command = with_folder(command, folder.as_deref());
        (Some(command), checkpoint.bytes)
    });
    let absent = Absent {
        name: node.name.clone(),
        path: path.display().to_string(),
        missing: missing.display().to_string(),
        fetchable: fetch.is_some(),
        fetch,
        remembered: remembered.is_some(),
        expected: Expected::Weights { bytes },
    };
    let identity = remembered.unwrap_or_else(|| format!("absent:{}", path.display()));
    Ok((identity, absent))
}

/// A command that downloads into a folder of its own choice, or into the given one.
fn with_folder(command: String, folder: Option<&str>) -> String {
    match folder {
        None => command,
        Some("") => format!("{command} --to ."),
        Some(folder) => format!("{command} --to {folder}"),
    }
}
