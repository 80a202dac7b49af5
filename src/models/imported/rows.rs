//! Which row of which file belongs to each sample of a dataset: by the ids in the file, or by the dataset's order where it has none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use super::Imported;
use crate::datasets::{DatasetError, Manifest};
use crate::message::Message;
use crate::text::{count, plural};

/// The most ids that a message lists.
const MOST_LISTED: usize = 3;

/// What a file holds, without its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// As it is opened.
    pub path: PathBuf,
    /// The split whose samples it has; `None` for those of all splits.
    pub split: Option<String>,
    /// How many rows it has.
    pub rows: usize,
    /// The id of each row, where the file has ids.
    pub ids: Option<Vec<String>>,
}

/// Where the features of a sample are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file's number among those of the model.
    pub file: usize,
    /// The row, from 0.
    pub row: usize,
}

/// The place of every sample of a dataset, in the order of its manifest.
///
/// # Errors
/// Splits without a file and files of splits that the dataset does not have; a file without ids that has another number of rows than its
/// samples are; ids that are there twice, that the dataset does not have, and samples that no row has.
pub fn assign(
    dataset: &str,
    manifest: &Manifest,
    imported: &Imported,
    files: &[Described],
) -> Result<Vec<Place>, DatasetError> {
    check_splits(dataset, manifest, files)?;
    let mut places = vec![None; manifest.samples.len()];
    for (number, file) in files.iter().enumerate() {
        let samples = manifest.samples.iter().enumerate();
        let of_file: Vec<(usize, &str)> = samples
            .filter(|(_, sample)| file.split.as_ref().is_none_or(|own| *own == sample.split))
            .map(|(index, sample)| (index, sample.id.as_str()))
            .collect();
        let rows = match &file.ids {
            None => in_order(dataset, file, &of_file)?,
            Some(ids) => by_id(dataset, imported, file, ids, &of_file)?,
        };
        for ((index, _), row) in of_file.into_iter().zip(rows) {
            places[index] = Some(Place { file: number, row });
        }
    }
    let places: Option<Vec<Place>> = places.into_iter().collect();
    places.ok_or_else(|| {
        crate::bug::Bug::new("a sample of a split that has a file was left without a row").into()
    })
}

/// Whether each split has a file, and each file a split.
fn check_splits(
    dataset: &str,
    manifest: &Manifest,
    files: &[Described],
) -> Result<(), DatasetError> {
    let own: BTreeMap<String, usize> = manifest
        .splits()
        .into_iter()
        .map(|count| (count.split, count.samples))
        .collect();
    let named: BTreeSet<&String> = files
        .iter()
        .filter_map(|file| file.split.as_ref())
        .collect();
    if files.iter().any(|file| file.split.is_none()) {
        return Ok(());
    }
    let has = || {
        let splits: Vec<String> = own.keys().map(|split| format!("`{split}`")).collect();
        splits.join(", ")
    };
    if let Some(split) = named.iter().find(|split| !own.contains_key(**split)) {
        let message = format!(
            "`features` has a file for split `{split}`, which dataset `{dataset}` does not have"
        );
        let hint = format!("it has {}", has());
        return Err(DatasetError::Selection(Message::new(message).hint(hint)));
    }
    if let Some((split, samples)) = own.iter().find(|(split, _)| !named.contains(split)) {
        let message = format!(
            "`features` has no file for split `{split}` of dataset `{dataset}`, which has {}",
            plural(*samples, "sample")
        );
        let hint =
            "give each split a file, or make a dataset of some splits with `kind = \"subset\"`";
        return Err(DatasetError::Selection(Message::new(message).hint(hint)));
    }
    Ok(())
}

/// What messages call the samples of a file.
fn whose(dataset: &str, file: &Described) -> String {
    match &file.split {
        Some(split) => format!("split `{split}` of dataset `{dataset}`"),
        None => format!("dataset `{dataset}`"),
    }
}

/// One row for each sample, in the order of the dataset.
fn in_order(
    dataset: &str,
    file: &Described,
    samples: &[(usize, &str)],
) -> Result<Vec<usize>, DatasetError> {
    if file.rows == samples.len() {
        return Ok((0..file.rows).collect());
    }
    Err(DatasetError::Malformed {
        path: file.path.clone(),
        problem: format!(
            "it has {} rows and no ids, and {} has {}",
            count(file.rows),
            whose(dataset, file),
            plural(samples.len(), "sample")
        ),
        hint: "without ids there has to be one row for each sample, in the dataset's order; store the samples' ids beside the features to have them matched"
            .to_owned(),
    })
}

/// The row of each sample by the ids of the rows.
fn by_id(
    dataset: &str,
    imported: &Imported,
    file: &Described,
    ids: &[String],
    samples: &[(usize, &str)],
) -> Result<Vec<usize>, DatasetError> {
    let refused = |problem: String, hint: &str| DatasetError::Malformed {
        path: file.path.clone(),
        problem,
        hint: hint.to_owned(),
    };
    let mut rows: HashMap<&str, usize> = HashMap::with_capacity(ids.len());
    let mut doubled = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        if rows.insert(id, row).is_some() {
            doubled.push(id.as_str());
        }
    }
    if !doubled.is_empty() {
        return Err(refused(
            format!(
                "{} of its {} rows have an id that another row has: {}",
                count(doubled.len()),
                count(ids.len()),
                listed(&doubled)
            ),
            "each id may be there once",
        ));
    }
    let missing: Vec<&str> = samples
        .iter()
        .filter_map(|&(_, id)| (!rows.contains_key(id)).then_some(id))
        .collect();
    let own: std::collections::HashSet<&str> = samples.iter().map(|&(_, id)| id).collect();
    let unknown: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| !own.contains(id))
        .collect();
    if !missing.is_empty() {
        let beside = match unknown.as_slice() {
            [] => String::new(),
            unknown => format!(
                "; {} of its ids are not in the dataset: {}",
                count(unknown.len()),
                listed(unknown)
            ),
        };
        return Err(refused(
            format!(
                "it has no row for {} of the {} of {}: {}{beside}",
                count(missing.len()),
                plural(samples.len(), "sample"),
                whose(dataset, file),
                listed(&missing)
            ),
            "ids have to be those of the dataset, letter by letter; `repro data ids FILE` prints them",
        ));
    }
    if !unknown.is_empty() && !imported.skips_unknown_ids {
        return Err(refused(
            format!(
                "{} of its {} ids are not in {}: {}",
                count(unknown.len()),
                count(ids.len()),
                whose(dataset, file),
                listed(&unknown)
            ),
            "write `on_unknown_id = \"skip\"` to leave these rows alone, as for a subset of what the features are of",
        ));
    }
    Ok(samples
        .iter()
        .filter_map(|(_, id)| rows.get(id).copied())
        .collect())
}

/// The first of some ids.
fn listed(ids: &[&str]) -> String {
    let mut shown: Vec<String> = ids
        .iter()
        .take(MOST_LISTED)
        .map(|id| format!("`{}`", crate::visible::on_one_line(id)))
        .collect();
    if ids.len() > MOST_LISTED {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}
