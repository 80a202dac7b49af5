//! Looking at what an experiment reads, where some of it is not on disk.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    InputErrors, Opened, Reading, dataset_error, facts_of, identify_weights, open_datasets,
    weights_error,
};
use crate::bug::Bug;
use crate::datasets::{DatasetError, Environment, SplitCount, published};
use crate::graph::{DatasetNode, Experiment, ModelNode};
use crate::models::{self, WEIGHTS_FOLDER, WeightsSource};
use crate::papers::table_5::{PaperRow, table_5};
use crate::plan::{Absent, DatasetFacts, Expected, Facts};
use crate::store::Store;

/// What planning needs to know of an experiment's inputs, and which of them are not on disk.
pub struct Surveyed {
    /// The facts; those of what is not on disk are published ones.
    pub facts: Facts,
    /// What is not on disk.
    pub absent: Vec<Absent>,
}

/// Looks at everything that the experiment reads. A dataset that is not on disk is taken to be as large as its own lists say, if
/// they are there without the images, or else as large as Table 5 of the paper says. The arguments are those of [`open`](super::open).
///
/// # Errors
/// Every input that is malformed, or missing and of unknown size.
pub fn survey(
    experiment: &Experiment,
    base: &Path,
    store: &Store,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Surveyed, InputErrors> {
    let reading = Reading::new(base, store, tell);
    let environment = reading.environment();
    let (mut facts, mut absent, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let opened = open_datasets(experiment, &environment);
    // How many samples a dataset keeps of another one cannot be told without the samples of that.
    let needed: BTreeSet<usize> = experiment
        .datasets
        .iter()
        .zip(&opened)
        .filter(|(_, opened)| matches!(opened, Opened::Waiting))
        .filter_map(|(node, _)| node.upstream)
        .collect();
    let nodes = experiment.datasets.iter().enumerate();
    for ((index, node), opened) in nodes.zip(opened) {
        match opened {
            Opened::Here(open) => facts.push(Some(facts_of(&open))),
            Opened::Made => facts.push(None),
            Opened::Waiting => {}
            Opened::Failed(error) if needed.contains(&index) => {
                errors.push(dataset_error(&node.name, error));
            }
            Opened::Failed(error) => match absent_dataset(node, index, error, &environment) {
                Ok((known, found)) => {
                    facts.push(Some(known));
                    absent.push(found);
                }
                Err(error) => errors.push(dataset_error(&node.name, error)),
            },
        }
    }
    let mut weights = Vec::new();
    for node in &experiment.models {
        let identity = identify_weights(node, &environment).or_else(|error| {
            let (identity, found) = absent_weights(node, error)?;
            absent.push(found);
            Ok(Some(identity))
        });
        match identity {
            Ok(identity) => weights.push(identity),
            Err(error) => errors.push(weights_error(node, error)),
        }
    }
    if !errors.is_empty() {
        return Err(InputErrors(errors));
    }
    Ok(Surveyed {
        facts: Facts {
            datasets: facts,
            weights,
        },
        absent,
    })
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
) -> Result<(DatasetFacts, Absent), DatasetError> {
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
    Ok((facts, absent))
}

/// The identity of weights that could not be read, if that is because they are not on disk.
fn absent_weights(node: &ModelNode, error: DatasetError) -> Result<(String, Absent), DatasetError> {
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
        expected: Expected::Weights { bytes },
    };
    Ok((format!("absent:{}", path.display()), absent))
}

/// A command that downloads into a folder of its own choice, or into the given one.
fn with_folder(command: String, folder: Option<&str>) -> String {
    match folder {
        None => command,
        Some("") => format!("{command} --to ."),
        Some(folder) => format!("{command} --to {folder}"),
    }
}
