//! Inputs that are not on disk and not remembered: how large they are by what is published of them, or by their own lists and keys.

use std::path::Path;

use super::weights::with_prefix;
use crate::bug::Bug;
use crate::datasets::{DatasetError, Environment, SplitCount, published};
use crate::graph::{DatasetNode, ModelNode};
use crate::models::{self, WEIGHTS_FOLDER, WeightsSource};
use crate::papers::table_5::{PaperRow, table_5};
use crate::plan::{Absent, DatasetFacts, Expected};

/// How large a dataset is, and the source of that.
struct Sizes {
    classes: usize,
    splits: Vec<SplitCount>,
    source: &'static str,
}

/// A dataset that could not be opened, if that is because it is not on disk and its size is known.
pub(super) fn absent_dataset(
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
        of: None,
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

/// A part of a dataset that is not on disk, by what its keys say: `index` is its place in the experiment, `missing` what is missing of the
/// whole, of which `whole` is known.
pub(super) fn absent_part(
    node: &DatasetNode,
    (index, missing): (usize, String),
    whole: &DatasetFacts,
    environment: &Environment<'_>,
) -> Result<(Absent, DatasetFacts), DatasetError> {
    let classes = whole.classes.len();
    let estimate = node.dataset.estimate(environment, classes, &whole.splits);
    let splits = estimate.ok_or_else(|| {
        Bug::new(format!(
            "a dataset of kind `{}` is made from another one and says not how large it is",
            node.dataset.kind()
        ))
    })??;
    let absent = Absent {
        name: node.name.clone(),
        of: node.dataset.upstream().map(|of| of.value.clone()),
        path: String::new(),
        missing,
        fetch: None,
        fetchable: false,
        remembered: false,
        expected: Expected::Dataset {
            classes,
            splits: splits.clone(),
            source: "its keys",
        },
    };
    let facts = DatasetFacts {
        digest: format!("absent:{}:{index}", node.dataset.kind()),
        samples: splits.iter().map(|split| split.samples).sum(),
        splits,
        classes: whole.classes.clone(),
    };
    Ok((absent, facts))
}

/// The identity of weights that could not be read, if that is because they are not on disk; the one that is remembered, or one that
/// names no content.
pub(super) fn absent_weights(
    node: &ModelNode,
    error: DatasetError,
    remembered: Option<String>,
) -> Result<(String, Absent), DatasetError> {
    let DatasetError::Missing { path: missing, .. } = &error else {
        return Err(error);
    };
    if let Some(imported) = node.model.imported() {
        let path = imported.paths();
        let absent = Absent {
            name: node.name.clone(),
            of: None,
            path: path.clone(),
            missing: missing.display().to_string(),
            fetchable: false,
            fetch: None,
            remembered: remembered.is_some(),
            expected: Expected::Features,
        };
        return Ok((remembered.unwrap_or(format!("absent:{path}")), absent));
    }
    let WeightsSource::File(path) = node.model.weights() else {
        return Err(error);
    };
    // Nothing is published for a model that is not a preset.
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
        of: None,
        path: path.display().to_string(),
        missing: missing.display().to_string(),
        fetchable: fetch.is_some(),
        fetch,
        remembered: remembered.is_some(),
        expected: Expected::Weights { bytes },
    };
    let identity =
        remembered.unwrap_or_else(|| with_prefix(format!("absent:{}", path.display()), node));
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
